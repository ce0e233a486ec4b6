package parley

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-0474a412/parley/internal/connpool"
	"github.com/seed-0474a412/parley/internal/h2"
	"github.com/seed-0474a412/parley/internal/urls"
)

// The limits of a pool that was given none.
const (
	DefaultSoftLimit   = 10
	DefaultHardLimit   = 100
	DefaultIdleTimeout = 90 * time.Second
	DefaultSurplusIdle = time.Second
	DefaultMaxAge      = 10 * time.Minute
)

// PoolLimits bound a pool. In each field zero means the default and less than zero
// no limit.
type PoolLimits struct {
	// Soft is how many idle connections to an origin are worth keeping. Those above
	// it, the longest idle ones, linger only for SurplusIdle. Default 10.
	Soft int
	// Hard is how many connections to an origin there may be, those being dialled
	// included. A request that finds them all in use waits its turn, at most
	// [Timeouts].Pool. Default 100.
	Hard int
	// Total is how many connections there may be to all origins together. Before a
	// request waits for it, the longest idle connection to another origin is
	// closed. Default: no limit.
	Total int
	// IdleTimeout closes a connection that was idle for so long. A server that says
	// with "Keep-Alive: timeout=" that it waits less shortens it. Default 90 s.
	IdleTimeout time.Duration
	// SurplusIdle is the same for idle connections above Soft. Default 1 s.
	SurplusIdle time.Duration
	// MaxAge retires a connection of that age once it is free, so that load spreads
	// over new servers behind one name; up to a tenth earlier, so that connections
	// made together do not end together. Default 10 min.
	MaxAge time.Duration
	// MaxRequests retires a connection after so many requests. Default: no limit.
	MaxRequests int
}

// resolve checks the limits and fills in the defaults.
func (l PoolLimits) resolve() (connpool.Limits, error) {
	if l.Soft > 0 && l.Hard > 0 && l.Soft > l.Hard {
		return connpool.Limits{}, failed("PoolLimits: the soft limit %d is above the hard limit %d", l.Soft, l.Hard)
	}
	out := connpool.Limits{
		Soft:        cmp.Or(l.Soft, DefaultSoftLimit),
		Hard:        cmp.Or(l.Hard, DefaultHardLimit),
		Total:       l.Total,
		IdleTimeout: cmp.Or(l.IdleTimeout, DefaultIdleTimeout),
		SurplusIdle: cmp.Or(l.SurplusIdle, DefaultSurplusIdle),
		MaxAge:      cmp.Or(l.MaxAge, DefaultMaxAge),
		MaxRequests: l.MaxRequests,
	}
	if out.Hard > 0 {
		out.Soft = min(out.Soft, out.Hard)
	}
	return out, nil
}

// PoolConfig configures a [Pool]. The zero value means the defaults.
type PoolConfig struct {
	Limits PoolLimits
	// Dialer makes the connections for requests that name none. Default: a
	// *net.Dialer, which races the addresses of a name (RFC 8305).
	Dialer Dialer
	// HTTP2 tunes the connections that speak HTTP/2.
	HTTP2 HTTP2Settings
}

// said names what is not as by default; "" if all is.
func (cfg *PoolConfig) said() string {
	limits, http2 := cfg.Limits != PoolLimits{}, cfg.HTTP2 != HTTP2Settings{}
	switch {
	case limits && http2:
		return "limits and HTTP/2 settings"
	case limits:
		return "limits"
	case http2:
		return "HTTP/2 settings"
	}
	return ""
}

// Pool is the [Transport] that talks to the network: HTTP/1.1 and HTTP/2 over TCP and
// TLS, on connections that are kept for each origin. It is safe for concurrent use.
type Pool struct {
	conns   *connpool.Pool[connKey, *conn]
	dialer  *dialerBox
	tls     *tlsConfigs
	proxies *tlsConfigs // for TLS with proxies: a server and a proxy share nothing
	logins  proxyLogins
	http2   *h2.Transport
	patient time.Duration // HTTP2Settings.WriteTimeout
	only1   func() bool   // net/http has no HTTP/2; looked up once, when HTTP/2 is wanted

	protocols protocols

	replays atomic.Int64
	ended   [phaseCount]atomic.Int64 // exchanges ended by the timeout of a phase
	leaks   leakLog
	meter   atomic.Pointer[latencyMeter] // nil: nobody wants to know
}

