package parleytest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-0474a412/parley"
)

// Cassette records requests and their answers from the network once, into a file, and
// replays them from then on. The file is an HTTP archive (HAR 1.2), to be committed beside
// the test; one that a browser has saved can be replayed too.
//
//	cassette := parleytest.NewCassette(t, "testdata/users.har", parleytest.CassetteConfig{})
//	users := NewUsers(cassette.Client(parley.WithBaseURL("https://api.example.com")))
//
// Without a file the requests of the test go to the network, and the file is written at the
// end of the test if that has passed. With one nothing goes to the network: a request that
// was not recorded fails with an error that matches [ErrUnexpected] and says which recording
// comes nearest and in what it differs, and fails the test. To record anew set
// PARLEY_CASSETTE=record for one run, or delete the file. Where CI is set in the
// environment, as services for continuous integration do, cassettes only replay, whatever
// else is said.
//
// # Matching
//
// A request is answered by the first recording not yet replayed that has the same method,
// URL (the order of parameters makes no difference) and body ([BodyByType]). Several that
// are alike come in the order in which they were sent. [CassetteConfig] says what else is
// compared, or is not.
//
// # Secrets
//
// While recording, the program gets the answers as they are. What is written is redacted
// first ([CassetteConfig.Redaction], [CassetteConfig.Secrets]): hidden texts become
// [parley.Hidden], and numbers in JSON 0, so that types remain. A credential of 12 bytes or
// more that was hidden in its place is hidden too where the rest of the file repeats it.
// Paths, XML and other text may hold secrets that nobody can know of: name them in Secrets,
// or use Edit, and look at a file before it is committed.
//
// In matching, what is hidden in the file fits any value, so that a replay needs no
// credentials. It is also what the program gets from a replay: tokens, cookies and headers
// are there, with another value. What a test needs as it was, such as X-Total-Count, or
// WWW-Authenticate for a digest login, has to be named in ShowHeaders or ShowParams;
// recording logs which headers were hidden.
//
// # What is kept
//
// Method, URL, headers and body of each request, redirects, tries and challenges included,
// and status, headers, content and trailers of its answer. Bodies are kept decoded, as text
// where they are text and in base64 otherwise. They are replayed whole, at once, and without
// Content-Encoding; digests of a body that was changed are left out. Date is that of the
// replay. Informational answers (1xx), time and connections are not kept, nor is what
// failed or was cancelled, which is logged. TLS settings mean nothing in a replay.
//
// An answer is recorded once it has been read to its end. Closing it reads the rest, for a
// second at most. One that has not come to its end by then, one that is still open at the
// end of the test, an upgrade, and a body beyond the bounds or in a coding that is not known
// cannot be recorded, and fail the test.
//
// A file changes no more than what is in it: it has one date, of when it was recorded, and
// headers are sorted by name.
//
// A Cassette is safe for concurrent use. A test and its subtests may share one; two tests
// must not record to the same file.
type Cassette struct {
	tb      testing.TB
	path    string
	cfg     CassetteConfig
	mode    CassetteMode
	why     string // nothing may be recorded; "": the environment does not say that
	through parley.Transport
	hide    *hider
	room    atomic.Int64 // bytes of bodies that may still be kept

	mu         sync.Mutex
	loaded     []*Recording // from the file
	recorded   time.Time    // when it was; zero: there is no file
	taping     []*taping    // what goes to the network, in the order of the requests
	unexpected []string     // at most maxReports
	missed     int
	ended      bool
}

// NewCassette opens the file at path for one test, or begins it; its folder is made if need
// be. A file that cannot be read, is no HTTP archive or is too large, and one that is not
// there but may not be recorded, end the test.
func NewCassette(tb testing.TB, path string, cfg CassetteConfig) *Cassette {
	tb.Helper()
	if err := cfg.check(); err != nil {
		tb.Fatalf("parleytest: %v", err)
	}
	c := &Cassette{tb: tb, path: path, cfg: cfg, through: cfg.Through, hide: newHider(cfg)}
	c.mode, c.why = modeOf(tb, cfg.Mode)
	c.room.Store(cfg.MaxBytes)
	if c.mode != RecordAgain {
		c.load()
	}
	if c.Records() && c.through == nil {
		pool, err := parley.NewPool(parley.PoolConfig{})
		if err != nil {
			tb.Fatalf("parleytest: cassette %s: %v", path, err)
		}
		tb.Cleanup(func() {
			if err := pool.Close(); err != nil {
				tb.Errorf("parleytest: closing the pool of cassette %s: %v", path, err)
			}
		})
		c.through = pool
	}
	tb.Cleanup(c.end)
	return c
}

