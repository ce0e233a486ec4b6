package parley_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// forged is what a hostile server sends behind an answer: whoever takes it for the
// answer to the next request has been poisoned.
const forged = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nEVIL!"

const chunkedLine = "Transfer-Encoding: chunked\r\n"

// head gives a head of status 200 with field lines, each with its line end.
func head(lines string) string { return "HTTP/1.1 200 OK\r\n" + lines + "\r\n" }

// serveWith starts a server, over TLS where it is asked for, and gives the options
// of a session with it.
func serveWith(t *testing.T, https bool, script func(*wiretest.Conn)) (*wiretest.Server, []parley.ClientOption) {
	t.Helper()
	if !https {
		s := wiretest.Serve(t, script)
		return s, []parley.ClientOption{parley.WithBaseURL(s.URL())}
	}
	authority := wiretest.NewAuthority(t)
	s := wiretest.ServeTLS(t, authority.Server(t), script)
	return s, []parley.ClientOption{parley.WithBaseURL(s.URL()), parley.WithTLSConfig(authority.Trusted())}
}

// bothWays runs a test over TCP and over TLS.
func bothWays(t *testing.T, test func(t *testing.T, https bool)) {
	t.Run("http", func(t *testing.T) { test(t, false) })
	t.Run("https", func(t *testing.T) { test(t, true) })
}

// poison lets the first connection answer a request with wire and, in the same
// write, with what poisons the next one; all other connections answer GOOD. It
// demands that a second request gets GOOD from a second connection, and that the
// first is closed after its one request.
func poison(t *testing.T, https bool, method, wire string) (*parley.Response, error) {
	t.Helper()
	wiretest.Guard(t, guardTime)
	ended := make(chan struct{})
	s, opts := serveWith(t, https, func(c *wiretest.Conn) {
		if c.Index > 0 {
			wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return wiretest.OK("GOOD") })(c)
			return
		}
		defer close(ended)
		if _, err := c.ReadHead(); err == nil {
			c.Say(wire)
			c.Rest()
		}
	})
	c := wireClient(t, append(opts, parley.WithPhaseTimeout(5*time.Second))...)
	resp, err := c.Request(t.Context(), method, "x")

	again, againErr := c.Get(t.Context(), "again")
	require.NoError(t, againErr)
	text, againErr := again.Text()
	require.NoError(t, againErr)
	require.Equal(t, "GOOD", text)
	require.Equal(t, 2, s.Accepted())
	<-ended
	require.Equal(t, 1, strings.Count(s.Received()[0], " HTTP/1.1\r\n"), "requests on the first connection")
	return resp, err
}

// rejects demands that an answer is an error, and that its connection ends.
func rejects(t *testing.T, wire string) {
	t.Helper()
	t.Run(name(wire), func(t *testing.T) {
		_, err := poison(t, false, "GET", wire+forged)
		requireRemote(t, err)
	})
}

// requireRemote demands the error of an answer that breaks the rules.
func requireRemote(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, parley.ErrRemoteProtocol)
	require.ErrorIs(t, err, parley.ErrProtocol)
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, parley.Answering, e.Sent)
	require.Contains(t, []parley.Phase{parley.PhaseResponse, parley.PhaseRead}, e.Phase)
	require.NotContains(t, err.Error(), "\x00")
	require.NotContains(t, err.Error(), "EVIL!")
}

// takesOnce demands that an answer has this body, and that its connection ends all the
// same, as there are bytes behind it.
func takesOnce(t *testing.T, method, wire, body string) {
	t.Helper()
	t.Run(name(method+" "+wire), func(t *testing.T) {
		resp, err := poison(t, false, method, wire+forged)
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, body, text)
	})
}

// keeps sends two requests that are both answered with wire, and says whether that
// took one connection. Both must have this body.
func keeps(t *testing.T, wire, body string) bool {
	t.Helper()
	wiretest.Guard(t, guardTime)
	s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return wire }))
	c := wireClient(t, parley.WithBaseURL(s.URL()), parley.WithPhaseTimeout(5*time.Second))
	for range 2 {
		resp, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, body, text)
	}
	return s.Accepted() == 1
}

// name makes a name for a subtest.
func name(wire string) string { return fmt.Sprintf("%.90q", wire) }

