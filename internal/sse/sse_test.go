package sse

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

// read gives all events of a stream, and what ended it.
func read(r io.Reader, limit int) (got []Event, last *Reader, err error) {
	last = NewReader(r, limit, "")
	for {
		e, err := last.Next()
		if err != nil {
			return got, last, err
		}
		got = append(got, e)
	}
}

func message(data string) Event { return Event{Type: "message", Data: data} }

// The examples of the HTML standard and the cases of the Web Platform Tests
// (eventsource/format-*), by their names.
var cases = map[string]struct {
	stream string
	want   []Event
	id     string        // that counts in the end
	retry  time.Duration // in force in the end
}{
	"standard: one event a block, several lines": {
		"data: This is the first message.\n\ndata: This is the second message, it\ndata: has two lines.\n\ndata: This is the third message.\n\n",
		[]Event{message("This is the first message."), message("This is the second message, it\nhas two lines."), message("This is the third message.")}, "", 0,
	},
	"standard: event types": {
		"event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\nevent: add\ndata: 113411\n\n",
		[]Event{{Type: "add", Data: "73857293"}, {Type: "remove", Data: "2153"}, {Type: "add", Data: "113411"}}, "", 0,
	},
	"standard: stock": {"data: YHOO\ndata: +2\ndata: 10\n\n", []Event{message("YHOO\n+2\n10")}, "", 0},
	"standard: an empty id takes it back": {
		": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
		[]Event{{Type: "message", Data: "first event", ID: "1"}, message("second event"), message(" third event")}, "", 0,
	},
	"standard: what has no blank line after it is no event": {"data\n\ndata\ndata\n\ndata:", []Event{message(""), message("\n")}, "", 0},
	"standard: one space is no part of the value":           {"data:test\n\ndata: test\n\n", []Event{message("test"), message("test")}, "", 0},

	"field-data": {"data:\n\ndata\ndata\n\ndata:test\n\n", []Event{message(""), message("\n"), message("test")}, "", 0},
	"field-event": {
		"event:test\ndata:x\n\ndata:x\n\n", []Event{{Type: "test", Data: "x"}, message("x")}, "", 0,
	},
	"field-event-empty":                {"event: \ndata:data\n\n", []Event{message("data")}, "", 0},
	"field-event without data is none": {"event:test\n\ndata:x\n\n", []Event{message("x")}, "", 0},
	"field-event, the last one counts": {"event:a\nevent:b\ndata:x\n\n", []Event{{Type: "b", Data: "x"}}, "", 0},
	"field-id stays": {
		"id: \u2026\ndata: hello\n\ndata: world\n\n", []Event{{Type: "message", Data: "hello", ID: "…"}, {Type: "message", Data: "world", ID: "…"}}, "…", 0,
	},
	"field-id with a NUL is none":         {"id: 1\x00\ndata:x\n\nid:2\ndata:y\n\nid:\x003\ndata:z\n\n", []Event{message("x"), {"message", "y", "2", 0}, {"message", "z", "2", 0}}, "2", 0},
	"field-id without data counts":        {"id: 7\n\ndata: x\n\n", []Event{{Type: "message", Data: "x", ID: "7"}}, "7", 0},
	"field-id of an unfinished event":     {"id: 1\ndata: x\n\nid: 2\ndata: y\n", []Event{{Type: "message", Data: "x", ID: "1"}}, "1", 0},
	"field-parsing":                       {"data:\x00\ndata:  2\rData:1\ndata\x00:2\ndata:1\r\x00data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n", []Event{message("\x00\n 2\n1\n3\n\n4")}, "", 0},
	"field-retry":                         {"retry:3000\ndata:x\n\n", []Event{{Type: "message", Data: "x", Retry: 3 * time.Second}}, "", 3 * time.Second},
	"field-retry without an event":        {"retry: 03000\n\n", nil, "", 3 * time.Second},
	"field-retry-bogus":                   {"retry:3000\nretry:1000x\nretry: 1e3\nretry:-5\nretry:+5\nretry:\nretry\nretry:1.5\nretry: \u0663\n", nil, "", 3 * time.Second},
	"field-retry of any size":             {"retry:99999999999999999999\n\n", nil, "", math.MaxInt64 / time.Millisecond * time.Millisecond},
	"field-retry of zero":                 {"retry:5\nretry:0\ndata\n\n", []Event{message("")}, "", 0},
	"field-retry that was cut off":        {"retry:1000", nil, "", 0},
	"field-unknown":                       {"data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:\n\n", []Event{message("test\n\n")}, "", 0},
	"leading-space":                       {"data:\ttest\rdata: \ndata:test\n\n", []Event{message("\ttest\n\ntest")}, "", 0},
	"newlines":                            {"data:test\r\ndata\ndata:test\r\n\r", []Event{message("test\n\ntest")}, "", 0},
	"null-character":                      {"data:\x00\n\n\n\n", []Event{message("\x00")}, "", 0},
	"comments":                            {"data:1\r:\x00\n:\r\ndata:2\n:" + strings.Repeat("x", 200) + "\rdata:3\n:data:fail\r:" + strings.Repeat("x", 200) + "\ndata:4\n\n", []Event{message("1\n2\n3\n4")}, "", 0},
	"utf-8":                               {"data:ok…\n\n", []Event{message("ok…")}, "", 0},
	"utf-8: what is none":                 {"data:a\xffb\nid:\xe2\x82\nevent:\x80\n\n", []Event{{"\uFFFD", "a\uFFFDb", "\uFFFD", 0}}, "\uFFFD", 0},
	"bom":                                 {"\uFEFFdata:1\n\n\uFEFFdata:2\n\ndata:3\n\n", []Event{message("1"), message("3")}, "", 0},
	"bom-2: only one is none of the text": {"\uFEFF\uFEFFdata:1\n\ndata:2\n\ndata:3\n\n", []Event{message("2"), message("3")}, "", 0},
	"data-before-final-empty-line":        {"retry:1000\ndata:test1\n\nid:test\ndata:test2", []Event{{"message", "test1", "", time.Second}}, "", time.Second},
	"nothing":                             {"", nil, "", 0},
	"blank lines":                         {"\n\r\r\n\n", nil, "", 0},
}