// load reads the file, and settles what is to be done without one.
func (c *Cassette) load() {
	c.tb.Helper()
	err := c.read()
	switch {
	case err == nil && c.mode == RecordOnce:
		c.mode = ReplayOnly
	case errors.Is(err, fs.ErrNotExist) && c.mode == ReplayOnly && c.why != "":
		c.tb.Fatalf("parleytest: cassette %s: there is no such file, and nothing is recorded, as %s: record it elsewhere and commit it", c.path, c.why)
	case errors.Is(err, fs.ErrNotExist) && c.mode == ReplayOnly:
		c.tb.Fatalf("parleytest: cassette %s: there is no such file; %s=record records it", c.path, CassetteVariable)
	case err == nil, errors.Is(err, fs.ErrNotExist):
	default:
		c.tb.Fatalf("parleytest: cassette %s: %v; %s=record records it anew", c.path, err, CassetteVariable)
	}
	if age := time.Since(c.recorded); err == nil && c.cfg.MaxAge > 0 && age > c.cfg.MaxAge {
		text := fmt.Sprintf("parleytest: cassette %s was recorded on %s, more than %v ago; %s=record records it anew",
			c.path, c.recorded.Format(time.DateOnly), c.cfg.MaxAge, CassetteVariable)
		if c.cfg.FailExpired {
			c.tb.Errorf("%s", text)
		} else {
			c.tb.Logf("%s", text)
		}
	}
}

// Records reports whether requests may go to the network: whether a test needs
// credentials, say.
func (c *Cassette) Records() bool { return c.mode != ReplayOnly }

// Client makes a session over the cassette: [NewClient] with [Cassette.Middleware] below
// everything else. When recording, requests go through the session's own pool, as its
// options say.
func (c *Cassette) Client(opts ...parley.ClientOption) *parley.Client {
	c.tb.Helper()
	return NewClient(c.tb, append(slices.Clone(opts), parley.WithNetworkMiddleware(c.Middleware()))...)
}

// Middleware puts the cassette in front of another transport, for
// [parley.WithNetworkMiddleware]: it sees each redirect, try and challenge, and next is used
// only to record.
func (c *Cassette) Middleware() parley.Middleware {
	return func(next parley.Transport) parley.Transport {
		return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
			return c.send(ctx, req, next)
		})
	}
}

// Send replays the answer to a request, or records it: see [parley.WithTransport].
func (c *Cassette) Send(ctx context.Context, req *parley.Request) (*parley.Response, error) {
	return c.send(ctx, req, c.through)
}

func (c *Cassette) send(ctx context.Context, req *parley.Request, next parley.Transport) (*parley.Response, error) {
	switch c.mode {
	case RecordOnce, RecordAgain:
		return c.record(ctx, req, next)
	case RecordMissing:
		return c.replay(ctx, req, func(req *parley.Request) (*parley.Response, error) { return c.record(ctx, req, next) })
	}
	return c.replay(ctx, req, nil)
}

// Unused gives the recordings of the file that were not replayed, as method and URL
// without query.
func (c *Cassette) Unused() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, r := range c.loaded {
		if r.taken == 0 {
			out = append(out, r.String())
		}
	}
	return out
}

// String names the file and how many recordings it has.
func (c *Cassette) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("<Cassette %s of %d recordings>", c.path, len(c.loaded))
}

// end reports at the end of the test what went wrong, and writes the file if nothing did.
func (c *Cassette) end() {
	c.tb.Helper()
	c.mu.Lock()
	c.ended = true
	taping, unexpected, missed := c.taping, c.unexpected, c.missed
	c.mu.Unlock()
	for _, text := range unexpected {
		c.tb.Errorf("parleytest: unexpected request: %s", text)
	}
	if more := missed - len(unexpected); more > 0 {
		c.tb.Errorf("parleytest: and %d more unexpected requests", more)
	}
	if c.cfg.ReportUnused {
		for _, name := range c.Unused() {
			c.tb.Errorf("parleytest: cassette %s: nobody asked for %s", c.path, name)
		}
	}
	if !c.Records() {
		return
	}
	done := c.collect(taping)
	switch {
	case c.tb.Failed():
		c.tb.Logf("parleytest: cassette %s is not written, as the test has failed", c.path)
	case len(done) > 0:
		c.write(done)
	case c.mode != RecordMissing:
		c.tb.Logf("parleytest: cassette %s is not written, as nothing was recorded", c.path)
	}
}

// collect reports what could not be recorded, and gives what was.
func (c *Cassette) collect(all []*taping) []*Recording {
	c.tb.Helper()
	var done []*Recording
	for _, t := range all {
		r, problem, note := t.result()
		switch {
		case problem != "":
			c.tb.Errorf("parleytest: cassette %s: %s", c.path, c.hide.scrub(t.rec.String()+": "+problem))
		case note != "":
			c.tb.Logf("parleytest: cassette %s: %s", c.path, c.hide.scrub(t.rec.String()+" is not recorded: "+note))
		case c.cfg.Edit == nil || c.cfg.Edit(r):
			done = append(done, r)
		}
	}
	return done
}
