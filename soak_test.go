package parley_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// fickle answers requests for numbers with the number, and ends its connections at
// random: in one of twenty cases when a request has come, in another after the
// answer, but never on a connection's first request.
type fickle struct {
	answers []atomic.Int32 // by number
	cuts    atomic.Int64
}

func (f *fickle) serve(c *wiretest.Conn) {
	br := bufio.NewReaderSize(c.Conn, 1<<10) // nothing recorded
	for n := 0; ; n++ {
		number, ok := readNumber(br)
		if !ok || number >= len(f.answers) {
			return
		}
		dice := 3
		if n > 0 {
			dice = rand.IntN(20)
		}
		if dice == 0 {
			f.cuts.Add(1)
			end(c)
			return
		}
		f.answers[number].Add(1)
		if !c.Say(wiretest.OK(strconv.Itoa(number))) {
			return
		}
		if dice == 1 {
			f.cuts.Add(1)
			return
		}
	}
}

// end ends a connection on which no answer is under way, in one of the ways there
// are.
func end(c *wiretest.Conn) {
	switch rand.IntN(3) {
	case 0:
		c.Cut()
	case 1:
		c.Reset()
	default: // by returning: over TLS with a word of goodbye
	}
}

// readNumber reads a request for "/number".
func readNumber(br *bufio.Reader) (int, bool) {
	line, err := br.ReadString('\n')
	if err != nil {
		return 0, false
	}
	target, _, _ := strings.Cut(strings.TrimPrefix(line, "GET /"), " ")
	number, err := strconv.Atoi(target)
	for err == nil && line != "\r\n" {
		line, err = br.ReadString('\n')
	}
	return number, err == nil
}

// census dials, and counts the sockets that are open.
type census struct {
	mu         sync.Mutex
	open, most int
}

func (d *census) add(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open += n
	d.most = max(d.most, d.open)
}

func (d *census) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	d.add(1)
	nc, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		d.add(-1)
		return nil, err
	}
	return &citizen{TCPConn: nc.(*net.TCPConn), leave: sync.OnceFunc(func() { d.add(-1) })}, nil
}

// citizen is a socket that is counted until it is closed.
type citizen struct {
	*net.TCPConn
	leave func()
}

func (c *citizen) Close() error {
	defer c.leave()
	return c.TCPConn.Close()
}

// soakSize is how many requests the test makes: few unless PARLEY_SOAK is set.
func soakSize(few int) int {
	if os.Getenv("PARLEY_SOAK") != "" {
		return 100_000
	}
	return few
}

func TestSoak_noRequestIsLostToConnectionsThatEnd(t *testing.T) {
	authority := wiretest.NewAuthority(t)
	t.Run("plain", func(t *testing.T) {
		f := &fickle{answers: make([]atomic.Int32, soakSize(5000))}
		soak(t, f, wiretest.Serve(t, f.serve))
	})
	t.Run("TLS", func(t *testing.T) {
		f := &fickle{answers: make([]atomic.Int32, soakSize(2000))}
		soak(t, f, wiretest.ServeTLS(t, authority.Server(t), f.serve), parley.WithTLSConfig(authority.Trusted()))
	})
}

func soak(t *testing.T, f *fickle, s *wiretest.Server, opts ...parley.ClientOption) {
	const (
		hard  = 8
		users = 64
	)
	sockets := &census{}
	c := sessionTo(t, s, append(opts, parley.WithDialer(sockets), parley.WithPoolLimits(parley.PoolLimits{Hard: hard}))...)
	start := time.Now()
	var next atomic.Int64
	errs := make(chan error, users)
	var running sync.WaitGroup
	for range users {
		running.Go(func() {
			for {
				number := int(next.Add(1)) - 1
				if number >= len(f.answers) {
					return
				}
				if err := ask(t, c, number); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	running.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	took := time.Since(start)
	for number := range f.answers {
		require.EqualValues(t, 1, f.answers[number].Load(), "answers to %d", number)
	}
	stats := c.Stats()
	require.Equal(t, hard, sockets.most)
	require.Equal(t, stats.Idle, sockets.open)
	require.Zero(t, stats.Active+stats.Waiting+stats.Dialing)
	require.LessOrEqual(t, stats.Idle, hard)
	require.Zero(t, stats.DialErrors)
	require.Positive(t, stats.Replays)
	require.Positive(t, f.cuts.Load())
	t.Logf("%d requests in %v, %.0f a second: %d dials, %d reuses, %d replays, %d ended by the server; %v",
		len(f.answers), took.Round(time.Millisecond), float64(len(f.answers))/took.Seconds(),
		stats.Dials, stats.Reuses, stats.Replays, f.cuts.Load(), stats.Closed)
}

// ask requests a number and expects it back.
func ask(t *testing.T, c *parley.Client, number int) error {
	want := strconv.Itoa(number)
	resp, err := c.Get(t.Context(), want)
	if err != nil {
		return err
	}
	text, err := resp.Text()
	if err == nil && (resp.StatusCode != 200 || text != want) {
		err = fmt.Errorf("status %d with %q for %s", resp.StatusCode, text, want)
	}
	return err
}
