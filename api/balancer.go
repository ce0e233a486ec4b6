package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/seed-0474a412/parley"
)

// Defaults of a [BalancerConfig].
const (
	DefaultBalancerTries = 3
	DefaultEjectAfter    = 3
	DefaultEjectFor      = time.Second
	DefaultMaxEject      = time.Minute
	DefaultRefresh       = time.Minute
)

// ErrNoServer is why a request was not sent: its balancer has no server, because its
// source has not given any, or not the one that was asked for by [WithServer]. It comes
// wrapped in a *[parley.Error].
var ErrNoServer = errors.New("the balancer has no server for the request")

// BalancerConfig configures a [Balancer]. It needs Servers or a Source; what else is zero
// has its default.
type BalancerConfig struct {
	// Servers are those that requests go to. Beside a Source they are used until it has
	// given others.
	Servers []Server
	// Source finds the servers, for example by DNS: see [AddressSource], [SRVSource].
	Source Source
	// Refresh is how often Source is asked, when requests come. Default 1 min, less than 0:
	// only once.
	Refresh time.Duration

	// Choose chooses the server for a request among those in service and those due for a
	// trial (Out is set), for example to send reads elsewhere than writes, or one user's
	// requests to one server. It returns an index; any other number leaves the choice to
	// the balancer. It is called for each try, by any number of goroutines at once, and
	// must not change the request. Active counts may have moved on since they were taken.
	Choose func(req *parley.Request, among []ServerStats) int

	// Tries is how many servers one call tries, at most each one once. Default 3; less than
	// 0: one. See [Balancer] for when another is tried.
	Tries int
	// MoveOn has the statuses with which an idempotent request moves to another server, such
	// as 503. Default none: they are answers.
	MoveOn []int

	// Failed says which answers and errors are failures of the server. Exactly one of resp
	// and err is nil; it must not read the body. Default: 502, 503 and 504, and all errors
	// but those that are the caller's, such as a malformed request or a body that cannot be
	// read. It is not asked of calls that were cancelled, which say nothing of a server.
	Failed func(resp *parley.Response, err error) bool
	// EjectAfter is after how many failures in a row a server is left out. Default 3, less
	// than 0: never. One is enough where no connection came about, or where a 503 has a
	// Retry-After.
	EjectAfter int
	// EjectFor is for how long a server is left out at first; each time that it fails its
	// trial, it is twice as long, up to MaxEject, and up to a fifth more or less by chance. A
	// Retry-After makes it longer, up to MaxEject. Defaults 1 s and 1 min; less than 0 is an
	// error.
	EjectFor, MaxEject time.Duration
	// OnChange is told of each server that is left out or has come back, with its stats at
	// that time. It is called by the request, probe or whatever noticed it, and should be
	// quick.
	OnChange func(ServerStats)

	// KeepHost sends the host of the base as Host header, and asks https servers for its
	// certificate, as servers expect that lie behind one name. Default: each server gets its
	// own name. A request's own Host ([parley.WithHost]) wins over both.
	KeepHost bool
}