func TestNext_readsAsTheStandardSays(t *testing.T) {
	t.Parallel()
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			check := func(r io.Reader) {
				got, last, err := read(r, 1000)
				require.Equal(t, io.EOF, err)
				require.Equal(t, test.want, got)
				require.Equal(t, test.id, last.LastID())
				retry, told := last.Retry()
				require.Equal(t, test.retry, retry)
				require.True(t, told || retry == 0)
			}
			check(iotest.OneByteReader(strings.NewReader(test.stream)))
			check(iotest.DataErrReader(strings.NewReader(test.stream)))
			for cut := range len(test.stream) + 1 {
				check(io.MultiReader(strings.NewReader(test.stream[:cut]), strings.NewReader(test.stream[cut:])))
			}
		})
	}
}

func TestNext_everyLineEndMeansTheSame(t *testing.T) {
	t.Parallel()
	const stream = "event: a\ndata: 1\ndata: 2\nid: 5\n\n: note\n\nretry: 10\ndata: 3\n\n"
	want, _, _ := read(strings.NewReader(stream), 100)
	require.Len(t, want, 2)
	for _, end := range []string{"\n", "\r", "\r\n"} {
		text := strings.ReplaceAll(stream, "\n", end)
		for cut := range len(text) + 1 {
			got, _, err := read(io.MultiReader(strings.NewReader(text[:cut]), strings.NewReader(text[cut:])), 100)
			require.Equal(t, io.EOF, err)
			require.Equal(t, want, got, "%q cut at %d", text, cut)
		}
	}
}

