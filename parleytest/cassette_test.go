package parleytest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/har"
	"github.com/seed-0474a412/parley/parleytest"
)

// atDesk makes the environment that of a developer's machine.
func atDesk(t *testing.T) {
	t.Helper()
	t.Setenv("CI", "")
	t.Setenv(parleytest.CassetteVariable, "")
}

// tape is a cassette and the server that it is recorded from.
type tape struct {
	t    *testing.T
	path string
	cfg  parleytest.CassetteConfig
	base string
	hits atomic.Int64
	live func()
}

// newTape starts a server.
func newTape(t *testing.T, cfg parleytest.CassetteConfig, h http.HandlerFunc) *tape {
	t.Helper()
	atDesk(t)
	tp := &tape{t: t, path: filepath.Join(t.TempDir(), "sub", "tape.har"), cfg: cfg}
	server := &fakeTB{TB: t} // has an end of its own
	tp.base = parleytest.Serve(server, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tp.hits.Add(1)
		h(w, r)
	}))
	tp.live = server.end
	t.Cleanup(func() { server.end() })
	return tp
}

// run runs a test with the cassette.
func (tp *tape) run(test func(c *parleytest.Cassette, client *parley.Client), opts ...parley.ClientOption) *fakeTB {
	tp.t.Helper()
	return run(tp.t, func(tb testing.TB) {
		c := parleytest.NewCassette(tb, tp.path, tp.cfg)
		test(c, c.Client(append([]parley.ClientOption{parley.WithBaseURL(tp.base)}, opts...)...))
	})
}

// record runs a test that records, and stops the server.
func (tp *tape) record(test func(c *parleytest.Cassette, client *parley.Client), opts ...parley.ClientOption) {
	tp.t.Helper()
	require.Empty(tp.t, tp.run(test, opts...).reports)
	tp.live()
	require.NoError(tp.t, har.Check(tp.read()))
}

// replay runs a test that has to report as many things as there are words for.
func (tp *tape) replay(test func(c *parleytest.Cassette, client *parley.Client), words ...string) {
	tp.t.Helper()
	before := tp.hits.Load()
	f := tp.run(test)
	require.Equal(tp.t, before, tp.hits.Load(), "nothing goes to the network")
	require.Len(tp.t, f.reports, len(words), "%q", f.reports)
	for i, w := range words {
		require.Contains(tp.t, f.reports[i], w)
	}
}

func (tp *tape) read() []byte {
	tp.t.Helper()
	data, err := os.ReadFile(tp.path)
	require.NoError(tp.t, err)
	return data
}

// text gives the content of an answer.
func text(t *testing.T, resp *parley.Response, err error) string {
	t.Helper()
	require.NoError(t, err)
	s, err := resp.Text()
	require.NoError(t, err)
	return s
}

// counting answers with how many requests have come.
func answersByNumber() http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d %s %s %s", n.Add(1), r.Method, r.URL.RequestURI(), body)
	}
}