func TestS067_ChunkedWinsOverLengthAndTheConnectionEnds(t *testing.T) {
	t.Parallel()
	const body = "5\r\nhello\r\n0\r\n\r\n"
	for _, fields := range []string{"Content-Length: 3\r\n" + chunkedLine, chunkedLine + "Content-Length: 3\r\n", chunkedLine + "content-length: 5\r\n"} {
		takesOnce(t, "GET", head(fields)+body, "hello")
		t.Run("not reused", func(t *testing.T) { require.False(t, keeps(t, head(fields)+body, "hello")) })
		t.Run("the length is gone", func(t *testing.T) {
			resp, err := poison(t, false, "GET", head(fields)+body+forged)
			require.NoError(t, err)
			require.Empty(t, resp.Header["Content-Length"])
			require.Equal(t, int64(-1), resp.ContentLength)
		})
	}
	rejects(t, head("Content-Length: x\r\n"+chunkedLine)+body)
}

func TestS068_ContentLengthsMustAgree(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"3\r\nContent-Length: 5", "3, 5", "5\r\nContent-Length:", "3,", ",3", "3,,3", "3;3"} {
		rejects(t, head("Content-Length: "+value+"\r\n")+"hello")
	}
	for _, value := range []string{"3\r\nContent-Length: 3", "3, 3", "3\r\nA: b\r\ncontent-length: 3"} {
		takesOnce(t, "GET", head("Content-Length: "+value+"\r\n")+"abc", "abc")
		require.True(t, keeps(t, head("Content-Length: "+value+"\r\n")+"abc", "abc"))
	}
}

func TestS069_ContentLengthIsDigits(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"+5", "-5", "1 2", "0x5", "5_0", "٥", "5;", "", "99999999999999999999", "9223372036854775808", "5.0", "5\x0b"} {
		rejects(t, head("Content-Length: "+value+"\r\n")+"hello")
	}
	takesOnce(t, "GET", head("Content-Length: 005\r\n")+"hello", "hello")
}

func TestS070_TransferEncodingIsChunkedAlone(t *testing.T) {
	t.Parallel()
	const body = "5\r\nhello\r\n0\r\n\r\n"
	for _, value := range []string{" xchunked", " chunked, identity", " identity, chunked", " chunked, chunked", " chunked\r\nTransfer-Encoding: chunked",
		" chunked\x0b", ` "chunked"`, " \x0bchunked", "\x0bchunked", " identity", " gzip", "", " chunked;q=1"} {
		rejects(t, head("Transfer-Encoding:"+value+"\r\n")+body)
	}
	rejects(t, "HTTP/1.0 200 OK\r\n"+chunkedLine+"\r\n"+body)
	rejects(t, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"+chunkedLine+"\r\n"+body)
	takesOnce(t, "GET", head("Transfer-Encoding: Chunked\r\n")+body, "hello")
	require.True(t, keeps(t, head("Transfer-Encoding: CHUNKED\r\n")+body, "hello"))
}

func TestS071_ChunkSizesAreHexadecimalDigits(t *testing.T) {
	t.Parallel()
	for _, size := range []string{"f0000000000000003", "10000000000000000", "8000000000000000", "0x5", "+5", "-1", "5 ", " 5", "5_0", "", "g"} {
		rejects(t, head(chunkedLine)+size+"\r\nhello\r\n0\r\n\r\n")
		rejects(t, head(chunkedLine)+"3\r\nabc\r\n"+size+"\r\nhello\r\n0\r\n\r\n")
	}
}

func TestS072_SizeLinesEndWithCRLF(t *testing.T) {
	t.Parallel()
	for _, wire := range []string{"5\nhello\r\n0\r\n\r\n", "5;a=\n0\r\n\r\n", "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n", "5\r\rhello", "5;a\rb\r\nhello", "0\n\r\n"} {
		rejects(t, head(chunkedLine)+wire)
	}
	takesOnce(t, "GET", head(chunkedLine)+"5;a=b;c=\"d e\"\r\nhello\r\n0\r\n\r\n", "hello")
	require.True(t, keeps(t, head(chunkedLine)+"5;a=b;c=\"d e\"\r\nhello\r\n0;x\r\n\r\n", "hello"))
}

func TestS073_ChunkDataEndsWithCRLF(t *testing.T) {
	t.Parallel()
	for _, wire := range []string{"5\r\nhelloXX0\r\n\r\n", "5\r\nhello\n\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhello!\r\n0\r\n\r\n"} {
		rejects(t, head(chunkedLine)+wire)
		t.Run("streamed: "+name(wire), func(t *testing.T) {
			wiretest.Guard(t, guardTime)
			s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return head(chunkedLine) + wire }))
			c := wireClient(t, parley.WithBaseURL(s.URL()))
			resp, err := c.Stream(t.Context(), "GET", "x")
			require.NoError(t, err)
			got, err := io.ReadAll(resp.Body)
			require.Equal(t, "hello", string(got), "the data before the error")
			requireRemote(t, err)
			_, again := resp.Body.Read(make([]byte, 1))
			requireRemote(t, again)
			require.NoError(t, resp.Close())
		})
	}
}