// Balancer spreads requests over several servers that give the same answers. Its
// middleware, next to the network, takes the requests for URLs below one base, and sends
// each to the server that is chosen for it; all others pass as they are. To the session
// the base stays the one origin that it talks to: cookies, credentials and redirects are
// those of the base, however many servers there are behind it.
//
//	b, err := api.NewBalancer("http://users.internal/v1", api.BalancerConfig{
//		Servers: api.Servers("http://10.0.0.1:8080/v1", "http://10.0.0.2:8080/v1"),
//	})
//	client, err := b.NewClient()
//	resp, err := client.Get(ctx, "users/7")
//
// The base's host need not exist; nothing is ever sent to it. The base should be https if
// the servers are, so that cookies are kept as secure as they are.
//
// # The choice
//
// A request goes to a server that has fewer requests under way than its share of all of
// them, rounded up; of these to the one with the fewest errors in the last seconds, of
// these to the one that had the fewest requests, of these to any. Shares and requests count
// by weight. A request is under way until the body of its answer has been read or closed.
// So servers that are equally fast get equally many requests, and one that is slow gets
// fewer.
//
// # Health
//
// A server that fails is left out, for a growing while; then one request tries it and the
// others keep away until it has been answered. That one may have to wait for a server that
// is still down, and moves on; probes ([Balancer.Probe]) spare requests this. Requests that had
// begun before a server was left out do not count against it again. Where all servers are
// left out, that is ignored and the choice is as always, since to try is better than to
// fail; the first that answers is back.
//
// # The next server
//
// A call moves to another server, within the same call, if none saw the request
// ([parley.NotSent]), or if the connection failed and the method is idempotent (RFC 9110,
// section 9.2.2). Its body must be one that can be opened again, or not have been asked
// for. Timeouts after the request was sent move nothing: a server that is slow for
// everybody would only get more to do. The context and the call's total timeout bound all
// of it. A body that is cut short is noticed after the call has its response;
// [parley.Reading] as network middleware below the balancer makes that a failure of the
// call, which moves; it is for sessions that stream nothing.
//
// # Answers
//
// What an answer says of URLs below a server's base, in Location, Content-Location and
// Link, is said of the base, so that a redirect or a next page is balanced again and has
// what the session sends there. A Location on a server but outside its base path is one
// of another origin. Cookie paths are those of the base too. [ServedBy] tells which server
// answered. Errors name the server's URL. Digest authentication and other signatures of
// the path need servers with the base's path.
//
// # Use
//
// A Balancer is safe for any number of goroutines and sessions. It has no goroutine of its
// own unless Probe was called, or a Source is being asked. Of a client's methods, Warm and
// Open know nothing of it, as they send no request.
//
// Who comes from Proxy of Python's clients finds its urls as Servers, priority and choice
// as Choose, which also has the request, and its Stats, connections, errors and failures,
// as [Balancer.Stats]. Errors there count for ever; here they are forgotten, and servers
// that fail are left out.
type Balancer struct {
	base     balancedBase
	cfg      BalancerConfig
	refresh  refresher
	probing  probing
	mu       sync.Mutex
	fleet    fleet // guarded by mu
	lifetime context.Context
	end      context.CancelFunc
}

// NewBalancer makes a balancer for the requests below base, a URL whose host and path are
// what the session knows. Errors are about base, servers and settings; URLs that cannot be
// used are [parley.ErrInvalidURL].
func NewBalancer(base string, cfg BalancerConfig) (*Balancer, error) {
	b := &Balancer{cfg: cfg}
	if err := b.prepare(base); err != nil {
		return nil, fmt.Errorf("api: new balancer: %w", err)
	}
	b.lifetime, b.end = context.WithCancel(context.Background())
	return b, nil
}

func (b *Balancer) prepare(base string) (err error) {
	if b.base, err = newBalancedBase(base); err != nil {
		return err
	}
	c := &b.cfg
	c.MoveOn = slices.Clone(c.MoveOn)
	if len(c.Servers) == 0 && c.Source == nil {
		return errors.New("neither Servers nor a Source is given")
	}
	if c.EjectFor < 0 || c.MaxEject < 0 {
		return errors.New("EjectFor and MaxEject cannot be less than 0: to leave out no server set EjectAfter to -1")
	}
	c.Tries = max(1, cmp.Or(c.Tries, DefaultBalancerTries))
	c.EjectAfter = max(0, cmp.Or(c.EjectAfter, DefaultEjectAfter))
	c.MaxEject = cmp.Or(c.MaxEject, DefaultMaxEject)
	c.EjectFor = min(cmp.Or(c.EjectFor, DefaultEjectFor), c.MaxEject)
	c.Refresh = cmp.Or(c.Refresh, DefaultRefresh)
	b.fleet = newFleet(healthPolicy{after: c.EjectAfter, base: c.EjectFor, max: c.MaxEject})
	entries, err := newEntries(c.Servers, b.base, c.KeepHost)
	if err != nil {
		return err
	}
	b.fleet.set(entries)
	return nil
}

// NewClient makes a session whose base URL is that of the balancer and whose requests it
// sends. Network middleware among opts is beneath the balancer and sees the servers' URLs.
func (b *Balancer) NewClient(opts ...parley.ClientOption) (*parley.Client, error) {
	own := []parley.ClientOption{parley.WithBaseURL(b.base.url.String()), parley.WithNetworkMiddleware(b.Middleware())}
	return parley.New(append(own, opts...)...)
}

