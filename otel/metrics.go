package parleyotel

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/httpconv"

	"github.com/seed-0474a412/parley"
)

// durations are the bounds of the buckets that the conventions ask for, in seconds.
var durations = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

// metrics are the instruments of requests.
type metrics struct {
	duration     metric.Float64Histogram
	active       metric.Int64UpDownCounter
	requestSize  metric.Int64Histogram
	responseSize metric.Int64Histogram
}

func newMetrics(meter metric.Meter) *metrics {
	duration, err1 := httpconv.NewClientRequestDuration(meter, metric.WithExplicitBucketBoundaries(durations...))
	active, err2 := httpconv.NewClientActiveRequests(meter)
	requestSize, err3 := httpconv.NewClientRequestBodySize(meter)
	responseSize, err4 := httpconv.NewClientResponseBodySize(meter)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		otel.Handle(err)
	}
	return &metrics{duration.Inst(), active.Inst(), requestSize.Inst(), responseSize.Inst()}
}

// measured is one request.
type measured struct {
	*metrics
	ctx     context.Context
	began   time.Time
	attrs   []attribute.KeyValue
	running attribute.Set // of active_requests
	size    int64         // of the request's body
}

func (m *metrics) begin(ctx context.Context, req *parley.Request, method []attribute.KeyValue, host string, port int) *measured {
	out := &measured{metrics: m, ctx: context.WithoutCancel(ctx), began: time.Now()}
	for _, a := range method {
		if a.Key != semconv.HTTPRequestMethodOriginalKey { // there may be any number of these
			out.attrs = append(out.attrs, a)
		}
	}
	out.attrs = append(out.attrs, semconv.ServerAddress(host), semconv.ServerPort(port), semconv.URLScheme(req.URL.Scheme))
	out.running = attribute.NewSet(slices.Clone(out.attrs)...)
	if req.Body != nil {
		out.size = req.Body.Size()
	}
	m.active.Add(out.ctx, 1, metric.WithAttributeSet(out.running))
	return out
}

// answered notes the head of an answer.
func (m *measured) answered(resp *parley.Response) {
	m.attrs = append(m.attrs, semconv.HTTPResponseStatusCode(resp.StatusCode))
	if v := version(resp); v != "" {
		m.attrs = append(m.attrs, semconv.NetworkProtocolVersion(v))
	}
	if resp.StatusCode >= 400 {
		m.attrs = append(m.attrs, semconv.ErrorTypeKey.String(strconv.Itoa(resp.StatusCode)))
	}
}

// end notes the end. read is the size of the answer's body; less than 0: not known.
func (m *measured) end(read int64, failure error) {
	if failure != nil {
		m.attrs = slices.DeleteFunc(m.attrs, func(a attribute.KeyValue) bool { return a.Key == semconv.ErrorTypeKey })
		m.attrs = append(m.attrs, semconv.ErrorTypeKey.String(errorType(failure)))
	}
	set := metric.WithAttributeSet(attribute.NewSet(m.attrs...))
	m.active.Add(m.ctx, -1, metric.WithAttributeSet(m.running))
	m.duration.Record(m.ctx, since(m.began), set)
	if m.size >= 0 {
		m.requestSize.Record(m.ctx, m.size, set)
	}
	if read >= 0 {
		m.responseSize.Record(m.ctx, read, set)
	}
}
