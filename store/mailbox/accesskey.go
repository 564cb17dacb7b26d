package mailbox

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// An access key of a mailbox is the secret with which its owner authorizes
// URLs of messages in it. Each user has keys of their own, also for mailboxes
// of others. RFC 4467 §2.2
//
//	key: 'v', account of the mailbox u64, mailbox u32
//	version, octets

// accessKeySize is more than the 128 bits of RFC 4467 §2.2.
const accessKeySize = 32

func appendAccessKey(dst []byte, owner mail.AccountID, id mail.MailboxID) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, keys.AccessKey), uint64(owner))
	return binary.BigEndian.AppendUint32(dst, uint32(id))
}

func decodeAccessKey(b []byte) ([]byte, error) {
	if len(b) != 1+accessKeySize || b[0] != rowFormat {
		return nil, fmt.Errorf("access key: %w", errCorrupt)
	}
	return append([]byte(nil), b[1:]...), nil
}

// AccessKey gives the account's key for a mailbox, which may be another
// account's; nil if there is none.
func (a *Account) AccessKey(ctx context.Context, owner mail.AccountID, id mail.MailboxID) (key []byte, err error) {
	err = a.view(ctx, func(r kv.Reader, _ *head) error {
		got, err := r.GetMany([][]byte{appendAccessKey(nil, owner, id)})
		if err != nil || got[0] == nil {
			key = nil
			return err
		}
		key, err = decodeAccessKey(got[0])
		return err
	})
	return key, err
}

// MakeAccessKey keeps a key for a mailbox, unless there is one and it is not
// to be replaced. It gives the one that holds.
func (a *Account) MakeAccessKey(ctx context.Context, owner mail.AccountID, id mail.MailboxID, secret [accessKeySize]byte, replace bool) ([]byte, error) {
	row := appendAccessKey(nil, owner, id)
	holds := secret[:]
	_, err := a.change(ctx, time.Now(), nil, [][]byte{row}, func(t *txn, got [][]byte) (err error) {
		if holds = secret[:]; got[0] != nil && !replace {
			holds, err = decodeAccessKey(got[0])
			return err
		}
		t.dirty = true
		t.Put(row, append([]byte{rowFormat}, secret[:]...))
		return nil
	})
	return holds, err
}

// ForgetAccessKeys removes all keys of the account. RFC 4467 §7, RESETKEY
func (a *Account) ForgetAccessKeys(ctx context.Context) error {
	_, err := a.change(ctx, time.Now(), nil, nil, func(t *txn, _ [][]byte) error {
		t.dirty = true
		t.DeleteRange([]byte{keys.AccessKey}, []byte{keys.AccessKey + 1})
		return nil
	})
	return err
}
