package parley_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// waitLong is how long a server waits for what must not come.
const waitLong = 50 * time.Millisecond

// silent reports whether nothing comes for a while.
func silent(c *wiretest.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(waitLong))
	_, err := c.Reader.Peek(1)
	_ = c.SetReadDeadline(time.Time{})
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// tooLarge is the answer of a server that has enough.
const tooLarge = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\n\r\ntoo large"

var expecting = parley.WithHeader("Expect", "100-continue")

func TestExpect_theBodyGoesOnceTheServerSaysSo(t *testing.T) {
	t.Parallel()
	bodies := map[string]func() parley.RequestOption{
		"in memory": func() parley.RequestOption { return parley.WithBytes([]byte("content")) },
		"a reader":  func() parley.RequestOption { return parley.WithReader(inParts("con", "tent")) },
		"a large one": func() parley.RequestOption {
			return parley.WithBytes([]byte(strings.Repeat("content", 50_000)))
		},
	}
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := wiretest.Serve(t, func(c *wiretest.Conn) {
				head, err := c.ReadHead()
				if err != nil || !silent(c) {
					c.Say(wiretest.OK("the body came too early"))
					return
				}
				c.Say("HTTP/1.1 102 Processing\r\n\r\n")
				if !silent(c) {
					c.Say(wiretest.OK("102 is not 100"))
					return
				}
				c.Say("HTTP/1.1 100 Continue\r\n\r\n")
				req, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(head), c.Reader)))
				if err != nil {
					return
				}
				if content, err := io.ReadAll(req.Body); err == nil {
					c.Say(wiretest.OK(fmt.Sprint(len(content))))
				}
				c.Rest()
			})
			c := sessionTo(t, s, parley.WithExpectTimeout(parley.NoTimeout))
			resp, err := c.Post(t.Context(), "up", body(), expecting)
			require.NoError(t, err)
			text, err := resp.Text()
			require.NoError(t, err)
			require.Contains(t, []string{"7", "350000"}, text)
			require.Equal(t, 1, strings.Count(s.Text(), "Expect: 100-continue\r\n"))
			require.Equal(t, 1, c.Stats().Idle, "the connection is kept")
		})
	}
}

func TestExpect_withAFinalAnswerTheBodyIsNeverSent(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"417 Expectation Failed", "403 Forbidden", "302 Found", "200 OK", "204 No Content"} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			ended := make(chan struct{})
			s := wiretest.Serve(t, func(c *wiretest.Conn) {
				defer close(ended)
				if _, err := c.ReadHead(); err == nil {
					c.Say("HTTP/1.1 " + status + "\r\nContent-Length: 0\r\n\r\n")
					c.Rest()
				}
			})
			body := &ownBody{parts: []string{"never"}, size: 5}
			c := sessionTo(t, s)
			resp, err := c.Post(t.Context(), "up", parley.WithBody(body), expecting)
			require.NoError(t, err)
			require.Equal(t, status, resp.Status)
			<-ended // the connection cannot carry another request
			require.True(t, strings.HasSuffix(s.Text(), "\r\n\r\n"))
			wiretest.Eventually(t, func() bool { return body.closed.Load() == 1 }, "the body is closed")
		})
	}
}

// closingReader tells whether it was closed.
type closingReader struct {
	io.Reader
	closed atomic.Bool
}

func (r *closingReader) Close() error {
	r.closed.Store(true)
	return nil
}

func TestExpect_aReaderThatWasNotAskedForCanStillBeSent(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		if c.Index == 0 {
			if _, err := c.ReadHead(); err == nil {
				c.Say("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
			}
			return
		}
		wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string { return wiretest.OK(string(r.Content)) })(c)
	})
	c := sessionTo(t, s, parley.WithExpectTimeout(parley.NoTimeout))
	reader := &closingReader{Reader: strings.NewReader("the body")}
	req, err := c.NewRequest(http.MethodPost, "up", parley.WithReader(reader), expecting)
	require.NoError(t, err)
	resp, err := c.Send(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	require.NoError(t, resp.Close())
	require.False(t, reader.closed.Load())

	req, err = req.With(parley.WithoutHeader("Expect"))
	require.NoError(t, err)
	text, err := parley.As[string](c.Send(t.Context(), req))
	require.NoError(t, err)
	require.Equal(t, "the body", text)
	require.True(t, reader.closed.Load())

	_, err = c.Send(t.Context(), req)
	require.ErrorIs(t, err, parley.ErrBodyNotRewindable, "now it has been read")
}

