package pgkv

import (
	"context"
	"encoding/base64"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"waxwing/store/kv"
)

const versionsOf = "select partition, version, writers from part where partition = any($1)"

// Versions gives for each partition a text that changes with every commit to
// it, on whatever node, and that no other store has; "" for one that has never
// been written. So one who remembers the text of a partition need not read it
// again while it stays. The writers are part of it since versions come again
// when a copy of the database is brought back.
func (s *Store) Versions(ctx context.Context, partitions []kv.Partition) ([]string, error) {
	if err := s.gate.Enter(); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	numbers := make([]int64, len(partitions))
	for i, p := range partitions {
		numbers[i] = int64(p)
	}
	found, err := s.versions(ctx, numbers)
	if err != nil {
		return nil, explain(ctx, "ask for versions", err)
	}
	texts := make([]string, len(partitions))
	for i, p := range numbers {
		texts[i] = found[p]
	}
	return texts, nil
}

func (s *Store) versions(ctx context.Context, partitions []int64) (map[int64]string, error) {
	c, err := s.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer s.giveBack(c)
	found := make(map[int64]string, len(partitions))
	for chunk := range slices.Chunk(partitions, askAtOnce) {
		rows, _ := c.Query(ctx, versionsOf, chunk) // its error comes from the rows too
		var p, v int64
		var writers []byte
		_, err := pgx.ForEachRow(rows, []any{&p, &v, &writers}, func() error {
			found[p] = s.id + ":" + strconv.FormatInt(v, 10) + ":" + base64.RawURLEncoding.EncodeToString(writers)
			return nil
		})
		if err != nil {
			s.noteLoss(err)
			return nil, err
		}
	}
	return found, nil
}
