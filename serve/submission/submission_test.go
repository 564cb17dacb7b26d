package submission_test

import (
	"context"
	"testing"
	"time"

	"waxwing/proto/smtp"
	"waxwing/proto/smtp/smtpserver"
	"waxwing/serve/submission"
	"waxwing/store/directory"
	"waxwing/test/house"
	"waxwing/test/transcript"
)

// Every file in testdata is a conversation of a user's program with port 587;
// the real rooms are behind it. The password is "waxwing"; bob is disabled.
func TestTranscripts(t *testing.T) {
	transcript.Run(t, "testdata/*.smtp", func(t *testing.T, _ transcript.Options) transcript.Dial {
		h := house.New(t)
		h.Alias("sales@example.test", "alice@example.test")
		h.Alias("all@example.test", "alice@example.test", "bob@example.test", "carol@far.example")
		for _, a := range []directory.Account{h.Alice, h.Bob} {
			if err := h.Directory.SetPassword(t.Context(), a.ID, "waxwing"); err != nil {
				t.Fatal(err)
			}
		}
		_, err := h.Directory.UpdateAccount(t.Context(), h.Bob.ID, func(a *directory.Account) error {
			a.Disabled = true
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		l := transcript.Listen(587)
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		server := smtpserver.New(submission.Door(h.Submitter, house.Hostname), smtpserver.Options{
			Hostname: house.Hostname, Service: "submission", Auth: h.Auth, RequireAuth: true, PlaintextAuth: true,
			Newlines: smtpserver.NormaliseBareNewlines, Honours: smtp.DSN | smtp.FutureRelease | smtp.MTPriority, MaxHold: time.Hour,
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