func TestNext_isBounded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		stream io.Reader
		events int
		err    error
	}{
		"the longest line":                 {strings.NewReader("data:" + strings.Repeat("x", 95) + "\n\n"), 1, io.EOF},
		"a longer one":                     {strings.NewReader("data:" + strings.Repeat("x", 96) + "\n\n"), 0, ErrTooLarge},
		"the largest event":                {strings.NewReader("data:" + strings.Repeat("x", 44) + "\ndata:" + strings.Repeat("x", 45) + "\n\ndata:y\n\n"), 2, io.EOF},
		"a larger one":                     {strings.NewReader("data:" + strings.Repeat("x", 45) + "\ndata:" + strings.Repeat("x", 45) + "\n\n"), 0, ErrTooLarge},
		"an endless line":                  {endless("data: x"), 0, ErrTooLarge},
		"endless data":                     {endless("data: x\n"), 0, ErrTooLarge},
		"endless data without content":     {endless("data\n"), 0, ErrTooLarge},
		"an endless comment":               {endless(": x"), 0, ErrTooLarge},
		"many comments":                    {io.LimitReader(endless(": x\n"), 1<<20), 0, io.EOF},
		"many ids, types, unknown fields":  {io.LimitReader(endless("id: 1\nevent: y\nretry: 5\nfoo: x\n"), 1<<20), 0, io.EOF},
		"what comes before stays possible": {strings.NewReader("data: 1\n\n" + strings.Repeat("x", 101) + "\n\n"), 1, ErrTooLarge},
	} {
		got, last, err := read(test.stream, 100)
		require.Equal(t, test.err, err, name)
		require.Len(t, got, test.events, name)
		require.LessOrEqual(t, cap(last.data), 256, name)
	}
}

// endless repeats a text.
func endless(text string) io.Reader { return &repeater{text: text} }

type repeater struct {
	text string
	at   int
}

func (r *repeater) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r.text[r.at]
		r.at = (r.at + 1) % len(r.text)
	}
	return len(p), nil
}

func TestNext_theIDOfAnEarlierStreamCountsOn(t *testing.T) {
	t.Parallel()
	r := NewReader(strings.NewReader("data: x\n\nid\ndata: y\n\n"), 100, "41")
	require.Equal(t, "41", r.LastID())
	e, err := r.Next()
	require.NoError(t, err)
	require.Equal(t, "41", e.ID)
	_, err = r.Next()
	require.NoError(t, err)
	require.Empty(t, r.LastID())
}

func TestNext_anErrorOfTheStreamEndsIt(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	got, _, err := read(io.MultiReader(strings.NewReader("data: 1\n\ndata: 2\n"), iotest.ErrReader(broken)), 100)
	require.Equal(t, broken, err)
	require.Len(t, got, 1)
}

// FuzzNext feeds a stream at once and byte by byte, which must give the same, and writes
// the events again, which must be read as they were.
func FuzzNext(f *testing.F) {
	for _, test := range cases {
		f.Add([]byte(test.stream))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		const limit = 1000
		got, last, err := read(bytes.NewReader(stream), limit)
		slow, slowLast, slowErr := read(iotest.OneByteReader(bytes.NewReader(stream)), limit)
		require.Equal(t, got, slow)
		require.Equal(t, err, slowErr)
		require.Equal(t, last.LastID(), slowLast.LastID())
		retry, told := last.Retry()
		slowRetry, slowTold := slowLast.Retry()
		require.Equal(t, retry, slowRetry)
		require.Equal(t, told, slowTold)

		var b strings.Builder
		for _, e := range got {
			require.NotEmpty(t, e.Type)
			require.NotContains(t, e.Type+e.ID, "\n")
			require.NotContains(t, e.Data+e.Type+e.ID, "\r")
			require.NotContains(t, e.ID, "\x00")
			require.GreaterOrEqual(t, e.Retry, time.Duration(0))
			b.WriteString("event: " + e.Type + "\nid: " + e.ID + "\ndata: " + strings.ReplaceAll(e.Data, "\n", "\ndata: ") + "\n\n")
		}
		again, _, _ := read(strings.NewReader(b.String()), 10*limit)
		require.Len(t, again, len(got))
		for i, e := range again {
			e.Retry = got[i].Retry
			require.Equal(t, got[i], e)
		}
	})
}

func BenchmarkNext(b *testing.B) {
	stream := []byte(strings.Repeat("id: 17\nevent: price\ndata: "+strings.Repeat("x", 100)+"\n\n", 1000))
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		if got, _, _ := read(bytes.NewReader(stream), 1<<20); len(got) != 1000 {
			b.Fatal(len(got))
		}
	}
}
