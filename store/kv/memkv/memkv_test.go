package memkv_test

import (
	"testing"

	"waxwing/store/kv"
	"waxwing/store/kv/kvtest"
	"waxwing/store/kv/memkv"
)

func TestLaws(t *testing.T) {
	kvtest.Run(t, func(t *testing.T) kv.Store { return memkv.New() })
}

func TestLawsFarAway(t *testing.T) {
	kvtest.Run(t, func(t *testing.T) kv.Store { return kvtest.Far(memkv.New(), 0) })
}
