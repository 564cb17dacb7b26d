package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// passwordFlags is where a new password comes from.
type passwordFlags struct {
	Generate      bool `help:"Let the server make a password, and print it." xor:"password"`
	PasswordStdin bool `help:"Read the password from the first line of standard input." xor:"password"`
}

// password gives the password, or "" to have one made.
func (f passwordFlags) password(s streams) (string, error) {
	switch {
	case f.Generate:
		return "", nil
	case f.PasswordStdin:
		line, err := bufio.NewReader(io.LimitReader(s.in, 4096)).ReadString('\n')
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			if err == nil || errors.Is(err, io.EOF) {
				err = errors.New("it is empty")
			}
			return "", fmt.Errorf("read the password: %w", err)
		}
		return line, nil
	}
	terminal, ok := s.in.(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		return "", errors.New("no terminal to ask for the password; use --generate or --password-stdin")
	}
	first, err := ask(s, terminal, "New password (empty to have one made): ")
	if err != nil || first == "" {
		return "", err
	}
	second, err := ask(s, terminal, "The same again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two are not the same")
	}
	return first, nil
}

func ask(s streams, terminal *os.File, prompt string) (string, error) {
	fmt.Fprint(s.err, prompt)
	answer, err := term.ReadPassword(int(terminal.Fd()))
	fmt.Fprintln(s.err)
	return string(answer), err
}

// confirm asks a person before something that cannot be undone.
func confirm(s streams, question string) error {
	terminal, ok := s.in.(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		return errors.New("no terminal to ask whether you are sure; use --yes")
	}
	fmt.Fprintf(s.err, "%s Type yes: ", question)
	answer, err := bufio.NewReader(s.in).ReadString('\n')
	if err != nil {
		return err
	}
	if strings.TrimSpace(answer) != "yes" {
		return errors.New("nothing was done")
	}
	return nil
}
