package pgkv

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"waxwing/store/kv"
)

// ErrUnknownOutcome says that the connection was lost while a commit was under
// way, and that the database has not answered since.
var ErrUnknownOutcome = errors.New("it is not known whether the transaction was committed")

// Conditions of the database. PostgreSQL, Appendix A: Error Codes.
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	completionUnknown    = "40003"
	readOnlyTransaction  = "25006"
	diskFull             = "53100"
	cannotConnectNow     = "57P03" // it is starting up or shutting down
	uniqueViolation      = "23505"
	undefinedTable       = "42P01"
	duplicateObject      = "42710"
	duplicateTable       = "42P07"
)

// code gives the database's own condition, or "" where the error is not its.
func code(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

// refused tells whether the database has said no, so that the transaction is
// certainly not committed. What ends the connection says nothing of that kind.
func refused(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return pgconn.SafeToRetry(err) // has not been sent
	}
	severity := pg.SeverityUnlocalized
	if severity == "" {
		severity = pg.Severity
	}
	return severity == "ERROR" && pg.Code != completionUnknown && !strings.HasPrefix(pg.Code, "08")
}

// conflicts tells whether the database wants the transaction to be run again.
func conflicts(err error) bool {
	c := code(err)
	return c == serializationFailure || c == deadlockDetected
}

// unknownSQL tells whether the database has not understood the statement.
func unknownSQL(err error) bool {
	c := code(err)
	return strings.HasPrefix(c, "0A") || strings.HasPrefix(c, "42")
}

// errBusy says that there was no connection to be had.
var errBusy = errors.New("no connection to the database")

// passes tells whether the transaction, which is not committed, is worth
// another try.
func passes(err error) bool {
	return conflicts(err) || err == errOvertaken || lost(err) && !errors.Is(err, ErrUnknownOutcome) && !errors.Is(err, errBusy)
}

// lost tells whether the connection has failed, not what was asked of it.
func lost(err error) bool { return err != nil && !refused(err) || pgconn.SafeToRetry(err) }

// explain gives an error of the database as callers want it: their own context
// first, then what they branch on.
func explain(ctx context.Context, what string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	switch code(err) {
	case readOnlyTransaction:
		return fmt.Errorf("%s: %w: %w", what, kv.ErrReadOnly, err)
	case diskFull:
		return fmt.Errorf("%s: %w: %w: %w", what, kv.ErrReadOnly, syscall.ENOSPC, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