// NewPool makes a pool. It fails for limits that contradict each other, and for settings
// out of their range.
func NewPool(cfg PoolConfig) (*Pool, error) {
	limits, err := cfg.Limits.resolve()
	if err != nil {
		return nil, err
	}
	if err := cfg.HTTP2.check(); err != nil {
		return nil, err
	}
	if cfg.Dialer == nil {
		cfg.Dialer = &net.Dialer{}
	}
	p := &Pool{
		dialer: &dialerBox{cfg.Dialer}, tls: newTLSConfigs(), proxies: newTLSConfigs(),
		http2: cfg.HTTP2.bridge(), patient: cfg.HTTP2.writeTimeout(),
	}
	p.only1 = sync.OnceValue(func() bool { return !p.http2.Available() })
	p.conns = connpool.New(connpool.Config[connKey, *conn]{
		Dial:    p.dialConn,
		Opened:  p.opened,
		Close:   closeConn,
		Check:   checkConn,
		Sharing: p.protocols.sharing,
		Growing: grows,
		Limits:  limits,
	})
	return p, nil
}

func closeConn(c *conn, why connpool.Reason) {
	if c.h2 != nil {
		c.h2.Close()
		return
	}
	switch why {
	case connpool.ReasonError, connpool.ReasonReplaced, connpool.ReasonPeerClosed, connpool.ReasonUnexpected:
		c.close(false)
	default:
		c.close(true)
	}
}

// SetLimits changes the limits while the pool is in use. Lower ones take effect as
// connections become free; waiting requests go on at once where higher ones let
// them.
func (p *Pool) SetLimits(l PoolLimits) error {
	limits, err := l.resolve()
	if err != nil {
		return err
	}
	p.conns.SetLimits(limits)
	return nil
}

// Limits gives the limits that are in force, with the defaults filled in.
func (p *Pool) Limits() PoolLimits {
	l := p.conns.Limits()
	return PoolLimits{
		Soft: l.Soft, Hard: l.Hard, Total: l.Total, IdleTimeout: l.IdleTimeout,
		SurplusIdle: l.SurplusIdle, MaxAge: l.MaxAge, MaxRequests: l.MaxRequests,
	}
}

// CloseIdle closes all connections that are idle now.
func (p *Pool) CloseIdle() { p.conns.CloseIdle() }

// Close ends the pool: requests that wait fail with ErrClientClosed, and so do later
// ones; idle connections are closed now, those in use when their response ends.
// It always returns nil, and may be called again.
func (p *Pool) Close() error { return p.conns.Close() }

// routeOf says by which way a request goes. A server that a proxy is asked for is
// checked here, since it is no part of a key.
func (p *Pool) routeOf(ctx context.Context, req *Request) (via route, err error) {
	w := req.way()
	switch {
	case w.said():
		via, err = p.routeBeside(ctx, req, w)
	case req.Proxy == nil:
		return route{}, nil
	default:
		via, _, err = req.Proxy.route(req)
	}
	if err == nil && via.forwards(req.URL.Scheme) {
		err = checkTarget(req.URL.Hostname(), cmp.Or(req.URL.Port(), "80"))
	}
	return via.withFields(req.proxyFields()), err
}

// keyOf gives the pool key of a request that goes by way of via.
func (p *Pool) keyOf(req *Request, via route) connKey {
	u := req.URL
	key := connKey{host: u.Hostname(), port: u.Port(), dialer: p.dialer, way: req.way(), proto: p.protocolOf(req, via)}
	if u.Scheme == urls.UnixScheme {
		key.host, key.port = urls.UnixHost, ""
	}
	if c := req.conduct; c != nil && c.dialer != nil {
		key.dialer = c.dialer
	}
	if u.Scheme == "https" {
		key.https = true
		key.tls = p.tls.of(req.TLSConfig, req.security, key.proto)
	}
	switch {
	case key.port != "":
	case key.https:
		key.port = "443"
	default:
		key.port = "80"
	}
	if !via.direct() {
		p.lead(&key, req, via)
	}
	return key
}

// lead makes the key one of connections through a proxy.
func (p *Pool) lead(key *connKey, req *Request, via route) {
	key.proxy = via
	if via.hop().scheme == "https" {
		cfg, said := req.security.forProxies()
		key.proxyTLS = p.proxies.of(cfg, said, protoHTTP1)
	}
	if !key.https && via.forwards("http") {
		key.host, key.port = "", ""
	}
}

// phaseCount is how many timeouts are counted.
const phaseCount = 5

var countedPhases = [phaseCount]Phase{PhasePool, PhaseConnect, PhaseWrite, PhaseResponse, PhaseRead}