func TestExpect_withoutAWordTheBodyGoesAfterAWhile(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		for range 2 {
			if _, err := c.ReadHead(); err != nil || !silent(c) {
				return
			}
			content := make([]byte, 7)
			if _, err := io.ReadFull(c.Reader, content); err != nil {
				return
			}
			c.Say(wiretest.OK(string(content)))
		}
	})
	c := sessionTo(t, s, parley.WithExpectTimeout(2*waitLong))
	for range 2 {
		start := time.Now()
		resp, err := c.Post(t.Context(), "up", parley.WithBytes([]byte("content")), expecting)
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(start), 2*waitLong)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, "content", text)
	}
	require.Equal(t, 1, s.Accepted())
}

// echoChunks is a script that answers 200 at once and sends back each chunk as it
// comes, then answers further requests.
func echoChunks(c *wiretest.Conn) {
	if _, err := c.ReadHead(); err != nil {
		return
	}
	c.Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	for {
		line, err := c.Reader.ReadString('\n')
		if err != nil {
			return
		}
		var size int
		if _, err := fmt.Sscanf(line, "%x", &size); err != nil {
			return
		}
		data := make([]byte, size+2)
		if _, err := io.ReadFull(c.Reader, data); err != nil {
			return
		}
		if !c.Say(line + string(data)) {
			return
		}
		if size == 0 {
			break
		}
	}
	wiretest.Echo()(c)
}

func TestUpload_goesOnBesideAnEarlyAnswerOf200(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, echoChunks)
	c := sessionTo(t, s)
	pr, pw := io.Pipe()
	resp, err := c.Stream(t.Context(), http.MethodPost, "up", parley.WithReader(pr))
	require.NoError(t, err)
	defer resp.Close()
	require.Equal(t, 200, resp.StatusCode)
	talk(t, pw, resp)
	_, err = c.Get(t.Context(), "next")
	require.NoError(t, err)
	require.Equal(t, 1, s.Accepted(), "the connection is reused")
}

func TestUpload_thatWaitedFor100InVainGoesOnBesideAnEarlyAnswerToo(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		head, err := c.ReadHead()
		if err != nil {
			return
		}
		if _, err := c.Reader.Peek(1); err != nil { // the body comes without a word
			return
		}
		c.Reader = bufio.NewReader(io.MultiReader(strings.NewReader(head), c.Reader))
		echoChunks(c)
	})
	c := sessionTo(t, s, parley.WithExpectTimeout(time.Millisecond))
	pr, pw := io.Pipe()
	go func() { _, _ = io.WriteString(pw, "first") }()
	resp, err := c.Stream(t.Context(), http.MethodPost, "up", parley.WithReader(pr), expecting)
	require.NoError(t, err)
	defer resp.Close()
	_, err = io.ReadFull(resp.Body, make([]byte, len("first")))
	require.NoError(t, err)
	talk(t, pw, resp)
	_, err = c.Get(t.Context(), "next")
	require.NoError(t, err)
	require.Equal(t, 1, s.Accepted())
}

// talk sends messages through a body that an answer echoes, one after the other,
// and then ends both.
func talk(t *testing.T, body *io.PipeWriter, resp *parley.Response) {
	t.Helper()
	for i := range 20 {
		text := fmt.Sprintf("message %d", i)
		_, err := io.WriteString(body, text)
		require.NoError(t, err)
		got := make([]byte, len(text))
		_, err = io.ReadFull(resp.Body, got)
		require.NoError(t, err)
		require.Equal(t, text, string(got))
	}
	require.NoError(t, body.Close())
	rest, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Empty(t, rest)
}

