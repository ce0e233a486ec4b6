package parley_test

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// endings is middleware that keeps how the bodies of answers ended.
func endings(to *[]error) parley.ClientOption {
	return parley.WithNetworkMiddleware(func(next parley.Transport) parley.Transport {
		return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
			resp, err := next.Send(ctx, req)
			if err == nil {
				resp.AfterBody(func(err error) { *to = append(*to, err) })
			}
			return resp, err
		})
	})
}

func TestAfterBody_isCalledOnce(t *testing.T) {
	t.Parallel()
	const whole = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
	for name, test := range map[string]struct {
		answer string
		method string
		use    func(t *testing.T, resp *parley.Response)
		err    error
	}{
		"at the end of a body": {whole, http.MethodGet, func(t *testing.T, resp *parley.Response) {
			_, err := resp.Bytes()
			require.NoError(t, err)
		}, nil},
		"when the body is closed": {whole, http.MethodGet, func(t *testing.T, resp *parley.Response) {
			require.NoError(t, resp.Close())
			_, err := resp.Body.Read(make([]byte, 1))
			require.Error(t, err)
		}, nil},
		"at once where there is no body": {whole, http.MethodHead, func(*testing.T, *parley.Response) {}, nil},
		"with what cut the body short": {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody", http.MethodGet, func(t *testing.T, resp *parley.Response) {
			_, err := resp.Bytes()
			require.Error(t, err)
		}, parley.ErrNetwork},
		"when the connection of an upgrade is closed": {switching, http.MethodGet, func(t *testing.T, resp *parley.Response) {
			conn, err := resp.Conn()
			require.NoError(t, err)
			require.NoError(t, conn.Close())
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := wiretest.Serve(t, func(c *wiretest.Conn) {
				if _, err := c.ReadHead(); err == nil {
					c.Say(test.answer)
				}
			})
			var ended []error
			c := sessionTo(t, s, endings(&ended))
			resp, err := c.Stream(t.Context(), test.method, "x", asksForEcho)
			require.NoError(t, err)
			if test.method != http.MethodHead {
				require.Empty(t, ended, "it is called before the body has been used")
			}
			test.use(t, resp)
			_ = resp.Close() // once more; for a connection that is an error
			require.Len(t, ended, 1)
			require.ErrorIs(t, ended[0], test.err)
		})
	}
}

func TestAfterBody_isCalledAtOnceForWhatIsInMemory(t *testing.T) {
	t.Parallel()
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "body") })
	read := parley.Reading()(parley.HandlerTransport(h))
	req, err := parley.NewRequest(http.MethodGet, "http://api.test/")
	require.NoError(t, err)
	resp, err := read.Send(t.Context(), req)
	require.NoError(t, err)
	called := 0
	resp.AfterBody(func(err error) {
		require.NoError(t, err)
		called++
	})
	require.Equal(t, 1, called)
}
