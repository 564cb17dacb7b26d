package app

import (
	"context"
	"fmt"
	"time"

	"waxwing/store/sealkeys"
)

// openSeals gives the keys for the addresses that we rewrite, and notes whose
// are tagged from now on.
func (a *App) openSeals(now time.Time) (*sealkeys.Store, error) {
	seals := sealkeys.New(a.stores.db)
	if err := seals.Tag(context.Background(), now, a.config.Envelope.TagSenders); err != nil {
		return nil, fmt.Errorf("envelope.tag_senders: %w", err)
	}
	return seals, nil
}
