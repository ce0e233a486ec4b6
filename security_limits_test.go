package parley_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// heapLimit is what a hostile answer may cost in memory. Tests that measure it do
// not run in parallel with others, whose memory would count.
const heapLimit = 16 << 20

// boundedHeap demands that f, which is one request, allocates less than heapLimit, all in
// all. Decoders, with windows of some megabytes, are made for it: whether one could be
// taken out of a pool depends on the processor that a goroutine happens to be on.
func boundedHeap(t *testing.T, f func()) {
	t.Helper()
	heapWithin(t, heapLimit, f)
}

// heapWithin is boundedHeap with another limit.
func heapWithin(t *testing.T, limit int64, f func()) {
	t.Helper()
	runtime.GC() // twice, which empties the pools
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	require.Less(t, int64(after.TotalAlloc-before.TotalAlloc), limit)
}

// pouring starts a server that answers the first request of each connection with
// head and then body, and waits for the client to close.
func pouring(t *testing.T, head string, body []byte) (*wiretest.Server, chan struct{}) {
	t.Helper()
	ended := make(chan struct{}, 1000)
	return wiretest.Serve(t, func(c *wiretest.Conn) {
		if _, err := c.ReadHead(); err == nil && c.Say(head) {
			_, _ = c.Write(body) // the client need not take all of it
			c.Rest()
		}
		ended <- struct{}{}
	}), ended
}

func TestS085_ASmallBodyMayNotExpandWithoutBound(t *testing.T) {
	wiretest.Guard(t, guardTime)
	data := bombOf(t, "gzip")
	s, ended := pouring(t, head(fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n", len(data))), data)
	c := wireClient(t, parley.WithBaseURL(s.URL()))
	t.Run("read to its end", func(t *testing.T) {
		boundedHeap(t, func() {
			_, err := c.Get(t.Context(), "x", parley.WithMaxBodyBytes(1<<20))
			require.ErrorIs(t, err, parley.ErrBodyTooLarge)
		})
		<-ended
	})
	t.Run("a few bytes", func(t *testing.T) {
		start := time.Now()
		boundedHeap(t, func() {
			resp, err := c.Stream(t.Context(), "GET", "x")
			require.NoError(t, err)
			_, err = io.ReadFull(resp.Body, make([]byte, 10))
			require.NoError(t, err)
			require.NoError(t, resp.Close())
		})
		require.Less(t, time.Since(start), time.Second)
		<-ended
	})
	t.Run("streamed without a limit", func(t *testing.T) {
		boundedHeap(t, func() {
			resp, err := c.Stream(t.Context(), "GET", "x")
			require.NoError(t, err)
			_, err = io.CopyN(io.Discard, resp.Body, 32<<20)
			require.NoError(t, err)
			require.NoError(t, resp.Close())
		})
		<-ended
	})
}

func TestS086_ContentCodingsAreCounted(t *testing.T) {
	t.Parallel()
	const line = "Content-Encoding: "
	for name, lines := range map[string]string{
		"one line":       line + "gzip, gzip, gzip, gzip, gzip\r\n",
		"separate lines": strings.Repeat(line+"gzip\r\n", 5),
		"mixed":          line + "gzip, gzip\r\n" + line + "gzip\r\n" + line + "x-gzip,gzip\r\n",
		"identity":       line + strings.Repeat("identity, ", 10000) + "gzip\r\n",
		"empty members":  line + "gzip" + strings.Repeat(",", 10000) + "\r\n",
		"identity lines": strings.Repeat(line+"identity\r\n", 900),
	} {
		t.Run(name, func(t *testing.T) {
			wiretest.Guard(t, guardTime)
			// There is no body to read: the error comes before.
			s, ended := pouring(t, head(lines+"Content-Length: 100\r\n"), nil)
			c := wireClient(t, parley.WithBaseURL(s.URL()))
			_, err := c.Stream(t.Context(), "GET", "x")
			require.ErrorIs(t, err, parley.ErrDecoding)
			var e *parley.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, parley.PhaseDecode, e.Phase)
			<-ended
		})
	}
	body := "plain text"
	for n := range 5 {
		t.Run(fmt.Sprint(n, " codings"), func(t *testing.T) {
			wiretest.Guard(t, guardTime)
			wire := strings.Repeat(line+"gzip\r\n", n) + fmt.Sprintf("Content-Length: %d\r\n", len(body))
			s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return head(wire) + body }))
			c := wireClient(t, parley.WithBaseURL(s.URL()))
			for range 2 {
				resp, err := c.Get(t.Context(), "x")
				require.NoError(t, err)
				text, err := resp.Text()
				require.NoError(t, err)
				require.Equal(t, "plain text", text)
			}
			require.Equal(t, 1, s.Accepted())
		})
		body = gzipped(t, body)
	}
}

