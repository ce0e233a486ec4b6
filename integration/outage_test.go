package integration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/integration/internal/toxic"
	"github.com/seed-0474a412/parley/internal/wiretest"
	"github.com/seed-0474a412/parley/parleytest"
	"github.com/stretchr/testify/require"
)

const (
	drillers  = 64                     // workers at once
	spell     = 220 * time.Millisecond // each weather lasts
	drillSeed = "PARLEY_DRILL_SEED"    // repeats a drill, as far as the scheduler lets it
	secret    = "hunter2"              // in the URL of each request, and in no error
)

// storm are the weathers of a drill. They come in an order of the seed's.
var storm = []toxic.Weather{
	{Name: "calm"},
	{Name: "latency", Up: toxic.Toxics{Latency: 20 * time.Millisecond}, Down: toxic.Toxics{Latency: 20 * time.Millisecond}},
	{Name: "jitter", Up: toxic.Toxics{Jitter: 60 * time.Millisecond}, Down: toxic.Toxics{Jitter: 60 * time.Millisecond}},
	{Name: "bandwidth", Up: toxic.Toxics{Rate: 200_000}, Down: toxic.Toxics{Rate: 200_000}},
	{Name: "slices", Up: toxic.Toxics{Slice: 100}, Down: toxic.Toxics{Slice: 100}},
	{Name: "resets on the way there", Up: toxic.Toxics{Reset: 0.2}},
	{Name: "resets on the way back", Down: toxic.Toxics{Reset: 0.2}},
	{Name: "cuts", Up: toxic.Toxics{Cut: 0.1}, Down: toxic.Toxics{Cut: 0.1}},
	{Name: "silence on the way there", Up: toxic.Toxics{Silence: 0.1}},
	{Name: "silence on the way back", Down: toxic.Toxics{Silence: 0.1}},
	{Name: "down", Out: true},
	{Name: "all of it",
		Up:   toxic.Toxics{Jitter: 10 * time.Millisecond, Slice: 500, Reset: 0.03, Cut: 0.03, Silence: 0.03},
		Down: toxic.Toxics{Jitter: 10 * time.Millisecond, Slice: 500, Reset: 0.03, Cut: 0.03, Silence: 0.03}},
}

// drillProtocols are what the drill is done over.
var drillProtocols = []struct {
	name, base string
	tls, h2    bool
}{
	{"plain", "http://site.test", false, false},
	{"TLS", "https://site.test", true, false},
	{"HTTP/2", "https://site.test", true, true},
}

// TestOutage sends requests of all sorts through a storm, with the retry policy by
// default, and compares what the calls say with what the server did: a POST that was
// reported successful was done once, one that is said not to have been sent was never
// seen, and none was done twice. What was not answered has failed with an error that says
// why, and nothing is left when it is over.
func TestOutage(t *testing.T) {
	for _, p := range drillProtocols {
		t.Run(p.name, func(t *testing.T) {
			d := newDrill(t, p.base, p.tls, p.h2, 0, parley.WithRetry(parley.RetryPolicy{}))
			d.run(t, []task{d.get, d.get, d.get, d.stream, d.quit, d.postWithKey, d.postWithKey, d.post, d.post})
		})
	}
}

// TestOutageHedged is the same of GETs, with a second request beside those that are slow.
func TestOutageHedged(t *testing.T) {
	for _, p := range drillProtocols {
		t.Run(p.name, func(t *testing.T) {
			d := newDrill(t, p.base, p.tls, p.h2, 100*time.Millisecond,
				parley.WithRetry(parley.RetryPolicy{Hedge: 20 * time.Millisecond, Budget: &parley.RetryBudget{Share: 1}}))
			d.run(t, []task{d.get, d.get, d.stream, d.quit})
		})
	}
}

// task is something that a worker does once. It reports whether it went well.
type task func(ctx context.Context, dice *rand.Rand) bool

// drill is a client, the storm, and a server.
type drill struct {
	seed   uint64
	tls    bool
	client *parley.Client
	proxy  *toxic.Proxy
	server *httptest.Server
	ledger *ledger

	calls atomic.Int64
	mu    sync.Mutex
	posts []posted
	tally map[string]int // of outcomes
	wrong []string       // what ought not to be
}

// posted is what the client says of a POST.
type posted struct {
	call   string
	keyed  bool
	status int // 0: it failed
	sent   parley.Sent
	err    error
}

// String tells of it.
func (p posted) String() string {
	return fmt.Sprintf("call %s, with a key: %t, status %d, %v, %v", p.call, p.keyed, p.status, p.sent, p.err)
}

