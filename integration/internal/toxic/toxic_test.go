package toxic_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/seed-0474a412/parley/integration/internal/toxic"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// through starts a proxy before a server that sends back what it gets.
func through(t *testing.T, w toxic.Weather) *toxic.Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	p, err := toxic.New(l.Addr().String(), 1)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, p.Close())
		require.Zero(t, p.Open())
	})
	p.Set(w)
	return p
}

func dial(t *testing.T, p *toxic.Proxy) *net.TCPConn {
	t.Helper()
	c, err := p.DialContext(t.Context(), "tcp", "whatever.test:80")
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// echo sends text, ends its side, and reads what comes back.
func echo(c *net.TCPConn, text []byte) ([]byte, error) {
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if _, err := c.Write(text); err == nil {
			c.CloseWrite()
		}
	}()
	got, err := io.ReadAll(c)
	c.Close()
	<-sent
	return got, err
}

func TestProxy(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789"), 10_000)
	both := func(t toxic.Toxics) toxic.Weather { return toxic.Weather{Up: t, Down: t} }
	for name, w := range map[string]toxic.Weather{
		"passes on what comes": {},
		"late":                 both(toxic.Toxics{Latency: time.Millisecond, Jitter: 2 * time.Millisecond}),
		"on a narrow line":     both(toxic.Toxics{Rate: 5_000_000}),
		"in pieces":            both(toxic.Toxics{Slice: 100}),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := echo(dial(t, through(t, w)), text)
			require.NoError(t, err)
			require.Equal(t, len(text), len(got))
			require.True(t, bytes.Equal(text, got))
		})
	}
	for name, w := range map[string]toxic.Weather{
		"resets on the way there": {Up: toxic.Toxics{Reset: 1}},
		"resets on the way back":  {Down: toxic.Toxics{Reset: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := echo(dial(t, through(t, w)), text)
			require.ErrorIs(t, err, syscall.ECONNRESET)
			require.Empty(t, got)
		})
	}
	t.Run("ends in the middle", func(t *testing.T) {
		got, err := echo(dial(t, through(t, toxic.Weather{Down: toxic.Toxics{Cut: 1}})), text[:1000])
		require.NoError(t, err)
		require.Less(t, len(got), 1000)
		require.True(t, bytes.HasPrefix(text, got))
	})
	t.Run("is silent, and notices that the client goes", func(t *testing.T) {
		p := through(t, toxic.Weather{Up: toxic.Toxics{Silence: 1}})
		c := dial(t, p)
		_, err := c.Write([]byte("hello"))
		require.NoError(t, err)
		require.NoError(t, c.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		c.Close()
		require.Eventually(t, func() bool { return p.Open() == 0 }, 10*time.Second, time.Millisecond)
	})
}

// TestProxyIsOut shows that open connections end, new ones are refused, and that it is
// over as soon as the weather is better.
func TestProxyIsOut(t *testing.T) {
	p := through(t, toxic.Weather{})
	c := dial(t, p)
	_, err := c.Write([]byte("hello"))
	require.NoError(t, err)
	_, err = io.ReadFull(c, make([]byte, 5))
	require.NoError(t, err)
	p.Set(toxic.Weather{Out: true})
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	for range 10 {
		_, err = p.DialContext(t.Context(), "tcp", "whatever.test:80")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	}
	p.Set(toxic.Weather{})
	got, err := echo(dial(t, p), []byte("hello"))
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))
}
