//go:build peers

package system

import "testing"

// The peers themselves come up.
func TestPeersStart(t *testing.T) {
	p := NewPostfix(t, "myhostname = mail.postfix.test\n"+VirtualUsers("postfix.test", "carol"))
	p.Start()
	p.Stop()
	p.Start()
	StartKnot(t, map[string]string{"postfix.test": "@ MX 10 mail\nmail A 127.0.0.1\nns A 127.0.0.1\n"})
}
