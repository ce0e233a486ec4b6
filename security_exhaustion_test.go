package parley_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// serveEndless starts a server that answers with start and then with text again and
// again, in writes of size bytes, until the client closes the connection.
func serveEndless(t *testing.T, start, text string, size int) (*wiretest.Server, chan struct{}) {
	t.Helper()
	ended := make(chan struct{})
	piece := []byte(strings.Repeat(text, size+1))
	return wiretest.Serve(t, func(c *wiretest.Conn) {
		defer close(ended)
		if _, err := c.ReadHead(); err != nil || !c.Say(start) {
			return
		}
		for at := 0; ; at = (at + size) % len(text) {
			if _, err := c.Write(piece[at : at+size]); err != nil {
				return
			}
		}
	}), ended
}

// refusesEndless demands that such an answer ends with an error, in little memory.
func refusesEndless(t *testing.T, start, text string, size int) {
	t.Helper()
	t.Run(fmt.Sprintf("%.40q, %.20q in writes of %d", start, text, size), func(t *testing.T) {
		s, ended := serveEndless(t, start, text, size)
		c := wireClient(t, parley.WithBaseURL(s.URL()))
		boundedHeap(t, func() {
			_, err := c.Get(t.Context(), "x")
			requireRemote(t, err)
		})
		<-ended
	})
}

func TestS092_HeadsAreBounded(t *testing.T) {
	wiretest.Guard(t, guardTime)
	for _, size := range []int{1, 7, 1000} {
		refusesEndless(t, head("")[:17], "A:\r\n", size)
		refusesEndless(t, head("")[:17], "Abc: def\n", size)
	}
	for _, size := range []int{1000, 64 << 10} {
		refusesEndless(t, head("")[:17], "A", size)
		refusesEndless(t, head("")[:17]+"A: ", "b", size)
		refusesEndless(t, "HTTP/1.1 200 ", "reason ", size)
	}
}

func TestS092_TheDefaultsOfTheHeadsLimits(t *testing.T) {
	t.Parallel()
	const maxHead, maxLines = 1 << 20, 1000
	padded := func(n int) string {
		const rest = "HTTP/1.1 204 No Content\r\nA: \r\n\r\n"
		return "HTTP/1.1 204 No Content\r\nA: " + strings.Repeat("b", n-len(rest)) + "\r\n\r\n"
	}
	lines := func(n int) string { return "HTTP/1.1 204 No Content\r\n" + strings.Repeat("A: b\r\n", n) + "\r\n" }
	for name, tt := range map[string]struct {
		wire string
		fits bool
	}{
		"bytes":          {padded(maxHead), true},
		"bytes, one too": {padded(maxHead + 1), false},
		"lines":          {lines(maxLines), true},
		"lines, one too": {lines(maxLines + 1), false},
	} {
		t.Run(name, func(t *testing.T) {
			wiretest.Guard(t, guardTime)
			s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return tt.wire }))
			_, err := wireClient(t, parley.WithBaseURL(s.URL())).Get(t.Context(), "x")
			if tt.fits {
				require.NoError(t, err)
			} else {
				requireRemote(t, err)
			}
		})
	}
}

func TestS093_TrailersAreBounded(t *testing.T) {
	wiretest.Guard(t, guardTime)
	const start = "HTTP/1.1 200 OK\r\n" + chunkedLine + "\r\n5\r\nhello\r\n0\r\n"
	for _, size := range []int{1, 7, 1000} {
		refusesEndless(t, start, "A: b\r\n", size)
	}
	refusesEndless(t, start, "A", 64<<10)
	refusesEndless(t, start+"A: ", "b", 64<<10)
}

func TestS094_ChunkFramingIsBounded(t *testing.T) {
	wiretest.Guard(t, guardTime)
	for _, size := range []int{1, 7, 1000} {
		refusesEndless(t, head(chunkedLine)+"5;", "a", size)
		refusesEndless(t, head(chunkedLine)+"5;a=\"", "b", size)
	}
	refusesEndless(t, head(chunkedLine), "0", 1000)
	refusesEndless(t, head(chunkedLine), "1;"+strings.Repeat("e", 1<<10)+"\r\nx\r\n", 64<<10)
}

func TestS094_TinyChunksAreCheap(t *testing.T) {
	wiretest.Guard(t, guardTime)
	const count = 1 << 20
	wire := []byte(strings.Repeat("1\r\nx\r\n", count) + "0\r\n\r\n")
	s, _ := pouring(t, head(chunkedLine), wire)
	resp, err := wireClient(t, parley.WithBaseURL(s.URL())).Stream(t.Context(), "GET", "x")
	require.NoError(t, err)
	start := time.Now()
	boundedHeap(t, func() {
		n, err := io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.Equal(t, int64(count), n)
	})
	requireSwift(t, start)
}

