package parleyotel_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/seed-0474a412/parley"
	parleyotel "github.com/seed-0474a412/parley/otel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a session whose spans and metrics stay in memory.
type rig struct {
	*parley.Client
	spans  *tracetest.SpanRecorder
	reader *sdkmetric.ManualReader
	meters *sdkmetric.MeterProvider
}

func newRig(t *testing.T, opts ...parley.ClientOption) *rig {
	t.Helper()
	r := &rig{spans: tracetest.NewSpanRecorder(), reader: sdkmetric.NewManualReader()}
	r.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.reader))
	instrument := parleyotel.Instrument(
		parleyotel.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r.spans))),
		parleyotel.WithMeterProvider(r.meters), parleyotel.WithPropagator(propagation.TraceContext{}),
		parleyotel.WithQueryValues("page"),
	)
	c, err := parley.New(append([]parley.ClientOption{parley.WithEnv(false), instrument}, opts...)...)
	require.NoError(t, err)
	r.Client = c
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return r
}

func values(s sdktrace.ReadOnlySpan) map[string]any {
	out := map[string]any{}
	for _, a := range s.Attributes() {
		out[string(a.Key)] = a.Value.AsInterface()
	}
	return out
}

// points gives what was collected of a metric: a value for each set of attributes.
func (r *rig) points(t *testing.T, name string) map[string]float64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, r.reader.Collect(t.Context(), &all))
	out := map[string]float64{}
	key := func(set attribute.Set) string { return set.Encoded(attribute.DefaultEncoder()) }
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != name {
				continue
			}
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					out[key(p.Attributes)] += float64(p.Count)
				}
			case metricdata.Histogram[int64]:
				for _, p := range data.DataPoints {
					out[key(p.Attributes)] += float64(p.Sum)
				}
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					out[key(p.Attributes)] += float64(p.Value)
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					out[key(p.Attributes)] += float64(p.Value)
				}
			case metricdata.Sum[float64]:
				for _, p := range data.DataPoints {
					out[key(p.Attributes)] += p.Value
				}
			default:
				t.Fatalf("%s is a %T", name, data)
			}
		}
	}
	return out
}

// serve starts a server and gives its URL, host and port.
func serve(t *testing.T, h http.HandlerFunc) (base, host string, port int) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	require.NoError(t, err)
	port, err = strconv.Atoi(u.Port())
	require.NoError(t, err)
	return s.URL, u.Hostname(), port
}

func TestSpans_ofAPlainCall(t *testing.T) {
	var got http.Header
	base, host, port := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		io.WriteString(w, "hello")
	})
	r := newRig(t, parley.WithBaseURL(base))
	for range 2 {
		_, err := r.Get(t.Context(), "users/{id}", parley.WithPath("id", "7"), parley.WithQuery("token", "SECRET"), parley.WithQuery("page", "2"))
		require.NoError(t, err)
	}
	spans := r.spans.Ended()
	require.Len(t, spans, 4)
	request, call := spans[2], spans[3]
	require.Equal(t, "GET /users/{id}", call.Name())
	require.Equal(t, trace.SpanKindInternal, call.SpanKind())
	require.Equal(t, map[string]any{
		"http.request.method": "GET", "url.template": "/users/{id}", "http.response.status_code": int64(200),
		"network.protocol.version": "1.1", "parley.requests": int64(1),
	}, values(call))
	require.Equal(t, "GET /users/{id}", request.Name())
	require.Equal(t, trace.SpanKindClient, request.SpanKind())
	require.Equal(t, call.SpanContext().SpanID(), request.Parent().SpanID())
	require.Equal(t, map[string]any{
		"http.request.method": "GET", "url.template": "/users/{id}", "http.response.status_code": int64(200),
		"network.protocol.version": "1.1", "server.address": host, "server.port": int64(port),
		"url.full":             base + "/users/7?token=REDACTED&page=2",
		"network.peer.address": host, "network.peer.port": int64(port), "parley.connection.reused": true,
	}, values(request))
	require.Equal(t, codes.Unset, request.Status().Code)
	require.Equal(t, fmt.Sprintf("00-%s-%s-01", request.SpanContext().TraceID(), request.SpanContext().SpanID()), got.Get("Traceparent"))
}

