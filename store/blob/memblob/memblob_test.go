package memblob_test

import (
	"testing"

	"waxwing/store/blob"
	"waxwing/store/blob/blobtest"
	"waxwing/store/blob/memblob"
)

func TestLaws(t *testing.T) {
	blobtest.Run(t, func(*testing.T) blob.Store { return memblob.New(blobtest.Limit) })
}
