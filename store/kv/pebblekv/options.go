package pebblekv

import (
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"waxwing/obs"
)

// formatVersion is the version of Pebble's files. It stays at what was the
// newest when layout 1 was laid down, and moves by decision, not with the
// module: older programs cannot open a database once it has moved.
const formatVersion = pebble.FormatValueSeparation

// logFrom is the size from which values stay in the log and Pebble holds only
// where they lie. Smaller ones are found with their keys, and are written
// again by compactions.
const logFrom = 1 << 10

// flushedFile is how large the files of a flush may become. Each is synced with its directory, while writers wait for the
// same disk. The files of each level are twice as large as those above it.
const flushedFile = 16 << 20

// minMemTable keeps every transaction within the limits below what Pebble
// treats as a large batch, which it writes another way.
const minMemTable = 16 << 20

// Options change how a store works. The zero value is sensible.
type Options struct {
	// FS is the file system; nil for the operating system's.
	FS vfs.FS

	// CacheSize bounds the cache of blocks, in octets; 0 for 64 MiB. It
	// fills as it is used, and gives way to tables in memory when there are
	// more than two of them.
	CacheSize int64

	// MemTableSize is the size to which tables in memory may grow before they
	// are flushed, in octets; 0 for 16 MiB. They hold keys and small values,
	// begin small, and up to four exist while the disk lags behind. What they
	// hold is read from the log again after a crash, some 5 ms for each MiB.
	MemTableSize int

	// SegmentSize is the size of the files of the log, in octets; 0 for 64 MiB.
	SegmentSize int64

	// MinFree is the free space on the disk, in octets, below which writes of
	// messages are refused with kv.ErrReadOnly and syscall.ENOSPC; below half
	// of it all are. 0 for 256 MiB, negative for no limit.
	MinFree int64

	// Log is told of trouble, and at debug level of flushes and compactions;
	// nil for silence.
	Log *slog.Logger

	// Failed is told once when the store cannot write any more until it is
	// opened again, and why. It must not block. May be nil.
	Failed func(error)

	// Fatal is called when the engine cannot go on; it must not return. nil
	// for a panic that no recover catches.
	Fatal func(error)
}

func (o *Options) setDefaults() {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.CacheSize <= 0 {
		o.CacheSize = 64 << 20
	}
	if o.MemTableSize <= 0 {
		o.MemTableSize = 16 << 20
	}
	o.MemTableSize = max(o.MemTableSize, minMemTable)
	if o.SegmentSize <= 0 {
		o.SegmentSize = segmentSize
	}
	o.SegmentSize = min(o.SegmentSize, 1<<30) // offsets have 32 bits
	if o.MinFree == 0 {
		o.MinFree = 256 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Failed == nil {
		o.Failed = func(error) {}
	}
	if o.Fatal == nil {
		o.Fatal = crash
	}
}

// crash ends the process even if the caller's goroutine recovers from panics:
// one that lives on after this would wait for ever on Pebble's locks.
func crash(err error) {
	go panic(err)
	select {}
}

// pebbleOptions gives Pebble's own options. The lock is that of the whole
// store; Pebble takes a second one in its directory.
func (o *Options) pebbleOptions(fs vfs.FS, k *keeper) *pebble.Options {
	log := &logger{log: o.Log, fatal: o.Fatal, keeper: k}
	p := &pebble.Options{
		FS:                          fs,
		DisableWAL:                  true,
		CacheSize:                   o.CacheSize + 2*int64(o.MemTableSize), // they are taken out of it
		FormatMajorVersion:          formatVersion,
		MemTableSize:                uint64(o.MemTableSize),
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       1000,
		LBaseMaxBytes:               64 << 20,
		FlushDelayDeleteRange:       time.Minute,
		Logger:                      log,
		EventListener:               log.events(),
	}
	p.Experimental.CompactionScheduler = k.compactor
	// One compaction as a rule, more where there are cores for them or when
	// they fall behind.
	p.CompactionConcurrencyRange = func() (lower, upper int) {
		return 1, max(2, runtime.GOMAXPROCS(0)/2)
	}
	p.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionBalanced })
	for i := range p.TargetFileSizes {
		p.TargetFileSizes[i] = min(int64(flushedFile)<<i, 128<<20)
	}
	for i := range p.Levels {
		p.Levels[i].BlockSize = 16 << 10
		p.Levels[i].IndexBlockSize = 128 << 10
		p.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return p
}

// A logger hands what Pebble says to slog.
type logger struct {
	log    *slog.Logger
	fatal  func(error)
	keeper *keeper

	mu    sync.Mutex // guards quiet
	quiet time.Time  // until when background errors are not logged again
}

func (l *logger) Infof(format string, args ...any) {
	l.log.Debug("storage engine", "text", fmt.Sprintf(format, args...))
}

func (l *logger) Errorf(format string, args ...any) {
	l.log.Error("storage engine error", obs.Err, fmt.Sprintf(format, args...))
}

func (l *logger) Fatalf(format string, args ...any) {
	err := fmt.Errorf("storage engine cannot go on: "+format, args...)
	l.log.Error("storage engine cannot go on", obs.Err, err)
	l.fatal(err)
}

// events logs what an operator wants to know. Pebble tries a flush or
// compaction that failed again at once, so those are logged now and then.
func (l *logger) events() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			prompt(l.keeper.trouble)
			l.mu.Lock()
			defer l.mu.Unlock()
			if now := time.Now(); now.After(l.quiet) {
				l.quiet = now.Add(10 * time.Second)
				l.log.Error("background work of the storage engine failed", obs.Err, err)
			}
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			l.log.Error("storage engine found corrupt data", "text", info.String())
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			l.log.Warn("storage engine makes writers wait", "reason", info.Reason)
		},
		FlushBegin:    func(pebble.FlushInfo) { l.keeper.compactor.flushes() },
		WriteStallEnd: func() { l.log.Info("storage engine takes writes again") },
		FlushEnd: func(info pebble.FlushInfo) {
			l.log.Debug("storage engine flushed", "text", info.String())
			if info.Done && info.Err == nil {
				l.keeper.flushEnded()
			}
		},
		CompactionEnd: func(info pebble.CompactionInfo) {
			l.log.Debug("storage engine compacted", "text", info.String())
		},
	}
}
