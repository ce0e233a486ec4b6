package parley_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// drip writes pieces of a size, one a second.
func drip(size, pieces int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range pieces {
			select {
			case <-time.After(time.Second):
			case <-r.Context().Done():
				return
			}
			io.WriteString(w, strings.Repeat("x", size))
			http.NewResponseController(w).Flush()
		}
	})
}

func TestMinThroughput_endsABodyThatCrawls(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		handler http.Handler
		want    error
		after   time.Duration
	}{
		"fast enough":                    {drip(100, 60), nil, 60 * time.Second},
		"just fast enough":               {drip(12, 60), nil, 60 * time.Second},
		"too slow":                       {drip(9, 60), parley.ErrTooSlow, 11 * time.Second},
		"silent":                         {drip(100, 0), nil, 0},
		"silent after a good beginning":  {sequence(drip(100, 5), silence), parley.ErrTooSlow, 15 * time.Second},
		"the last bytes need not be all": {sequence(drip(100, 5), drip(1, 3)), nil, 8 * time.Second},
		"the last bytes come late":       {sequence(drip(100, 5), drip(1, 30)), parley.ErrTooSlow, 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, err := parley.New(parley.WithEnv(false), parley.WithBaseURL("http://a.test"), parley.WithHandler(test.handler),
					parley.WithMinThroughput(100, 10*time.Second))
				require.NoError(t, err)
				defer c.Close()
				began := time.Now()
				resp, err := c.Get(t.Context(), "x")
				require.InDelta(t, test.after, time.Since(began), float64(time.Second))
				if test.want == nil {
					require.NoError(t, err)
					require.NotNil(t, resp)
					return
				}
				require.ErrorIs(t, err, parley.ErrTooSlow)
				require.ErrorIs(t, err, parley.ErrTimeout)
				var e *parley.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, 10*time.Second, e.Limit)
				require.Equal(t, parley.PhaseRead, e.Phase)
				require.Contains(t, err.Error(), "transfer too slow: less than 100 bytes in 10s")
				synctest.Wait()
			})
		})
	}
}

// sequence answers as one handler and then as another.
func sequence(first, second http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first.ServeHTTP(w, r)
		second.ServeHTTP(w, r)
	})
}

var silence = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })

func TestMinThroughput_doesNotCountTheTimeOfTheReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := parley.New(parley.WithEnv(false), parley.WithBaseURL("http://a.test"), parley.WithHandler(drip(1, 5)), parley.WithMinThroughput(5, 6*time.Second))
		require.NoError(t, err)
		defer c.Close()
		resp, err := c.Stream(t.Context(), "GET", "x")
		require.NoError(t, err)
		n := 0
		for range resp.Chunks(1) {
			time.Sleep(time.Hour)
			n++
		}
		require.Equal(t, 5, n)
	})
}

func TestMinThroughput_countsWhatIsOnTheWireAndIsTheRequestsWord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		coded := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			fmt.Fprint(z, strings.Repeat("x", 1<<16))
			z.Flush()
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})
		c, err := parley.New(parley.WithEnv(false), parley.WithBaseURL("http://a.test"), parley.WithHandler(coded), parley.WithMinThroughput(1<<15, time.Second))
		require.NoError(t, err)
		defer c.Close()
		resp, err := c.Stream(t.Context(), "GET", "x")
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		require.ErrorIs(t, err, parley.ErrTooSlow)
		_, err = resp.Body.Read(make([]byte, 1))
		require.ErrorIs(t, err, parley.ErrTooSlow, "it stays so")
		resp, err = c.Stream(t.Context(), "GET", "x", parley.WithMinThroughput(0, 0))
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		require.ErrorIs(t, err, parley.ErrReadTimeout)
	})
}

func TestMinThroughput_closesTheConnection(t *testing.T) {
	t.Parallel()
	c := sessionTo(t, wiretest.Serve(t, func(c *wiretest.Conn) {
		if _, err := c.ReadRequest(); err == nil {
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
			<-c.Ending()
		}
	}))
	_, err := c.Get(t.Context(), "x", parley.WithMinThroughput(5, 50*time.Millisecond))
	require.ErrorIs(t, err, parley.ErrTooSlow)
	require.Zero(t, c.Stats().Active)
	require.Zero(t, c.Stats().Idle)

	for name, opt := range map[string]parley.ClientOption{
		"negative": parley.WithMinThroughput(-1, time.Second), "no window": parley.WithMinThroughput(1, 0),
	} {
		_, err := parley.New(opt)
		require.ErrorContains(t, err, "invalid option", name)
	}
}

func TestMinThroughput_isExplained(t *testing.T) {
	t.Parallel()
	c := newSession(t, parley.WithBaseURL("http://a.test"), parley.WithMinThroughput(1024, 30*time.Second), parley.WithMaxItemBytes(5))
	req, err := c.NewRequest("GET", "x")
	require.NoError(t, err)
	e, err := c.Explain(req)
	require.NoError(t, err)
	require.Contains(t, e.Settings, parley.Setting{Name: "MinThroughput", Value: "1024 bytes in 30s", Source: parley.SourceSession})
	require.Contains(t, e.Settings, parley.Setting{Name: "MaxItemBytes", Value: "5", Source: parley.SourceSession})
}
