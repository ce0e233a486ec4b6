package parleytest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/seed-0474a412/parley"
)

// replaying is one request that a cassette answers. It runs as a handler, so that
// everything about the exchange is done where it is done for handlers.
type replaying struct {
	cassette *Cassette
	call     *Call
	began    atomic.Bool
	found    atomic.Pointer[Recording]
	failed   atomic.Pointer[error] // why there is no answer
}

// replay answers a request from the file. missing, if there is one, answers what is not in it.
func (c *Cassette) replay(ctx context.Context, req *parley.Request, missing func(*parley.Request) (*parley.Response, error)) (*parley.Response, error) {
	if ctx == nil || req == nil || req.URL == nil {
		return parley.HandlerTransport(http.NotFoundHandler()).Send(ctx, req) // says what is wrong
	}
	a := &replaying{cassette: c, call: newCall(req)}
	resp, err := a.send(ctx, req)
	if err == nil {
		if r := a.found.Load(); r != nil {
			resp.Proto = r.proto
			resp.Status = strings.TrimSuffix(strconv.Itoa(r.Status)+" "+r.reason, " ")
		}
		return resp, nil
	}
	why := a.failed.Load()
	var e *parley.Error
	if why == nil || !errors.Is(err, parley.ErrPeerClosed) || !errors.As(err, &e) {
		return resp, err
	}
	if missing != nil && errors.Is(*why, ErrUnexpected) {
		again := req.Clone()
		if req.Body != nil && !req.Body.Replayable() {
			again.Body = parley.BytesBody(a.call.Body, "") // the handler has read it, and has ended
		}
		resp, err := missing(again)
		if err == nil && resp != nil {
			resp.Request = req
		}
		return resp, err
	}
	if errors.Is(*why, ErrUnexpected) {
		c.noteUnexpected(strings.TrimPrefix((*why).Error(), ErrUnexpected.Error()+": "))
	}
	out := *e
	out.URL = a.call.URL
	out.Phase, out.Sent, out.Limit, out.Err = parley.PhaseRequest, parley.NotSent, 0, *why
	return nil, &out
}

// send runs the handler. What is demanded of a TLS connection has been looked after when the
// answer was recorded: here is none to present a certificate on.
func (a *replaying) send(ctx context.Context, req *parley.Request) (*parley.Response, error) {
	handler := parley.HandlerTransport(http.HandlerFunc(a.serve))
	resp, err := handler.Send(ctx, req)
	if err == nil || !errors.Is(err, errors.ErrUnsupported) || req.URL.Scheme != "https" || a.began.Load() {
		return resp, err
	}
	plain, u := req.Clone(), *req.URL
	u.Scheme = "http"
	plain.URL = &u
	if resp, err = handler.Send(ctx, plain); err == nil {
		resp.Request = req
		resp.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: u.Hostname()}
	}
	return resp, err
}

func (c *Cassette) noteUnexpected(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.missed++; len(c.unexpected) < maxReports {
		c.unexpected = append(c.unexpected, text)
	}
}

// serve is the handler.
func (a *replaying) serve(w http.ResponseWriter, r *http.Request) {
	a.began.Store(true)
	limit := a.cassette.cfg.MaxBodyBytes
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		panic(http.ErrAbortHandler) // the transport knows of what ends the body
	}
	if int64(len(body)) > limit {
		a.fail(fmt.Errorf("parleytest: cassette %s: the body of the request is larger than %d bytes: see CassetteConfig.MaxBodyBytes", a.cassette.path, limit))
	}
	a.call.Body = body
	recording, err := a.cassette.choose(a.call)
	if err != nil {
		a.fail(err)
	}
	a.found.Store(recording)
	recording.serve(w, r)
}

// fail ends the handler.
func (a *replaying) fail(err error) {
	a.failed.Store(&err)
	panic(http.ErrAbortHandler)
}