func TestCassette_recordsOnceAndReplays(t *testing.T) {
	gzipped := func(s string) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, s)
		_ = z.Close()
		return b.Bytes()
	}
	tp := newTape(t, parleytest.CassetteConfig{Redaction: parley.Redaction{ShowHeaders: []string{"X-Total"}}}, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/json?page=2", http.StatusFound)
		case "/json":
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("X-Total", "7")
			w.Header().Set("Link", `</json?page=3&token=s3cret>; rel="next"`)
			_, _ = w.Write(gzipped(`{"page": ` + r.URL.Query().Get("page") + "}\n"))
		case "/binary":
			_, _ = w.Write([]byte{0, 1, 0xff, '\n'})
		case "/missing":
			w.WriteHeader(http.StatusNotFound)
		case "/trailers":
			w.Header().Set("Trailer", "Etag")
			_, _ = io.WriteString(w, "first\n")
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "second\n")
			w.Header().Set("Etag", `"x"`)
		case "/empty":
			w.WriteHeader(http.StatusNoContent)
		case "/head":
			w.Header().Set("Content-Length", "1234")
		case "/echo":
			_, _ = io.Copy(w, r.Body)
		}
	})
	test := func(c *parleytest.Cassette, client *parley.Client) {
		ctx := t.Context()
		resp, err := client.Get(ctx, "moved")
		require.Equal(t, "{\"page\": 2}\n", text(t, resp, err))
		require.Len(t, resp.History, 1)
		require.Equal(t, "7", resp.Header.Get("X-Total"))
		require.Empty(t, resp.Header.Get("Content-Encoding"))
		next, ok := resp.Link("next")
		require.True(t, ok)
		require.Equal(t, "/json", next.URL.Path)
		require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
		require.NotEmpty(t, resp.Header.Get("Date"))
		require.Equal(t, "HTTP/1.1", resp.Proto)

		resp, err = client.Get(ctx, "binary")
		require.Equal(t, "\x00\x01\xff\n", func() string { b, _ := resp.Bytes(); return string(b) }(), "%v", err)

		resp, err = client.Get(ctx, "missing")
		require.NoError(t, err)
		require.Equal(t, "404 Not Found", resp.Status)
		require.Error(t, resp.Err())

		resp, err = client.Stream(ctx, "GET", "trailers")
		require.NoError(t, err)
		var lines []string
		for line, err := range resp.Lines() {
			require.NoError(t, err)
			lines = append(lines, line)
		}
		require.Equal(t, []string{"first", "second"}, lines)
		require.Equal(t, `"x"`, resp.Trailer.Get("Etag"))

		resp, err = client.Delete(ctx, "empty")
		require.Empty(t, text(t, resp, err))
		require.Equal(t, 204, resp.StatusCode)
		resp, err = client.Head(ctx, "head")
		require.Empty(t, text(t, resp, err))
		require.Equal(t, int64(1234), resp.ContentLength)

		resp, err = client.Post(ctx, "echo", parley.WithReader(struct{ io.Reader }{strings.NewReader("once")}))
		require.Equal(t, "once", text(t, resp, err))
		require.Equal(t, http.MethodPost, resp.Request.Method)
	}
	tp.record(test)
	require.Contains(t, string(tp.read()), `{\"page\": 2}`, "coded answers are kept decoded")
	require.Contains(t, string(tp.read()), `"AAH/Cg=="`, "binary ones in base64")
	require.NotContains(t, string(tp.read()), "s3cret")
	for range 2 {
		tp.replay(test)
	}
}

func TestCassette_transport(t *testing.T) {
	tp := newTape(t, parleytest.CassetteConfig{}, answersByNumber())
	for range 2 {
		f := run(t, func(tb testing.TB) {
			c := parleytest.NewCassette(tb, tp.path, tp.cfg)
			client := parleytest.NewClient(tb, parley.WithTransport(c))
			resp, err := client.Put(t.Context(), tp.base+"/a", parley.WithText("x"))
			require.Equal(t, "1 PUT /a x", text(t, resp, err))
			require.Contains(t, c.String(), "tape.har")
		})
		require.Empty(t, f.reports)
		tp.live()
	}
	require.EqualValues(t, 1, tp.hits.Load())
}

func TestCassette_isTransparentWhileRecording(t *testing.T) {
	atDesk(t)
	parleytest.TransportSuite(t, func(t *testing.T, h http.Handler) (parley.Transport, string) {
		pool, err := parley.NewPool(parley.PoolConfig{})
		require.NoError(t, err)
		t.Cleanup(func() { pool.Close() })
		tb := &fakeTB{TB: t} // the checks break things off, which a test that records must not
		t.Cleanup(tb.end)
		c := parleytest.NewCassette(tb, filepath.Join(t.TempDir(), "a.har"), parleytest.CassetteConfig{Through: pool})
		return struct {
			*parleytest.Cassette
			idleCloser
		}{c, pool}, parleytest.Serve(t, h)
	})
}

type idleCloser interface{ CloseIdle() }