func TestS074_TrailersSteerNothing(t *testing.T) {
	t.Parallel()
	wiretest.Guard(t, guardTime)
	const trailers = "Content-Length: 5\r\nSet-Cookie: a=1\r\nX-Sum: 1\r\nTransfer-Encoding: gzip\r\nLocation: http://evil.test/\r\nConnection: close\r\n"
	s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		return head(chunkedLine) + "5\r\nhello\r\n0\r\n" + trailers + "\r\n"
	}))
	c := wireClient(t, parley.WithBaseURL(s.URL()))
	for range 2 {
		resp, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, "hello", text)
		require.Equal(t, http.Header{"Transfer-Encoding": {"chunked"}}, resp.Header)
		require.Equal(t, http.Header{"X-Sum": {"1"}}, resp.Trailer)
	}
	require.Equal(t, 1, s.Accepted())
	u, err := url.Parse(s.URL())
	require.NoError(t, err)
	require.Empty(t, c.Jar().Cookies(u))
	require.NotContains(t, s.Text(), "Cookie")
	for _, section := range []string{"X-A : 1\r\n\r\n", "X-A\r\n\r\n", "X-A: 1\n\r\n", "X-A: 1\r\n folded\r\n\r\n", "X-A: a\rb\r\n\r\n", "X-A: \x00\r\n\r\n", "\n"} {
		rejects(t, head(chunkedLine)+"5\r\nhello\r\n0\r\n"+section)
	}
}

func TestS075_NamesAreTokensBeforeTheColon(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"Transfer-Encoding : chunked", "Content Length: 5", "Content\rLength: 5", ": x", "NoColon", "Content-Length\t: 5", "Ä: x"} {
		rejects(t, head(line+"\r\n")+"hello")
		rejects(t, head("Content-Length: 5\r\n"+line+"\r\n")+"hello")
	}
}

func TestS076_ALoneCRIsAnErrorAndALoneLFEndsReuse(t *testing.T) {
	t.Parallel()
	for _, fields := range []string{"A: b\rContent-Length: 5\r\n", "A: b\r\n\rX: c\r\n", "A: b\r\r\n", "A: b\r\n\r\r\n"} {
		rejects(t, head(fields))
	}
	for _, wire := range []string{"HTTP/1.1 200 OK\nA: b\nContent-Length: 5\n\nhello", "HTTP/1.1 200 OK\r\nA: b\nContent-Length: 5\r\n\r\nhello"} {
		takesOnce(t, "GET", wire, "hello")
		t.Run("not reused: "+name(wire), func(t *testing.T) { require.False(t, keeps(t, wire, "hello")) })
	}
}

func TestS077_FoldedLinesAreErrors(t *testing.T) {
	t.Parallel()
	for _, fields := range []string{" Content-Length: 5\r\n", "A: b\r\n Content-Length: 0\r\nContent-Length: 5\r\n", "A: b\r\n\tc\r\n", "\tA: b\r\n"} {
		rejects(t, head(fields)+"hello")
	}
}

func TestS078_ControlBytesAreErrors(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"X: a\x00b", "X\x00: a", "X: a\x01", "Transfer-Encoding\x00: chunked", "X: \x7f", "X: \x1b[31m"} {
		rejects(t, head(line+"\r\nContent-Length: 0\r\n"))
	}
	rejects(t, "HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n")
}

