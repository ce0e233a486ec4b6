package parley_test

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// hostile is a body and what stands in Content-Encoding.
type hostile struct{ encoding, body string }

// bombs are bodies of at most 1 MiB that expand to 1 GiB: in each coding, and in each
// once more in another.
func bombs(t *testing.T) map[string]hostile {
	t.Helper()
	all := map[string]hostile{}
	outer := map[string]string{"gzip": "gzip", "deflate": "br", "raw": "zstd", "br": "deflate", "zstd": "raw"}
	for inner, name := range outer {
		bomb := string(bombOf(t, inner))
		require.Less(t, len(bomb), 11<<17)
		all[inner] = hostile{nameOf(inner), bomb}
		all[inner+" in "+name] = hostile{nameOf(inner) + ", " + nameOf(name), coded(t, name, bomb)}
	}
	return all
}

// readers are the ways to read a body of any length.
var readers = map[string]func(r *parley.Response) (total int64, err error){
	"Body": func(r *parley.Response) (int64, error) { return io.Copy(io.Discard, r.Body) },
	"small reads": func(r *parley.Response) (total int64, err error) {
		for p := make([]byte, 700); err == nil; {
			var n int
			n, err = r.Body.Read(p)
			total += int64(n)
		}
		return total, err
	},
	"Chunks": func(r *parley.Response) (total int64, failed error) {
		for piece, err := range r.Chunks(10_000) {
			total, failed = total+int64(len(piece)), err
		}
		return total, failed
	},
	"Bytes": func(r *parley.Response) (int64, error) { b, err := r.Bytes(); return int64(len(b)), err },
	"Text":  func(r *parley.Response) (int64, error) { text, err := r.Text(); return int64(len(text)), err },
	"JSON":  func(r *parley.Response) (int64, error) { return 0, r.JSON(new(any)) },
	"Lines": func(r *parley.Response) (total int64, failed error) {
		for line, err := range r.Lines() {
			total, failed = total+int64(len(line)), err
		}
		return total, failed
	},
}

func TestS085_NoCodingMayExpandWithoutBound(t *testing.T) {
	for name, bomb := range bombs(t) {
		t.Run(name, func(t *testing.T) {
			wiretest.Guard(t, guardTime)
			c := codedSession(t, bomb.encoding, reading(bomb.body))
			start := time.Now()
			boundedHeap(t, func() {
				_, err := c.Get(t.Context(), "x", parley.WithMaxBodyBytes(1<<20))
				require.ErrorIs(t, err, parley.ErrBodyTooLarge)
			})
			for range 10 {
				boundedHeap(t, func() {
					resp, err := c.Stream(t.Context(), "GET", "x")
					require.NoError(t, err)
					_, err = io.ReadFull(resp.Body, make([]byte, 10))
					require.NoError(t, err)
					require.NoError(t, resp.Close())
				})
			}
			requireSwift(t, start)
			boundedHeap(t, func() {
				resp, err := c.Stream(t.Context(), "GET", "x")
				require.NoError(t, err)
				_, err = io.CopyN(io.Discard, resp.Body, 16<<20)
				require.NoError(t, err)
				require.NoError(t, resp.Close())
			})
		})
	}
}

// nothings are bodies that hold as much as one likes, and no content.
func nothings(t *testing.T) map[string]hostile {
	t.Helper()
	const much = 6 << 20
	empty := coded(t, "gzip", "")
	return map[string]hostile{
		"blocks of no length": {"deflate", strings.Repeat("\x00\x00\x00\xff\xff", much/5)},
		"metadata":            {"br", "\x0c" + strings.Repeat("\x06", much)},
		"skippable frames":    {"zstd", strings.Repeat("\x50\x2a\x4d\x18\x00\x00\x00\x00", much/8)},
		"a skippable frame":   {"zstd", "\x50\x2a\x4d\x18\xff\xff\xff\x00" + strings.Repeat("\x00", much)},
		"padding":             {"gzip", empty + strings.Repeat("\x00", much)},
		"members":             {"gzip", strings.Repeat(empty, much/len(empty))},
		"a name":              {"gzip", "\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\xff" + strings.Repeat("a", much)},
	}
}

