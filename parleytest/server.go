package parleytest

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"github.com/seed-0474a412/parley"
)

// NewClient makes a session that is closed at the end of the test, and takes nothing from
// the environment: no proxy, login or certificates. A mistake in an option ends the test.
func NewClient(tb testing.TB, opts ...parley.ClientOption) *parley.Client {
	tb.Helper()
	client, err := parley.New(append([]parley.ClientOption{parley.WithEnv(false)}, opts...)...)
	if err != nil {
		tb.Fatalf("parleytest: making a client: %v", err)
	}
	tb.Cleanup(func() {
		if err := client.Close(); err != nil {
			tb.Errorf("parleytest: closing the client: %v", err)
		}
	})
	return client
}

// Server is a server on loopback with a session on its URL.
type Server struct {
	URL    string // without a slash at its end
	Client *parley.Client

	history history
	panics  panics
}

// panics are those of handlers.
type panics struct {
	mu    sync.Mutex
	texts []string // at most maxReports
}

// note is deferred around a handler: it notes a panic and lets it go on.
func (p *panics) note(method, path string) {
	v := recover()
	if v == nil {
		return
	}
	if v != http.ErrAbortHandler {
		p.mu.Lock()
		if len(p.texts) < maxReports {
			p.texts = append(p.texts, fmt.Sprintf("%s %s: %v\n%s", method, path, v, debug.Stack()))
		}
		p.mu.Unlock()
	}
	panic(v)
}

// report fails the test for what was noted.
func (p *panics) report(tb testing.TB) {
	tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, text := range p.texts {
		tb.Errorf("parleytest: the handler panicked: %s", text)
	}
}

// NewServer runs h on a server of net/http on loopback, with HTTP/1.1 and without TLS, and
// makes a session whose base URL it is. Both end with the test. A handler that panics,
// otherwise than by [http.ErrAbortHandler], breaks its connection off and fails the test.
func NewServer(tb testing.TB, h http.Handler, opts ...parley.ClientOption) *Server {
	tb.Helper()
	if h == nil {
		tb.Fatal("parleytest: NewServer needs a handler")
	}
	s := &Server{}
	tb.Cleanup(func() { s.panics.report(tb) }) // after the server has ended
	s.URL = Serve(tb, s.watched(h))
	s.Client = NewClient(tb, append([]parley.ClientOption{parley.WithBaseURL(s.URL)}, opts...)...)
	return s
}

// Calls gives the requests that have come, the oldest first, as far as they are remembered.
func (s *Server) Calls() []*Call { return s.history.list(func(*Call) bool { return true }) }

// watched notes requests and panics.
func (s *Server) watched(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.panics.note(r.Method, r.URL.Path)
		c := &Call{Method: r.Method, URL: r.URL, Header: r.Header, At: time.Now()}
		c = c.clone()
		c.Header.Set("Host", r.Host)
		c.URL.Scheme, c.URL.Host = "http", r.Host
		s.history.add(c)
		r.Body = &recordedBody{r.Body, &s.history, c}
		h.ServeHTTP(w, r)
	})
}

// recordedBody keeps what is read of a body.
type recordedBody struct {
	io.ReadCloser
	history *history
	call    *Call
}

func (b *recordedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.history.keep(b.call, p[:n])
	return n, err
}

// Serve runs h on a server on loopback, for as long as the test, and gives its URL. Its
// handlers are those of net/http, over HTTP/1.1 without TLS. The contexts of requests that
// are still under way end with it.
func Serve(t testing.TB, h http.Handler) (baseURL string) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // it is told of every connection that a test cuts
	ctx, cancel := context.WithCancel(context.Background())
	s.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	s.Start()
	t.Cleanup(func() {
		cancel()
		s.CloseClientConnections()
		s.Close()
	})
	return s.URL
}