func TestS185_TheStatusLine(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"hello world", "HTTP/2.0 200 OK", "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1  200", "ICY 200 OK", "HTTP/1.1 099 x",
		"HTTP/1.1 200OK", "HTTP/1.2 200 OK", "http/1.1 200 OK", "HTTP/1.1\t200 OK", " HTTP/1.1 200 OK", "SSH-2.0-OpenSSH_9.6", "\x15\x03\x01\x00\x02\x02", ""} {
		rejects(t, line+"\r\nContent-Length: 0\r\n\r\n")
	}
	takesOnce(t, "GET", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", "ok")
	takesOnce(t, "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", "ok")
	require.True(t, keeps(t, "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", "ok"))
}

func TestS186_AnswersThatNeverHaveABody(t *testing.T) {
	t.Parallel()
	for _, fields := range []string{"Content-Length: 5\r\n", chunkedLine, chunkedLine + "Content-Length: 5\r\n"} {
		for _, tt := range []struct{ method, status string }{{"HEAD", "200 OK"}, {"GET", "204 No Content"}, {"GET", "304 Not Modified"}} {
			takesOnce(t, tt.method, "HTTP/1.1 "+tt.status+"\r\n"+fields+"\r\n", "")
			takesOnce(t, tt.method, "HTTP/1.1 "+tt.status+"\r\n"+fields+"\r\nEVIL!", "")
		}
	}
	takesOnce(t, "GET", "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok")
}

// A tunnel ends HTTP on the connection: what follows belongs to whoever asked for it.
func TestS186_ATunnelIsNeverPooled(t *testing.T) {
	t.Parallel()
	wiretest.Guard(t, guardTime)
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		if _, err := c.ReadHead(); err == nil {
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" + chunkedLine + "\r\n" + forged)
			c.Rest()
		}
	})
	c := wireClient(t, parley.WithBaseURL(s.URL()))
	resp, err := c.Stream(t.Context(), "CONNECT", "")
	require.NoError(t, err)
	got := make([]byte, len(forged))
	_, err = io.ReadFull(resp.Body, got)
	require.NoError(t, err)
	require.Equal(t, forged, string(got))
	require.NoError(t, resp.Close())
	stats := c.Stats()
	require.Zero(t, stats.Idle+stats.Active)
}

func TestS079_InformationalAnswersAreBounded(t *testing.T) {
	t.Parallel()
	const early = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
	rejects(t, strings.Repeat(early, 1000))
	rejects(t, "HTTP/1.1 100 Continue\r\n"+strings.Repeat("A: b\r\n", 2000))
	takesOnce(t, "GET", strings.Repeat(early, 8)+wiretest.OK("hello"), "hello")
	t.Run("they do not renew the response timeout", func(t *testing.T) {
		wiretest.Guard(t, guardTime)
		s := wiretest.Serve(t, func(c *wiretest.Conn) {
			if _, err := c.ReadHead(); err == nil && c.Drip(strings.Repeat(early, 8), 5*time.Millisecond) {
				c.Rest()
			}
		})
		c := wireClient(t, parley.WithBaseURL(s.URL()), parley.WithTimeouts(parley.Timeouts{Response: 100 * time.Millisecond}))
		start := time.Now()
		_, err := c.Get(t.Context(), "x")
		require.ErrorIs(t, err, parley.ErrResponseTimeout)
		require.Less(t, time.Since(start), time.Second)
	})
}