func newDrill(t *testing.T, base string, overTLS, h2 bool, slow time.Duration, retry parley.Option) *drill {
	t.Helper()
	leaks := parleytest.NoLeaks(t)
	d := &drill{seed: seedOf(t), tls: overTLS, tally: make(map[string]int)}
	d.ledger = newLedger(d.seed)
	d.ledger.slow = slow
	d.server = httptest.NewUnstartedServer(d.ledger)
	d.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	opts := []parley.ClientOption{
		leaks, retry, parley.WithBaseURL(base), parley.WithEnv(false), parley.WithQuery("token", secret),
		parley.WithPoolLimits(parley.PoolLimits{Soft: 16, Hard: 40}),
		parley.WithTimeouts(parley.Timeouts{
			Pool: 2 * time.Second, Connect: time.Second, Write: 400 * time.Millisecond, Response: 400 * time.Millisecond,
			Read: 400 * time.Millisecond, Total: 4 * time.Second,
		}),
	}
	if overTLS {
		authority := wiretest.NewAuthority(t)
		d.server.TLS = &tls.Config{Certificates: []tls.Certificate{authority.Certificate(t, "site.test")}}
		d.server.EnableHTTP2 = h2
		d.server.StartTLS()
		opts = append(opts, parley.WithTLSConfig(authority.Trusted()))
	} else {
		d.server.Start()
	}
	t.Cleanup(d.server.Close)
	var err error
	d.proxy, err = toxic.New(d.server.Listener.Addr().String(), d.seed)
	require.NoError(t, err)
	t.Cleanup(func() { d.proxy.Close() })
	d.client, err = parley.New(append(opts, parley.WithDialer(d.proxy))...)
	require.NoError(t, err)
	t.Cleanup(func() { d.client.Close() })
	return d
}

// seedOf gives the seed of a drill, and prints it.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if said := os.Getenv(drillSeed); said != "" {
		var err error
		seed, err = strconv.ParseUint(said, 10, 64)
		require.NoError(t, err, drillSeed)
	}
	t.Logf("%s=%d repeats it", drillSeed, seed)
	return seed
}

// run does tasks at once until the storm has passed, waits until each worker has been
// served again, and looks at what is left.
func (d *drill) run(t *testing.T, tasks []task) {
	t.Helper()
	passed := make(chan struct{})
	served := make(chan bool, drillers)
	var workers sync.WaitGroup
	for i := range drillers {
		workers.Go(func() {
			dice := rand.New(rand.NewPCG(d.seed, uint64(i)))
			for going := true; going; {
				select {
				case <-passed:
					going = false
				default:
					tasks[dice.IntN(len(tasks))](t.Context(), dice)
				}
			}
			served <- d.servedAgain(t.Context(), tasks[0], dice)
		})
	}
	dice := rand.New(rand.NewPCG(d.seed, drillers))
	for _, i := range dice.Perm(len(storm)) {
		d.proxy.Set(storm[i])
		<-time.After(spell)
	}
	d.proxy.Set(toxic.Weather{})
	close(passed)
	for range drillers {
		if !<-served {
			d.blame("a worker was not served for %v after the storm", patience)
		}
	}
	workers.Wait()
	d.comesToRest(t)
	d.balance(t)
}

// servedAgain does a task until it goes well.
func (d *drill) servedAgain(ctx context.Context, do task, dice *rand.Rand) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if do(ctx, dice) {
			return true
		}
	}
	return false
}

// comesToRest looks at what is left when all calls have returned, ends everything, and
// looks again.
func (d *drill) comesToRest(t *testing.T) {
	t.Helper()
	soon := func(ok func() bool, what string) {
		t.Helper()
		if !comesTrue(ok) {
			t.Errorf("%s: %+v", what, d.client.Stats())
		}
	}
	soon(func() bool { s := d.client.Stats(); return s.Active == 0 && s.Dialing == 0 && s.Waiting == 0 }, "the pool is at rest")
	d.client.CloseIdle()
	soon(func() bool { return d.client.Stats().Idle == 0 }, "idle connections are closed")
	soon(func() bool {
		s, closed := d.client.Stats(), int64(0)
		for _, n := range s.Closed {
			closed += n
		}
		return s.Dials == s.DialErrors+closed
	}, "each connection has been closed once")
	require.Zero(t, d.client.Stats().Leaked)
	soon(func() bool { return d.proxy.Open() == 0 }, "no connection is left")
	require.NoError(t, d.client.Close())
	require.NoError(t, d.proxy.Close())
	d.server.Close()
	s := d.client.Stats()
	t.Logf("%d calls, %d dials (%d failed), %d reuses, %d replays, closed: %v", d.calls.Load(), s.Dials, s.DialErrors, s.Reuses, s.Replays, s.Closed)
}

