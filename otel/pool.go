package parleyotel

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/httpconv"

	"github.com/seed-0474a412/parley"
)

// poolMetrics are the instruments of a pool, which is looked at when they are collected.
type poolMetrics struct {
	client *parley.Client

	open                                                 metric.Int64ObservableUpDownCounter
	waiting, dialing                                     metric.Int64ObservableGauge
	dials, dialErrors, reuses, waits, timeouts, unclosed metric.Int64ObservableCounter
	waitTime                                             metric.Float64ObservableCounter
}

// ObservePool has the figures of the session's pool collected with the metrics of the
// meter provider: http.client.open_connections by http.connection.state, and by origin
// parley.pool.waiting, parley.pool.dialing, and the counters parley.pool.dials,
// parley.pool.dial_errors, parley.pool.reuses, parley.pool.waits, parley.pool.wait_time (in
// seconds) and parley.pool.wait_timeouts; for the pool as a whole parley.pool.unclosed,
// responses that were never closed. Counters of an origin begin anew once nothing is left
// of it; those without an origin only grow.
//
// It goes on until stop is called, which should be done before the session is closed. Of
// the options [WithMeterProvider] counts.
func ObservePool(c *parley.Client, opts ...Option) (stop func() error, err error) {
	if c.Pool() == nil {
		return nil, errors.New("parleyotel: the session has no pool to observe")
	}
	meter := configure(opts).meters.Meter(scope)
	p := &poolMetrics{client: c}
	if err := p.make(meter); err != nil {
		return nil, err
	}
	registration, err := meter.RegisterCallback(p.observe, p.open, p.waiting, p.dialing,
		p.dials, p.dialErrors, p.reuses, p.waits, p.timeouts, p.unclosed, p.waitTime)
	if err != nil {
		return nil, err
	}
	return registration.Unregister, nil
}

func (p *poolMetrics) make(meter metric.Meter) error {
	open, err := httpconv.NewClientOpenConnectionsObservable(meter)
	errs := []error{err}
	p.open = open.Inst()
	gauge := func(to *metric.Int64ObservableGauge, name, unit, text string) {
		var err error
		*to, err = meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(text))
		errs = append(errs, err)
	}
	counter := func(to *metric.Int64ObservableCounter, name, unit, text string) {
		var err error
		*to, err = meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(text))
		errs = append(errs, err)
	}
	gauge(&p.waiting, "parley.pool.waiting", "{request}", "Requests that wait for a connection.")
	gauge(&p.dialing, "parley.pool.dialing", "{connection}", "Connections being made.")
	counter(&p.dials, "parley.pool.dials", "{connection}", "Connections begun.")
	counter(&p.dialErrors, "parley.pool.dial_errors", "{connection}", "Connections that could not be made.")
	counter(&p.reuses, "parley.pool.reuses", "{request}", "Requests on a connection that had served before.")
	counter(&p.waits, "parley.pool.waits", "{request}", "Requests that had to wait for a connection in use.")
	counter(&p.timeouts, "parley.pool.wait_timeouts", "{request}", "Requests that gave up waiting.")
	counter(&p.unclosed, "parley.pool.unclosed", "{response}", "Responses that were never closed.")
	p.waitTime, err = meter.Float64ObservableCounter("parley.pool.wait_time", metric.WithUnit("s"),
		metric.WithDescription("Time that requests waited for connections in use."))
	return errors.Join(append(errs, err)...)
}

func (p *poolMetrics) observe(_ context.Context, o metric.Observer) error {
	stats := p.client.Stats()
	for _, row := range merged(stats.Origins) {
		attrs := originAttributes(row.Origin)
		set := metric.WithAttributeSet(attribute.NewSet(attrs...))
		state := func(s attribute.KeyValue) metric.ObserveOption {
			return metric.WithAttributeSet(attribute.NewSet(append(attrs[:len(attrs):len(attrs)], s)...))
		}
		o.ObserveInt64(p.open, int64(row.Active), state(semconv.HTTPConnectionStateActive))
		o.ObserveInt64(p.open, int64(row.Idle), state(semconv.HTTPConnectionStateIdle))
		o.ObserveInt64(p.waiting, int64(row.Waiting), set)
		o.ObserveInt64(p.dialing, int64(row.Dialing), set)
		o.ObserveInt64(p.dials, row.Dials, set)
		o.ObserveInt64(p.dialErrors, row.DialErrors, set)
		o.ObserveInt64(p.reuses, row.Reuses, set)
		o.ObserveInt64(p.waits, row.Waits, set)
		o.ObserveInt64(p.timeouts, row.PoolTimeouts, set)
		o.ObserveFloat64(p.waitTime, row.WaitTime.Seconds(), set)
	}
	o.ObserveInt64(p.unclosed, stats.Leaked)
	return nil
}

// merged makes one row of those that only settings of connections tell apart, which have
// the same attributes.
func merged(rows []parley.OriginStats) []parley.OriginStats {
	var out []parley.OriginStats
	for _, row := range rows { // ordered by origin
		last := len(out) - 1
		if last < 0 || out[last].Origin != row.Origin {
			out = append(out, row)
			continue
		}
		sum := &out[last].PoolCounts
		sum.Active += row.Active
		sum.Idle += row.Idle
		sum.Waiting += row.Waiting
		sum.Dialing += row.Dialing
		sum.Dials += row.Dials
		sum.DialErrors += row.DialErrors
		sum.Reuses += row.Reuses
		sum.Waits += row.Waits
		sum.WaitTime += row.WaitTime
		sum.PoolTimeouts += row.PoolTimeouts
	}
	return out
}

// originAttributes takes the name of an origin apart: where it leads and, for those that
// are reached through something, through what.
func originAttributes(origin string) []attribute.KeyValue {
	direct, via, through := strings.Cut(origin, " ")
	u, err := url.Parse(direct)
	if err != nil || u.Host == "" {
		return []attribute.KeyValue{semconv.ServerAddress(origin)}
	}
	host, port := server(u)
	attrs := []attribute.KeyValue{semconv.ServerAddress(host), semconv.ServerPort(port), semconv.URLScheme(u.Scheme)}
	if through {
		attrs = append(attrs, attribute.String("parley.pool.via", strings.TrimPrefix(via, "via ")))
	}
	return attrs
}