func TestS096_LongURLsTakeLinearTime(t *testing.T) {
	t.Parallel()
	wiretest.Guard(t, guardTime)
	const half, tooLong = 20_000, 50_000
	for name, tt := range map[string]struct {
		ref   func(n int) string
		fails bool // also below the limit
	}{
		"signs of user information": {func(n int) string { return "http://" + strings.Repeat("@", n) + "a.test/" }, true},
		"escaped dots":              {func(n int) string { return "http://a.test/" + strings.Repeat("%2e", n) }, false},
		"segments up":               {func(n int) string { return "http://a.test/" + strings.Repeat("../", n) }, false},
		"escaped segments up":       {func(n int) string { return "http://a.test/" + strings.Repeat("a/%2E./", n/3) }, false},
		"parameters":                {func(n int) string { return "http://a.test/?" + strings.Repeat("a=&", n) }, false},
		"a long host":               {func(n int) string { return "http://" + strings.Repeat("a", 2*n) + "/" }, true},
		"a host of many labels":     {func(n int) string { return "http://" + strings.Repeat("a.", n) + "test/" }, true},
		"an international host":     {func(n int) string { return "http://" + strings.Repeat("ä", n) + ".test/" }, true},
		"a punycode host":           {func(n int) string { return "http://xn--" + strings.Repeat("a", 2*n) + ".test/" }, true},
		"brackets":                  {func(n int) string { return "http://" + strings.Repeat("[", n) + "/" }, true},
		"percent signs":             {func(n int) string { return "http://a.test/" + strings.Repeat("%", n) }, false},
		"spaces":                    {func(n int) string { return "http://a.test/" + strings.Repeat(" b", n/2) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{half, tooLong} {
				start := time.Now()
				_, err := parley.NewRequest("GET", tt.ref(n))
				if tt.fails || err != nil {
					require.ErrorIs(t, err, parley.ErrInvalidURL)
					require.Less(t, len(err.Error()), 1000)
				}
				_, baseErr := parley.New(parley.WithBaseURL(tt.ref(n)))
				require.Equal(t, err != nil, baseErr != nil)
				require.Less(t, time.Since(start), time.Second)
			}
		})
	}
	_, err := parley.NewRequest("GET", "http://a.test/"+strings.Repeat("a", 64<<10))
	require.ErrorIs(t, err, parley.ErrInvalidURL, "the limit")
	start := time.Now()
	var params parley.Params
	for i := range 30_000 {
		params = append(params, parley.Param{Key: fmt.Sprint("p", i%100), Value: "v"})
	}
	_, err = parley.NewRequest("GET", "http://a.test/?x=1", parley.WithParams(params))
	if err != nil {
		require.ErrorIs(t, err, parley.ErrInvalidURL)
	}
	require.Less(t, time.Since(start), time.Second)
}

func TestS097_OriginsLeaveNothingBehind(t *testing.T) {
	wiretest.Guard(t, guardTime)
	const origins = 2000
	s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return wiretest.OK("ok") }))
	var d net.Dialer
	c := wireClient(t,
		parley.WithDialer(parley.DialerFunc(func(ctx context.Context, network, _ string) (net.Conn, error) {
			return d.DialContext(ctx, network, s.Addr())
		})),
		parley.WithPoolLimits(parley.PoolLimits{Total: 50, IdleTimeout: 100 * time.Millisecond}))
	goroutines := runtime.NumGoroutine()
	requests := func(yield func(*parley.Request) bool) {
		for i := range origins {
			req, err := c.NewRequest("GET", fmt.Sprintf("http://h%d.test:%d/", i, 1+i%60_000))
			if err != nil || !yield(req) {
				return
			}
		}
	}
	answered := 0
	for r := range c.Gather(t.Context(), 20, requests) {
		require.NoError(t, r.Err)
		answered++
	}
	require.Equal(t, origins, answered)
	require.LessOrEqual(t, len(c.Stats().Origins), 50)
	wiretest.Eventually(t, func() bool {
		stats := c.Stats()
		return stats.Idle == 0 && len(stats.Origins) == 0
	}, "nothing is kept of an origin without connections")
	require.Equal(t, int64(origins), c.Stats().Dials, "what was counted stays")
	wiretest.Eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines }, "no goroutine is left")
}

// loopMap contains itself, and so does a loopPointer that points to itself.
type (
	loopMap     map[string]any
	loopSlice   []any
	loopPointer *loopPointer
	loopStruct  struct {
		Name string      `url:"name" xml:"name" json:"name"`
		Next *loopStruct `url:"next" xml:"next" json:"next"`
	}
	embedsItself struct {
		*embedsItself
		Name string
	}
	holdsAny struct {
		Value any `url:"value"`
	}
)