// comesTrue reports whether something is so before patience ends.
func comesTrue(ok func() bool) bool {
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// balance compares what the client says with what the server knows. The server has ended:
// nothing that was still under way is missed.
func (d *drill) balance(t *testing.T) {
	t.Helper()
	for _, outcome := range slices.Sorted(maps.Keys(d.tally)) {
		t.Logf("%6d %s", d.tally[outcome], outcome)
	}
	for _, p := range d.posts {
		a := d.ledger.calls[p.call]
		if a == nil {
			a = new(account)
		}
		switch {
		case a.effects > 1:
			d.blame("%v was done %d times", p, a.effects)
		case p.status == http.StatusCreated && a.effects != 1:
			d.blame("%v was reported successful, and was not done", p)
		case p.err != nil && p.sent == parley.NotSent && a.heads != 0:
			d.blame("%v is said not to have been sent, and came %d times", p, a.heads)
		case !p.keyed && a.heads > 1:
			d.blame("%v has no key, and came %d times", p, a.heads)
		case p.status != 0 && a.heads == 0:
			d.blame("%v was answered, but never came", p)
		}
	}
	require.Empty(t, d.ledger.odd)
	for _, text := range d.wrong {
		t.Error(text)
	}
}

// blame notes what ought not to be.
func (d *drill) blame(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.wrong) < 20 {
		d.wrong = append(d.wrong, fmt.Sprintf(format, args...))
	}
}

// count keeps the tally.
func (d *drill) count(outcome string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tally[outcome]++
}

// get asks for a thing and reads it.
func (d *drill) get(ctx context.Context, dice *rand.Rand) bool {
	d.calls.Add(1)
	size := sizeOf(dice)
	resp, err := d.client.Get(ctx, "things", parley.WithQuery("size", strconv.Itoa(size)))
	if err != nil {
		d.failed("GET", err, false)
		return false
	}
	return d.answered("GET", resp, size)
}

// stream asks for a thing and reads it as it comes, to its end or to the middle.
func (d *drill) stream(ctx context.Context, dice *rand.Rand) bool {
	d.calls.Add(1)
	size, half := sizeOf(dice), dice.IntN(2) == 0
	resp, err := d.client.Stream(ctx, http.MethodGet, "things", parley.WithQuery("size", strconv.Itoa(size)))
	if err != nil {
		d.failed("GET of a stream", err, false)
		return false
	}
	defer resp.Close()
	if half {
		_, err := io.CopyN(io.Discard, resp.Body, int64(size/2))
		if err == nil || err == io.EOF {
			d.count("stream closed in the middle")
			return true
		}
	}
	if _, err := resp.Bytes(); err != nil {
		var e *parley.Error
		if errors.As(err, &e) && (e.Phase != parley.PhaseRead || e.Sent != parley.Answering) {
			d.blame("a body failed in phase %q, %v: %v", e.Phase, e.Sent, err)
		}
		d.judge("stream", err, false)
		return false
	}
	return d.answered("GET of a stream", resp, size)
}

// quit asks for a thing and loses interest.
func (d *drill) quit(ctx context.Context, dice *rand.Rand) bool {
	d.calls.Add(1)
	size := sizeOf(dice)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer time.AfterFunc(time.Duration(dice.IntN(30))*time.Millisecond, cancel).Stop()
	resp, err := d.client.Get(ctx, "things", parley.WithQuery("size", strconv.Itoa(size)))
	if err != nil {
		d.failed("cancelled GET", err, ctx.Err() != nil)
		return false
	}
	return d.answered("cancelled GET", resp, size)
}

// answered checks an answer to a GET.
func (d *drill) answered(what string, resp *parley.Response, size int) bool {
	if len(resp.Tries) == 0 || resp.Tries[len(resp.Tries)-1].Again {
		d.blame("%s: the tries of an answer are %+v", what, resp.Tries)
	}
	switch body, err := resp.Bytes(); {
	case err != nil:
		d.blame("%s: what was read whole gives %v", what, err)
	case resp.StatusCode == http.StatusServiceUnavailable:
		d.count(what + ": 503")
		return false
	case resp.StatusCode != http.StatusOK:
		d.blame("%s: status %s", what, resp.Status)
	case !bytes.Equal(body, thing(size)):
		d.blame("%s: the answer is another one, %d bytes instead of %d", what, len(body), size)
	default:
		d.count(what + ": good")
		return true
	}
	return false
}

func (d *drill) postWithKey(ctx context.Context, dice *rand.Rand) bool {
	return d.send(ctx, dice, true)
}

func (d *drill) post(ctx context.Context, dice *rand.Rand) bool { return d.send(ctx, dice, false) }

