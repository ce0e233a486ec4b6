package parley

import (
	"context"
	"errors"
	"log/slog"
)

// WithLogger logs one record for each call, once it is over: for [Client.Get] and its
// sisters when they return, for [Client.Stream] and [Client.Send] when the body has been
// read to its end or closed, so that time and bytes are those of the whole. A response that
// is never closed is not logged as a call; once the garbage collector has found it that is
// told at level Warn, "http response not closed", once for each url. A request that could
// not be made is not logged. What an SDK sends
// through [Client.HTTPClient] is logged too, request by request. The message is "http call", the attributes are
//
//	method, url, route    url as Redaction says; route where the request has one
//	request_id            where WithRequestID gives one
//	status                of the answer; not there if the call has none
//	error                 why it failed, be it in reading the body
//	duration              from the beginning of the call
//	tries                 requests that it took: redirects, challenges and further tries too
//	reused                the last of them had a connection that had served before
//	sent, received        bytes of bodies, as they were transferred
//	proto                 of the answer: "HTTP/1.1"
//
// The level is Info, and Warn for a status of 500 or more and for calls that failed: what
// a failure means is for the program to say. A call that its own context cancelled is Info.
//
// Where the logger is enabled for Debug, each request of a call has a record of its own
// before that, "http request", with number, method, url, status, error, duration, reused,
// remote, sent, received, proto, and the groups request and response with the headers.
// What may be a secret is hidden: see [WithRedaction].
//
// The context of the call is passed on, on the goroutine that ends it. A logger that is not
// enabled for Warn is asked that once a call and costs nothing else. nil takes back what was
// said before.
func WithLogger(l *slog.Logger) Option {
	if l == nil {
		return seeBy(logSeer, nil)
	}
	return seeBy(logSeer, &callLogger{l})
}

// logger gives what the request's calls are logged to, nil if they are not.
func (r *Request) logger() *slog.Logger {
	if how := r.sight(); how != nil {
		if l, ok := how.seers[logSeer].(*callLogger); ok {
			return l.to
		}
	}
	return nil
}

// callLogger logs calls.
type callLogger struct{ to *slog.Logger }

func (l *callLogger) wants(ctx context.Context) wish {
	return wish{call: l.to.Enabled(ctx, slog.LevelWarn), fields: l.to.Enabled(ctx, slog.LevelDebug)}
}

func (l *callLogger) sending(*sighting) {}

func (l *callLogger) ended(s *sighting) {
	if !l.to.Enabled(s.of.ctx, slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{slog.Int("number", s.number), slog.String("method", quoteBad(s.req.Method, 32)), slog.String("url", cut(s.url, maxLoggedURL))}
	attrs = append(attrs, outcome(s.of.id, s.status, s.err)...)
	attrs = append(attrs, slog.Duration("duration", s.took), slog.Bool("reused", s.timing.Reused))
	if a := s.timing.RemoteAddr; a != nil {
		attrs = append(attrs, slog.String("remote", a.String()))
	}
	attrs = append(attrs, slog.Int64("sent", s.up.total), slog.Int64("received", s.down.total))
	if s.proto != "" {
		attrs = append(attrs, slog.String("proto", quoteBad(s.proto, 32)))
	}
	attrs = append(attrs, headerGroup("request", s.head))
	if s.status != 0 {
		attrs = append(attrs, headerGroup("response", s.fields))
	}
	l.to.LogAttrs(s.of.ctx, slog.LevelDebug, "http request", attrs...)
}

func (l *callLogger) called(ctx context.Context, c *callSight) {
	level := slog.LevelInfo
	if c.err != nil && !errors.Is(c.err, context.Canceled) || c.resp != nil && c.resp.StatusCode >= 500 {
		level = slog.LevelWarn
	}
	if !l.to.Enabled(ctx, level) {
		return
	}
	attrs := append(make([]slog.Attr, 0, 14),
		slog.String("method", quoteBad(c.req.Method, 32)), slog.String("url", cut(c.how.redaction.url(c.req.URL), maxLoggedURL)))
	if route := c.req.Route(); route != "" {
		attrs = append(attrs, slog.String("route", route))
	}
	status, proto, timing := 0, "", Timing{}
	if c.resp != nil {
		status, proto, timing = c.resp.StatusCode, c.resp.Proto, c.resp.Timing()
	}
	requests, sent, received := c.count()
	attrs = append(attrs, outcome(c.id, status, c.err)...)
	attrs = append(attrs, slog.Duration("duration", c.elapsed), slog.Int("tries", requests), slog.Bool("reused", timing.Reused),
		slog.Int64("sent", sent), slog.Int64("received", received))
	if proto != "" {
		attrs = append(attrs, slog.String("proto", quoteBad(proto, 32)))
	}
	l.to.LogAttrs(ctx, level, "http call", attrs...)
}

// maxLoggedURL bounds a URL in a log.
const maxLoggedURL = 2 << 10

// cut gives the beginning of s.
func cut(s string, n int) string {
	if len(s) > n {
		return s[:n] + "..."
	}
	return s
}

// outcome tells how a request or a call ended.
func outcome(id string, status int, err error) []slog.Attr {
	out := make([]slog.Attr, 0, 3)
	if id != "" {
		out = append(out, slog.String("request_id", id))
	}
	if status != 0 {
		out = append(out, slog.Int("status", status))
	}
	if err != nil {
		out = append(out, slog.String("error", quoteBad(err.Error(), maxErrorText)))
	}
	return out
}

// headerGroup gives headers as attributes, those of several lines joined as one list.
func headerGroup(name string, fields []field) slog.Attr {
	attrs := make([]slog.Attr, 0, len(fields))
	for i := 0; i < len(fields); i++ {
		value := fields[i].value
		for i+1 < len(fields) && fields[i+1].name == fields[i].name {
			i++
			value += ", " + fields[i].value
		}
		attrs = append(attrs, slog.String(fields[i].name, value))
	}
	return slog.Attr{Key: name, Value: slog.GroupValue(attrs...)}
}
