-- Format 1. Tables that are there already are taken as they are: whoever wants
-- kv hash-partitioned (or distributed) by partition makes both beforehand.

-- The lock and the fence of each partition.
create table if not exists part (
  partition bigint not null,
  version   bigint not null, -- of the newest commit
  writers   bytea  not null, -- the last transaction of each of the last writers
  primary key (partition)
);

create table if not exists kv (
  partition bigint not null,
  key       bytea  not null,
  value     bytea  not null,
  primary key (partition, key)
);