func TestS087_DrainingNeverDecodes(t *testing.T) {
	wiretest.Guard(t, guardTime)
	data := bombOf(t, "gzip")
	s, ended := pouring(t, head(fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n", len(data))), data)
	c := wireClient(t, parley.WithBaseURL(s.URL()))
	start := time.Now()
	for range 5 {
		boundedHeap(t, func() {
			resp, err := c.Stream(t.Context(), "GET", "x")
			require.NoError(t, err)
			_, err = io.ReadFull(resp.Body, make([]byte, 1))
			require.NoError(t, err)
			require.NoError(t, resp.Close())
			<-ended
		})
	}
	requireSwift(t, start)
	for _, size := range []int{1, 7, 1000, 4096} {
		resp, err := c.Stream(t.Context(), "GET", "x", parley.WithMaxBodyBytes(10_000))
		require.NoError(t, err)
		total := 0
		for p := make([]byte, size); err == nil; {
			var n int
			n, err = resp.Body.Read(p)
			total += n
		}
		require.ErrorIs(t, err, parley.ErrBodyTooLarge)
		require.Equal(t, 10_000, total, "in reads of %d", size)
		_, err = resp.Body.Read(make([]byte, 1))
		require.ErrorIs(t, err, parley.ErrBodyTooLarge, "it stays")
	}
}

func TestS088_GzipInPieces(t *testing.T) {
	t.Parallel()
	zipped := gzipped(t, "plain text")
	single := ""
	for i := range len(zipped) {
		single += "1\r\n" + zipped[i:i+1] + "\r\n"
	}
	for name, tt := range map[string]struct {
		body, want string
		fails      bool
	}{
		"chunks of a byte":        {single + "0\r\n\r\n", "plain text", false},
		"two members":             {chunk(zipped) + chunk(zipped) + "0\r\n\r\n", "plain textplain text", false},
		"an empty member between": {chunk(zipped+gzipped(t, "")+zipped) + "0\r\n\r\n", "plain textplain text", false},
		"empty members":           {chunk(strings.Repeat(gzipped(t, ""), 100)) + "0\r\n\r\n", "", false},
		"nothing":                 {"0\r\n\r\n", "", false},
		"garbage behind":          {chunk(zipped+"garbage behind it") + "0\r\n\r\n", "plain text", false},
		"zeros behind":            {chunk(zipped+strings.Repeat("\x00", 512)) + "0\r\n\r\n", "plain text", false},
		"a byte behind":           {chunk(zipped+"\x1f") + "0\r\n\r\n", "", true},
		"cut":                     {chunk(zipped[:len(zipped)-9]) + "0\r\n\r\n", "", true},
		"wrong checksum":          {chunk(zipped[:len(zipped)-8]+"\x00\x00\x00\x00"+zipped[len(zipped)-4:]) + "0\r\n\r\n", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			wiretest.Guard(t, guardTime)
			s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
				return head("Content-Encoding: gzip\r\n"+chunkedLine) + tt.body
			}))
			resp, err := wireClient(t, parley.WithBaseURL(s.URL())).Get(t.Context(), "x")
			if tt.fails {
				require.ErrorIs(t, err, parley.ErrDecoding)
				return
			}
			require.NoError(t, err)
			text, err := resp.Text()
			require.NoError(t, err)
			require.Equal(t, tt.want, text)
		})
	}
}

// chunk frames s as one chunk.
func chunk(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }

