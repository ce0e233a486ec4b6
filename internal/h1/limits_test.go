package h1

import (
	"bufio"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

// passesLimit demands the error of a limit, whichever way the bytes come.
func passesLimit(t *testing.T, wire string, lim Limits) {
	t.Helper()
	m := eachWay(t, "GET", wire, lim)
	_, err := parse(bufio.NewReader(strings.NewReader(wire)), "GET", lim)
	var parse *ParseError
	require.ErrorAs(t, err, &parse, "%.100q gave %+v", wire, m)
	require.True(t, parse.Limit, parse.What)
}

// allocated returns the bytes of heap that f took.
func allocated(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

func TestTheDefaultLimits(t *testing.T) {
	require.Equal(t, Limits{HeadBytes: 1 << 20, HeaderCount: 1000, Informational: 8}, Limits{}.orDefaults())
	require.Equal(t, Limits{HeadBytes: 1, HeaderCount: 2, Informational: 3}, Limits{1, 2, 3}.orDefaults())
}

func TestErrorsOfLimitsNameTheLimit(t *testing.T) {
	_, err := parse(bufio.NewReader(strings.NewReader(response("A: b\r\nA: b\r\n"))), "GET", Limits{HeaderCount: 1})
	require.EqualError(t, err, "number of header lines over 1")
}

func TestS079_InformationalAnswersAreBounded(t *testing.T) {
	const early = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
	final := response("Content-Length: 0\r\n")
	require.Empty(t, eachWay(t, "GET", strings.Repeat(early, 8)+final, Limits{}).Err)
	passesLimit(t, strings.Repeat(early, 9), Limits{})
	passesLimit(t, strings.Repeat(early, 3)+final, Limits{Informational: 2})
	passesLimit(t, strings.Repeat(early, 5), Limits{HeadBytes: 4*len(early) + 10})
	total := 4*len(early) + len(final)
	require.Empty(t, eachWay(t, "GET", strings.Repeat(early, 4)+final, Limits{HeadBytes: total}).Err)
	passesLimit(t, strings.Repeat(early, 4)+final, Limits{HeadBytes: total - 1})
	passesLimit(t, "HTTP/1.1 100 Continue\r\n"+strings.Repeat("A: b\r\n", 100), Limits{HeadBytes: 300})
}

func TestS092_HeadsAreBounded(t *testing.T) {
	lim := Limits{HeadBytes: 400, HeaderCount: 10}
	for name, wire := range map[string]string{
		"header lines":   response(strings.Repeat("A: b\r\n", 11)),
		"no end":         "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 11),
		"one line":       "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", 400),
		"a reason":       "HTTP/1.1 200 " + strings.Repeat("b", 400),
		"a name":         "HTTP/1.1 200 OK\r\n" + strings.Repeat("b", 400),
		"lines with LF":  "HTTP/1.1 200 OK\n" + strings.Repeat("A:\n", 11),
		"a trailer line": response(te) + "0\r\nA: " + strings.Repeat("b", 400),
	} {
		t.Run(name, func(t *testing.T) { passesLimit(t, wire, lim) })
	}
	fits := response(strings.Repeat("A: b\r\n", 9) + "Content-Length: 0\r\n")
	require.Empty(t, eachWay(t, "GET", fits, Limits{HeadBytes: len(fits), HeaderCount: 10}).Err)
	passesLimit(t, fits, Limits{HeadBytes: len(fits) - 1})
	passesLimit(t, fits, Limits{HeaderCount: 9})
}

func TestS092_EndlessHeadsEndAtTheSameTotal(t *testing.T) {
	for name, wire := range map[string]string{
		"lines": "A: b\r\n", "one line": "b", "empty names": ":\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			var errs []error
			for _, size := range []int{7, 1000, 4096} {
				text := strings.Repeat(wire, 1000)
				r := io.MultiReader(strings.NewReader("HTTP/1.1 200 "), &sizedReader{&loopReader{text: text}, size})
				heap := allocated(func() {
					_, err := parse(bufio.NewReader(r), "GET", Limits{})
					errs = append(errs, err)
				})
				require.Less(t, heap, 16<<20)
			}
			var parse *ParseError
			require.ErrorAs(t, errs[0], &parse)
			require.True(t, parse.Limit)
			require.Equal(t, errs[0], errs[1])
			require.Equal(t, errs[0], errs[2])
		})
	}
}

// A sizedReader gives at most size bytes at a time.
type sizedReader struct {
	r    io.Reader
	size int
}

func (r *sizedReader) Read(p []byte) (int, error) {
	return r.r.Read(p[:min(len(p), r.size)])
}