func TestS100_NestedAndCircularValuesAreErrors(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	deep := map[string]any{}
	for range 100_000 {
		deep = map[string]any{"a": deep}
	}
	m := loopMap{}
	m["m"] = m
	list := loopSlice{nil}
	list[0] = list
	var p loopPointer
	p = &p
	var inside any
	inside = &inside
	ring := &loopStruct{Name: "a"}
	ring.Next = ring
	embeds := &embedsItself{}
	embeds.embedsItself = embeds
	chain := &loopStruct{}
	for range 100_000 {
		chain = &loopStruct{Next: chain}
	}
	values := map[string]any{
		"deep map": deep, "map": m, "map in a map": map[string]any{"a": m}, "slice": map[string]any{"a": list}, "pointer": p,
		"pointer in a map": map[string]any{"a": p}, "pointer to itself in a map": map[string]any{"a": inside}, "struct": ring,
		"struct by value": *ring, "embedded": embeds, "chain": chain, "map in a struct": holdsAny{m}, "slice in a struct": holdsAny{list},
		"list of maps": map[string][]any{"a": {m}},
	}
	for name, v := range values {
		for way, opt := range map[string]func() parley.RequestOption{
			"parameters": func() parley.RequestOption { return parley.WithParams(v) },
			"form":       func() parley.RequestOption { return parley.WithForm(v) },
			"multipart":  func() parley.RequestOption { return parley.WithMultipart(parley.FormFields(v)...) },
		} {
			t.Run(name+", "+way, func(t *testing.T) {
				r.on(t).refusesValue(r.call("POST", "x", opt()))
			})
		}
	}
	r.refusesValue(r.call("POST", "x", parley.WithXML(ring)))
	r.refusesValue(r.call("POST", "x", parley.WithXML(chain)))
	r.refusesValue(r.call("POST", "x", parley.WithJSON(ring)))
	r.refusesValue(r.call("POST", "x", parley.WithJSON(m)))
	r.refusesValue(r.call("POST", "x", parley.WithMultipart(parley.FormJSON("a", m))))

	// What is merely nested passes.
	three := &loopStruct{"a", &loopStruct{"b", &loopStruct{Name: "c"}}}
	three.Next.Next.Next = nil
	require.Contains(t, r.takes(r.call("GET", "x", parley.WithParams(three))), "name=a&next%5Bname%5D=b&")
	require.Contains(t, r.takes(r.call("POST", "x", parley.WithXML(three))), "<name>c</name>")
}

// refusesValue demands an error about an option before a byte is written.
func (r *recording) refusesValue(send func() error) {
	r.t.Helper()
	before := r.server.Text()
	err := send()
	var e *parley.Error
	require.ErrorAs(r.t, err, &e)
	require.Equal(r.t, parley.PhaseRequest, e.Phase)
	require.Equal(r.t, parley.NotSent, e.Sent)
	r.nothingSince(before)
}

// countedBody counts what was opened and closed, and knows of a second Close.
type countedBody struct {
	text           string
	err            error
	opened, closed atomic.Int64
	twice          atomic.Bool
}

func (b *countedBody) Size() int64         { return -1 }
func (b *countedBody) ContentType() string { return "" }
func (b *countedBody) Replayable() bool    { return true }
func (b *countedBody) Open() (io.ReadCloser, error) {
	b.opened.Add(1)
	return &countedReader{Reader: strings.NewReader(b.text), body: b}, nil
}

type countedReader struct {
	io.Reader
	body *countedBody
	done atomic.Bool
}

func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF && r.body.err != nil {
		err = r.body.err
	}
	return n, err
}

func (r *countedReader) Close() error {
	r.body.closed.Add(1)
	if r.done.Swap(true) {
		r.body.twice.Store(true)
	}
	return nil
}

