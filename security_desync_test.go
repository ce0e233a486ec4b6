package parley_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// getsTwo sends a further request and demands that it goes to a second connection.
func getsTwo(t *testing.T, s *wiretest.Server, c *parley.Client) {
	t.Helper()
	resp, err := c.Get(t.Context(), "two")
	require.NoError(t, err)
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "TWO", text)
	require.Equal(t, 2, s.Accepted())
	require.NotContains(t, s.Received()[0], "GET /two")
	require.True(t, strings.HasPrefix(s.Received()[1], "GET /two HTTP/1.1\r\n"))
}

func TestS081_AnInterruptedRequestLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	timeout := func(d parley.Timeouts) func(context.Context, *parley.Client) error {
		return func(ctx context.Context, c *parley.Client) error {
			_, err := c.Get(ctx, "one", parley.WithTimeouts(d))
			return err
		}
	}
	const short = 30 * time.Millisecond
	for name, tt := range map[string]struct {
		early, late string // what the server says before and after the request has failed
		call        func(context.Context, *parley.Client) error
		want        error
	}{
		"context's deadline": {"", wiretest.OK("ONE"), func(ctx context.Context, c *parley.Client) error {
			ctx, cancel := context.WithTimeout(ctx, short)
			defer cancel()
			_, err := c.Get(ctx, "one")
			return err
		}, context.DeadlineExceeded},
		"cancelled": {"", wiretest.OK("ONE"), func(ctx context.Context, c *parley.Client) error {
			ctx, cancel := context.WithCancel(ctx)
			defer time.AfterFunc(short, cancel).Stop()
			_, err := c.Get(ctx, "one")
			return err
		}, context.Canceled},
		"total timeout":      {"", wiretest.OK("ONE"), timeout(parley.Timeouts{Total: short}), parley.ErrTotalTimeout},
		"response timeout":   {"", wiretest.OK("ONE"), timeout(parley.Timeouts{Response: short}), parley.ErrResponseTimeout},
		"within the head":    {"HTTP/1.1 200 OK\r\nContent-", "Length: 3\r\n\r\nONE", timeout(parley.Timeouts{Response: short}), parley.ErrResponseTimeout},
		"read timeout":       {head("Content-Length: 6\r\n") + "ONE", "ONE" + forged, timeout(parley.Timeouts{Read: short}), parley.ErrReadTimeout},
		"total, in the body": {head("Content-Length: 6\r\n") + "ONE", "ONE" + forged, timeout(parley.Timeouts{Total: short}), parley.ErrTotalTimeout},
		"cancelled in the body": {head("Content-Length: 6\r\n") + "ONE", "ONE" + forged, func(ctx context.Context, c *parley.Client) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			resp, err := c.Stream(ctx, "GET", "one")
			if err != nil {
				return err
			}
			if _, err := io.ReadFull(resp.Body, make([]byte, 3)); err != nil {
				return err
			}
			cancel()
			_, err = resp.Bytes()
			return err
		}, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, https bool) {
				wiretest.Guard(t, guardTime)
				failed, said := make(chan struct{}), make(chan struct{})
				s, opts := serveWith(t, https, func(c *wiretest.Conn) {
					if c.Index > 0 {
						wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return wiretest.OK("TWO") })(c)
						return
					}
					defer close(said)
					if _, err := c.ReadHead(); err != nil || !c.Say(wiretest.OK("WARM")) {
						return
					}
					if _, err := c.ReadHead(); err != nil || !c.Say(tt.early) {
						return
					}
					<-failed
					c.Say(tt.late) // the connection may be gone already
					c.Rest()
				})
				c := wireClient(t, opts...)
				_, err := c.Get(t.Context(), "warm") // a handshake could outlast the short limits
				require.NoError(t, err)
				err = tt.call(t.Context(), c)
				require.ErrorIs(t, err, tt.want)
				close(failed)
				<-said
				getsTwo(t, s, c)
			})
		})
	}
}