func TestCassette_order(t *testing.T) {
	for _, repeat := range []bool{false, true} {
		tp := newTape(t, parleytest.CassetteConfig{Repeat: repeat}, answersByNumber())
		get := func(client *parley.Client, want string) {
			resp, err := client.Get(t.Context(), "poll")
			require.Equal(t, want+" GET /poll ", text(t, resp, err))
		}
		tp.record(func(_ *parleytest.Cassette, client *parley.Client) { get(client, "1"); get(client, "2") })
		if repeat {
			tp.replay(func(_ *parleytest.Cassette, client *parley.Client) {
				get(client, "1")
				get(client, "2")
				get(client, "2")
			})
			continue
		}
		tp.replay(func(_ *parleytest.Cassette, client *parley.Client) {
			get(client, "1")
			get(client, "2")
			_, err := client.Get(t.Context(), "poll")
			require.ErrorContains(t, err, "it has been replayed, and answers once: see CassetteConfig.Repeat")
		}, "unexpected request: GET "+tp.base+"/poll")
	}
}

func TestCassette_unused(t *testing.T) {
	tp := newTape(t, parleytest.CassetteConfig{}, answersByNumber())
	tp.record(func(_ *parleytest.Cassette, client *parley.Client) {
		for _, path := range []string{"a", "b?x=1"} {
			_, err := client.Get(t.Context(), path)
			require.NoError(t, err)
		}
	})
	test := func(c *parleytest.Cassette, client *parley.Client) {
		_, err := client.Get(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, []string{"GET " + tp.base + "/b"}, c.Unused())
	}
	tp.replay(test)
	tp.cfg.ReportUnused = true
	tp.replay(test, "nobody asked for GET "+tp.base+"/b")
}