// Rescanning the head with each byte would take minutes here.
func TestS092_HeadsInSingleBytesTakeLinearTime(t *testing.T) {
	start := time.Now()
	for wire, size := range map[string]int{
		"HTTP/1.1 200 " + strings.Repeat("x", 1<<20-100) + "\r\n\r\n":             4 << 20,
		response(te) + "0\r\nX-A: " + strings.Repeat("x", 1<<20-100) + "\r\n\r\n": 16,
	} {
		_, err := parse(bufio.NewReaderSize(iotest.OneByteReader(strings.NewReader(wire)), size), "GET", Limits{})
		require.NoError(t, err)
	}
	require.Less(t, time.Since(start), 20*time.Second)
}

func TestS093_TrailersAreBounded(t *testing.T) {
	lim := Limits{HeadBytes: 100, HeaderCount: 5}
	start := response(te) + "5\r\nhello\r\n0\r\n"
	passesLimit(t, start+strings.Repeat("A: b\r\n", 6), lim)
	passesLimit(t, start+strings.Repeat("A: bbbbbbbbbbbbbbbbbbbbbbbbb\r\n", 4), lim)
	passesLimit(t, start+strings.Repeat("x", 100), lim)
	require.Empty(t, eachWay(t, "GET", start+strings.Repeat("A: b\r\n", 5)+"\r\n", lim).Err)
	section := "A: " + strings.Repeat("b", 93) + "\r\n\r\n"
	require.Empty(t, eachWay(t, "GET", start+section, lim).Err)
	passesLimit(t, start+"A"+section, lim)

	endless := io.MultiReader(strings.NewReader(start), &loopReader{text: "A: b\r\n"})
	heap := allocated(func() {
		_, err := parse(bufio.NewReader(endless), "GET", Limits{HeaderCount: 1 << 30})
		var parse *ParseError
		require.ErrorAs(t, err, &parse)
		require.True(t, parse.Limit)
	})
	require.Less(t, heap, 16<<20)
}

func TestS094_SizeLinesAreBounded(t *testing.T) {
	line := func(n int) string { return "5;" + strings.Repeat("a", n-4) + "\r\nhello\r\n0\r\n\r\n" }
	for _, wire := range []string{line(maxSizeLine + 1), "5;" + strings.Repeat("a", maxSizeLine), "5;\"" + strings.Repeat("a", maxSizeLine)} {
		for _, size := range []int{1, 7, 1000, 1 << 20} {
			all := append([]string{response(te)}, pieces(wire, size)...)
			_, err := parse(bufio.NewReader(&pieceReader{all, errBlocked}), "GET", Limits{})
			var parse *ParseError
			require.ErrorAs(t, err, &parse)
			require.True(t, parse.Limit)
		}
	}
	m, err := parse(bufio.NewReader(strings.NewReader(response(te)+line(maxSizeLine))), "GET", Limits{})
	require.NoError(t, err)
	require.Equal(t, "hello", m.Body)
}

func TestS094_ExcessFramingIsBounded(t *testing.T) {
	chunk := "1;" + strings.Repeat("e", 1<<10) + "\r\nx\r\n"
	start := response(te)
	_, err := parse(bufio.NewReader(io.MultiReader(strings.NewReader(start), &loopReader{text: chunk})), "GET", Limits{})
	var parsed *ParseError
	require.ErrorAs(t, err, &parsed)
	require.True(t, parsed.Limit)

	// Data makes up for framing before it, and no more than that.
	big := "4000\r\n" + strings.Repeat("x", 0x4000) + "\r\n"
	wire := start + strings.Repeat(strings.Repeat(chunk, 15)+big, 20) + "0\r\n\r\n"
	m, err := parse(bufio.NewReader(strings.NewReader(wire)), "GET", Limits{})
	require.NoError(t, err)
	require.Len(t, m.Body, 20*(15+0x4000))
	_, err = parse(bufio.NewReader(strings.NewReader(start+big+big+strings.Repeat(chunk, 17))), "GET", Limits{})
	require.ErrorAs(t, err, &parsed)
	require.True(t, parsed.Limit)
}

func TestS094_TinyChunksAreCheap(t *testing.T) {
	const count = 1 << 20
	wire := response(te) + strings.Repeat("1\r\nx\r\n", count) + "0\r\n\r\n"
	start := time.Now()
	body := bodyOf(t, bufio.NewReader(strings.NewReader(wire)), Limits{})
	p := make([]byte, 32<<10)
	heap := allocated(func() {
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, body, p)
		require.NoError(t, err)
		require.Equal(t, int64(count), n)
	})
	require.Less(t, heap, 1<<20)
	require.Less(t, time.Since(start), 20*time.Second)
}
