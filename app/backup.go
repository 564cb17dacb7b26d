package app

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"waxwing/app/config"
	"waxwing/app/confine"
	"waxwing/serve/adminapi"
	"waxwing/store/backup"
	"waxwing/store/blob"
	"waxwing/store/kv"
)

// BackupMemory is where backups keep in mind what they have written, in a data
// directory.
func BackupMemory(data string) string { return filepath.Join(data, "backups") }

// guard puts between the stores and those who write to them what backups need
// to read them meanwhile. It refuses a store that a restore has left half done,
// but for the restore itself.
func guard(s stores, restoring bool) (kv.Store, blob.Store, *backup.Local, error) {
	if !restoring {
		if err := backup.Whole(context.Background(), s.db); err != nil {
			return s.db, s.blobs, nil, err
		}
	}
	held := backup.Hold(s.blobs)
	tracker := backup.Track(s.db)
	local := &backup.Local{DB: tracker, Blobs: held, Hold: held.Hold, Pace: tracker.Pace}
	switch shared, ok := s.db.(interface {
		Versions(context.Context, []kv.Partition) ([]string, error)
	}); {
	case ok:
		local.Versions = shared.Versions
	case !s.shared: // else others write, too
		local.Versions = tracker.Versions
	}
	return tracker, held, local, nil
}

// ConfigOf gives the configuration for the command line's --config and --dir,
// as DataOf finds it. That of a development system is its defaults.
func ConfigOf(configFile, dir string) (config.Config, error) {
	if configFile != "" {
		return config.Load(configFile)
	}
	data, err := DataOf(configFile, dir)
	if err != nil {
		return config.Config{}, err
	}
	for _, dir := range []string{dir, ".", "/etc/waxwing", "waxwing-dev", "run"} {
		if dir == "" {
			continue
		}
		if c, err := config.Load(filepath.Join(dir, configName)); err == nil && c.Data == data {
			return c, nil
		}
	}
	c := config.Default()
	c.Data = data
	return c, nil
}

// Offline is a store that is open without a server.
type Offline struct {
	DB    kv.Store
	Blobs blob.Store
	c     config.Config
	s     stores
}

// OpenOffline opens the store of a configuration, which no server may have
// open; one that is half restored only to go on restoring.
func OpenOffline(c config.Config, restoring bool) (*Offline, error) {
	if err := makeData(c); err != nil {
		return nil, err
	}
	s, err := openStores(c, Options{Restoring: restoring, Reading: !restoring}, memoryOf(os.DirFS("/")), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, errors.Join(err, own(c, c.Data))
	}
	return &Offline{DB: s.db, Blobs: s.blobs, c: c, s: s}, nil
}

// Close closes the store. What root has written belongs to the server's user then.
func (o *Offline) Close() error { return errors.Join(o.s.Close(), own(o.c, o.c.Data)) }

// Source reads the store for a backup.
func (o *Offline) Source() backup.Source {
	return &backup.Local{DB: o.DB, Blobs: o.Blobs, Versions: o.s.backup.Versions}
}

// The names of what goes into a backup besides the store.
const (
	backupData   = "data/" // files of the data directory
	backupConfig = "config/" + configName
)

// BackupFiles lists what belongs to a server besides its store: the
// configuration, and the keys and certificates of the data directory.
func BackupFiles(c config.Config) ([]backup.LocalFile, error) {
	var list []backup.LocalFile
	if c.File != "" {
		list = append(list, backup.LocalFile{Name: backupConfig, Path: c.File})
	}
	err := filepath.WalkDir(c.Data, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(c.Data, path)
		if err != nil {
			return err
		}
		switch {
		case e.IsDir() && (name == storeFolder || name == "blobs" || name == "spool" || name == "backups"):
			return fs.SkipDir
		case strings.HasPrefix(name, openedFile): // and the one that is being written
			return nil
		case !e.Type().IsRegular() || name == "LOCK" || path == adminapi.SocketPath(c.Data) || path == c.File:
			return nil
		}
		list = append(list, backup.LocalFile{Name: backupData + filepath.ToSlash(name), Path: path})
		return nil
	})
	return list, err
}

// RestoreFile puts a file of a backup where it belongs. What is there already
// stays.
func RestoreFile(c config.Config, f *backup.RestoredFile) (err error) {
	path := ""
	switch name, ours := strings.CutPrefix(f.Name, backupData); {
	case ours:
		path = filepath.Join(c.Data, filepath.FromSlash(name))
	case f.Name == backupConfig && c.File != "":
		path = c.File
	default:
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.Mode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteTo(out)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// Target is where a backup is restored to; see backup.Target.Moved.
func (o *Offline) Target(c config.Config, moved bool) backup.Target {
	return backup.Target{DB: o.DB, Blobs: o.Blobs, Moved: moved, File: func(f *backup.RestoredFile) error { return RestoreFile(c, f) }}
}

// BackedUpConfig gives the configuration that a backup holds.
func BackedUpConfig(ctx context.Context, repo *backup.Repository, k backup.Keys, id string) ([]byte, error) {
	var text bytes.Buffer
	err := backup.ReadFile(ctx, repo, k, id, backupConfig, &text)
	return text.Bytes(), err
}

// own gives what root has written in the data directory to the user that the
// server becomes, or else to whoever owns the directory.
func own(c config.Config, tree string) error {
	switch {
	case os.Getuid() != 0:
		return nil
	case c.User != "":
		return confine.Own(tree, c.User)
	}
	return confine.OwnLike(tree, c.Data)
}

// OwnMemory does that for what backups keep in mind.
func OwnMemory(c config.Config) error { return own(c, BackupMemory(c.Data)) }