func TestS085_StackedCodingsMayNotMakeMuchOfNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("with the race detector pools forget on purpose, and what is skipped goes through one")
	}
	for name, nothing := range nothings(t) {
		_, err := codedSession(t, nothing.encoding, reading(nothing.body)).Get(t.Context(), "x")
		require.ErrorIs(t, err, parley.ErrDecoding, name)
		body := coded(t, "zstd", nothing.body)
		require.Less(t, len(body), len(nothing.body)/100)
		c := codedSession(t, nothing.encoding+", zstd", reading(body))
		start := time.Now()
		boundedHeap(t, func() {
			_, err := c.Get(t.Context(), "x")
			require.ErrorIs(t, err, parley.ErrDecoding, name)
		})
		requireSwift(t, start)
	}
}

// What lies between stacked codings is bounded with the content that it is coded from.
func TestS085_TheLimitHoldsBetweenStackedCodings(t *testing.T) {
	t.Parallel()
	member := coded(t, "gzip", "a")
	wide := member[:3] + "\x04" + member[4:10] + "\xff\xff" + strings.Repeat("\x00", 0xffff) + member[10:] // 64 KiB for a byte
	c := codedSession(t, "gzip, zstd", reading(coded(t, "zstd", strings.Repeat(wide, 50))))
	_, err := c.Get(t.Context(), "x", parley.WithMaxBodyBytes(50))
	require.ErrorIs(t, err, parley.ErrBodyTooLarge)
	require.Len(t, textOf(t, c, "x"), 50, "without a limit it is an odd way to write it")
	for _, inner := range []string{"gzip", "deflate", "br", "zstd"} {
		noise := randomText(1 << 20)
		c := codedSession(t, inner+", gzip", reading(coded(t, "gzip", coded(t, inner, noise))))
		require.Equal(t, noise, textOf(t, c, "x", parley.WithMaxBodyBytes(1<<20)), "what cannot be made shorter")
	}
}

func TestS086_StackedCodingsOfAllKindsAreCounted(t *testing.T) {
	t.Parallel()
	for _, encoding := range []string{"br, br, br, br, br", "gzip, deflate, br, zstd, gzip", "zstd,,,,", "identity, deflate, identity, br, zstd"} {
		read := false
		c := codedSession(t, encoding, func() io.Reader {
			return readerFunc(func([]byte) (int, error) { read = true; return 0, io.EOF })
		})
		_, err := c.Get(t.Context(), "x")
		require.ErrorIs(t, err, parley.ErrDecoding, encoding)
		require.False(t, read, "before anything is read")
	}
}

// randomText gives n letters that cannot be made much shorter.
func randomText(n int) string {
	random := make([]byte, n)
	for i := range random {
		random[i] = byte(rand.UintN(128))
	}
	return string(random)
}

func TestS087_DrainingDecodesNothingInAnyCoding(t *testing.T) {
	wiretest.Guard(t, guardTime)
	for name := range encoders {
		data := bombOf(t, name)
		s, ended := pouring(t, head(fmt.Sprintf("Content-Encoding: %s\r\nContent-Length: %d\r\n", nameOf(name), len(data)+1)), data)
		c := wireClient(t, parley.WithBaseURL(s.URL()))
		start := time.Now()
		for range 3 {
			boundedHeap(t, func() {
				resp, err := c.Stream(t.Context(), "GET", "x")
				require.NoError(t, err)
				_, err = io.ReadFull(resp.Body, make([]byte, 1))
				require.NoError(t, err)
				require.NoError(t, resp.Close())
				<-ended
			})
		}
		requireSwift(t, start, name)
	}
}