func TestCassette_modes(t *testing.T) {
	get := func(t *testing.T, path string, ok bool) func(*parleytest.Cassette, *parley.Client) {
		return func(_ *parleytest.Cassette, client *parley.Client) {
			_, err := client.Get(t.Context(), path)
			require.Equal(t, ok, err == nil, "%v", err)
			if !ok {
				require.ErrorIs(t, err, parleytest.ErrUnexpected)
			}
		}
	}
	t.Run("CI refuses a request that was not recorded", func(t *testing.T) {
		tp := newTape(t, parleytest.CassetteConfig{Mode: parleytest.RecordMissing}, answersByNumber())
		require.Empty(t, tp.run(get(t, "a", true)).reports)
		for _, ci := range []string{"true", "1", "woodpecker"} {
			t.Setenv("CI", ci)
			for _, variable := range []string{"", "record", "missing"} {
				t.Setenv(parleytest.CassetteVariable, variable)
				tp.replay(get(t, "b", false), "nothing is recorded, as CI is set in the environment")
				tp.replay(func(c *parleytest.Cassette, client *parley.Client) {
					require.False(t, c.Records())
					get(t, "a", true)(c, client)
				})
			}
		}
		t.Setenv("CI", "false")
		t.Setenv(parleytest.CassetteVariable, "")
		require.Empty(t, tp.run(get(t, "b", true)).reports)
		require.EqualValues(t, 2, tp.hits.Load())
		t.Setenv("CI", "true")
		tp.replay(get(t, "a", true))
		tp.replay(get(t, "b", true))
	})
	t.Run("without a file", func(t *testing.T) {
		atDesk(t)
		path := filepath.Join(t.TempDir(), "none.har")
		open := func(tb testing.TB) { parleytest.NewCassette(tb, path, parleytest.CassetteConfig{}) }
		t.Setenv("CI", "true")
		reported(t, open, "none.har: there is no such file", "CI is set")
		t.Setenv("CI", "")
		t.Setenv(parleytest.CassetteVariable, "replay")
		reported(t, open, "there is no such file", "PARLEY_CASSETTE says so")
		t.Setenv(parleytest.CassetteVariable, "rewind")
		reported(t, open, `PARLEY_CASSETTE="rewind" is none of`)
		t.Setenv(parleytest.CassetteVariable, "")
		reported(t, func(tb testing.TB) {
			parleytest.NewCassette(tb, path, parleytest.CassetteConfig{Mode: parleytest.ReplayOnly})
		}, "PARLEY_CASSETTE=record records it")
		reported(t, func(tb testing.TB) { parleytest.NewCassette(tb, path, parleytest.CassetteConfig{Mode: 9}) }, "there is no CassetteMode(9)")
		reported(t, func(tb testing.TB) { parleytest.NewCassette(tb, path, parleytest.CassetteConfig{Body: 9}) }, "there is no BodyMatch(9)")
		require.Empty(t, run(t, open).reports, "a test without requests writes nothing")
		require.NoFileExists(t, path)
	})
	t.Run("the variable records anew", func(t *testing.T) {
		tp := newTape(t, parleytest.CassetteConfig{}, answersByNumber())
		require.Empty(t, tp.run(get(t, "a", true)).reports)
		t.Setenv(parleytest.CassetteVariable, "record")
		require.Empty(t, tp.run(get(t, "b", true)).reports)
		t.Setenv(parleytest.CassetteVariable, "once")
		tp.replay(get(t, "b", true))
		tp.replay(get(t, "a", false), "is not in the cassette")
	})
	t.Run("a failed test writes nothing", func(t *testing.T) {
		tp := newTape(t, parleytest.CassetteConfig{}, answersByNumber())
		f := run(t, func(tb testing.TB) {
			c := parleytest.NewCassette(tb, tp.path, tp.cfg)
			_, err := c.Client().Get(t.Context(), tp.base)
			require.NoError(t, err)
			tb.Errorf("the test fails")
		})
		require.Contains(t, strings.Join(f.logs, "\n"), "is not written, as the test has failed")
		require.NoFileExists(t, tp.path)
	})
	t.Run("what is missing is recorded with a body that can be read only once", func(t *testing.T) {
		tp := newTape(t, parleytest.CassetteConfig{Mode: parleytest.RecordMissing}, answersByNumber())
		send := func(_ *parleytest.Cassette, client *parley.Client) {
			resp, err := client.Post(t.Context(), "a", parley.WithReader(struct{ io.Reader }{strings.NewReader("once")}))
			require.Equal(t, "1 POST /a once", text(t, resp, err))
		}
		require.Empty(t, tp.run(send).reports)
		tp.replay(send)
	})
}

func TestCassette_whatFailsIsNotRecorded(t *testing.T) {
	atDesk(t)
	f := &fakeTB{TB: t}
	server := parleytest.NewFaultServer(f, parleytest.Respond(200, "fine"), parleytest.SayAndClose("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), parleytest.SayAndClose(""))
	path := filepath.Join(t.TempDir(), "a.har")
	test := func(c *parleytest.Cassette) {
		client := c.Client(parley.WithBaseURL(server.URL()))
		resp, err := client.Get(t.Context(), "fine")
		require.Equal(t, "fine", text(t, resp, err))
		for _, path := range []string{"half", "none"} {
			_, err = client.Get(t.Context(), path, parley.WithHeader("Connection", "close"))
			require.ErrorIs(t, err, parley.ErrNetwork)
		}
	}
	rec := run(t, func(tb testing.TB) { test(parleytest.NewCassette(tb, path, parleytest.CassetteConfig{})) })
	f.end()
	require.Empty(t, rec.reports)
	logs := strings.Join(rec.logs, "\n")
	require.Contains(t, logs, "/half is not recorded: reading its answer failed")
	require.Contains(t, logs, "/none is not recorded: it failed")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(data), `"request":`))
}

