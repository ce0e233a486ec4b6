package h2

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/seed-0474a412/parley/internal/wiretest"
)

// eventually waits until ok.
func eventually(t *testing.T, ok func() bool, what string) {
	t.Helper()
	wiretest.Eventually(t, ok, what)
}

// The capacity is what the peer allows, one until it has said so.
func TestConn_theCapacityIsThePeers(t *testing.T) {
	t.Parallel()
	say := make(chan func(*peer))
	s := servePeer(t, func(p *peer) {
		for do := range say {
			do(p)
		}
		p.rest()
	})
	var calls atomic.Int64
	c := open(t, s, Config{}, func() { calls.Add(1) })
	require.Equal(t, 1, c.Capacity())
	require.True(t, c.Growing())
	require.True(t, c.Usable())
	require.Zero(t, c.Heard())
	for _, step := range []struct {
		name   string
		most   uint32
		want   int
		called bool // more than before, or none any more
	}{
		{"initial", 3, 3, true}, {"raised", 5, 5, true}, {"the same", 5, 5, false}, {"lowered", 2, 2, false}, {"raised again", 4, 4, true},
		{"none", 0, 0, true},
	} {
		before := calls.Load()
		say <- func(p *peer) { p.most(step.most) }
		eventually(t, func() bool { return c.Capacity() == step.want }, step.name)
		if step.called {
			eventually(t, func() bool { return calls.Load() > before }, step.name+": it is told")
		}
		require.False(t, c.Growing())
		require.Equal(t, step.want > 0, c.Usable(), step.name)
		require.WithinDuration(t, time.Now(), time.Unix(0, c.Heard()), guardTime)
	}
	close(say)
}

func TestConn_aPeerThatNamesNoLimitTakesMany(t *testing.T) {
	t.Parallel()
	s := servePeer(t, func(p *peer) {
		p.WriteSettings()
		p.rest()
	})
	c := open(t, s, Config{}, nil)
	eventually(t, func() bool { return c.Capacity() >= 100 }, "the settings came")
}

// Streams count until Done, also those that the peer has come to allow no more.
func TestConn_streamsCountUntilTheyAreDone(t *testing.T) {
	t.Parallel()
	next := make(chan func(p *peer, stream uint32))
	s := servePeer(t, func(p *peer) {
		p.most(2)
		var first uint32
		for do := range next {
			if first == 0 {
				first = p.request()
				p.request()
			}
			do(p, first)
		}
		p.rest()
	})
	c := open(t, s, Config{}, nil)
	eventually(t, func() bool { return c.Capacity() == 2 }, "the settings came")
	type answer struct {
		resp *http.Response
		err  error
	}
	answers := make(chan answer, 2)
	ctx, cancel := context.WithCancel(t.Context())
	for range 2 {
		go func() {
			resp, err := c.RoundTrip(newRequest(ctx, t, "GET", nil))
			answers <- answer{resp, err}
		}()
	}
	next <- func(p *peer, _ uint32) { p.most(1) } // both have come
	eventually(t, func() bool { return c.cc.Load().Available() == 0 }, "no more is allowed")
	require.Equal(t, 2, c.Capacity(), "what is carried is carried")
	require.True(t, c.Usable())

	next <- func(p *peer, first uint32) { p.head(first, true, ":status", "200") }
	one := <-answers
	require.NoError(t, one.err)
	require.True(t, Bodiless(one.resp))
	c.Done()
	require.Equal(t, 1, c.Capacity())

	cancel()
	require.ErrorIs(t, (<-answers).err, context.Canceled)
	c.Done()
	require.Equal(t, 1, c.Capacity())
	close(next)
}

// A stream that is given up counts for the peer until it shows a sign of life, which is
// told to those who found no room.
func TestConn_aStreamThatIsGivenUp(t *testing.T) {
	t.Parallel()
	came, goOn := make(chan struct{}), make(chan struct{})
	s := servePeer(t, func(p *peer) {
		p.most(1)
		p.request()
		close(came)
		<-goOn
		p.rest() // answers the ping that goes with a reset
	})
	var calls atomic.Int64
	c := open(t, s, Config{}, func() { calls.Add(1) })
	eventually(t, func() bool { return !c.Growing() }, "the settings came")
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error)
	go func() { over <- exchange(t, c, newRequest(ctx, t, "GET", nil)) }()
	<-came
	cancel()
	require.ErrorIs(t, <-over, context.Canceled)
	require.Equal(t, 1, c.Capacity(), "room is expected")
	require.Zero(t, c.cc.Load().Available(), "but there is none")
	before := calls.Load()
	close(goOn)
	eventually(t, func() bool { return c.cc.Load().Available() == 1 && calls.Load() > before }, "there is room")
}

// net/http forgets a stream after its caller has done with it. Who found no room meanwhile
// is told, also where the peer says nothing more.
func TestConn_roomIsToldAlsoIfThePeerIsSilent(t *testing.T) {
	t.Parallel()
	s := servePeer(t, func(p *peer) {
		p.most(2)
		p.head(p.request(), false, ":status", "200")
		p.head(p.request(), false, ":status", "200")
		p.conn.Hold()
	})
	told := make(chan struct{}, 100)
	c := open(t, s, Config{}, func() { told <- struct{}{} })
	eventually(t, func() bool { return !c.Growing() }, "the settings came")
	resp, err := c.RoundTrip(newRequest(t.Context(), t, "GET", nil))
	require.NoError(t, err)
	defer resp.Body.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err = c.RoundTrip(newRequest(ctx, t, "GET", nil))
	require.NoError(t, err)
	require.Equal(t, 2, c.Capacity())
	for len(told) > 0 {
		<-told
	}
	cancel()
	c.Done()
	if c.Capacity() == 1 {
		<-told
	}
	require.Equal(t, 2, c.Capacity())
	c.Done()
}