// send asks for an effect.
func (d *drill) send(ctx context.Context, dice *rand.Rand, keyed bool) bool {
	what := "POST"
	p := posted{call: strconv.FormatInt(d.calls.Add(1), 10), keyed: keyed}
	body := thing(sizeOf(dice))
	opts := []parley.RequestOption{
		parley.WithBytes(body), parley.WithHeader(callHeader, p.call), parley.WithHeader(sumHeader, fmt.Sprintf("%x", sha256.Sum256(body))),
	}
	if keyed {
		what += " with a key"
		opts = append(opts, parley.WithIdempotencyKey())
	}
	resp, err := d.client.Post(ctx, "effects", opts...)
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.posts = append(d.posts, p)
	}()
	if err != nil {
		p.err, p.sent = err, d.failed(what, err, false)
		return false
	}
	p.status = resp.StatusCode
	switch text, err := resp.Text(); {
	case err != nil:
		d.blame("%s: what was read whole gives %v", what, err)
	case p.status == http.StatusServiceUnavailable:
		d.count(what + ": 503")
	case p.status != http.StatusCreated || text != p.call:
		d.blame("%s: call %s is answered %s with %q", what, p.call, resp.Status, text)
	default:
		d.count(what + ": good")
		return true
	}
	return false
}

// failed checks the error of a call, which may have been cancelled, and gives what it says
// of the server.
func (d *drill) failed(what string, err error, cancelled bool) parley.Sent {
	e := d.judge(what, err, cancelled)
	if e == nil {
		return parley.MaybeSent
	}
	var tried *parley.RetryError
	switch asked := errors.As(err, &tried); {
	case asked && (len(tried.Tries) == 0 || len(tried.Tries) > parley.DefaultTries):
		d.blame("%s: %d tries: %v", what, len(tried.Tries), err)
	case asked && (tried.Tries[len(tried.Tries)-1].Again || tried.Tries[len(tried.Tries)-1].Reason == ""):
		d.blame("%s: it is not said why there was no other try: %+v", what, tried.Tries)
	case !asked && !lasting(err) && !cancelled:
		d.blame("%s: another try would have been of use: %v", what, err)
	case !asked && (e.Phase == parley.PhasePool || e.Phase == parley.PhaseConnect) && e.Attempt == 0 && e.Sent != parley.NotSent:
		d.blame("%s: there was no connection, but it was sent: %v", what, err)
	}
	return e.Sent
}

// lasting tells failures that another try does not mend.
func lasting(err error) bool {
	for _, kind := range []error{parley.ErrPoolTimeout, parley.ErrTotalTimeout, context.Canceled} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// judge checks what is so of all errors of the drill, and gives the call's.
func (d *drill) judge(what string, err error, cancelled bool) *parley.Error {
	var e *parley.Error
	if !errors.As(err, &e) {
		d.blame("%s: an error of another type: %T %v", what, err, err)
		return nil
	}
	kind := d.kindOf(err, cancelled)
	if kind == "" {
		d.blame("%s: an error of another kind: %v", what, err)
		return e
	}
	d.count(fmt.Sprintf("%s: %s, %s, %v", what, e.Phase, kind, e.Sent))
	switch late := errors.Is(err, parley.ErrTimeout); {
	case late != e.Timeout() || late != errors.Is(err, os.ErrDeadlineExceeded):
		d.blame("%s: is it a timeout? %v", what, err)
	case e.Method == "" || e.URL == nil || e.Phase == "" || e.Elapsed <= 0:
		d.blame("%s: the error does not say what failed: %+v", what, e)
	case strings.Contains(err.Error(), secret):
		d.blame("%s: the error tells a secret: %v", what, err)
	}
	return e
}

// kindOf gives the narrowest kind of an error that the drill may lead to, "" for others.
func (d *drill) kindOf(err error, cancelled bool) string {
	if cancelled && errors.Is(err, context.Canceled) {
		return "cancelled"
	}
	if errors.Is(err, parley.ErrProtocol) || errors.Is(err, parley.ErrClientClosed) || errors.Is(err, context.Canceled) {
		return ""
	}
	for _, kind := range []error{
		parley.ErrPoolTimeout, parley.ErrConnectTimeout, parley.ErrWriteTimeout, parley.ErrResponseTimeout, parley.ErrReadTimeout,
		parley.ErrTotalTimeout, parley.ErrTLS, parley.ErrConnect, parley.ErrPeerClosed, parley.ErrRead, parley.ErrWrite,
	} {
		if errors.Is(err, kind) && (d.tls || kind != parley.ErrTLS) {
			return kind.Error()
		}
	}
	return ""
}

// sizeOf draws the size of a body: mostly small, some larger than what is written at once.
func sizeOf(dice *rand.Rand) int {
	switch n := dice.IntN(10); {
	case n < 6:
		return dice.IntN(500)
	case n < 9:
		return dice.IntN(10_000)
	default:
		return dice.IntN(maxThing)
	}
}