func TestCassette_openAnswers(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	h := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "beginning\n")
		_ = http.NewResponseController(w).Flush()
		if r.URL.Path == "/endless" {
			select {
			case <-r.Context().Done():
			case <-release:
			}
		}
		_, _ = io.WriteString(w, strings.Repeat("x", 1<<17))
	}
	stream := func(path string, then func(*parley.Response)) func(*parleytest.Cassette, *parley.Client) {
		return func(_ *parleytest.Cassette, client *parley.Client) {
			resp, err := client.Stream(t.Context(), "GET", path)
			require.NoError(t, err)
			then(resp)
		}
	}
	first := func(resp *parley.Response) {
		_, err := io.ReadFull(resp.Body, make([]byte, 10))
		require.NoError(t, err)
		require.NoError(t, resp.Close())
	}
	t.Run("one that is closed early is read to its end", func(t *testing.T) {
		tp := newTape(t, parleytest.CassetteConfig{}, h)
		tp.record(stream("a", first))
		tp.replay(stream("a", func(resp *parley.Response) {
			b, err := resp.Bytes()
			require.NoError(t, err)
			require.Len(t, b, 10+1<<17)
		}))
	})
	t.Run("one without an end is reported", func(t *testing.T) {
		tp := newTape(t, parleytest.CassetteConfig{}, h)
		f := tp.run(stream("endless", first))
		require.Len(t, f.reports, 1)
		require.Contains(t, f.reports[0], "/endless: its answer was closed before its end")
		require.NoFileExists(t, tp.path)
	})
	t.Run("one that is never closed is reported", func(t *testing.T) {
		tp := newTape(t, parleytest.CassetteConfig{}, h)
		f := tp.run(stream("a", func(*parley.Response) {}))
		require.Contains(t, strings.Join(f.reports, "\n"), "/a: its answer was neither read to its end nor closed")
		require.NoFileExists(t, tp.path)
	})
	t.Run("one that is cancelled is none", func(t *testing.T) {
		tp := newTape(t, parleytest.CassetteConfig{}, h)
		f := tp.run(func(_ *parleytest.Cassette, client *parley.Client) {
			ctx, cancel := context.WithCancel(t.Context())
			resp, err := client.Stream(ctx, "GET", "endless")
			require.NoError(t, err)
			cancel()
			_, err = io.ReadAll(resp.Body)
			require.ErrorIs(t, err, context.Canceled)
			resp.Close()
		})
		require.Empty(t, f.reports)
		require.NoFileExists(t, tp.path)
	})
}

func TestCassette_bounds(t *testing.T) {
	for _, row := range []struct {
		name   string
		cfg    parleytest.CassetteConfig
		send   int
		answer int
		zip    bool
		words  string
	}{
		{"an answer", parleytest.CassetteConfig{MaxBodyBytes: 1000}, 1, 1001, false, "the body of the answer is larger than 1000 bytes: see CassetteConfig.MaxBodyBytes"},
		{"an answer, decoded", parleytest.CassetteConfig{MaxBodyBytes: 1000}, 1, 1001, true, "the body of the answer is larger than 1000 bytes"},
		{"a request", parleytest.CassetteConfig{MaxBodyBytes: 1000}, 1001, 1, false, "the body of the request is larger than 1000 bytes"},
		{"the file", parleytest.CassetteConfig{MaxBytes: 1000}, 1, 900, false, "it would be larger than 1000 bytes: see CassetteConfig.MaxBytes"},
		{"all of it", parleytest.CassetteConfig{MaxBytes: 1000}, 900, 900, false, "the bodies of all requests and answers together are too large: see CassetteConfig.MaxBytes"},
		{"nothing", parleytest.CassetteConfig{MaxBodyBytes: 1000}, 1000, 1000, true, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			tp := newTape(t, row.cfg, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				var out io.Writer = w
				if row.zip {
					w.Header().Set("Content-Encoding", "gzip")
					z := gzip.NewWriter(w)
					defer z.Close()
					out = z
				}
				_, _ = io.WriteString(out, strings.Repeat("x", row.answer))
			})
			f := tp.run(func(_ *parleytest.Cassette, client *parley.Client) {
				resp, err := client.Post(t.Context(), "a", parley.WithText(strings.Repeat("y", row.send)))
				require.Len(t, text(t, resp, err), row.answer, "the program gets all of it")
			})
			if row.words == "" {
				require.Empty(t, f.reports)
				return
			}
			require.Len(t, f.reports, 1)
			require.Contains(t, f.reports[0], row.words)
			require.NoFileExists(t, tp.path)
		})
	}
}