// countTimeout counts an exchange that a phase's timeout ended.
func (p *Pool) countTimeout(phase Phase) {
	if i := slices.Index(countedPhases[:], phase); i >= 0 {
		p.ended[i].Add(1)
	}
}

// PoolCounts are the figures that a pool and each of its origins have.
type PoolCounts struct {
	// As of now.
	Active  int // connections in use
	Idle    int // connections waiting for a request
	Dialing int // connections being made
	Waiting int // requests waiting for a connection

	// Since the pool was made; an origin's since it was first used after having
	// had nothing left.
	Dials        int64         // connections begun
	DialErrors   int64         // of these, failed
	Reuses       int64         // requests that got a connection which had served before
	Waits        int64         // requests that had to wait for one in use
	WaitTime     time.Duration // of these, together
	PoolTimeouts int64         // of these, given up after Timeouts.Pool
	// Single counts the closed connections that had served one request at most.
	Single int64
	// Closed counts closed connections by cause, such as "idle timeout", "surplus
	// idle", "max age", "peer closed while idle", "not reusable", "error".
	Closed map[string]int64
}

// PoolStats is a snapshot of a pool.
type PoolStats struct {
	PoolCounts
	Replays  int64            // requests sent again after a reused connection had failed, or had been the wrong one
	Timeouts map[Phase]int64  // requests ended by a timeout, by phase
	Leaked   int64            // responses that were never closed, found by the garbage collector
	Leaks    map[string]int64 // of these, the URLs that they came from, with the query hidden; at most 64
	Origins  []OriginStats    // ordered by name
}

// OriginStats is the row of one origin.
type OriginStats struct {
	// Origin is such as "https://api.example.com:443", through a proxy
	// "https://api.example.com:443 via http://proxy.example.com:3128". What goes to an
	// HTTP proxy for http URLs of all origins is "http://* via ...".
	Origin string
	PoolCounts
	// Oldest is since when the longest-used connection has been in use, by HTTP/2 since when
	// the oldest request on it has; zero if none is.
	Oldest time.Time
	// OldestRequest is the method and URL of that request, such as
	// "GET https://api.example.com/users/1", without its query; "" if none is under way, as
	// on a [Conn] between requests.
	OldestRequest string
	// Peak is how many connections were in use at once, at most.
	Peak int
	// Latency is how long answers took; zero unless [PoolHandler] or
	// [Pool.MeasureLatency] asked for it.
	Latency Latency
}

// Stats takes a snapshot. It takes time in proportion to the number of origins.
func (p *Pool) Stats() PoolStats {
	s := p.conns.Stats()
	out := PoolStats{
		PoolCounts: countsOf(&s.Gauges, &s.Counters),
		Replays:    p.replays.Load(),
		Timeouts:   make(map[Phase]int64),
		Origins:    make([]OriginStats, 0, len(s.Origins)),
	}
	for i, phase := range countedPhases {
		if n := p.ended[i].Load(); n > 0 {
			out.Timeouts[phase] = n
		}
	}
	out.Leaked, out.Leaks = p.leaks.read()
	for i := range s.Origins {
		o := &s.Origins[i]
		row := OriginStats{
			Origin:     o.Key.origin(),
			PoolCounts: countsOf(&o.Gauges, &o.Counters),
			Oldest:     o.Oldest,
			Peak:       o.Peak,
			Latency:    p.meter.Load().read(o.Key),
		}
		if o.Longest != nil {
			var by borrower
			by, row.Oldest = o.Longest.oldestOf(o.Oldest)
			row.OldestRequest = by.on(o.Key)
		}
		out.Origins = append(out.Origins, row)
	}
	slices.SortStableFunc(out.Origins, func(a, b OriginStats) int { return cmp.Compare(a.Origin, b.Origin) })
	return out
}

func countsOf(g *connpool.Gauges, c *connpool.Counters) PoolCounts {
	closed := make(map[string]int64)
	for why, n := range c.Closed {
		if n > 0 {
			closed[connpool.Reason(why).String()] = n
		}
	}
	return PoolCounts{
		Active: g.Active, Idle: g.Idle, Dialing: g.Dialing, Waiting: g.Waiting,
		Dials: c.Dials, DialErrors: c.DialErrors, Reuses: c.Reuses,
		Waits: c.Waits, WaitTime: c.WaitTime, PoolTimeouts: c.WaitTimeouts,
		Single: c.Single, Closed: closed,
	}
}