// endless is a body without end that counts what was read of it and notes its end.
type endless struct {
	read   atomic.Int64
	closed atomic.Int64
}

func (b *endless) Read(p []byte) (int, error) {
	if b.closed.Load() > 0 {
		return 0, errors.New("read after Close")
	}
	b.read.Add(int64(len(p)))
	return len(p), nil
}

func (b *endless) Close() error {
	b.closed.Add(1)
	return nil
}

func TestUpload_isStoppedByAnEarlyRefusal(t *testing.T) {
	t.Parallel()
	authority := wiretest.NewAuthority(t)
	for _, secure := range []bool{false, true} {
		for _, reads := range []bool{false, true} {
			t.Run(fmt.Sprintf("TLS %v, server reads on %v", secure, reads), func(t *testing.T) {
				t.Parallel()
				ended := make(chan struct{})
				script := func(c *wiretest.Conn) {
					defer close(ended)
					if _, err := c.ReadHead(); err != nil {
						return
					}
					_, _ = io.CopyN(io.Discard, c.Conn, 1<<20)
					c.Say(tooLarge)
					if reads {
						_, _ = io.Copy(io.Discard, c.Conn)
					} else {
						c.Hold()
					}
				}
				s := wiretest.Serve(t, script)
				if secure {
					s = wiretest.ServeTLS(t, authority.Server(t), script)
				}
				c := sessionTo(t, s, parley.WithTLSConfig(authority.Trusted()))
				body := &endless{}
				resp, err := c.Post(t.Context(), "up", parley.WithReader(body))
				require.NoError(t, err)
				require.Equal(t, 413, resp.StatusCode)
				text, err := resp.Text()
				require.NoError(t, err)
				require.Equal(t, "too large", text)
				require.EqualValues(t, 1, body.closed.Load())
				read := body.read.Load()
				require.Less(t, read, int64(256<<20))
				wiretest.Eventually(t, func() bool { return c.Stats().Active+c.Stats().Idle == 0 }, "the connection is closed")
				if reads {
					<-ended
				}
				require.Equal(t, read, body.read.Load(), "nothing more is read of the body")
			})
		}
	}
}

func TestUpload_anAnswerBeforeAFailedWriteIsReadEveryTime(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		if _, err := c.ReadHead(); err == nil {
			c.Say(tooLarge)
			c.Reset() // what has come since is unread
		}
	})
	c := sessionTo(t, s)
	large := make([]byte, 64<<20) // more than the kernel takes: the upload never is complete
	for i := range 200 {
		body := parley.WithBytes(large)
		if i%2 == 1 {
			body = parley.WithReader(&endless{})
		}
		resp, err := c.Post(t.Context(), "up", body)
		require.NoError(t, err, "try %d", i)
		require.Equal(t, 413, resp.StatusCode)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, "too large", text)
	}
}

// breaking is a connection whose writes fail after some bytes, though it can be
// read.
type breaking struct {
	*net.TCPConn
	left atomic.Int64
}

func (c *breaking) Write(p []byte) (int, error) {
	n := min(int64(len(p)), c.left.Load())
	c.left.Add(-n)
	if got, err := c.TCPConn.Write(p[:n]); err != nil || n == int64(len(p)) {
		return got, err
	}
	return int(n), &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
}

func breakAfter(n int64) parley.DialerFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := &breaking{TCPConn: nc.(*net.TCPConn)}
		c.left.Store(n)
		return c, nil
	}
}