func TestSpans_aCallHasOneForEachOfItsRequests(t *testing.T) {
	var mu sync.Mutex
	n := 0
	base, _, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch n++; n {
		case 1, 3:
			w.WriteHeader(503)
		case 2:
			http.Redirect(w, r, "/there", http.StatusFound)
		}
	})
	r := newRig(t, parley.WithBaseURL(base), parley.WithRetry(parley.RetryPolicy{Backoff: -1}))
	ctx, outer := sdktrace.NewTracerProvider().Tracer("test").Start(t.Context(), "outer")
	resp, err := r.Get(ctx, "here")
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	spans := r.spans.Ended()
	require.Len(t, spans, 5)
	call := spans[4]
	require.Equal(t, outer.SpanContext().SpanID(), call.Parent().SpanID())
	require.EqualValues(t, 4, values(call)["parley.requests"])
	require.Equal(t, codes.Unset, call.Status().Code)
	for i, s := range spans[:4] {
		v := values(s)
		require.Equal(t, call.SpanContext().SpanID(), s.Parent().SpanID())
		require.EqualValues(t, []int64{503, 302, 503, 200}[i], v["http.response.status_code"])
		if i == 0 {
			require.NotContains(t, v, "http.request.resend_count")
		} else {
			require.EqualValues(t, i, v["http.request.resend_count"])
		}
		if i == 0 || i == 2 {
			require.Equal(t, codes.Error, s.Status().Code)
			require.Equal(t, "503", v["error.type"])
		}
	}
	require.NotEqual(t, spans[0].SpanContext().SpanID(), spans[1].SpanContext().SpanID())
}

func TestSpans_failures(t *testing.T) {
	base, _, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/cut":
			panic(http.ErrAbortHandler)
		case "/half":
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case "/404":
			w.WriteHeader(404)
		}
	})
	for path, want := range map[string]string{
		base + "/cut": "peer_closed", base + "/half": "read", "http://127.0.0.1:1/": "connect", base + "/404": "404",
	} {
		r := newRig(t)
		_, err := r.Get(t.Context(), path, parley.WithBasicAuth("user", "SECRET"))
		require.Equal(t, want == "404", err == nil)
		spans := r.spans.Ended()
		require.Len(t, spans, 2)
		for _, s := range spans {
			require.Equal(t, codes.Error, s.Status().Code)
			require.Equal(t, want, values(s)["error.type"], path)
			require.NotContains(t, fmt.Sprint(s.Attributes(), s.Status()), "SECRET")
		}
		for attrs, n := range r.points(t, "http.client.request.duration") {
			require.EqualValues(t, 1, n)
			require.Contains(t, attrs, "error.type="+want)
		}
	}
}

func TestSpans_endWithTheBody(t *testing.T) {
	goOn := make(chan struct{})
	base, _, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "first")
		w.(http.Flusher).Flush()
		<-goOn
		io.WriteString(w, "second")
	})
	r := newRig(t, parley.WithBaseURL(base))
	resp, err := r.Stream(t.Context(), "GET", "")
	require.NoError(t, err)
	require.Empty(t, r.spans.Ended())
	require.Equal(t, map[string]float64{}, r.points(t, "http.client.request.duration"))
	for _, n := range r.points(t, "http.client.active_requests") {
		require.EqualValues(t, 1, n)
	}
	close(goOn)
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "firstsecond", string(got))
	require.Len(t, r.spans.Ended(), 2)
	require.NoError(t, resp.Close())
	require.Len(t, r.spans.Ended(), 2)
	for _, n := range r.points(t, "http.client.active_requests") {
		require.Zero(t, n)
	}
	for _, n := range r.points(t, "http.client.response.body.size") {
		require.EqualValues(t, len("firstsecond"), n)
	}
}

func TestSpans_whatEndsBeforeItsBodyIsEndedByClose(t *testing.T) {
	base, _, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", 1<<20)) })
	r := newRig(t, parley.WithBaseURL(base))
	resp, err := r.Stream(t.Context(), "GET", "")
	require.NoError(t, err)
	require.NoError(t, resp.Close())
	require.Len(t, r.spans.Ended(), 2)
	require.Empty(t, r.points(t, "http.client.response.body.size"), "it is not known")
}

func TestSpans_anUpgradeIsNotWrapped(t *testing.T) {
	base, _, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		rw.Flush()
		line, _ := rw.ReadString('\n')
		rw.WriteString(line)
		rw.Flush()
	})
	r := newRig(t, parley.WithBaseURL(base))
	resp, err := r.Stream(t.Context(), "GET", "", parley.WithHeader("Connection", "Upgrade"), parley.WithHeader("Upgrade", "echo"))
	require.NoError(t, err)
	require.Len(t, r.spans.Ended(), 2)
	conn, err := resp.Conn()
	require.NoError(t, err)
	_, err = io.WriteString(conn, "over\n")
	require.NoError(t, err)
	got, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Equal(t, "over\n", string(got))
	require.NoError(t, conn.Close())
}

