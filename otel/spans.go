package parleyotel

import (
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed-0474a412/parley"
)

// callSpans makes a span of each call.
type callSpans struct {
	next   parley.Transport
	tracer trace.Tracer
}

// sentKey is the key under which a call's context holds the number of its requests.
type sentKey struct{}

func (l *callSpans) Send(ctx context.Context, req *parley.Request) (*parley.Response, error) {
	attrs := methodAttributes(req)
	ctx, span := l.tracer.Start(ctx, spanName(req), trace.WithAttributes(attrs...))
	sent := new(atomic.Int64)
	ctx = context.WithValue(ctx, sentKey{}, sent)
	done := func(failure error) {
		fail(span, failure)
		span.SetAttributes(attribute.Int64("parley.requests", sent.Load()))
		span.End()
	}
	resp, err := sendOrEnd(ctx, l.next, req, done)
	if err != nil {
		return nil, err
	}
	answered(span, resp)
	if switched(req, resp) {
		done(nil)
		return resp, nil
	}
	resp.AfterBody(done)
	return resp, nil
}

// sendOrEnd sends, and ends the span of what fails or panics.
func sendOrEnd(ctx context.Context, next parley.Transport, req *parley.Request, done func(error)) (*parley.Response, error) {
	returned := false
	defer func() {
		if !returned {
			done(errPanic)
		}
	}()
	resp, err := next.Send(ctx, req)
	returned = true
	if err == nil && resp == nil {
		err = errNoResponse
	}
	if err != nil {
		done(err)
		return nil, err
	}
	return resp, nil
}

// requestSpans makes a span of each request that goes out, and measures it.
type requestSpans struct {
	next    parley.Transport
	tracer  trace.Tracer
	cfg     config
	metrics *metrics
}

func (l *requestSpans) Send(ctx context.Context, req *parley.Request) (*parley.Response, error) {
	host, port := server(req.URL)
	method := methodAttributes(req)
	attrs := append(method, semconv.ServerAddress(host), semconv.ServerPort(port), semconv.URLFull(l.cfg.fullURL(req.URL)))
	if sent, ok := ctx.Value(sentKey{}).(*atomic.Int64); ok {
		if n := sent.Add(1) - 1; n > 0 {
			attrs = append(attrs, semconv.HTTPRequestResendCount(int(n)))
		}
	}
	ctx, span := l.tracer.Start(ctx, spanName(req), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attrs...))
	own := req.Clone()
	l.cfg.propagator.Inject(ctx, propagation.HeaderCarrier(own.Header))
	m := l.metrics.begin(ctx, req, method, host, port)
	finish := func(read int64, failure error) {
		fail(span, failure)
		span.End()
		m.end(read, failure)
	}
	resp, err := sendOrEnd(ctx, l.next, own, func(err error) { finish(-1, err) })
	if err != nil {
		return nil, err
	}
	answered(span, resp)
	m.answered(resp)
	if t := resp.Timing(); span.IsRecording() {
		span.SetAttributes(attribute.Bool("parley.connection.reused", t.Reused))
		if t.RemoteAddr != nil {
			span.SetAttributes(peer(t.RemoteAddr)...)
		}
	}
	if resp.Body == nil || resp.Body == http.NoBody || switched(req, resp) {
		finish(0, nil)
		return resp, nil
	}
	resp.Body = &body{ReadCloser: resp.Body, done: finish}
	return resp, nil
}

// spanName is the method, with the route where there is one.
func spanName(req *parley.Request) string {
	name := req.Method
	if !known(req.Method) {
		name = "HTTP"
	}
	if route := req.Route(); route != "" {
		name += " " + route
	}
	return name
}

// known reports whether a method is one of the few that the conventions let stand by
// itself: others may be of any number.
func known(method string) bool {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY":
		return true
	}
	return false
}

func methodAttributes(req *parley.Request) []attribute.KeyValue {
	out := make([]attribute.KeyValue, 0, 8)
	if known(req.Method) {
		out = append(out, semconv.HTTPRequestMethodKey.String(req.Method))
	} else {
		out = append(out, semconv.HTTPRequestMethodOther, semconv.HTTPRequestMethodOriginal(req.Method))
	}
	if route := req.Route(); route != "" {
		out = append(out, semconv.URLTemplate(route))
	}
	return out
}

// answered notes the head of an answer.
func answered(span trace.Span, resp *parley.Response) {
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(semconv.HTTPResponseStatusCode(resp.StatusCode))
	if v := version(resp); v != "" {
		span.SetAttributes(semconv.NetworkProtocolVersion(v))
	}
	if resp.StatusCode >= 400 {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(resp.StatusCode)))
	}
}

// fail notes why there is no answer, or not all of it.
func fail(span trace.Span, err error) {
	if err == nil || !span.IsRecording() {
		return
	}
	span.SetStatus(codes.Error, err.Error())
	span.SetAttributes(semconv.ErrorTypeKey.String(errorType(err)))
}

// switched reports whether what follows the answer is no body.
func switched(req *parley.Request, resp *parley.Response) bool {
	return resp.StatusCode == http.StatusSwitchingProtocols || req.Method == http.MethodConnect && resp.StatusCode/100 == 2
}

// version gives network.protocol.version.
func version(resp *parley.Response) string {
	major, minor, ok := http.ParseHTTPVersion(resp.Proto)
	switch {
	case !ok:
		return ""
	case major >= 2:
		return strconv.Itoa(major)
	}
	return strconv.Itoa(major) + "." + strconv.Itoa(minor)
}

// since is the time from a moment in seconds, as metrics have it.
func since(began time.Time) float64 { return time.Since(began).Seconds() }
