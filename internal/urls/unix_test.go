package urls

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse_aSocket(t *testing.T) {
	for in, want := range map[string][3]string{ // host, path, and the URL as a string
		"http+unix://%2Frun%2Fapp.sock":                   {"/run/app.sock", "/", "http+unix://%2Frun%2Fapp.sock/"},
		"HTTP+UNIX://%2frun%2fapp.sock/v1/../x?a=b c#f":   {"/run/app.sock", "/x", "http+unix://%2Frun%2Fapp.sock/x?a=b%20c#f"},
		"http+unix://%2Ftmp%2Fa%40b%3A80%20c%25/":         {"/tmp/a@b:80 c%", "/", "http+unix://%2Ftmp%2Fa%40b:80%20c%25/"},
		"http+unix://%2Ftmp%2F%C3%A4.sock/%2F?q":          {"/tmp/ä.sock", "//", "http+unix://%2Ftmp%2F%C3%A4.sock/%2F?q"},
		"http+unix://%2Frun%2FAPP.sock?x=http+unix://%2F": {"/run/APP.sock", "/", "http+unix://%2Frun%2FAPP.sock/?x=http+unix://%2F"},
	} {
		u, err := Parse(in)
		require.NoError(t, err, in)
		require.Equal(t, want, [3]string{u.Host, u.Path, u.String()})
		again, err := Parse(u.String())
		require.NoError(t, err)
		require.Equal(t, u, again, "it is read again as it is written")
		require.Equal(t, "localhost", HostHeader(u))
		require.Equal(t, "localhost:80", HostPort(u))
	}
	for _, bad := range []string{
		"http+unix://", "http+unix:///run/app.sock", "http+unix:/x", "http+unix://run%2Fapp.sock/", "http+unix://user@%2Frun/",
		"http+unix://%2Frun%00/", "http+unix://localhost/", "http+unix://%2Fr\nun/",
	} {
		_, err := Parse(bad)
		require.ErrorAs(t, err, new(*Error), bad)
	}
	_, err := Parse("https+unix://%2Frun%2Fapp.sock/")
	require.ErrorAs(t, err, new(*SchemeError))
}

func TestBase_aSocket(t *testing.T) {
	u, err := Parse("http+unix://%2Frun%2Fapp.sock/v1")
	require.NoError(t, err)
	base, err := NewBase(u)
	require.NoError(t, err)
	for ref, want := range map[string]string{
		"users?a": "http+unix://%2Frun%2Fapp.sock/v1/users?a", "": "http+unix://%2Frun%2Fapp.sock/v1", "a b": "http+unix://%2Frun%2Fapp.sock/v1/a%20b",
	} {
		var got url.URL
		same, err := base.JoinInto(&got, ref)
		require.NoError(t, err)
		require.True(t, same)
		require.Equal(t, want, got.String())
	}
	var other url.URL
	same, err := base.JoinInto(&other, "http+unix://%2Frun%2FAPP.sock/v1")
	require.NoError(t, err)
	require.False(t, same, "files are told apart by case")
	require.False(t, SameOrigin(u, &other))
	require.False(t, SameOrigin(u, &url.URL{Scheme: UnixScheme, Host: "/run/app.sock:80"}))
	require.Equal(t, "http+unix://%2Frun%2Fapp.sock/v1", Redacted(u))
}

// What a server says leads nowhere but to paths of the same socket.
func TestResolve_noSocketAtTheWordOfAServer(t *testing.T) {
	socket, err := Parse("http+unix://%2Frun%2Fapp.sock/v1/x")
	require.NoError(t, err)
	web, err := Parse("https://a.test/")
	require.NoError(t, err)
	for _, ref := range []string{
		"http+unix://%2Frun%2Fapp.sock/", "HTTP+Unix://%2Frun%2Fother.sock/", "http+unix:%2Frun", "http+unix://x",
	} {
		for _, from := range []*url.URL{socket, web} {
			_, err := Resolve(from, ref)
			require.ErrorAs(t, err, new(*SchemeError), ref)
		}
	}
	_, err = Resolve(socket, "//%2Frun%2Fother.sock/")
	require.ErrorAs(t, err, new(*SchemeError))
	got, err := Resolve(socket, "../y?z")
	require.NoError(t, err)
	require.Equal(t, "http+unix://%2Frun%2Fapp.sock/y?z", got.String())
	got, err = Resolve(socket, "http://a.test/")
	require.NoError(t, err)
	require.Equal(t, "http://a.test/", got.String())
}
