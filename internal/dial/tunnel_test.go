package dial

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley/internal/h1"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// toProxy starts a proxy that leads a.test to a server, and connects to it.
func toProxy(t *testing.T, login string) (net.Conn, *wiretest.Proxy) {
	t.Helper()
	server := wiretest.Serve(t, wiretest.Echo())
	p := wiretest.NewProxy(t, wiretest.NewNames(map[string]string{"a.test:80": server.Addr()}), login)
	nc, err := net.Dial("tcp", p.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { nc.Close() })
	return nc, p
}

// requireEcho checks that nc leads to the server.
func requireEcho(t *testing.T, nc net.Conn) {
	t.Helper()
	_, err := io.WriteString(nc, "GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n")
	require.NoError(t, err)
	answer := make([]byte, len(wiretest.OK("/x")))
	_, err = io.ReadFull(nc, answer)
	require.NoError(t, err)
	require.Equal(t, wiretest.OK("/x"), string(answer))
}

func TestConnect_leadsToTheServer(t *testing.T) {
	nc, p := toProxy(t, "")
	head := &h1.RequestHead{Method: http.MethodConnect, Target: "a.test:80", Host: "a.test:80"}
	header, err := Connect(nc, head, h1.Limits{})
	require.NoError(t, err)
	require.NotNil(t, header)
	requireEcho(t, nc)
	require.Equal(t, []string{"CONNECT a.test:80"}, p.Asked())
}

func TestConnect_refused(t *testing.T) {
	nc, _ := toProxy(t, "user:password")
	head := &h1.RequestHead{Method: http.MethodConnect, Target: "a.test:80", Host: "a.test:80"}
	_, err := Connect(nc, head, h1.Limits{})
	var refused *Refused
	require.ErrorAs(t, err, &refused)
	require.Equal(t, 407, refused.StatusCode)
	require.Equal(t, "407 Proxy Authentication Required", refused.Status)
	require.NotEmpty(t, refused.Header.Get("Proxy-Authenticate"))
	require.EqualError(t, err, "the proxy answered 407")
}

func TestConnect_writesNothingMalformed(t *testing.T) {
	nc, p := toProxy(t, "")
	var field *h1.FieldError
	_, err := Connect(nc, &h1.RequestHead{Method: http.MethodConnect, Target: "a.test", Host: "a.test"}, h1.Limits{})
	require.ErrorAs(t, err, &field)
	require.Empty(t, p.Text())
}

func TestSOCKS5_leadsToTheServer(t *testing.T) {
	for _, login := range []string{"", "user:password"} {
		nc, p := toProxy(t, login)
		var own *Login
		if login != "" {
			own = &Login{"user", "password"}
		}
		require.NoError(t, SOCKS5(nc, "a.test:80", own))
		requireEcho(t, nc)
		require.Equal(t, []string{"SOCKS a.test:80"}, p.Asked())
	}
}

func TestSOCKS5_refused(t *testing.T) {
	nc, _ := toProxy(t, "")
	require.ErrorContains(t, SOCKS5(nc, "b.test:80", nil), "host unreachable")
	nc, _ = toProxy(t, "user:password")
	require.ErrorContains(t, SOCKS5(nc, "a.test:80", &Login{"user", "other"}), "authentication failed")
	nc, _ = toProxy(t, "user:password")
	require.Error(t, SOCKS5(nc, "a.test:80", nil))
}

func TestConnect_aRefusalIsReadAsFarAsItComes(t *testing.T) {
	head := &h1.RequestHead{Method: http.MethodConnect, Target: "a.test:80", Host: "a.test:80"}
	for rule, c := range map[string]struct{ answer, want string }{
		"of known length":   {"HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nno to", "no to"},
		"in chunks":         {"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", "no"},
		"what came in time": {"HTTP/1.1 403 No\r\nContent-Length: 50\r\n\r\nno", "no"},
		"up to the end":     {"HTTP/1.1 403 No\r\n\r\nno", "no"},
		"its beginning":     {"HTTP/1.1 403 No\r\n\r\n" + strings.Repeat("x", 1<<20), strings.Repeat("x", maxRefusal)},
		"none":              {"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", ""},
	} {
		t.Run(rule, func(t *testing.T) {
			p := wiretest.Serve(t, func(conn *wiretest.Conn) {
				if _, err := conn.ReadHead(); err == nil && conn.Say(c.answer) {
					conn.Rest()
				}
			})
			nc, err := net.Dial("tcp", p.Addr())
			require.NoError(t, err)
			defer nc.Close()
			_, err = Connect(nc, head, h1.Limits{})
			var refused *Refused
			require.ErrorAs(t, err, &refused)
			require.Equal(t, c.want, string(refused.Body))
		})
	}
}
