package submission_test

import (
	"context"
	"strconv"
	"testing"

	"waxwing/flow/policy"
	"waxwing/flow/submit"
	"waxwing/proto/smtp/smtpserver"
	"waxwing/serve/submission"
	"waxwing/store/kv/memkv"
	"waxwing/store/peers"
	"waxwing/test/house"
	"waxwing/test/transcript"
)

// Every file in testdata/limits is a conversation of an account that sends
// much. O: lines set what it may.
func TestLimits(t *testing.T) {
	transcript.Run(t, "testdata/limits/*.smtp", func(t *testing.T, from transcript.Options) transcript.Dial {
		h := house.New(t)
		if err := h.Directory.SetPassword(t.Context(), h.Bob.ID, "waxwing"); err != nil {
			t.Fatal(err)
		}
		known, err := peers.Open(t.Context(), memkv.New(), peers.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var rules policy.Rules
		for key, value := range from {
			n, err := strconv.Atoi(value)
			if err != nil {
				t.Fatal(err)
			}
			switch key {
			case "messages":
				rules.Sending.Messages = n
			case "recipients":
				rules.Sending.Recipients = n
			case "day":
				rules.Sending.RecipientsADay = n
			case "jump":
				rules.Sending.JumpFloor, rules.Sending.JumpFactor = n, 10
			default:
				t.Fatalf("unknown option %q", key)
			}
		}
		submitter := submit.New(h.Deliverer, h.Directory, h.Blobs, submit.Options{
			Hostname: house.Hostname, Rules: rules, Peers: known, Queue: h.Queue,
		})
		l := transcript.Listen(587)
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		server := smtpserver.New(submission.Door(submitter, house.Hostname), smtpserver.Options{
			Hostname: house.Hostname, Service: "submission", Auth: h.Auth, RequireAuth: true, PlaintextAuth: true,
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
