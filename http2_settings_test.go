package parley_test

import (
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// greeting is what a client says before its first request.
type greeting struct {
	settings map[http2.SettingID]uint32
	window   uint32 // added to that of the connection
}

// greets gives the greeting of a session, and answers one request.
func greets(t *testing.T, s *wiretest.Server, heard <-chan greeting, opts ...parley.ClientOption) greeting {
	t.Helper()
	c := peerSession(t, s, opts...)
	require.Empty(t, textOf(t, c, ""))
	return <-heard
}

// serveGreeted is a peer that tells what it was greeted with.
func serveGreeted(t *testing.T) (*wiretest.Server, <-chan greeting) {
	heard := make(chan greeting, 4)
	return servePeer(t, []http2.Setting{}, func(p *peer) {
		g := greeting{settings: make(map[http2.SettingID]uint32)}
		for g.window == 0 {
			f, err := p.ReadFrame()
			if err != nil {
				return
			}
			switch f := f.(type) {
			case *http2.SettingsFrame:
				f.ForeachSetting(func(s http2.Setting) error {
					g.settings[s.ID] = s.Val
					return nil
				})
			case *http2.WindowUpdateFrame:
				if f.StreamID == 0 {
					g.window = f.Increment
				}
			}
		}
		heard <- g
		for stream, _ := p.request(); stream != 0; stream, _ = p.request() {
			p.head(stream, true, ":status", "200")
		}
	}), heard
}

func TestHTTP2Settings_areSaidToTheServer(t *testing.T) {
	t.Parallel()
	s, heard := serveGreeted(t)
	const first = 1<<16 - 1 // of a connection's window, which needs no saying
	usual := map[http2.SettingID]uint32{
		http2.SettingEnablePush:        0,
		http2.SettingInitialWindowSize: parley.DefaultStreamWindow,
		http2.SettingMaxFrameSize:      parley.DefaultMaxFrameSize,
		http2.SettingMaxHeaderListSize: parley.MaxHeadBytes,
	}
	for name, test := range map[string]struct {
		asked  parley.HTTP2Settings
		say    map[http2.SettingID]uint32 // beside what is usual
		window uint32
	}{
		"by default": {parley.HTTP2Settings{}, nil, parley.DefaultConnWindow},
		"windows": {parley.HTTP2Settings{StreamWindow: 100_000, ConnWindow: 200_000},
			map[http2.SettingID]uint32{http2.SettingInitialWindowSize: 100_000}, 200_000},
		"frames and tables": {parley.HTTP2Settings{MaxFrameSize: 1 << 20, HeaderTableSize: 1 << 16},
			map[http2.SettingID]uint32{http2.SettingMaxFrameSize: 1 << 20, http2.SettingHeaderTableSize: 1 << 16}, parley.DefaultConnWindow},
		"the most": {parley.HTTP2Settings{StreamWindow: 1<<31 - 1, ConnWindow: 1<<31 - 1, MaxFrameSize: 1<<24 - 1, HeaderTableSize: 4<<20 - 1, RequestTableSize: 4<<20 - 1},
			map[http2.SettingID]uint32{http2.SettingInitialWindowSize: 1<<31 - 1, http2.SettingMaxFrameSize: 1<<24 - 1, http2.SettingHeaderTableSize: 4<<20 - 1}, 1<<31 - 1},
		"the least": {parley.HTTP2Settings{StreamWindow: 1, ConnWindow: 1 << 17, MaxFrameSize: 1 << 14, HeaderTableSize: 1, RequestTableSize: 1},
			map[http2.SettingID]uint32{http2.SettingInitialWindowSize: 1, http2.SettingHeaderTableSize: 1}, 1 << 17},
	} {
		want := maps.Clone(usual)
		maps.Copy(want, test.say)
		got := greets(t, s, heard, parley.WithHTTP2Settings(test.asked))
		require.Equal(t, want, got.settings, name)
		require.Equal(t, test.window, got.window+first, name)
	}
}

// A server that compresses with a table of its own reads what is sent with any size.
func TestHTTP2Settings_headersAreUnderstoodWithTablesOfAnySize(t *testing.T) {
	t.Parallel()
	s := startHTTP2(t, echoProto, false, nil)
	for _, size := range []int{1, 100, 1 << 16} {
		c := s.session(t, parley.WithHTTP2Settings(parley.HTTP2Settings{HeaderTableSize: size, RequestTableSize: size, StreamWindow: 3}))
		for range 3 {
			require.Equal(t, "HTTP/2.0", textOf(t, c, "", parley.WithHeader("X-A", "value of a header")))
		}
	}
}

func TestHTTP2Settings_outOfRangeSayTheRange(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]parley.HTTP2Settings{
		"StreamWindow is -1, and must be from 1 to 2147483647 bytes":        {StreamWindow: -1},
		"ConnWindow is 65535, and must be from 131072 to 2147483647 bytes":  {ConnWindow: 65535},
		"MaxFrameSize is 1024, and must be from 16384 to 16777215 bytes":    {MaxFrameSize: 1024},
		"MaxFrameSize is 16777216, and must be from 16384":                  {MaxFrameSize: 1 << 24},
		"HeaderTableSize is 4194304, and must be from 1 to 4194303 bytes":   {HeaderTableSize: 4 << 20},
		"RequestTableSize is -5, and must be from 1 to 4194303 bytes":       {RequestTableSize: -5},
		"PingTimeout is -1s, and must not be less than zero: PingAfter":     {PingTimeout: -time.Second},
		"StreamWindow is 2147483648, and must be from 1 to 2147483647 byte": {StreamWindow: 1 << 31},
	} {
		_, err := parley.New(parley.WithHTTP2Settings(s))
		require.ErrorContains(t, err, want)
		_, err = parley.NewPool(parley.PoolConfig{HTTP2: s})
		require.ErrorContains(t, err, want)
	}
}

