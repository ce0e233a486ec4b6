package h2

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/seed-0474a412/parley/internal/wiretest"
)

// The errors of net/http are known by their text, so that each is caused here: another
// wording has to fail a test.
func TestKindOf_whatAPeerDoes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		do   func(p *peer, stream uint32) // then the connection goes on
		want Kind
	}{
		"goaway below the first stream":           {func(p *peer, _ uint32) { p.WriteGoAway(0, http2.ErrCodeNo, nil) }, Unsent},
		"goaway below the first stream, an error": {func(p *peer, _ uint32) { p.WriteGoAway(0, http2.ErrCodeInternal, []byte("x")) }, Unsent},
		"refused":             {func(p *peer, s uint32) { p.WriteRSTStream(s, http2.ErrCodeRefusedStream) }, Unsent},
		"HTTP/1.1 required":   {func(p *peer, s uint32) { p.WriteRSTStream(s, http2.ErrCodeHTTP11Required) }, HTTP1},
		"goaway, and the end": {func(p *peer, s uint32) { p.WriteGoAway(s, http2.ErrCodeNo, nil); p.conn.Cut() }, Closed},
		"goaway for an error, and the end": {func(p *peer, s uint32) {
			p.WriteGoAway(s, http2.ErrCodeEnhanceYourCalm, []byte("slow down"))
			p.conn.Cut()
		}, Closed},
		"the end":        {func(p *peer, _ uint32) { p.conn.Cut() }, Other},
		"a cut":          {func(p *peer, _ uint32) { p.conn.Reset() }, Other},
		"half a header":  {func(p *peer, _ uint32) { p.conn.Say("\x00\x00"); p.conn.Cut() }, Other},
		"half a payload": {func(p *peer, _ uint32) { p.conn.Say("\x00\x00\x08\x06\x00\x00\x00\x00\x00abc"); p.conn.Cut() }, Other},
		"half a body": {func(p *peer, s uint32) {
			p.head(s, false, ":status", "200", "content-length", "9")
			p.WriteData(s, true, []byte("four"))
		}, Other},
		"a length and no body": {func(p *peer, s uint32) { p.head(s, true, ":status", "200", "content-length", "9") }, Other},
		"more than the length": {func(p *peer, s uint32) {
			p.head(s, false, ":status", "200", "content-length", "3")
			p.WriteData(s, true, []byte("four"))
		}, Malformed},
		"reset amid the body": {func(p *peer, s uint32) {
			p.head(s, false, ":status", "200")
			p.WriteRSTStream(s, http2.ErrCodeInternal)
		}, Reset},
		"a frame out of order": {func(p *peer, s uint32) { p.WriteContinuation(s, true, nil) }, Malformed},
		"a push": {func(p *peer, s uint32) {
			p.WritePushPromise(http2.PushPromiseParam{StreamID: s, PromiseID: 2, EndHeaders: true})
		}, Malformed},
		"no status":                 {func(p *peer, s uint32) { p.head(s, true, "x", "y") }, Malformed},
		"a status in words":         {func(p *peer, s uint32) { p.head(s, true, ":status", "fine") }, Malformed},
		"a name in capitals":        {func(p *peer, s uint32) { p.head(s, true, ":status", "200", "X-Big", "y") }, Malformed},
		"a value with a line's end": {func(p *peer, s uint32) { p.head(s, true, ":status", "200", "x", "a\r\nb: c") }, Malformed},
		"no compression": {func(p *peer, s uint32) {
			p.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, s, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
		}, Malformed},
		"a setting that is none":     {func(p *peer, _ uint32) { p.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 2}) }, Malformed},
		"a setting's length":         {func(p *peer, _ uint32) { p.WriteRawFrame(http2.FrameSettings, 0, 0, []byte("12345")) }, Malformed},
		"an ack nobody waits for":    {func(p *peer, _ uint32) { p.WriteSettingsAck(); p.WriteSettingsAck() }, Malformed},
		"no more window":             {func(p *peer, s uint32) { p.WriteRawFrame(http2.FrameWindowUpdate, 0, s, make([]byte, 4)) }, Malformed},
		"a priority of no stream":    {func(p *peer, _ uint32) { p.WriteRawFrame(http2.FramePriority, 0, 0, make([]byte, 5)) }, Malformed},
		"a priority's length":        {func(p *peer, s uint32) { p.WriteRawFrame(http2.FramePriority, 0, s, make([]byte, 4)) }, Malformed},
		"a frame that is too large":  {func(p *peer, _ uint32) { p.conn.Say("\xff\xff\xff\x00\x00\x00\x00\x00\x01") }, Malformed},
		"a header that is too large": {func(p *peer, s uint32) { p.head(s, true, ":status", "200", "x", strings.Repeat("x", 9<<10)) }, Malformed},
		"a header amid another": {func(p *peer, s uint32) {
			p.WriteHeaders(http2.HeadersFrameParam{StreamID: s})
			p.WriteRawFrame(0xbb, 0, s, nil)
		}, Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := servePeer(t, func(p *peer) {
				p.WriteSettings()
				stream := p.request()
				test.do(p, stream)
				p.rest()
			})
			c := open(t, s, Config{HeaderBytes: 8 << 10}, nil)
			err := exchange(t, c, newRequest(t.Context(), t, "GET", nil))
			require.Error(t, err)
			require.Equal(t, test.want, KindOf(err), "%T: %v", err, err)
			require.Equal(t, test.want, KindOf(fmt.Errorf("wrapped: %w", Brief(err))), "of an error that is wrapped: %v", err)
		})
	}
}