func TestUpload_afterAFailedWriteThePeersWordIsReadFirst(t *testing.T) {
	t.Parallel()
	bodies := map[string]func() parley.RequestOption{
		"written with the head":   func() parley.RequestOption { return parley.WithBytes(make([]byte, 50_000)) },
		"written beside the wait": func() parley.RequestOption { return parley.WithReader(&endless{}) },
	}
	for name, body := range bodies {
		t.Run(name+", it answered", func(t *testing.T) {
			t.Parallel()
			s := wiretest.Serve(t, func(c *wiretest.Conn) {
				if _, err := c.ReadHead(); err == nil && c.Pause(waitLong) {
					c.Say(tooLarge)
					c.Rest()
				}
			})
			c := sessionTo(t, s, parley.WithDialer(breakAfter(4096)))
			resp, err := c.Post(t.Context(), "up", body())
			require.NoError(t, err)
			require.Equal(t, 413, resp.StatusCode)
			require.Zero(t, c.Stats().Idle, "the connection is not used again")
		})
		t.Run(name+", it closed", func(t *testing.T) {
			t.Parallel()
			s := wiretest.Serve(t, func(c *wiretest.Conn) {
				_, _ = c.ReadHead()
				c.Pause(waitLong)
			})
			c := sessionTo(t, s, parley.WithDialer(breakAfter(4096)))
			_, err := c.Post(t.Context(), "up", body())
			requireWriteFailed(t, err)
		})
		t.Run(name+", it is silent", func(t *testing.T) {
			t.Parallel()
			s := wiretest.Serve(t, func(c *wiretest.Conn) { c.Rest() })
			c := sessionTo(t, s, parley.WithDialer(breakAfter(4096)))
			start := time.Now()
			_, err := c.Post(t.Context(), "up", body())
			requireWriteFailed(t, err)
			require.Less(t, time.Since(start), 10*time.Second, "the wait for its word is bounded")
		})
	}
}

func requireWriteFailed(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, parley.ErrWrite)
	require.ErrorIs(t, err, syscall.EPIPE)
	require.NotErrorIs(t, err, parley.ErrTimeout)
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, parley.PhaseWrite, e.Phase)
	require.Equal(t, parley.MaybeSent, e.Sent)
}

func TestUpload_endsWhenTheResponseIsClosed(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		_, _ = c.ReadHead()
		c.Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		_, _ = io.Copy(io.Discard, c.Conn)
	})
	c := sessionTo(t, s)
	body := &endless{}
	resp, err := c.Stream(t.Context(), http.MethodPost, "up", parley.WithReader(body))
	require.NoError(t, err)
	wiretest.Eventually(t, func() bool { return body.read.Load() > 1<<20 }, "the upload goes on")
	require.NoError(t, resp.Close())
	require.EqualValues(t, 1, body.closed.Load())
	require.Zero(t, c.Stats().Active+c.Stats().Idle)
}

func TestUpload_aReaderThatBlocksIsClosed(t *testing.T) {
	t.Parallel()
	refuse := func(c *wiretest.Conn) {
		if _, err := c.ReadHead(); err == nil {
			c.Say(tooLarge)
			c.Rest()
		}
	}
	t.Run("by a refusal", func(t *testing.T) {
		c := sessionTo(t, wiretest.Serve(t, refuse))
		pr, pw := io.Pipe()
		resp, err := c.Post(t.Context(), "up", parley.WithReader(pr))
		require.NoError(t, err)
		require.Equal(t, 413, resp.StatusCode)
		_, err = pw.Write([]byte("x"))
		require.ErrorIs(t, err, io.ErrClosedPipe)
	})
	t.Run("by the end of the context", func(t *testing.T) {
		c := sessionTo(t, wiretest.Serve(t, (*wiretest.Conn).Rest))
		ctx, cancel := context.WithCancel(t.Context())
		pr, pw := io.Pipe()
		time.AfterFunc(20*time.Millisecond, cancel)
		_, err := c.Post(ctx, "up", parley.WithReader(pr))
		require.ErrorIs(t, err, context.Canceled)
		_, err = pw.Write([]byte("x"))
		require.ErrorIs(t, err, io.ErrClosedPipe)
	})
	t.Run("by a peer that leaves", func(t *testing.T) {
		c := sessionTo(t, wiretest.Serve(t, func(c *wiretest.Conn) { _, _ = c.ReadHead() }))
		pr, pw := io.Pipe()
		_, err := c.Post(t.Context(), "up", parley.WithReader(pr))
		require.ErrorIs(t, err, parley.ErrPeerClosed)
		_, err = pw.Write([]byte("x"))
		require.ErrorIs(t, err, io.ErrClosedPipe)
	})
	t.Run("by the total timeout", func(t *testing.T) {
		c := sessionTo(t, wiretest.Serve(t, (*wiretest.Conn).Rest))
		pr, pw := io.Pipe()
		_, err := c.Post(t.Context(), "up", parley.WithReader(pr), parley.WithTimeout(20*time.Millisecond))
		require.ErrorIs(t, err, parley.ErrTotalTimeout)
		_, err = pw.Write([]byte("x"))
		require.ErrorIs(t, err, io.ErrClosedPipe)
	})
}

