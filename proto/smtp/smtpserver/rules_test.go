package smtpserver

import (
	"testing"

	"waxwing/proto/smtp"
)

func TestEveryVerbHasARow(t *testing.T) {
	for _, verb := range smtp.Verbs() {
		if _, ok := commands[verb]; !ok {
			t.Errorf("%s has no row", verb)
		}
	}
	// HELP does not name what is for other programs, or refused.
	if unnamed := 6; len(commands) != len(smtp.Verbs())+unnamed {
		t.Errorf("%d rows for %d verbs", len(commands), len(smtp.Verbs()))
	}
}

func TestCheck(t *testing.T) {
	strict := Options{RequireTLS: true, RequireAuth: true}
	tests := []struct {
		verb  string
		state state
		o     Options
		code  int // 0 for none
	}{
		{"NOOP", state{}, strict, 0},
		{"QUIT", state{}, strict, 0},
		{"EHLO", state{}, strict, 0},
		{"STARTTLS", state{}, strict, 0},
		{"MAIL", state{}, Options{}, 503},
		{"MAIL", state{greeted: true}, Options{}, 0},
		{"MAIL", state{greeted: true}, strict, 530},
		{"MAIL", state{greeted: true, tls: true}, strict, 530},
		{"MAIL", state{greeted: true, tls: true, authenticated: true}, strict, 0},
		{"MAIL", state{greeted: true, mail: true}, Options{}, 503},
		{"RCPT", state{greeted: true}, Options{}, 503},
		{"RCPT", state{greeted: true, mail: true}, Options{}, 0},
		{"DATA", state{greeted: true}, Options{}, 503},
		{"DATA", state{greeted: true, mail: true}, Options{}, 554},
		{"DATA", state{greeted: true, mail: true, recipients: 1}, Options{}, 0},
		{"AUTH", state{greeted: true, mail: true}, Options{}, 503},
		{"AUTH", state{}, Options{}, 503},
		{"STARTTLS", state{greeted: true, mail: true}, Options{}, 503},
		{"VRFY", state{}, strict, 530},
	}
	for _, tt := range tests {
		r := tt.state.check(commands[tt.verb].needs, &tt.o)
		if r == nil && tt.code != 0 || r != nil && r.Code != tt.code {
			t.Errorf("%s in %+v: %v, want %d", tt.verb, tt.state, r, tt.code)
		}
	}
}