func TestHTTP2Settings_giveASessionItsOwnPool(t *testing.T) {
	t.Parallel()
	s, heard := serveGreeted(t)
	asked := parley.HTTP2Settings{StreamWindow: 70_000}
	parent := peerSession(t, s, parley.WithPoolLimits(parley.PoolLimits{Hard: 3}))
	child := derive(t, parent, parley.WithHTTP2Settings(asked))
	grandchild := derive(t, child, parley.WithPoolLimits(parley.PoolLimits{Hard: 5}))
	sharing := derive(t, child)
	for _, c := range []*parley.Client{parent, child, grandchild} {
		require.Empty(t, textOf(t, c, ""))
	}
	require.EqualValues(t, parley.DefaultStreamWindow, (<-heard).settings[http2.SettingInitialWindowSize])
	require.EqualValues(t, 70_000, (<-heard).settings[http2.SettingInitialWindowSize])
	require.EqualValues(t, 70_000, (<-heard).settings[http2.SettingInitialWindowSize], "other limits leave the settings as they are")
	require.Empty(t, textOf(t, sharing, ""))
	require.Equal(t, 3, s.Accepted())

	for c, want := range map[*parley.Client]string{
		newSession(t): "Transport: pool (default)",
		parent:        "Transport: pool with limits of its own (session)",
		child:         "Transport: pool with limits and HTTP/2 settings of its own (derived session)",
		newSession(t, parley.WithHTTP2Settings(asked)): "Transport: pool with HTTP/2 settings of its own (session)",
	} {
		req, err := c.NewRequest("GET", s.URL())
		require.NoError(t, err)
		e, err := c.Explain(req)
		require.NoError(t, err)
		require.Equal(t, want, e.Transport.String())
	}
	pool, err := parley.NewPool(parley.PoolConfig{})
	require.NoError(t, err)
	defer pool.Close()
	_, err = parley.New(parley.WithTransport(pool), parley.WithHTTP2Settings(asked))
	require.ErrorContains(t, err, "WithHTTP2Settings is for the session's own pool; under WithTransport give that to the transport")
}