// A hundred callers give up at random moments; whoever gets an answer gets its own.
func TestS081_ACrowdThatGivesUpNeverMixesAnswers(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, https bool) {
		wiretest.Guard(t, guardTime)
		s, opts := serveWith(t, https, wiretest.Answer(func(c *wiretest.Conn, r *wiretest.Request) string {
			answer := wiretest.OK(r.RequestURI)
			cut := rand.IntN(len(answer))
			if !c.Say(answer[:cut]) || !c.Pause(time.Duration(rand.IntN(6000))*time.Microsecond) {
				return ""
			}
			return answer[cut:]
		}))
		c := wireClient(t, append(opts, parley.WithPoolLimits(parley.PoolLimits{Hard: 20}))...)
		var running sync.WaitGroup
		answers := make(chan string, 1000)
		for i := range 100 {
			running.Go(func() {
				for j := range 5 {
					path := fmt.Sprintf("/%d-%d", i, j)
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(2000+rand.IntN(40000))*time.Microsecond)
					if resp, err := c.Get(ctx, path); err == nil {
						text, _ := resp.Text()
						answers <- path + " " + text
					}
					cancel()
				}
			})
		}
		running.Wait()
		close(answers)
		for a := range answers {
			asked, got, _ := strings.Cut(a, " ")
			require.Equal(t, asked, got)
		}
		// The pool has come through it.
		resp, err := c.Get(t.Context(), "after")
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, "/after", text)
		require.LessOrEqual(t, c.Stats().Idle, 20)
		require.NotZero(t, s.Accepted())
	})
}

func TestS082_WhatComesUnaskedIsNoAnswer(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 100<<10) // passes every buffer by
	for name, say := range map[string]func(c *wiretest.Conn) bool{
		"in one write":        func(c *wiretest.Conn) bool { return c.Say(wiretest.OK("ONE") + forged) },
		"in two writes":       func(c *wiretest.Conn) bool { return c.Say(wiretest.OK("ONE")) && c.Say(forged) },
		"one byte":            func(c *wiretest.Conn) bool { return c.Say(wiretest.OK("ONE") + "\n") },
		"behind a large body": func(c *wiretest.Conn) bool { return c.Say(wiretest.OK(large) + forged) },
		"behind chunks":       func(c *wiretest.Conn) bool { return c.Say(head(chunkedLine) + "3\r\nONE\r\n0\r\n\r\n" + forged) },
		"behind no body":      func(c *wiretest.Conn) bool { return c.Say("HTTP/1.1 204 No Content\r\n\r\n" + forged) },
		"while idle": func(c *wiretest.Conn) bool {
			return c.Say(wiretest.OK("ONE")) && c.Pause(50*time.Millisecond) && c.Say(forged)
		},
		"the end while idle": func(c *wiretest.Conn) bool {
			return c.Say(wiretest.OK("ONE")) && c.Pause(20*time.Millisecond) && c.Close() == nil
		},
		"the end beneath TLS": func(c *wiretest.Conn) bool { c.Say(wiretest.OK("ONE")); c.Cut(); return true },
		"a reset while idle": func(c *wiretest.Conn) bool {
			if !c.Say(wiretest.OK("ONE")) || !c.Pause(20*time.Millisecond) {
				return false
			}
			c.Reset()
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, https bool) {
				wiretest.Guard(t, guardTime)
				said := make(chan bool, 1)
				s, opts := serveWith(t, https, func(c *wiretest.Conn) {
					if c.Index > 0 {
						wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return wiretest.OK("TWO") })(c)
						return
					}
					if _, err := c.ReadHead(); err != nil {
						said <- false
						return
					}
					said <- say(c)
					c.Rest()
				})
				c := wireClient(t, opts...)
				resp, err := c.Get(t.Context(), "one")
				require.NoError(t, err)
				text, err := resp.Text()
				require.NoError(t, err)
				require.NotContains(t, text, "EVIL!")
				require.True(t, <-said)
				getsTwo(t, s, c)
				require.Zero(t, c.Stats().Replays, "no request was written to the bad connection")
			})
		})
	}
}

// gzipped gives text compressed.
func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.String()
}

