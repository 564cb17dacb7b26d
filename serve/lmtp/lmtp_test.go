package lmtp_test

import (
	"context"
	"testing"

	"waxwing/proto/smtp"
	"waxwing/proto/smtp/smtpserver"
	"waxwing/serve/lmtp"
	"waxwing/test/house"
	"waxwing/test/transcript"
)

// Every file in testdata is a conversation of a mail system in front of us; the
// real rooms are behind the door. Carol's mailbox is full.
func TestTranscripts(t *testing.T) {
	transcript.Run(t, "testdata/*.smtp", func(t *testing.T, _ transcript.Options) transcript.Dial {
		h := house.New(t)
		carol := h.Account("carol@example.test")
		if err := h.Mailboxes.SetQuota(t.Context(), carol.ID, 10); err != nil {
			t.Fatal(err)
		}
		l := transcript.Listen(24)
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		server := smtpserver.New(lmtp.Door(h.Receiver, house.Hostname), smtpserver.Options{
			Hostname: house.Hostname, Service: "lmtp", LMTP: true, Honours: smtp.DSN,
		})
		go func() { served <- server.Serve(ctx, l) }()
		t.Cleanup(func() {
			stop()
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
		return l.Dial
	})
}
