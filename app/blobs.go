package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"waxwing/app/config"
	"waxwing/obs"
	"waxwing/store/blob"
	"waxwing/store/blob/fsblob"
	"waxwing/store/blob/s3blob"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// blobStore is what all blob stores that we open are.
type blobStore interface {
	blob.Store
	ID() string
}

// openBlobs opens the blob store that the configuration names, and sees to it
// that it is the one whose bodies the engine names.
func openBlobs(c config.Config, db kv.Store, apart bool, log *slog.Logger) (blobs blobStore, err error) {
	if c.Blobs.InS3() {
		blobs, err = openS3(c)
	} else {
		blobs, err = fsblob.Open(filepath.Join(c.Data, "blobs"), fsblob.Options{MinFree: minFree})
	}
	if err != nil {
		return nil, fmt.Errorf("open the blob store: %w", err)
	}
	err = claimBlobs(db, blobs.ID())
	if errors.Is(err, errOtherBlobs) && apart {
		log.Warn("messages of more than 96 KiB cannot be exchanged with servers that have another blob store", "reason", err.Error())
		err = nil
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the blob store: %w", err), blobs.Close())
	}
	return blobs, nil
}

// tidier gives what a blob store does when there is time for it; nil for
// nothing.
func tidier(c config.Config, blobs blobStore, log *slog.Logger) func(context.Context) error {
	files, ok := blobs.(*fsblob.Store)
	if !ok || !c.Blobs.Compress {
		return nil
	}
	return func(ctx context.Context) error {
		return files.Run(ctx, func(what string, err error) { log.Error(what, obs.Err, err) })
	}
}

// openS3 opens a bucket.
func openS3(c config.Config) (*s3blob.Store, error) {
	bucket, prefix, err := c.Blobs.Bucket()
	if err != nil {
		return nil, err
	}
	host, plain, err := c.Blobs.Server()
	if err != nil {
		return nil, err
	}
	var roots *x509.CertPool
	if c.Blobs.Roots != "" {
		pem, err := os.ReadFile(c.Blobs.Roots)
		if err != nil {
			return nil, err
		}
		if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", c.Blobs.Roots)
		}
	}
	return s3blob.Open(context.Background(), s3blob.Options{
		Endpoint: host, Plain: plain, Region: c.Blobs.Region, Bucket: bucket, Prefix: prefix, Roots: roots,
		VirtualHost: c.Blobs.Address == config.AddressHost,
		PathStyle:   c.Blobs.Address == config.AddressPath,
		Credentials: c.Blobs.Credentials,
		Spool:       filepath.Join(c.Data, "spool"),
		Compress:    c.Blobs.Compress,
	})
}

// errOtherBlobs says that the engine names bodies in another blob store.
var errOtherBlobs = errors.New("the store's large bodies lie in another place than blobs.url and data say: in another directory or bucket; " +
	"servers that share a database need one bucket for all (docs/clusters.md)")

// claimBlobs notes the identity of the blob store with the engine the first
// time. Another one later is a mistake: of several servers that share the
// engine but not their bodies, or of somebody who has moved one and not the
// other.
func claimBlobs(db kv.Store, id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	key := []byte{keys.BlobStore}
	return kv.Apply(ctx, db, keys.Common, func(tx kv.Txn) error {
		got, err := tx.Get(key)
		switch {
		case errors.Is(err, kv.ErrNotFound):
			tx.Put(key, append([]byte{claimFormat}, id...))
			return nil
		case err != nil:
			return err
		case len(got) == 0 || got[0] != claimFormat:
			return errors.New("the note of the blob store is of a later version of this program")
		case string(got[1:]) != id:
			return errOtherBlobs
		}
		return nil
	})
}

// claimFormat is the version of the note.
const claimFormat = 1