func TestS080_AFinalAnswerInPlaceOfContinue(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"200 OK", "417 Expectation Failed", "204 No Content"} {
		t.Run(status, func(t *testing.T) {
			wiretest.Guard(t, guardTime)
			ended := make(chan struct{})
			s := wiretest.Serve(t, func(c *wiretest.Conn) {
				if c.Index > 0 {
					wiretest.Echo()(c)
					return
				}
				defer close(ended)
				if _, err := c.ReadHead(); err == nil {
					c.Say("HTTP/1.1 " + status + "\r\nContent-Length: 0\r\n\r\n")
					c.Rest()
				}
			})
			c := wireClient(t, parley.WithBaseURL(s.URL()), parley.WithExpectTimeout(parley.NoTimeout))
			resp, err := c.Post(t.Context(), "x", parley.WithHeader("Expect", "100-continue"), parley.WithText("the body"))
			require.NoError(t, err)
			require.Equal(t, status, resp.Status)
			again, err := c.Get(t.Context(), "again")
			require.NoError(t, err)
			text, err := again.Text()
			require.NoError(t, err)
			require.Equal(t, "/again", text)
			require.Equal(t, 2, s.Accepted())
			<-ended
			require.NotContains(t, s.Received()[0], "the body")
			require.True(t, strings.HasSuffix(s.Received()[0], "\r\n\r\n"))
		})
	}
	t.Run("no answer: the body goes after the wait", func(t *testing.T) {
		wiretest.Guard(t, guardTime)
		s := wiretest.Serve(t, wiretest.Echo())
		c := wireClient(t, parley.WithBaseURL(s.URL()), parley.WithExpectTimeout(20*time.Millisecond))
		for range 2 {
			resp, err := c.Post(t.Context(), "x", parley.WithHeader("Expect", "100-continue"), parley.WithText("the body"))
			require.NoError(t, err)
			require.Equal(t, 200, resp.StatusCode)
		}
		require.Equal(t, 2, strings.Count(s.Text(), "\r\n\r\nthe body"))
		require.Equal(t, 1, s.Accepted(), "the message was whole, so that the connection is kept")
	})
}

func TestS084_ALimitNeverCutsInSilence(t *testing.T) {
	t.Parallel()
	wire := head(chunkedLine) + strings.Repeat("100\r\n\""+strings.Repeat("a", 254)+"\"\r\n", 16) + "0\r\n\r\n"
	read := func(how func(*parley.Response) error) func(context.Context, *parley.Client) error {
		return func(ctx context.Context, c *parley.Client) error {
			resp, err := c.Stream(ctx, "GET", "x")
			require.NoError(t, err)
			return how(resp)
		}
	}
	for name, call := range map[string]func(context.Context, *parley.Client) error{
		"a call that reads": func(ctx context.Context, c *parley.Client) error {
			_, err := c.Get(ctx, "x")
			return err
		},
		"As": func(ctx context.Context, c *parley.Client) error {
			_, err := parley.As[string](c.Stream(ctx, "GET", "x"))
			return err
		},
		"Bytes": read(func(r *parley.Response) error { _, err := r.Bytes(); return err }),
		"Text":  read(func(r *parley.Response) error { _, err := r.Text(); return err }),
		"JSON":  read(func(r *parley.Response) error { return r.JSON(new(string)) }),
		"Body":  read(func(r *parley.Response) error { _, err := io.Copy(io.Discard, r.Body); return err }),
		"Lines": read(func(r *parley.Response) error {
			for line, err := range r.Lines() {
				if err != nil {
					return err
				}
				return fmt.Errorf("a line of %d bytes although none had ended", len(line))
			}
			return nil
		}),
		"Chunks": read(func(r *parley.Response) error {
			total := 0
			for chunk, err := range r.Chunks(100) {
				if err != nil {
					require.Equal(t, 1024, total)
					return err
				}
				total += len(chunk)
			}
			return nil
		}),
		"Events": read(func(r *parley.Response) error {
			for _, err := range r.Events() {
				return err
			}
			return nil
		}),
		"JSONLines": func(ctx context.Context, c *parley.Client) error {
			for _, err := range parley.JSONLines[string](c.Stream(ctx, "GET", "x")) {
				return err
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			wiretest.Guard(t, guardTime)
			ended := make(chan struct{})
			s := wiretest.Serve(t, func(c *wiretest.Conn) {
				defer close(ended)
				if _, err := c.ReadHead(); err == nil {
					c.Say(wire)
					c.Rest()
				}
			})
			c := wireClient(t, parley.WithBaseURL(s.URL()), parley.WithMaxBodyBytes(1024))
			err := call(t.Context(), c)
			require.ErrorIs(t, err, parley.ErrBodyTooLarge)
			var e *parley.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, parley.PhaseRead, e.Phase)
			<-ended
		})
	}
}