func TestS083_ABodyCutShortIsAnError(t *testing.T) {
	t.Parallel()
	random := make([]byte, 4<<10)
	for i := range random {
		random[i] = byte(rand.UintN(256))
	}
	zipped := gzipped(t, string(random))
	half := zipped[:len(zipped)/2]
	coded := "Content-Encoding: gzip\r\n"
	for name, tt := range map[string]struct {
		wire string
		want error
	}{
		"length":                     {head("Content-Length: 10\r\n") + "four", parley.ErrRead},
		"length, nothing":            {head("Content-Length: 10\r\n"), parley.ErrRead},
		"no last chunk":              {head(chunkedLine) + "5\r\nhello\r\n", parley.ErrRead},
		"within a chunk":             {head(chunkedLine) + "5\r\nhel", parley.ErrRead},
		"within a size line":         {head(chunkedLine) + "5\r\nhello\r\n5", parley.ErrRead},
		"no end of the trailers":     {head(chunkedLine) + "5\r\nhello\r\n0\r\n", parley.ErrRead},
		"within a trailer":           {head(chunkedLine) + "5\r\nhello\r\n0\r\nX: 1\r\n", parley.ErrRead},
		"gzip, whole by its length":  {head(coded+fmt.Sprintf("Content-Length: %d\r\n", len(half))) + half, parley.ErrDecoding},
		"gzip, whole by the close":   {head(coded) + half, parley.ErrDecoding},
		"gzip, without its checksum": {head(coded+fmt.Sprintf("Content-Length: %d\r\n", len(zipped)-4)) + zipped[:len(zipped)-4], parley.ErrDecoding},
		"gzip, cut by the close":     {head(coded+fmt.Sprintf("Content-Length: %d\r\n", len(zipped))) + half, parley.ErrRead},
		"gzip in chunks, cut":        {head(coded+chunkedLine) + fmt.Sprintf("%x\r\n%s\r\n", len(half), half), parley.ErrRead},
	} {
		t.Run(name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, https bool) {
				wiretest.Guard(t, guardTime)
				_, opts := serveWith(t, https, wiretest.Answer(func(c *wiretest.Conn, _ *wiretest.Request) string {
					c.Say(tt.wire)
					return ""
				}))
				c := wireClient(t, opts...)
				resp, err := c.Get(t.Context(), "x")
				require.Nil(t, resp)
				requireCut(t, err, tt.want)

				resp, err = c.Stream(t.Context(), "GET", "x")
				require.NoError(t, err)
				_, err = io.ReadAll(resp.Body)
				requireCut(t, err, tt.want)
				_, err = resp.Bytes()
				require.Error(t, err, "the error stays")
				require.NoError(t, resp.Close())
				if tt.want == parley.ErrRead { // else the message was whole, if not its content
					require.Zero(t, c.Stats().Idle)
				}
			})
		})
	}
}

// requireCut demands the error of a body that ended too early.
func requireCut(t *testing.T, err, want error) {
	t.Helper()
	require.ErrorIs(t, err, want)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, parley.Answering, e.Sent)
}

// Where nothing but the close ends a body, only its manner tells a whole one. As
// crypto/tls does, and net/http with it, the end of a TLS connection is taken without
// a close_notify too, but not within a record.
func TestS083_WhereTheCloseEndsTheBodyAResetIsAnError(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*wiretest.Conn){
		"closed": func(c *wiretest.Conn) { _ = c.Close() },
		"cut":    (*wiretest.Conn).Cut,
		"reset":  (*wiretest.Conn).Reset,
	} {
		t.Run(name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, https bool) {
				wiretest.Guard(t, guardTime)
				_, opts := serveWith(t, https, func(c *wiretest.Conn) {
					if _, err := c.ReadHead(); err == nil && c.Say(head("")+"to the end") && c.Pause(20*time.Millisecond) {
						end(c)
					}
				})
				c := wireClient(t, opts...)
				resp, err := c.Get(t.Context(), "x")
				if name != "reset" {
					require.NoError(t, err)
					text, err := resp.Text()
					require.NoError(t, err)
					require.Equal(t, "to the end", text)
					return
				}
				require.ErrorIs(t, err, parley.ErrRead)
				require.Nil(t, resp)
			})
		})
	}
	t.Run("cut within a TLS record", func(t *testing.T) {
		wiretest.Guard(t, guardTime)
		_, opts := serveWith(t, true, func(c *wiretest.Conn) {
			if _, err := c.ReadHead(); err != nil || !c.Say(head("")+"to the end") {
				return
			}
			// The beginning of a record of application data (RFC 8446, section 5.1).
			if _, err := c.Conn.(*tls.Conn).NetConn().Write([]byte{23, 3, 3, 0, 100, 1, 2, 3}); err == nil {
				c.Cut()
			}
		})
		resp, err := wireClient(t, opts...).Get(t.Context(), "x")
		requireCut(t, err, parley.ErrRead)
		require.Nil(t, resp)
	})
	t.Run("a length is enough", func(t *testing.T) {
		wiretest.Guard(t, guardTime)
		_, opts := serveWith(t, true, func(c *wiretest.Conn) {
			if _, err := c.ReadHead(); err == nil && c.Say(wiretest.OK("whole")) {
				c.Cut()
			}
		})
		resp, err := wireClient(t, opts...).Get(t.Context(), "x")
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, "whole", text)
	})
}
