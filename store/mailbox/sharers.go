package mailbox

import (
	"context"

	"waxwing/store/keys"
)

// WatchSharers gives a channel that is poked after durable changes that may be
// of who shares mailboxes with the account, here or on another node, and of
// what it has subscribed to. It is closed when ctx or the store ends.
func (a *Account) WatchSharers(ctx context.Context) (<-chan struct{}, error) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(a.store.ctx, cancel)
	end := func() { stop(); cancel() }
	own, err := a.store.db.Watch(ctx, a.part)
	if err != nil {
		end()
		return nil, err
	}
	everybody, err := a.store.db.Watch(ctx, keys.Shared)
	if err == nil {
		err = a.store.start()
	}
	if err != nil {
		end()
		return nil, err
	}
	out := make(chan struct{}, 1)
	go func() {
		defer a.store.work.Done()
		defer end()
		defer close(out)
		for open := true; open; {
			select {
			case _, open = <-own:
			case _, open = <-everybody:
			}
			if !open {
				return
			}
			select {
			case out <- struct{}{}:
			default: // it is poked already
			}
		}
	}()
	return out, nil
}