// Middleware gives what sends requests below the base to the servers, through the
// transport that it is put around: a pool, or what a session has beneath it. Its place is
// [parley.WithNetworkMiddleware], below redirects, cookies and credentials.
func (b *Balancer) Middleware() parley.Middleware {
	return func(next parley.Transport) parley.Transport {
		return &balanced{b, next}
	}
}

// Close ends probes and the asking of the source, and waits until they have ended. Requests
// can still be sent. It always returns nil.
func (b *Balancer) Close() error {
	b.endLifetime()
	b.probing.loop.Wait()
	b.refresh.asking.Wait()
	b.mu.Lock()
	b.fleet.probed = false
	b.mu.Unlock()
	return nil
}

// endLifetime lets nothing more begin in the background.
func (b *Balancer) endLifetime() {
	b.refresh.mu.Lock()
	defer b.refresh.mu.Unlock()
	b.probing.mu.Lock()
	defer b.probing.mu.Unlock()
	b.end()
}

// SetServers puts others in the place of all servers; a Source does so with its next
// answer. Servers that stay, by URL and Host, keep what is known of them, and requests
// under way end where they are. None, or one that cannot be used, is an error and changes
// nothing.
func (b *Balancer) SetServers(servers ...Server) error {
	entries, err := newEntries(servers, b.base, b.cfg.KeepHost)
	if err == nil && len(entries) == 0 {
		err = errNoneGiven
	}
	if err != nil {
		return fmt.Errorf("api: set servers: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fleet.set(entries)
	return nil
}

var errNoneGiven = errors.New("no servers are given")

// Stats gives what is known of each server, in the order in which they were given.
func (b *Balancer) Stats() []ServerStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return statsOf(b.fleet.members)
}

// ServerStats is what a balancer knows of one server. Counts are of tries, those of
// probes left aside.
type ServerStats struct {
	URL      string // canonical, with a slash at the end
	Host     string // "": that of URL
	Weight   int
	Priority int

	Active   int           // requests under way, up to the end of their answers
	Requests uint64        // all that were sent
	Errors   uint64        // those that got no answer, or not the whole of one
	Failures uint64        // those whose answers are failures: see BalancerConfig.Failed
	InARow   int           // errors and failures since the last success
	Latency  time.Duration // to the head of answers, on the average of the last ones

	Out       bool      // left out, or not yet tried again
	OutUntil  time.Time // when it can be tried again; the last one if Out is not set
	Ejections int       // in a row, each longer than the one before
	LastError error     // nil: there was none; also that of a probe
}

func statsOf(members []*member) []ServerStats {
	stats := make([]ServerStats, len(members))
	for i, m := range members {
		stats[i] = m.stats()
	}
	return stats
}

func (m *member) stats() ServerStats {
	return ServerStats{
		URL: m.base.String(), Host: m.host, Weight: int(m.weight), Priority: m.tier,
		Active: m.active, Requests: m.requests, Errors: m.errors, Failures: m.failures, InARow: m.row, Latency: m.latency,
		Out: m.out, OutUntil: m.until, Ejections: m.ejections, LastError: m.lastErr,
	}
}

// servedKey is the attribute of a response's request that names the server.
type servedKey struct{}

// ServedBy gives the base URL of the server that a response came from, "" if no balancer
// had sent its request.
func ServedBy(resp *parley.Response) string {
	if resp == nil || resp.Request == nil {
		return ""
	}
	url, _ := resp.Request.Attribute(servedKey{}).(string)
	return url
}

// pinKey is the attribute that names the server that a request is for.
type pinKey struct{}

// WithServer sends a request to one server of a balancer, by its URL, whether it is left out
// or not, and to no other. A URL that the balancer does not have is [ErrNoServer].
func WithServer(url string) parley.Option {
	key := url
	if base, err := newBalancedBase(url); err == nil {
		key = base.String()
	}
	return parley.WithAttribute(pinKey{}, key)
}

// fail makes the error of a request that was not sent.
func (b *Balancer) fail(req *parley.Request, err error) error {
	return &parley.Error{Op: "balance", Method: req.Method, URL: req.URL, Phase: parley.PhaseRequest, Sent: parley.NotSent, Err: err}
}

// idempotentMethods may be sent again without asking (RFC 9110, section 9.2.2; for QUERY
// RFC 10008, section 2).
var idempotentMethods = []string{
	http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete, "QUERY",
}
