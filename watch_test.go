package parley

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// ending counts how often an exchange is ended.
type ending struct{ times int }

func (e *ending) interrupt(error) { e.times++ }

func TestWatch_aHeadThatComesAfterItsLimitIsTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := new(ending)
		w := watch{limit: &Timeouts{Response: time.Second}, end: end, alarm: &alarm{alone: true}}
		w.begin(PhaseResponse)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, 1, end.times)
		var late *lateError
		require.ErrorAs(t, w.headCame(), &late)
		require.Equal(t, PhaseResponse, late.phase)
		require.Equal(t, PhaseResponse, w.reached())
		w.stop()

		in := watch{limit: &Timeouts{Response: time.Second}, end: end, alarm: &alarm{alone: true}}
		in.begin(PhaseResponse)
		require.NoError(t, in.headCame())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Equal(t, 1, end.times)
		require.Equal(t, PhaseRead, in.reached())
		in.stop()
	})
}

// TestWatch_anAnswerAtTheLastMoment is there or is not: where the head was in time its body
// does not fail for it.
func TestWatch_anAnswerAtTheLastMoment(t *testing.T) {
	const limit = time.Second
	body := strings.Repeat("x", 1000)
	for name, opt := range map[string]ClientOption{
		"handler": WithHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(limit)
			io.WriteString(w, body)
		})),
		"round tripper": WithTransport(FromRoundTripper(tripper(func(r *http.Request) (*http.Response, error) {
			time.Sleep(limit)
			return &http.Response{StatusCode: 200, Request: r, Body: &following{r: strings.NewReader(body), req: r}}, nil
		}))),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, err := New(opt, WithEnv(false), WithTimeouts(Timeouts{Response: limit}))
				require.NoError(t, err)
				defer c.Close()
				for range 200 {
					resp, err := c.Stream(t.Context(), "GET", "http://a.test/")
					if err != nil {
						require.ErrorIs(t, err, ErrResponseTimeout)
						continue
					}
					got, err := io.ReadAll(resp.Body)
					require.NoError(t, err)
					require.Equal(t, body, string(got))
				}
			})
		})
	}
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// following is a body that ends with the context of its request.
type following struct {
	r   io.Reader
	req *http.Request
}

func (f *following) Read(p []byte) (int, error) {
	if err := f.req.Context().Err(); err != nil {
		return 0, errors.Join(errors.New("the request has ended"), err)
	}
	return f.r.Read(p)
}

func (f *following) Close() error { return nil }