// serve answers a request.
func (r *Recording) serve(w http.ResponseWriter, req *http.Request) {
	h := w.Header()
	h["Content-Type"] = nil // which would be guessed
	for name, values := range r.Header {
		h[name] = slices.Clone(values)
	}
	hasBody := req.Method != http.MethodHead && r.Status != http.StatusNoContent && r.Status != http.StatusNotModified
	if hasBody && len(r.Trailer) == 0 {
		h.Set("Content-Length", strconv.Itoa(len(r.Body)))
	}
	for name := range r.Trailer {
		h.Add("Trailer", name)
	}
	w.WriteHeader(r.Status)
	if hasBody && len(r.Body) > 0 {
		_, _ = w.Write(r.Body) // fails if the client is gone
	}
	for name, values := range r.Trailer {
		h[name] = slices.Clone(values)
	}
}

// choose finds the recording for a request and marks it as replayed. An error that matches
// ErrUnexpected says that there is none.
func (c *Cassette) choose(call *Call) (*Recording, error) {
	call.Header.Del("Content-Length")
	got := &Recording{Method: call.Method, URL: call.URL, RequestHeader: call.Header, RequestBody: call.Body}
	if names := codingsOf(got.RequestHeader); len(names) > 0 {
		if plain, err := decoded(names, call.Body, c.cfg.MaxBodyBytes); err == nil {
			got.RequestBody, got.RequestHeader = plain, got.RequestHeader.Clone()
			got.RequestHeader.Del("Content-Encoding")
			dropDigests(got.RequestHeader)
		}
	}
	c.mu.Lock()
	loaded := c.loaded
	c.mu.Unlock()
	var misses []miss
	var fit []*Recording
	for _, r := range loaded {
		differences := c.compare(r, got)
		if len(differences) == 0 && c.cfg.Match != nil {
			if text := c.cfg.Match(r.clone(), call.clone()); text != "" {
				differences = append(differences, difference{farDetail, text})
			}
		}
		if len(differences) == 0 {
			fit = append(fit, r)
			continue
		}
		misses = append(misses, miss{r.name(), differences})
	}
	if r := c.take(fit); r != nil {
		return r, nil
	}
	for _, r := range fit {
		misses = append(misses, miss{r.name(), []difference{{farSpent, "it has been replayed, and answers once: see CassetteConfig.Repeat"}}})
	}
	return nil, fmt.Errorf("%w: %s", ErrUnexpected, c.explain(call, misses))
}

// take gives the first of some recordings that was not replayed yet, else the last where
// that may be repeated, nil if there is none.
func (c *Cassette) take(fit []*Recording) *Recording {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(fit, func(r *Recording) bool { return r.taken == 0 })
	switch {
	case i >= 0:
	case c.cfg.Repeat && len(fit) > 0:
		i = len(fit) - 1
	default:
		return nil
	}
	fit[i].taken++
	return fit[i]
}

// explain says of a request that is not in the file what comes nearest.
func (c *Cassette) explain(call *Call, misses []miss) string {
	text := fmt.Sprintf("%s %s is not in the cassette %s", call.Method, withoutQuery(call), c.path)
	if len(misses) == 0 {
		text += ", which is empty"
	} else {
		text += ": " + nearestOf("recording", misses)
	}
	if c.why != "" {
		return c.hide.scrub(text) + "; nothing is recorded, as " + c.why
	}
	return c.hide.scrub(text) + "; " + CassetteVariable + "=record records anew"
}

// name is String with the place in the file.
func (r *Recording) name() string {
	return fmt.Sprintf("number %d, %s", r.number, r)
}

// clone copies what a function of the caller's may look at.
func (r *Recording) clone() *Recording {
	out, u := *r, *r.URL
	out.URL, out.RequestHeader, out.Header, out.Trailer = &u, r.RequestHeader.Clone(), r.Header.Clone(), r.Trailer.Clone()
	out.RequestBody, out.Body = slices.Clone(r.RequestBody), slices.Clone(r.Body)
	return &out
}
