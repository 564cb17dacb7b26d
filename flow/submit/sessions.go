package submit

import (
	"fmt"
	"net/netip"
	"sync"

	"waxwing/mail"
	"waxwing/proto/smtp"
)

// usualSessions is how many connections may be logged in to an account at once
// where nobody says: more than any program of one owner has, and too few for a
// stolen password to be used from everywhere.
const usualSessions = 200

// sessions counts the connections that are logged in to accounts.
type sessions struct {
	mu sync.Mutex
	of map[mail.AccountID]int // guarded by mu
}

// Enter counts a connection that logs in, until Leave. It refuses one too many,
// but from a network that is trusted.
func (s *Submitter) Enter(id mail.AccountID, from netip.Addr) error {
	most := s.o.MaxSessions
	if most == 0 {
		most = usualSessions
	}
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	if s.sessions.of[id] >= most && !s.o.Rules.Trusts(from) {
		return &smtp.Refusal{
			Code: 421, Enhanced: smtp.Enhanced{4, 7, 0},
			Text: fmt.Sprintf("%d connections are logged in to this account, try later", most),
		}
	}
	if s.sessions.of == nil {
		s.sessions.of = map[mail.AccountID]int{}
	}
	s.sessions.of[id]++
	return nil
}

// Leave says that a connection for which Enter was called has ended.
func (s *Submitter) Leave(id mail.AccountID) {
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	if s.sessions.of[id]--; s.sessions.of[id] == 0 {
		delete(s.sessions.of, id)
	}
}
