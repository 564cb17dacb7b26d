-- What makes PostgreSQL faster and other databases need not understand; each
-- statement may fail. Values are not compressed on their way in: most are
-- small, and large ones cost more time than they save. Rows that are written
-- again and again find room on their own page.
alter table kv alter column value set storage external;
alter table kv set (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
alter table part set (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