// changed may ask for everything, and close the connection.
func TestConn_changedIsCalledWithNoLockHeld(t *testing.T) {
	t.Parallel()
	s := servePeer(t, func(p *peer) {
		p.most(2)
		stream := p.request()
		p.WriteGoAway(stream, http2.ErrCodeNo, nil)
		p.ok(stream)
		p.rest()
	})
	var at atomic.Pointer[Conn]
	var over atomic.Int64
	c := open(t, s, Config{}, func() {
		if c := at.Load(); c != nil {
			c.Growing()
			if c.Usable(); c.Capacity() == 0 {
				over.Add(1)
				c.Close()
			}
		}
	})
	at.Store(c)
	require.NoError(t, exchange(t, c, newRequest(t.Context(), t, "GET", nil)))
	eventually(t, func() bool { return over.Load() > 0 }, "it takes no more")
	require.False(t, c.Usable())
	require.Zero(t, c.Capacity())
	require.False(t, c.Growing())
}

func TestConn_closeEndsWhatGoesOn(t *testing.T) {
	t.Parallel()
	came := make(chan uint32, 2)
	s := servePeer(t, func(p *peer) {
		p.most(10)
		first, second := p.request(), p.request()
		p.head(second, false, ":status", "200")
		came <- first
		p.rest()
	})
	c := open(t, s, Config{}, nil)
	errs := make(chan error, 2)
	for range 2 {
		go func() { errs <- exchange(t, c, newRequest(t.Context(), t, "GET", nil)) }()
	}
	<-came
	c.Close()
	for range 2 {
		err := <-errs
		require.Error(t, err)
		require.Equal(t, Broken, KindOf(err), "%v", err)
	}
	require.False(t, c.Usable())
	require.Zero(t, c.Capacity())
}

// deadConn is a connection that is over.
type deadConn struct{ net.Conn }

var errDead = errors.New("dead")

func (deadConn) Write([]byte) (int, error) { return 0, errDead }

func TestOpen_aConnectionThatIsDead(t *testing.T) {
	t.Parallel()
	one, other := net.Pipe()
	defer other.Close()
	ended := false
	c, err := New(Config{}).Open(t.Context(), deadConn{one}, func() { ended = true; one.Close() }, func() {})
	require.ErrorIs(t, err, errDead)
	require.Nil(t, c)
	require.True(t, ended)
}

// What the context of Open says afterwards does not matter.
func TestOpen_theContextIsOfTheDial(t *testing.T) {
	t.Parallel()
	s := servePeer(t, func(p *peer) {
		p.WriteSettings()
		p.ok(p.request())
		p.rest()
	})
	nc, err := net.Dial("tcp", s.Addr())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c, err := New(Config{}).Open(ctx, nc, func() { nc.Close() }, func() {})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, exchange(t, c, newRequest(t.Context(), t, "GET", nil)))
}

func TestTransport_available(t *testing.T) {
	require.True(t, New(Config{}).Available())
	t.Setenv("GODEBUG", "http2client=0")
	require.False(t, New(Config{}).Available())
}

func TestBodiless(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		method string
		end    bool
		fields []string
		want   bool
	}{
		"ended with the head":         {"GET", true, nil, true},
		"a length of none":            {"GET", true, []string{"content-length", "0"}, true},
		"a length, and no body":       {"GET", true, []string{"content-length", "5"}, false}, // an error
		"goes on":                     {"GET", false, nil, false},
		"a length of none, goes on":   {"GET", false, []string{"content-length", "0"}, false},
		"a HEAD":                      {"HEAD", true, nil, true},
		"a length that is no length":  {"GET", true, []string{"content-length", "five"}, true},
		"two lengths":                 {"GET", false, []string{"content-length", "0", "content-length", "0"}, false},
		"a head of another kind":      {"GET", true, []string{"x-one", strings.Repeat("x", 100)}, true},
		"goes on with trailers named": {"GET", false, []string{"trailer", "x-sum"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := servePeer(t, func(p *peer) {
				p.WriteSettings()
				stream := p.request()
				p.head(stream, test.end, append([]string{":status", "200"}, test.fields...)...)
				if !test.end {
					p.WriteData(stream, true, nil)
				}
				p.rest()
			})
			c := open(t, s, Config{}, nil)
			resp, err := c.RoundTrip(newRequest(t.Context(), t, test.method, nil))
			require.NoError(t, err)
			require.Equal(t, test.want, Bodiless(resp))
			_, err = io.Copy(io.Discard, resp.Body)
			if name == "a length, and no body" {
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			} else {
				require.NoError(t, err)
			}
			require.NoError(t, resp.Body.Close())
			c.Done()
		})
	}
	require.True(t, Bodiless(&http.Response{}))
	require.True(t, Bodiless(&http.Response{Body: http.NoBody}))
}
