package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/seed-0474a412/parley"
)

// errNoClient is the error of all calls where a wrapper was made without a session.
var errNoClient = errors.New("the session is nil: make one with parley.New")

// callError is the error of a call that cannot be made.
func callError(method string, err error) *parley.Error {
	return &parley.Error{Op: "build", Method: method, Phase: parley.PhaseRequest, Sent: parley.NotSent, Err: err}
}

// answerError is the error of a call whose answer came, but is not what it must be, or does
// not say what it must.
func answerError(op string, resp *parley.Response, err error) *parley.Error {
	e := &parley.Error{Op: op, Phase: parley.PhaseResponse, Sent: parley.Answering, Err: err}
	switch {
	case errors.Is(err, parley.ErrRead):
		e.Phase = parley.PhaseRead
	case op == "decode", errors.Is(err, parley.ErrDecoding):
		e.Phase = parley.PhaseDecode
	}
	if resp != nil && resp.Request != nil {
		e.Method, e.URL = resp.Request.Method, resp.Request.URL
	}
	return e
}

// errorKind gives an error its kind.
func errorKind(kind, err error) error { return fmt.Errorf("%w: %w", kind, err) }

// contextError gives the end of a context as the errors of parley have it: a deadline is
// parley.ErrTotalTimeout, and the cause is there beside it.
func contextError(ctx context.Context) error {
	err := context.Cause(ctx)
	if errors.Is(err, parley.ErrTotalTimeout) {
		return err
	}
	if plain := ctx.Err(); !errors.Is(err, plain) {
		err = errorKind(plain, err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = errorKind(parley.ErrTotalTimeout, err)
	}
	return err
}

// shortText makes what a peer said one line of printable ASCII of at most n bytes or so.
func shortText(s string, n int) string {
	if len(s) > n {
		s = s[:n] + "..."
	}
	q := strconv.QuoteToASCII(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

// retryAfter reads Retry-After (RFC 9110, section 10.2.3). A date counts from that of the
// answer, if it has one, whose clock is the same; one that is past is a wait of 0. ok is
// false for what is neither a date nor a number of seconds.
func retryAfter(h http.Header, now time.Time) (wait time.Duration, ok bool) {
	v := strings.Trim(h.Get("Retry-After"), " \t")
	n, err := strconv.ParseUint(v, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(n, maxRetryAfter)) * time.Second, true
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0, false
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return max(at.Sub(now), 0), true
}

// maxRetryAfter is more seconds than anybody waits, and fits a time.Duration.
const maxRetryAfter = 1 << 32