func TestSpans_oddMethodsAndPanics(t *testing.T) {
	r := newRig(t, parley.WithTransport(parley.TransportFunc(func(_ context.Context, req *parley.Request) (*parley.Response, error) {
		switch req.Method {
		case "BREW":
			return &parley.Response{StatusCode: 200, Proto: "HTTP/2.0", Request: req}, nil
		case "BOIL":
			return nil, errors.New("no water")
		}
		panic("spilled")
	})))
	_, err := r.Request(t.Context(), "BREW", "https://a.test/?justavalue")
	require.NoError(t, err)
	v := values(r.spans.Ended()[0])
	require.Equal(t, "HTTP", r.spans.Ended()[0].Name())
	require.Equal(t, "_OTHER", v["http.request.method"])
	require.Equal(t, "BREW", v["http.request.method_original"])
	require.Equal(t, "2", v["network.protocol.version"])
	require.EqualValues(t, 443, v["server.port"])
	require.Equal(t, "https://a.test/?REDACTED", v["url.full"])
	_, err = r.Request(t.Context(), "BOIL", "https://a.test/")
	require.Error(t, err)
	require.Equal(t, "_OTHER", values(r.spans.Ended()[2])["error.type"])
	require.PanicsWithValue(t, "spilled", func() { r.Request(t.Context(), "SPILL", "https://a.test/") })
	require.Len(t, r.spans.Ended(), 6, "those of a panic end too")
	for attrs := range r.points(t, "http.client.request.duration") {
		require.NotContains(t, attrs, "BREW", "there may be any number of methods")
	}
}

func TestMetrics_ofRequests(t *testing.T) {
	base, host, port := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "answer")
	})
	r := newRig(t, parley.WithBaseURL(base))
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := r.Post(context.Background(), "things/{id}", parley.WithPath("id", "1"), parley.WithText("four")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	attrs := fmt.Sprintf("http.request.method=POST,http.response.status_code=200,network.protocol.version=1.1,server.address=%s,server.port=%d,url.scheme=http,url.template=/things/{id}", host, port)
	require.Equal(t, map[string]float64{attrs: 20}, r.points(t, "http.client.request.duration"))
	require.Equal(t, map[string]float64{attrs: 80}, r.points(t, "http.client.request.body.size"))
	require.Equal(t, map[string]float64{attrs: 120}, r.points(t, "http.client.response.body.size"))
	for _, n := range r.points(t, "http.client.active_requests") {
		require.Zero(t, n)
	}
}

func TestObservePool(t *testing.T) {
	base, host, port := serve(t, func(http.ResponseWriter, *http.Request) {})
	r := newRig(t, parley.WithBaseURL(base))
	stop, err := parleyotel.ObservePool(r.Client, parleyotel.WithMeterProvider(r.meters))
	require.NoError(t, err)
	for range 3 {
		_, err := r.Get(t.Context(), "")
		require.NoError(t, err)
	}
	// The same origin by connections of other settings counts with the first.
	_, err = r.Get(t.Context(), "", parley.WithLocalAddr("127.0.0.1"))
	require.NoError(t, err)
	origin := fmt.Sprintf("server.address=%s,server.port=%d,url.scheme=http", host, port)
	open := r.points(t, "http.client.open_connections")
	idle := 0.0
	for attrs, n := range open {
		if strings.HasPrefix(attrs, "http.connection.state=idle,") {
			idle += n
		}
	}
	require.EqualValues(t, 2, idle)
	total := func(name string) (sum float64) {
		for attrs, n := range r.points(t, name) {
			require.True(t, strings.Contains(attrs, origin) || strings.Contains(attrs, "parley.pool.via") || strings.Contains(attrs, "server.address"), attrs)
			sum += n
		}
		return sum
	}
	require.EqualValues(t, 2, total("parley.pool.dials"))
	require.EqualValues(t, 2, total("parley.pool.reuses"))
	require.EqualValues(t, 0, total("parley.pool.waiting"))
	require.NoError(t, stop())
	require.Empty(t, r.points(t, "parley.pool.dials"))

	_, err = parleyotel.ObservePool(newRig(t, parley.WithHandler(http.NotFoundHandler())).Client)
	require.Error(t, err)
}

func TestInstrument_withTheGlobalProvidersDoesNothingByItself(t *testing.T) {
	c, err := parley.New(parley.WithHandler(http.NotFoundHandler()), parleyotel.Instrument())
	require.NoError(t, err)
	defer c.Close()
	resp, err := c.Get(t.Context(), "https://a.test/")
	require.NoError(t, err)
	require.Equal(t, 404, resp.StatusCode)
}

func TestInstrument_byHTTP2(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	r := newRig(t, parley.WithBaseURL(s.URL), parley.WithTLSConfig(&tls.Config{InsecureSkipVerify: true}))
	_, err := r.Get(t.Context(), "", parley.WithTimeout(20*time.Second))
	require.NoError(t, err)
	require.Equal(t, "2", values(r.spans.Ended()[0])["network.protocol.version"])
}