func TestKindOf_everyCodeOfAReset(t *testing.T) {
	t.Parallel()
	stop := make(chan http2.ErrCode, 1)
	s := servePeer(t, func(p *peer) {
		p.WriteSettings()
		for stream := p.request(); stream != 0; stream = p.request() {
			p.WriteRSTStream(stream, <-stop)
		}
	})
	for code := range http2.ErrCode(16) {
		c := open(t, s, Config{}, nil)
		stop <- code
		err := exchange(t, c, newRequest(t.Context(), t, "GET", nil))
		want := Reset
		switch code {
		case http2.ErrCodeRefusedStream:
			want = Unsent
		case http2.ErrCodeHTTP11Required:
			want = HTTP1
		}
		require.Equal(t, want, KindOf(err), "%v: %v", code, err)
		var stream StreamError
		require.ErrorAs(t, err, &stream)
		require.EqualValues(t, code, stream.Code)
		require.EqualValues(t, 1, stream.StreamID)
		name := code.String()
		if code > http2.ErrCodeHTTP11Required {
			name = "an unknown error"
		}
		require.Equal(t, "stream error "+name, stream.Error())
		c.Close()
	}
}

// Of the streams beyond the last one of a GOAWAY the peer has done nothing.
func TestKindOf_aGoAwayBetweenTheStreams(t *testing.T) {
	t.Parallel()
	for _, code := range []http2.ErrCode{http2.ErrCodeNo, http2.ErrCodeInternal} {
		s := servePeer(t, func(p *peer) {
			p.most(10)
			first := p.request()
			p.request()
			p.WriteGoAway(first, code, nil)
			p.ok(first)
			p.rest()
		})
		c := open(t, s, Config{}, nil)
		errs := make(chan error, 2)
		for range 2 {
			go func() { errs <- exchange(t, c, newRequest(t.Context(), t, "GET", nil)) }()
		}
		err := errors.Join(<-errs, <-errs)
		require.ErrorContains(t, err, "GOAWAY")
		require.Equal(t, Unsent, KindOf(err), "%v", err)
		require.False(t, c.Usable())
		require.Zero(t, c.Capacity(), "nobody is left")
	}
}

func TestKindOf_whatBeginsTheConnection(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		say  string
		want Kind
	}{
		"an HTTP/1.1 server": {"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", Malformed},
		"another frame":      {"\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678", Malformed},
		"no word":            {"", Other},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := open(t, servePeer(t, func(p *peer) {
				p.conn.Say(test.say)
				p.request()
			}), Config{}, nil)
			err := exchange(t, c, newRequest(t.Context(), t, "GET", nil))
			if KindOf(err) == Unsent { // net/http may know before it sends anything
				return
			}
			require.Equal(t, test.want, KindOf(err), "%v", err)
		})
	}
}

func TestKindOf_aPeerThatIsLost(t *testing.T) {
	t.Parallel()
	s := servePeer(t, func(p *peer) {
		p.WriteSettings()
		p.conn.Hold()
	})
	c := open(t, s, Config{PingAfter: 5 * time.Millisecond, PingTimeout: 5 * time.Millisecond}, nil)
	err := exchange(t, c, newRequest(t.Context(), t, "GET", nil))
	require.Contains(t, []Kind{Lost, Unsent}, KindOf(err), "%v", err)
	// However quick the ping: it is lost on one who waits.
	c = open(t, s, Config{PingAfter: 100 * time.Millisecond, PingTimeout: 5 * time.Millisecond}, nil)
	err = exchange(t, c, newRequest(t.Context(), t, "GET", nil))
	require.Equal(t, Lost, KindOf(err), "%v", err)
}

func TestKindOf_aRequestThatIsTooLarge(t *testing.T) {
	t.Parallel()
	s := servePeer(t, func(p *peer) {
		p.WriteSettings(http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: 1000})
		p.rest()
	})
	c := open(t, s, Config{}, nil)
	wiretest.Eventually(t, func() bool { return !c.Growing() }, "the settings came")
	req := newRequest(t.Context(), t, "GET", nil)
	req.Header.Set("X-Large", strings.Repeat("x", 2000))
	require.Equal(t, TooLarge, KindOf(exchange(t, c, req)))
	require.True(t, c.Usable())
}

func TestKindOf_aConnectionThatIsOver(t *testing.T) {
	t.Parallel()
	s := servePeer(t, func(p *peer) {
		p.WriteSettings()
		for stream := p.request(); stream != 0; stream = p.request() {
			p.ok(stream)
		}
	})
	used, fresh := open(t, s, Config{}, nil), open(t, s, Config{}, nil)
	require.NoError(t, exchange(t, used, newRequest(t.Context(), t, "GET", nil)))
	for _, c := range []*Conn{used, fresh} {
		c.Close()
		c.Close()
		err := exchange(t, c, newRequest(t.Context(), t, "GET", nil))
		require.Equal(t, Unsent, KindOf(err), "%v", err)
		// The same by net/http, where it was not asked before.
		_, err = c.cc.Load().RoundTrip(newRequest(t.Context(), t, "GET", nil))
		require.Equal(t, Unsent, KindOf(err), "%v", err)
	}
	require.Equal(t, Other, KindOf(io.ErrUnexpectedEOF))
	require.Equal(t, Other, KindOf(net.ErrClosed))
}

func TestBrief(t *testing.T) {
	short := errors.New(strings.Repeat("x", maxText))
	require.Equal(t, short, Brief(short))
	long := fmt.Errorf("%s%w", strings.Repeat("x", maxText-1)+"é and so on ", io.ErrUnexpectedEOF)
	require.ErrorIs(t, Brief(long), io.ErrUnexpectedEOF)
	text := Brief(long).Error()
	require.Equal(t, strings.Repeat("x", maxText-1)+"...", text)
	require.True(t, utf8.ValidString(text))
}
