// Package parleyotel tells OpenTelemetry what a parley session does: spans, metrics and the
// propagation of the trace to servers, by the semantic conventions for HTTP clients.
//
//	client, err := parley.New(
//		parley.WithBaseURL("https://api.example.com"),
//		parleyotel.Instrument(),
//	)
//
// # Spans
//
// Each call is a span of kind internal, named after its method and route, and each request
// that goes out for it, be it the first, a try after a failure, a hop of a redirect or the
// answer to a challenge, a span of kind client below it. Both end when the body of the
// answer has been read or is closed. Requests carry the context of their own span, by the
// propagator.
//
// The attributes are those of the conventions: http.request.method,
// http.request.resend_count, http.response.status_code, server.address, server.port,
// url.full, url.template, network.protocol.version, network.peer.address, network.peer.port
// and error.type, which is the status for answers of 400 and more and else the narrowest
// kind of parley's error, such as "connect_timeout". Beside these there are
// parley.connection.reused of a request and parley.requests of a call. URLs have neither
// user information nor values of their query ([WithQueryValues]).
//
// # Metrics
//
// Of each request http.client.request.duration, http.client.request.body.size,
// http.client.response.body.size (as it came, before decoding) and
// http.client.active_requests; of a pool, by [ObservePool], http.client.open_connections and
// parley.pool.*.
package parleyotel

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed-0474a412/parley"
)

// scope names the instrumentation.
const scope = "github.com/seed-0474a412/parley/otel"

// Option is a setting of [Instrument] and [ObservePool].
type Option func(*config)

type config struct {
	tracers    trace.TracerProvider
	meters     metric.MeterProvider
	propagator propagation.TextMapPropagator
	query      []string
}

// WithTracerProvider sets what makes spans. Default: the global one.
func WithTracerProvider(p trace.TracerProvider) Option { return func(c *config) { c.tracers = p } }

// WithMeterProvider sets what makes metrics. Default: the global one.
func WithMeterProvider(p metric.MeterProvider) Option { return func(c *config) { c.meters = p } }

// WithPropagator sets how requests carry the trace. Default: the global one.
func WithPropagator(p propagation.TextMapPropagator) Option {
	return func(c *config) { c.propagator = p }
}

// WithQueryValues shows the values of these parameters in url.full. Those of all others
// are REDACTED there, as many servers take secrets in the query.
func WithQueryValues(names ...string) Option {
	return func(c *config) { c.query = append(slices.Clip(c.query), names...) }
}

func configure(opts []Option) config {
	c := config{tracers: otel.GetTracerProvider(), meters: otel.GetMeterProvider(), propagator: otel.GetTextMapPropagator()}
	for _, o := range opts {
		o(&c)
	}
	return c
}

// Instrument makes the option that has a session tell of its calls. The providers are
// asked now, so that global ones must have been set before.
//
// The call's span is outside middleware that is given later, and inside that of earlier
// options; hooks and middleware of requests are inside. Failures to make instruments go to
// OpenTelemetry's error handler.
func Instrument(opts ...Option) parley.ClientOption {
	cfg := configure(opts)
	m := newMetrics(cfg.meters.Meter(scope))
	tracer := cfg.tracers.Tracer(scope)
	return parley.WithClientOptions(
		parley.WithMiddleware(func(next parley.Transport) parley.Transport {
			return &callSpans{next, tracer}
		}),
		parley.WithNetworkMiddleware(func(next parley.Transport) parley.Transport {
			return &requestSpans{next: next, tracer: tracer, cfg: cfg, metrics: m}
		}),
	)
}

// fullURL is url.full: without user information, fragment and the values of parameters
// that are not known to be harmless.
func (c *config) fullURL(u *url.URL) string {
	shown := *u
	shown.User, shown.Fragment, shown.RawFragment = nil, "", ""
	if u.RawQuery == "" {
		return shown.String()
	}
	parts := strings.Split(u.RawQuery, "&")
	for i, part := range parts {
		raw, _, has := strings.Cut(part, "=")
		name, err := url.QueryUnescape(raw)
		if has && (err != nil || !slices.Contains(c.query, name)) {
			parts[i] = raw + "=REDACTED"
		} else if !has && !slices.Contains(c.query, name) {
			parts[i] = "REDACTED" // a value without a name
		}
	}
	shown.RawQuery = strings.Join(parts, "&")
	return shown.String()
}

// server gives server.address and server.port.
func server(u *url.URL) (string, int) {
	port, err := strconv.Atoi(u.Port())
	switch {
	case err == nil:
	case u.Scheme == "https":
		port = 443
	default:
		port = 80
	}
	return u.Hostname(), port
}