// A server may answer before it has seen the body.
func TestCassette_earlyAnswers(t *testing.T) {
	atDesk(t)
	path := filepath.Join(t.TempDir(), "a.har")
	refuses := parley.TransportFunc(func(_ context.Context, req *parley.Request) (*parley.Response, error) {
		return &parley.Response{StatusCode: 413, Status: "413 Too Large", Proto: "HTTP/1.1", Header: http.Header{}, Body: http.NoBody, Request: req}, nil
	})
	once := func(s string) parley.RequestOption {
		return parley.WithReader(struct{ io.Reader }{strings.NewReader(s)})
	}
	test := func(last parley.RequestOption, ok bool) *fakeTB {
		return run(t, func(tb testing.TB) {
			c := parleytest.NewCassette(tb, path, parleytest.CassetteConfig{Through: refuses})
			for i, body := range []parley.RequestOption{parley.WithText("again and again"), once("once"), last} {
				resp, err := c.Send(t.Context(), mustRequest(t, "POST", fmt.Sprintf("http://a.test/%d", i), body))
				require.Equal(t, ok || i < 2, err == nil, "%v", err)
				if err == nil {
					require.Equal(t, "413 Too Large", resp.Status)
					require.NoError(t, resp.Close())
				}
			}
		})
	}
	require.Empty(t, test(parley.WithText("x"), true).reports)
	require.Empty(t, test(parley.WithText("x"), true).reports)
	f := test(parley.WithText("y"), false)
	require.Len(t, f.reports, 1)
	require.Contains(t, f.reports[0], `the body is "y", was "x"`, "what can be read again is whole in the file")
}

func TestCassette_concurrently(t *testing.T) {
	tp := newTape(t, parleytest.CassetteConfig{ReportUnused: true}, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Query().Get("n")) })
	test := func(c *parleytest.Cassette, client *parley.Client) {
		var wg sync.WaitGroup
		for n := range 8 {
			wg.Go(func() {
				for i := range 16 {
					resp, err := client.Post(t.Context(), fmt.Sprintf("a?n=%d", n), parley.WithJSON(i))
					s, textErr := "", error(nil)
					if err == nil {
						s, textErr = resp.Text()
					}
					if err = errors.Join(err, textErr); err != nil || s != fmt.Sprint(n) {
						t.Errorf("%d: %q %v", n, s, err)
					}
					_, _ = c.Unused(), c.String()
				}
			})
		}
		wg.Wait()
	}
	tp.record(test)
	tp.replay(test)
}

func TestCassette_expiry(t *testing.T) {
	tp := newTape(t, parleytest.CassetteConfig{}, answersByNumber())
	get := func(_ *parleytest.Cassette, client *parley.Client) {
		_, err := client.Get(t.Context(), "a")
		require.NoError(t, err)
	}
	tp.record(get)
	tp.cfg.MaxAge = time.Hour
	require.Empty(t, tp.run(get).logs)
	old := time.Now().UTC().Add(-2 * time.Hour).Truncate(time.Second)
	archive, err := har.Decode(bytes.NewReader(tp.read()), 1<<20)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), *archive.Log.Recorded, time.Minute)
	archive.Log.Recorded = &old
	var b bytes.Buffer
	require.NoError(t, har.Encode(&b, archive))
	require.NoError(t, os.WriteFile(tp.path, b.Bytes(), 0o600))
	f := tp.run(get)
	require.Empty(t, f.reports)
	require.Len(t, f.logs, 1)
	require.Contains(t, f.logs[0], "was recorded on "+old.Format(time.DateOnly)+", more than 1h0m0s ago; PARLEY_CASSETTE=record records it anew")
	tp.cfg.FailExpired = true
	tp.replay(get, "was recorded on "+old.Format(time.DateOnly))
}