func TestUpload_aReaderThatFailsAfterTheHeadFailsTheBody(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, echoChunks)
	c := sessionTo(t, s)
	pr, pw := io.Pipe()
	resp, err := c.Stream(t.Context(), http.MethodPost, "up", parley.WithReader(pr))
	require.NoError(t, err)
	defer resp.Close()
	why := errors.New("disk on fire")
	require.NoError(t, pw.CloseWithError(why))
	_, err = io.ReadAll(resp.Body)
	require.ErrorIs(t, err, why)
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, parley.Answering, e.Sent)
	require.Zero(t, c.Stats().Idle)
}

func TestUpload_toAPeerThatStopsReading(t *testing.T) {
	t.Parallel()
	authority := wiretest.NewAuthority(t)
	servers := map[string]*wiretest.Server{
		"plain": wiretest.Serve(t, (*wiretest.Conn).Hold),
		"TLS":   wiretest.ServeTLS(t, authority.Server(t), (*wiretest.Conn).Hold),
	}
	for name, s := range servers {
		for kind, body := range map[string]parley.RequestOption{
			"bytes": parley.WithBytes(make([]byte, 64<<20)), "reader": parley.WithReader(&endless{}),
		} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				c := sessionTo(t, s, parley.WithTLSConfig(authority.Trusted()))
				limit := 100 * time.Millisecond
				_, err := c.Post(t.Context(), "up", body, parley.WithTimeouts(parley.Timeouts{Write: limit}))
				require.ErrorIs(t, err, parley.ErrWriteTimeout)
				var e *parley.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, limit, e.Limit)
				require.Equal(t, parley.PhaseWrite, e.Phase)
				require.EqualValues(t, 1, c.Stats().Timeouts[parley.PhaseWrite])
			})
		}
	}
}

func TestUpload_manyGoOverOneConnection(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"200 OK", "404 Not Found"} {
		for name, body := range map[string]func(int) parley.RequestOption{
			"chunked":   func(int) parley.RequestOption { return parley.WithReader(inParts("some ", "content")) },
			"by length": func(int) parley.RequestOption { return parley.WithReader(strings.NewReader("some content")) },
			"large":     func(int) parley.RequestOption { return parley.WithBytes(make([]byte, 70_000)) },
		} {
			t.Run(status+" "+name, func(t *testing.T) {
				n := 250
				if status == "200 OK" && name == "chunked" {
					n = 1000
				}
				s := wiretest.Serve(t, func(c *wiretest.Conn) {
					br := bufio.NewReader(c.Conn) // nothing recorded
					for {
						req, err := http.ReadRequest(br)
						if err != nil {
							return
						}
						if _, err := io.Copy(io.Discard, req.Body); err != nil {
							return
						}
						c.Say("HTTP/1.1 " + status + "\r\nContent-Length: 2\r\n\r\nok")
					}
				})
				c := sessionTo(t, s)
				for i := range n {
					resp, err := c.Post(t.Context(), "up", body(i))
					require.NoError(t, err)
					require.Equal(t, status, resp.Status)
				}
				// On a starved machine the goroutine that writes may be late to say that it has ended.
				const late = 2
				require.LessOrEqual(t, s.Accepted(), 1+late, "%v", c.Stats().Closed)
				require.GreaterOrEqual(t, c.Stats().Reuses, int64(n-1-late), "%v", c.Stats().Closed)
			})
		}
	}
}
