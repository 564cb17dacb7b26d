package adminapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"waxwing/mail"
	"waxwing/obs"
	"waxwing/store/directory"
	"waxwing/store/mailbox"
	"waxwing/store/outqueue"
)

// A Problem is an error as the API says it. RFC 9457 §3
type Problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

// Error gives the detail, which is meant for people.
func (p *Problem) Error() string { return p.Detail }

func problemf(status int, format string, args ...any) *Problem {
	return &Problem{Status: status, Title: http.StatusText(status), Detail: fmt.Sprintf(format, args...)}
}

// problemOf says any error as a Problem: what the rooms below refuse is the
// caller's to mend, everything else is trouble of ours.
func problemOf(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return problemf(http.StatusRequestEntityTooLarge, "the request is too large")
	}
	if errors.Is(err, outqueue.ErrNotFound) { // its words tell where we looked
		return problemf(http.StatusNotFound, "no such queue item; it may have gone meanwhile")
	}
	for _, known := range []struct {
		err    error
		status int
	}{
		{directory.ErrNotFound, http.StatusNotFound},
		{directory.ErrNoUser, http.StatusNotFound},
		{mailbox.ErrNoAccount, http.StatusNotFound},
		{directory.ErrExists, http.StatusConflict},
		{directory.ErrInUse, http.StatusConflict},
		{directory.ErrChanged, http.StatusConflict},
		{directory.ErrNotLocal, http.StatusUnprocessableEntity},
		{directory.ErrInvalid, http.StatusUnprocessableEntity},
		{directory.ErrLoop, http.StatusUnprocessableEntity},
		{directory.ErrTooMany, http.StatusUnprocessableEntity},
		{directory.ErrAmbiguous, http.StatusUnprocessableEntity},
	} {
		if errors.Is(err, known.err) {
			return problemf(known.status, "%v", err)
		}
	}
	return problemf(http.StatusInternalServerError, "the server has failed: %v", err)
}

// foreign says of an address that its domain is not ours, where that is the
// error, and what to do.
func foreign(a mail.Address, err error) error {
	if errors.Is(err, directory.ErrNotLocal) {
		return problemf(http.StatusUnprocessableEntity, "%s is not one of our domains; add it first: waxwing domain add %s", a.Domain, a.Domain)
	}
	return err
}

// endpoint is a handler that returns its answer, nil for none, or an error.
type endpoint func(r *http.Request) (any, error)

// handle runs an endpoint and writes what it returns.
func (a *API) handle(status int, run endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
		answer, err := run(r)
		if err != nil {
			a.refuse(w, r, err)
			return
		}
		if r.Method != http.MethodGet {
			a.o.Log.Info("administration", "method", r.Method, "path", r.URL.Path)
		}
		if answer == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		write(w, "application/json", status, answer)
	})
}

// refuse answers with an error, and logs what is trouble of ours.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if p.Status >= 500 && r.Context().Err() == nil {
		a.o.Log.Error("administration failed", "method", r.Method, "path", r.URL.Path, obs.Err, err)
	}
	write(w, "application/problem+json", p.Status, p)
}

func write(w http.ResponseWriter, contentType string, status int, body any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the peer may be gone
}

// decode reads the request's body, all of which must be known.
func decode[T any](r *http.Request) (T, error) {
	var v T
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return v, err
		}
		return v, problemf(http.StatusBadRequest, "the request is not the JSON that is wanted: %v", err)
	}
	if d.More() {
		return v, problemf(http.StatusBadRequest, "the request holds more than one JSON value")
	}
	return v, nil
}
