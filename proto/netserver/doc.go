// Package netserver is what the machines of all protocols share below their
// words: it accepts connections within limits, ends them in order, and runs
// TLS handshakes that tell which certificate was presented.
package netserver