func TestS089_GzipHeadersAndMembersAreBounded(t *testing.T) {
	wiretest.Guard(t, guardTime)
	get := func(t *testing.T, body []byte) error {
		t.Helper()
		s, _ := pouring(t, head(fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n", len(body))), body)
		_, err := wireClient(t, parley.WithBaseURL(s.URL())).Get(t.Context(), "x")
		return err
	}
	empty := []byte(gzipped(t, ""))
	for name, body := range map[string][]byte{
		"100,000 empty members": bytes.Repeat(empty, 100_000),
		"a long name":           append([]byte{0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 0xff}, bytes.Repeat([]byte{'a'}, 1<<20)...),
		"a long comment":        append([]byte{0x1f, 0x8b, 8, 16, 0, 0, 0, 0, 0, 0xff}, bytes.Repeat([]byte{'a'}, 1<<20)...),
		"all flags":             append([]byte{0x1f, 0x8b, 8, 0xff, 0, 0, 0, 0, 0, 0xff}, make([]byte, 1<<20)...),
		"an unknown method":     append([]byte{0x1f, 0x8b, 7, 0, 0, 0, 0, 0, 0, 0xff}, empty[10:]...),
	} {
		t.Run(name, func(t *testing.T) {
			boundedHeap(t, func() { require.ErrorIs(t, get(t, body), parley.ErrDecoding) })
		})
	}
	t.Run("cut anywhere", func(t *testing.T) {
		// A header with every field that there is (RFC 1952, section 2.3), and a body.
		whole := []byte{0x1f, 0x8b, 8, 4 | 8 | 16, 0, 0, 0, 0, 0, 0xff, 2, 0, 'e', 'x', 'n', 0, 'c', 0}
		whole = append(whole, empty[10:]...)
		require.NoError(t, get(t, whole))
		for i := 1; i < len(whole); i++ {
			err := get(t, whole[:i])
			require.ErrorIs(t, err, parley.ErrDecoding, "cut after %d bytes", i)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			// Behind a whole member it is no less of an error.
			err = get(t, append(bytes.Clone(empty), whole[:i]...))
			require.ErrorIs(t, err, parley.ErrDecoding, "cut after %d bytes of a second member", i)
		}
	})
	t.Run("extra fields take no more than their 64 KiB", func(t *testing.T) {
		extra := []byte{0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff}
		extra = append(binary.LittleEndian.AppendUint16(extra, 0xffff), make([]byte, 0xffff)...)
		require.NoError(t, get(t, append(extra, empty[10:]...)))
	})
}

func TestS090_TheLimitHoldsForEveryWayToRead(t *testing.T) {
	wiretest.Guard(t, guardTime)
	t.Run("an announced length above the limit", func(t *testing.T) {
		s, ended := pouring(t, head("Content-Length: 4294967296\r\n"), nil)
		c := wireClient(t, parley.WithBaseURL(s.URL()), parley.WithMaxBodyBytes(1024))
		boundedHeap(t, func() {
			_, err := c.Get(t.Context(), "x")
			require.ErrorIs(t, err, parley.ErrBodyTooLarge)
			_, err = c.Stream(t.Context(), "GET", "x")
			require.ErrorIs(t, err, parley.ErrBodyTooLarge)
		})
		<-ended
		<-ended
	})
	t.Run("an announced length is not set aside", func(t *testing.T) {
		s := wiretest.Serve(t, wiretest.Answer(func(c *wiretest.Conn, _ *wiretest.Request) string {
			c.Say(head("Content-Length: 4294967296\r\n") + "a few bytes")
			return ""
		}))
		c := wireClient(t, parley.WithBaseURL(s.URL()))
		boundedHeap(t, func() {
			_, err := c.Get(t.Context(), "x")
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		})
	})
	t.Run("the limit to the byte", func(t *testing.T) {
		for _, coded := range []bool{false, true} {
			for size, fits := range map[int]bool{1024: true, 1025: false, 2048: false, 0: true} {
				body, lines := strings.Repeat("a", size), chunkedLine
				if coded {
					body, lines = gzipped(t, body), chunkedLine+"Content-Encoding: gzip\r\n"
				}
				if body != "" {
					body = chunk(body)
				}
				s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return head(lines) + body + "0\r\n\r\n" }))
				c := wireClient(t, parley.WithBaseURL(s.URL()), parley.WithMaxBodyBytes(1024))
				resp, err := c.Stream(t.Context(), "GET", "x")
				require.NoError(t, err)
				got, err := io.ReadAll(resp.Body)
				require.Len(t, got, min(size, 1024))
				_, whole := c.Get(t.Context(), "x")
				if fits {
					require.NoError(t, err)
					require.NoError(t, whole)
				} else {
					require.ErrorIs(t, err, parley.ErrBodyTooLarge)
					require.ErrorIs(t, whole, parley.ErrBodyTooLarge)
				}
			}
		}
	})
	t.Run("data URLs are none", func(t *testing.T) {
		_, err := parley.NewRequest("GET", "data:text/plain,"+strings.Repeat("a", 2048))
		require.ErrorIs(t, err, parley.ErrUnsupportedProtocol)
	})
}