// gauges is the pool at a glance: [2 active, 1 idle].
func (p *Pool) gauges() string {
	s := p.conns.Stats()
	out := fmt.Sprintf("[%d active, %d idle", s.Active, s.Idle)
	if s.Dialing > 0 {
		out += fmt.Sprintf(", %d dialing", s.Dialing)
	}
	if s.Waiting > 0 {
		out += fmt.Sprintf(", %d waiting", s.Waiting)
	}
	return out + "]"
}

// String shows the pool at a glance: <Pool [2 active, 1 idle]>.
func (p *Pool) String() string { return "<Pool " + p.gauges() + ">" }

// GoString is String.
func (p *Pool) GoString() string { return p.String() }

// maxLeakURLs bounds how many URLs of leaked responses are remembered.
const maxLeakURLs = 64

// leakLog remembers responses that were never closed.
type leakLog struct {
	mu    sync.Mutex
	count int64
	urls  map[string]int64
}

// add counts a response, and says so in a log (nil: there is none) if it is the first of
// its URL.
func (l *leakLog) add(url string, log *slog.Logger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	if l.urls == nil {
		l.urls = make(map[string]int64)
	}
	_, known := l.urls[url]
	if !known && len(l.urls) == maxLeakURLs {
		return
	}
	l.urls[url]++
	if !known && log != nil {
		// Nobody may hold up the goroutine of the runtime that found it.
		go log.LogAttrs(context.Background(), slog.LevelWarn, "http response not closed", slog.String("url", url))
	}
}

func (l *leakLog) read() (int64, map[string]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	urls := make(map[string]int64, len(l.urls))
	for u, n := range l.urls {
		urls[u] = n
	}
	return l.count, urls
}

// acquireError gives a failure to get a connection its kind and phase.
func (p *Pool) acquireError(ctx context.Context, key connKey, limit Timeouts, got connpool.Got, err error) (Phase, time.Duration, error) {
	var wait *connpool.WaitError
	switch {
	case errors.As(err, &wait):
		return PhasePool, limit.Pool, &cause{kind: ErrPoolTimeout, detail: poolState(limit.Pool, wait, key)}
	case ctx.Err() != nil && errors.Is(err, ctx.Err()): // before the kinds: its cause may be of any
		phase := PhasePool
		if got.Dialing > 0 {
			phase = PhaseConnect
		}
		return phase, 0, contextError(ctx)
	case errors.Is(err, connpool.ErrClosed):
		return PhasePool, 0, ErrClientClosed
	case errors.Is(err, ErrConnectTimeout):
		return PhaseConnect, limit.Connect, timedOut(ErrConnectTimeout, limit.Connect, unwrapKind(err))
	case errors.Is(err, ErrInvalidURL):
		return PhaseRequest, 0, err
	case errors.Is(err, ErrUnsupportedProtocol), errors.Is(err, ErrConnect), errors.Is(err, ErrTLS), errors.Is(err, ErrProxy), errors.Is(err, ErrClientClosed):
		return PhaseConnect, 0, err
	default:
		return PhaseConnect, 0, because(ErrConnect, err)
	}
}

// unwrapKind gives what lies beneath a cause.
func unwrapKind(err error) error {
	var c *cause
	if errors.As(err, &c) {
		return c.err
	}
	return err
}

// poolState says what a request waited for.
func poolState(limit time.Duration, w *connpool.WaitError, key connKey) string {
	after := fmt.Sprintf("after %v: ", limit)
	if w.Total {
		return after + fmt.Sprintf("%d of %d connections to all origins in use, %d waiting", w.TotalOpen, w.Limit, w.TotalWaiting)
	}
	return after + fmt.Sprintf("%d of %d connections to %s in use, %d waiting", w.Active+w.Dialing, w.Limit, key.place(), w.Waiting)
}

// checkRequest checks what only a caller's own Request can have wrong.
func checkRequest(req *Request) error {
	switch {
	case req.URL == nil:
		return errNoURL
	case req.URL.Scheme == urls.UnixScheme && strings.HasPrefix(req.URL.Host, "/"):
		return nil
	case req.URL.Scheme != "http" && req.URL.Scheme != "https":
		return because(ErrUnsupportedProtocol, &urls.SchemeError{Scheme: quoteBad(req.URL.Scheme, 32)})
	case req.URL.Hostname() == "": // ":80" would lead to this machine
		return because(ErrInvalidURL, errors.New("the URL has no host"))
	}
	return nil
}