func TestS098_EveryWayOutFreesTheConnectionAndTheBody(t *testing.T) {
	t.Parallel()
	answers := map[string]string{
		"/ok":        wiretest.OK(`{"a":1}`),
		"/garbage":   head("Content-Encoding: gzip\r\nContent-Length: 7\r\n") + "garbage",
		"/codings":   head("Content-Encoding: gzip,gzip,gzip,gzip,gzip\r\nContent-Length: 3\r\n") + "abc",
		"/unknown":   head("Content-Encoding: rot13\r\nContent-Length: 3\r\n") + "abc",
		"/malformed": "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
		"/cut":       "", // and the connection is closed
		"/status":    wiretest.OK("x")[:9] + "503 Sorry\r\nContent-Length: 5\r\n\r\nsorry",
		"/large":     wiretest.OK(strings.Repeat("x", 5000)),
		"/early":     "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
	}
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		for {
			text, err := c.ReadHead()
			if err != nil {
				return
			}
			_, path, _ := strings.Cut(strings.SplitN(text, " HTTP", 2)[0], " ")
			if strings.Contains(text, "chunked") && path != "/early" {
				_, err := io.Copy(io.Discard, httputil.NewChunkedReader(c.Reader))
				if err != nil {
					return
				}
				if end, err := c.Reader.ReadString('\n'); err != nil || end != "\r\n" {
					return
				}
			}
			if path == "/silent" {
				c.Rest()
				return
			}
			if answers[path] == "" || !c.Say(answers[path]) {
				return
			}
			if path == "/early" {
				c.Rest() // closing on an unread body could destroy the answer
				return
			}
		}
	})
	c := wireClient(t, parley.WithBaseURL(s.URL()), parley.WithPoolLimits(parley.PoolLimits{Hard: 1}),
		parley.WithTimeouts(parley.Timeouts{Pool: 5 * time.Second}))
	body := &countedBody{text: "some text"}
	failing := &countedBody{text: "some text", err: errSource}
	large := &countedBody{text: strings.Repeat("x", 256<<10)}
	post := func(path string, opts ...parley.RequestOption) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := c.Post(ctx, path, append([]parley.RequestOption{parley.WithBody(body)}, opts...)...)
			return err
		}
	}
	stream := func(path string, then func(*parley.Response) error) func(context.Context) error {
		return func(ctx context.Context) error {
			resp, err := c.Stream(ctx, "POST", path, parley.WithBody(body))
			if err != nil {
				return err
			}
			return errors.Join(then(resp), resp.Close())
		}
	}
	for name, tt := range map[string]struct {
		call func(context.Context) error
		want error // nil: none
	}{
		"bad coding":       {post("garbage"), parley.ErrDecoding},
		"too many codings": {post("codings"), parley.ErrDecoding},
		"unknown coding":   {post("unknown"), nil},
		"limit":            {post("large", parley.WithMaxBodyBytes(100)), parley.ErrBodyTooLarge},
		"malformed answer": {post("malformed"), parley.ErrRemoteProtocol},
		"cut":              {post("cut"), parley.ErrPeerClosed},
		"refused header":   {post("ok", parley.WithHeader("A", "\n")), parley.ErrInvalidHeader},
		"refused trailer":  {post("ok", parley.WithTrailer("A", func() string { return "\n" })), parley.ErrInvalidHeader},
		"source fails":     {post("ok", parley.WithBody(failing)), errSource},
		"early answer":     {post("early", parley.WithBody(large)), nil},
		"response timeout": {post("silent", parley.WithTimeouts(parley.Timeouts{Response: 2 * time.Millisecond})), parley.ErrResponseTimeout},
		"total timeout":    {post("silent", parley.WithTimeout(2*time.Millisecond)), parley.ErrTotalTimeout},
		"cancelled before": {func(ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return post("ok")(ctx)
		}, context.Canceled},
		"cancelled while waiting": {func(ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			defer time.AfterFunc(2*time.Millisecond, cancel).Stop()
			return post("silent")(ctx)
		}, context.Canceled},
		"bad JSON":   {stream("large", func(r *parley.Response) error { return r.JSON(new(int)) }), parley.ErrDecoding},
		"never read": {stream("large", func(*parley.Response) error { return nil }), nil},
		"half read": {stream("large", func(r *parley.Response) error {
			_, err := io.ReadFull(r.Body, make([]byte, 2500))
			return err
		}), nil},
		"loop left": {stream("large", func(r *parley.Response) error {
			for range r.Chunks(10) {
				break
			}
			return nil
		}), nil},
		"error status": {func(ctx context.Context) error {
			_, err := parley.As[int](c.Stream(ctx, "POST", "status", parley.WithBody(body)))
			var status *parley.StatusError
			if errors.As(err, &status) && status.StatusCode == http.StatusServiceUnavailable {
				return nil
			}
			return fmt.Errorf("no *StatusError: %w", err)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			wiretest.Guard(t, guardTime)
			for range 50 {
				if err := tt.call(t.Context()); tt.want != nil {
					require.ErrorIs(t, err, tt.want)
				} else {
					require.NoError(t, err)
				}
			}
			got, err := parley.As[map[string]int](c.Get(t.Context(), "ok"))
			require.NoError(t, err)
			require.Equal(t, map[string]int{"a": 1}, got)
			wiretest.Eventually(t, func() bool { return c.Stats().Active == 0 }, "the connection is free")
			for _, b := range []*countedBody{body, failing, large} {
				wiretest.Eventually(t, func() bool { return b.opened.Load() == b.closed.Load() }, "every body that was opened is closed")
				require.False(t, b.twice.Load(), "closed once")
			}
		})
	}
}
