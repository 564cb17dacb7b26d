package smtp

import (
	"errors"
	"syscall"
)

// Trouble is the refusal for trouble of our own that will pass: 452 4.3.1
// when err says that the disk is full (RFC 5321 §4.2.2, RFC 3463 §3.4), else
// 451 4.3.0 with the text.
func Trouble(text string, err error) *Refusal {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &Refusal{Code: 452, Enhanced: Enhanced{4, 3, 1}, Text: "insufficient system storage, try later", Err: err}
	}
	return &Refusal{Code: 451, Enhanced: Enhanced{4, 3, 0}, Text: text, Err: err}
}
