package parley_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// uploads are many at once, to a server that fails some of them.
type uploads struct {
	mu    sync.Mutex
	tries map[string]int  // by path
	acted map[string]bool // paths whose uploads the server has answered
	mixed []string        // what was not the content that belongs to its path
}

const uploadsAtOnce = 50

// contentFor is what is sent to a path, and answered.
func contentFor(path string) string { return strings.Repeat(path+" ", 200) }

func (u *uploads) began(path string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tries[path]++
}

// read judges what has come of a content.
func (u *uploads) read(path, content string, ended bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if want := contentFor(path); ended && content != want || !strings.HasPrefix(want, content) {
		u.mixed = append(u.mixed, fmt.Sprintf("%s got %.60q", path, content))
	}
}

func (u *uploads) answered(path string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.acted[path] = true
}

// upload is one on the connection of a peer.
type upload struct {
	stream  uint32
	path    string
	content strings.Builder
	failed  bool
}

// peer reads uploads of one connection and answers them. fail is asked when the header
// of the nth has come, and again when all of it has, and reports whether it has dealt
// with it; false from goes ends the connection.
func (u *uploads) peer(p *peer, fail func(n int, up *upload, ended bool) (dealt, goes bool)) {
	streams := map[uint32]*upload{}
	numbers := map[*upload]int{}
	for {
		f, err := p.ReadFrame()
		if err != nil {
			return
		}
		var up *upload
		ended := false
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				p.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				p.WritePing(true, f.Data)
			}
		case *http2.MetaHeadersFrame:
			up = &upload{stream: f.StreamID, path: f.PseudoValue("path")}
			streams[f.StreamID], numbers[up] = up, len(streams)
			u.began(up.path)
		case *http2.DataFrame:
			if up = streams[f.StreamID]; up != nil {
				up.content.Write(f.Data())
				ended = f.StreamEnded()
				u.read(up.path, up.content.String(), ended)
			}
		}
		if up == nil || up.failed {
			continue
		}
		dealt, goes := fail(numbers[up], up, ended)
		if !goes {
			return
		}
		if up.failed = dealt; ended && !dealt {
			u.answered(up.path)
			p.ok(up.stream, up.content.String())
		}
	}
}

// failures are what a server does to some of the uploads of its first connection.
func failures() map[string]func(p *peer, n int, up *upload, ended bool) (dealt, goes bool) {
	all := map[string]func(p *peer, n int, up *upload, ended bool) (dealt, goes bool){
		"GOAWAY with a low last stream": func(p *peer, n int, up *upload, ended bool) (bool, bool) {
			if n == 10 && !ended {
				p.WriteGoAway(up.stream-10, http2.ErrCodeNo, nil) // that of the sixth
			}
			return n > 5, true
		},
		"closed": func(_ *peer, n int, _ *upload, _ bool) (bool, bool) { return false, n < 25 },
	}
	for code := http2.ErrCodeNo; code <= http2.ErrCodeHTTP11Required; code++ {
		all["RST_STREAM "+code.String()] = func(p *peer, n int, up *upload, ended bool) (bool, bool) {
			if n%3 == 0 && !ended || n%3 == 1 && ended {
				p.WriteRSTStream(up.stream, code)
				return true, true
			}
			return false, true
		}
	}
	return all
}

func TestS174_UploadsThatFailAreNeitherMixedNorRepeated(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	cfg := ca.ServerHTTP2(t)
	for name, fail := range failures() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := &uploads{tries: map[string]int{}, acted: map[string]bool{}}
			s := serveUploads(t, u, cfg, fail)
			c := newSession(t, parley.WithBaseURL(s.URL()), parley.WithTLSConfig(ca.Trusted()), parley.WithEnv(false), parley.WithPhaseTimeout(guard))
			require.Empty(t, textOf(t, c, "first"), "the server is known")
			done := u.send(t, c)
			again := map[string]bool{"RST_STREAM REFUSED_STREAM": true, "GOAWAY with a low last stream": true, "RST_STREAM HTTP_1_1_REQUIRED": true}[name]
			u.judge(t, done, again)
			requireNoneActive(t, c)
		})
	}
}

// serveUploads fails uploads on the first connection, and none on others.
func serveUploads(t *testing.T, u *uploads, cfg *tls.Config, fail func(p *peer, n int, up *upload, ended bool) (bool, bool)) *wiretest.Server {
	over1 := wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		u.began(r.RequestURI)
		u.read(r.RequestURI, string(r.Content), true)
		u.answered(r.RequestURI)
		return wiretest.OK(string(r.Content))
	})
	over2 := peerScript([]http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: 100}}, func(p *peer) {
		if p.conn.Index > 0 {
			u.peer(p, func(int, *upload, bool) (bool, bool) { return false, true })
			return
		}
		stream, _ := p.request()
		p.head(stream, true, ":status", "200")
		u.peer(p, func(n int, up *upload, ended bool) (bool, bool) { return fail(p, n, up, ended) })
	})
	return wiretest.ServeTLS(t, cfg, func(c *wiretest.Conn) {
		if c.TLS.NegotiatedProtocol == "h2" {
			over2(c)
			return
		}
		over1(c)
	})
}

// send sends all uploads at once, and gives what came of each.
func (u *uploads) send(t *testing.T, c *parley.Client) map[string]error {
	var all sync.WaitGroup
	var mu sync.Mutex
	results := map[string]error{}
	for i := range uploadsAtOnce {
		all.Go(func() {
			path := fmt.Sprintf("/%03d", i)
			body := parley.WithText(contentFor(path))
			if i%2 == 0 { // by a goroutine of its own
				body = parley.WithBody(&ownBody{parts: strings.SplitAfter(contentFor(path), " "), size: int64(len(contentFor(path)))})
			}
			resp, err := c.Post(t.Context(), path, body)
			if err == nil {
				var text string
				if text, err = resp.Text(); err == nil && text != contentFor(path) {
					err = fmt.Errorf("the answer is another's: %.60q", text)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			results[path] = err
		})
	}
	all.Wait()
	return results
}

// judge looks at what came of the uploads. again says that the server has not acted on
// those that it failed.
func (u *uploads) judge(t *testing.T, results map[string]error, again bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	require.Empty(t, u.mixed)
	require.Len(t, results, uploadsAtOnce)
	failed := 0
	for path, err := range results {
		if err == nil {
			assert.True(t, u.acted[path], path)
		} else {
			failed++
			var e *parley.Error
			require.ErrorAs(t, err, &e)
			assert.Truef(t, errors.Is(err, parley.ErrPeerClosed) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, parley.ErrUnsupportedProtocol), "%s: %v", path, err)
			assert.NotEqual(t, parley.NotSent, e.Sent, path)
		}
		most := 1
		if again {
			most = 2
		}
		assert.LessOrEqual(t, u.tries[path], most, path)
	}
	if again {
		assert.Zero(t, failed, "what the server did not act on is sent again: %v", results)
	} else {
		assert.Positive(t, failed)
	}
}
