package mx_test

import (
	"context"
	"testing"

	"waxwing/proto/smtp"
	"waxwing/proto/smtp/smtpserver"
	"waxwing/serve/mx"
	"waxwing/test/house"
	"waxwing/test/transcript"
)

// Every file in testdata is a conversation of a stranger with port 25; the real
// rooms are behind it. transcript.Listen gives the server the address 192.0.2.25.
func TestTranscripts(t *testing.T) {
	transcript.Run(t, "testdata/*.smtp", func(t *testing.T, _ transcript.Options) transcript.Dial {
		h := house.New(t)
		h.Alias("sales@example.test", "bob@example.test")
		l := transcript.Listen(25)
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		server := smtpserver.New(mx.Door(h.Receiver, house.Hostname), smtpserver.Options{
			Hostname: house.Hostname, Honours: smtp.DSN | smtp.DeliverBy | smtp.MTPriority | smtp.NoSoliciting,
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