func TestS088_NoDecoderIsAskedForEver(t *testing.T) {
	t.Parallel()
	for name := range encoders {
		whole, none := coded(t, name, "plain text"), coded(t, name, "")
		single := ""
		for i := range len(whole) {
			single += chunk(whole[i : i+1])
		}
		for what, tt := range map[string]struct {
			chunks, want string
			fails        bool
		}{
			"chunks of a byte":        {single, "plain text", false},
			"nothing":                 {"", "", false},
			"no content":              {chunk(none), "", false},
			"cut":                     {chunk(whole[:len(whole)-2]), "", true},
			"cut in the beginning":    {chunk(whole[:1]), "", true},
			"cut in chunks of a byte": {single[:len(single)/6/2*6], "", true},
			"garbage behind":          {chunk(whole) + chunk("garbage"), "plain text", name != "gzip"},
			"garbage with it":         {chunk(whole + "garbage"), "plain text", name != "gzip"},
			"garbage alone":           {chunk("garbage"), "", true},
			"another one behind":      {chunk(whole + whole), "plain textplain text", name != "gzip" && name != "zstd"},
			"an empty one behind":     {chunk(whole + none), "plain text", name != "gzip" && name != "zstd"},
		} {
			t.Run(name+", "+what, func(t *testing.T) {
				wiretest.Guard(t, guardTime)
				s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
					return head("Content-Encoding: "+nameOf(name)+"\r\n"+chunkedLine) + tt.chunks + "0\r\n\r\n"
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
}

func TestS089_CodedBodiesCutAnywhereAreErrors(t *testing.T) {
	t.Parallel()
	plain := strings.Repeat("The quick brown fox. ", 10)
	for name := range encoders {
		body := coded(t, name, plain)
		for n := 1; n < len(body); n++ {
			_, err := codedSession(t, nameOf(name), reading(body[:n])).Get(t.Context(), "x")
			require.ErrorIs(t, err, parley.ErrDecoding, "%s, %d of %d bytes", name, n, len(body))
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		}
	}
}

func TestS090_TheLimitOfDecodedBytesHoldsForEveryCodingAndWayToRead(t *testing.T) {
	const limit = 4 << 10
	for name := range encoders {
		fitting := coded(t, name, strings.Repeat("a", limit))
		larger := coded(t, name, strings.Repeat("a", limit)+"a")
		bomb := bombOf(t, name)
		for way, read := range readers {
			what := name + ", " + way
			resp, err := codedSession(t, nameOf(name), reading(fitting)).Stream(t.Context(), "GET", "x", parley.WithMaxBodyBytes(limit))
			require.NoError(t, err, what)
			total, err := read(resp)
			require.NotErrorIs(t, err, parley.ErrBodyTooLarge, what)
			if way != "JSON" {
				require.EqualValues(t, limit, total, what)
			}
			for _, body := range [][]byte{[]byte(larger), bomb} {
				resp, err := codedSession(t, nameOf(name), func() io.Reader { return bytes.NewReader(body) }).
					Stream(t.Context(), "GET", "x", parley.WithMaxBodyBytes(limit))
				require.NoError(t, err, what)
				boundedHeap(t, func() {
					total, err = read(resp)
					require.ErrorIs(t, err, parley.ErrBodyTooLarge, what)
					require.LessOrEqual(t, total, int64(limit), what)
				})
				require.NoError(t, resp.Close(), what)
			}
		}
	}
}

// loops are the ways to go through a body of items, each with one that has no end.
var loops = map[string]struct {
	typ, begin, item string
	loop             func(r *parley.Response) (n int, failed error)
}{
	"JSONLines": {"application/jsonl", "", "[1]\n", func(r *parley.Response) (int, error) { return stepsOf(parley.JSONLines[[]int](r, nil)) }},
	"JSONArray": {"application/json", "[[1]", ",[1]", func(r *parley.Response) (int, error) { return stepsOf(parley.JSONArray[[]int](r, nil)) }},
	"Events":    {"text/event-stream", "", "data: x\n\n", func(r *parley.Response) (int, error) { return stepsOf(r.Events()) }},
	"Parts": {"multipart/mixed; boundary=b", "--b", "\r\n\r\nx\r\n--b", func(r *parley.Response) (int, error) {
		return stepsOf(r.Parts())
	}},
	"Lines":  {"text/plain", "", "a line\n", func(r *parley.Response) (int, error) { return stepsOf(r.Lines()) }},
	"Chunks": {"text/plain", "", "a line\n", func(r *parley.Response) (int, error) { return stepsOf(r.Chunks(100)) }},
}

// stepsOf counts what a loop gives before it fails.
func stepsOf[V any](loop iter.Seq2[V, error]) (n int, failed error) {
	for _, err := range loop {
		if failed = err; err != nil {
			break
		}
		n++
	}
	return n, failed
}

// A bomb of items is stopped by the limit of the body, however small each of them is, and
// so is its connection freed.
func TestS090_TheLimitHoldsInEveryLoop(t *testing.T) {
	const limit = 64 << 10
	for name, tt := range loops {
		t.Run(name, func(t *testing.T) {
			wiretest.Guard(t, guardTime)
			bomb := gzipped(t, tt.begin+strings.Repeat(tt.item, (512<<10)/len(tt.item)))
			require.Less(t, len(bomb), limit)
			s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
				return answer(bomb, "Content-Encoding: gzip", "Content-Type: "+tt.typ)
			}))
			c := wireClient(t, parley.WithBaseURL(s.URL()), parley.WithMaxBodyBytes(limit), parley.WithPoolLimits(parley.PoolLimits{Hard: 1}))
			for range 2 {
				resp, err := c.Stream(t.Context(), "GET", "x")
				require.NoError(t, err)
				limitOfHeap := int64(heapLimit)
				if raceEnabled && name == "Parts" {
					// Package mime takes a buffer for each part out of a pool, which forgets a
					// quarter of what it is given with the race detector, at random.
					limitOfHeap *= 4
				}
				heapWithin(t, limitOfHeap, func() {
					n, err := tt.loop(resp)
					require.ErrorIs(t, err, parley.ErrBodyTooLarge)
					require.Positive(t, n)
					require.LessOrEqual(t, n, limit/min(len(tt.item), 100)+1)
				})
				requireNoneActive(t, c)
			}
		})
	}
}

// Leaving a loop closes the response, so that the only connection is free for the next.
func TestLoops_leavingAnyOneClosesTheResponse(t *testing.T) {
	t.Parallel()
	leave := map[string]func(r *parley.Response){
		"JSONLines": func(r *parley.Response) { leaveLoop(parley.JSONLines[[]int](r, nil)) },
		"JSONArray": func(r *parley.Response) { leaveLoop(parley.JSONArray[[]int](r, nil)) },
		"Events":    func(r *parley.Response) { leaveLoop(r.Events()) },
		"Parts":     func(r *parley.Response) { leaveLoop(r.Parts()) },
		"Lines":     func(r *parley.Response) { leaveLoop(r.Lines()) },
		"Chunks":    func(r *parley.Response) { leaveLoop(r.Chunks(100)) },
	}
	require.Len(t, leave, len(loops))
	for name, tt := range loops {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wiretest.Guard(t, guardTime)
			s := wiretest.Serve(t, afterHead(func(c *wiretest.Conn) {
				c.Say(head("Content-Type: "+tt.typ+"\r\n") + tt.begin)
				for c.Say(tt.item) {
				}
			}))
			c := wireClient(t, parley.WithBaseURL(s.URL()), parley.WithPoolLimits(parley.PoolLimits{Hard: 1}))
			for range 3 {
				resp, err := c.Stream(t.Context(), "GET", "x")
				require.NoError(t, err)
				leave[name](resp)
				_, err = resp.Body.Read(make([]byte, 1))
				require.Error(t, err)
				require.NotErrorIs(t, err, io.EOF)
			}
			requireNoneActive(t, c)
		})
	}
}

// leaveLoop leaves a loop after its first step.
func leaveLoop[V any](loop iter.Seq2[V, error]) {
	for range loop {
		break
	}
}
