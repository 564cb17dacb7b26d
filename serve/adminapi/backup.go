package adminapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"
	"time"

	"waxwing/obs"
	"waxwing/store/backup"
	"waxwing/store/kv"
)

// maxKnown bounds what a backup says it has of a partition: 20 octets for each
// body.
const maxKnown = 512 << 20

// backupStall is how long a backup may take for one step: it may write to a
// place that is far away.
const backupStall = 30 * time.Minute

// routeBackup adds what backups read.
func (a *API) routeBackup(mux *http.ServeMux) {
	mux.Handle("GET /v1/backup/partitions", a.stream("application/x-ndjson", a.streamPartitions))
	mux.Handle("POST /v1/backup/partitions/{partition}", http.HandlerFunc(a.readPartition))
}

// streamPartitions lists the partitions with their versions, a line for each,
// and at last null.
func (a *API) streamPartitions(w *streamWriter, r *http.Request) error {
	if a.o.Backup == nil {
		return problemf(http.StatusNotFound, "this server cannot be backed up")
	}
	lines := json.NewEncoder(w)
	for v, err := range a.o.Backup.Partitions(r.Context()) {
		if err != nil {
			return err
		}
		if err := lines.Encode(v); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, "null\n")
	return err
}

// readPartition streams one snapshot of a partition, but for what the request
// names as known; see backup.Decode.
func (a *API) readPartition(w http.ResponseWriter, r *http.Request) {
	p, err := strconv.ParseUint(r.PathValue("partition"), 16, 64)
	if err != nil || a.o.Backup == nil {
		a.refuse(w, r, problemf(http.StatusNotFound, "no such partition"))
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(stall))
	known, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxKnown))
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	// The reading goroutine of the server watches for the client's leaving.
	_ = control.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", "application/x-waxwing-partition")
	out := backup.NewEncoder(writerFunc(func(b []byte) (int, error) {
		_ = control.SetWriteDeadline(time.Now().Add(backupStall))
		return w.Write(b)
	}))
	err = a.o.Backup.Read(r.Context(), kv.Partition(p), known, out)
	if err != nil && r.Context().Err() == nil {
		a.o.Log.Error("backup failed", "partition", r.PathValue("partition"), obs.Err, err)
	}
	_ = out.End(err) // the client notices a stream without an end
}

// A backupSource reads the store of a running server.
type backupSource struct{ c *Client }

// BackupSource gives the server's store, for a backup.
func (c *Client) BackupSource() backup.Source { return backupSource{c} }

// Partitions implements backup.Source.
func (s backupSource) Partitions(ctx context.Context) iter.Seq2[backup.Versioned, error] {
	return func(yield func(backup.Versioned, error) bool) {
		ended := false
		for v, err := range lines[*backup.Versioned](ctx, s.c, "/v1/backup/partitions") {
			switch {
			case err != nil:
				yield(backup.Versioned{}, err)
				return
			case v == nil:
				ended = true
			case !yield(*v, nil):
				return
			}
		}
		if !ended {
			yield(backup.Versioned{}, errors.New("the server broke off"))
		}
	}
}

// Read implements backup.Source.
func (s backupSource) Read(ctx context.Context, p kv.Partition, known backup.Known, to backup.Sink) error {
	path := fmt.Sprintf("/v1/backup/partitions/%016x", uint64(p))
	answer, err := s.c.open(ctx, http.MethodPost, path, "application/octet-stream", known.Reader())
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return backup.Decode(answer.Body, to)
}
