package app

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"waxwing/app/config"
	"waxwing/app/systemd"
	"waxwing/obs"
)

// Serve runs the server with a configuration file until ctx ends. SIGHUP reads
// the file again.
func Serve(ctx context.Context, file string, o Options) error {
	c, err := config.Load(file)
	if err != nil {
		return err
	}
	a, err := Open(c, o)
	if err != nil {
		return err
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)

	running, stop := context.WithCancel(ctx)
	defer stop()
	supervised := make(chan struct{})
	go func() {
		defer close(supervised)
		a.supervise(running, file, hangups)
	}()
	err = a.Run(ctx)
	stop()
	<-supervised
	return errors.Join(err, a.Close())
}

// supervise talks to systemd and reads the configuration again when asked.
func (a *App) supervise(ctx context.Context, file string, hangups <-chan os.Signal) {
	a.tell(systemd.Ready)
	var alive <-chan time.Time
	if every := systemd.Watchdog(); every > 0 {
		tick := time.NewTicker(every / 2)
		defer tick.Stop()
		alive = tick.C
	}
	for {
		select {
		case <-ctx.Done():
			a.tell(systemd.Stopping)
			return
		case <-alive:
			if a.healthy(ctx) == nil {
				a.tell(systemd.Alive)
			}
		case <-hangups:
			a.tell(systemd.Reloading)
			if err := a.Reload(file); err != nil {
				a.log.Error("configuration not reloaded, the old one stays in force", obs.Err, err)
			}
			a.tell(systemd.Ready)
		}
	}
}

func (a *App) tell(notify func() error) {
	if err := notify(); err != nil {
		a.log.Warn("systemd cannot be told", obs.Err, err)
	}
}

// Reload reads the configuration again. A bad file changes nothing. What can be
// changed while the server runs is; the rest is named in the log and waits for
// a restart.
func (a *App) Reload(file string) error {
	c, err := config.Load(file)
	if err != nil {
		return err
	}
	routes, err := routesOf(c.Relay.Routes) // with their passwords, which may have changed
	if err != nil {
		return err
	}
	transport, err := transportOf(c.Relay.Transport)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.certs.files != nil && c.TLS.Source == config.SourceFiles {
		if err := a.certs.files.Use(pairsOf(c.TLS.Files)); err != nil {
			return err
		}
		a.config.TLS.Files = c.TLS.Files
	}
	a.routes.Store(&routes)
	a.onward.SetRoutes(routes)
	a.config.Relay.Routes = c.Relay.Routes
	a.onward.SetTransport(transport)
	a.config.Relay.Transport = c.Relay.Transport
	a.level.Set(levelOf(c.Log.Level))
	a.config.Log.Level = c.Log.Level
	a.log.Info("configuration reloaded")
	if waiting := config.Diff(a.config, c); len(waiting) > 0 {
		a.log.Warn("some changes need a restart", "keys", strings.Join(waiting, ", "))
	}
	return nil
}
