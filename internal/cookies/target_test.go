package cookies

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTargetOf(t *testing.T) {
	for raw, want := range map[string]Target{
		"http://a.test":                        {host: "a.test", site: "a.test", path: "/"},
		"https://www.A.Test.:8443/x/y?z":       {host: "www.a.test", site: "a.test", path: "/x/y", secure: true},
		"http://a.b.example.co.uk/":            {host: "a.b.example.co.uk", site: "example.co.uk", path: "/"},
		"http://co.uk/":                        {host: "co.uk", site: "co.uk", path: "/", alone: true},
		"http://someone.github.io/":            {host: "someone.github.io", site: "someone.github.io", path: "/"},
		"http://b\u00fccher.test/":             {host: "xn--bcher-kva.test", site: "xn--bcher-kva.test", path: "/"},
		"http://intranet/":                     {host: "intranet", site: "intranet", path: "/", alone: true},
		"http://localhost/":                    {host: "localhost", site: "localhost", path: "/", secure: true, alone: true},
		"http://x.a.localhost/":                {host: "x.a.localhost", site: "a.localhost", path: "/", secure: true},
		"http://localhost.test/":               {host: "localhost.test", site: "localhost.test", path: "/"},
		"http://127.9.9.9:80/":                 {host: "127.9.9.9", site: "127.9.9.9", path: "/", secure: true, alone: true},
		"http://10.0.0.1/":                     {host: "10.0.0.1", site: "10.0.0.1", path: "/", alone: true},
		"http://[0:0::1]/":                     {host: "::1", site: "::1", path: "/", secure: true, alone: true},
		"ws://[fe80::1%25eth0]/a%2fb":          {host: "fe80::1%eth0", site: "fe80::1%eth0", path: "/a%2fb", alone: true},
		"wss://host1/":                         {host: "host1", site: "host1", path: "/", secure: true, alone: true},
		"http://a.us-east-1.elb.amazonaws.com": {host: "a.us-east-1.elb.amazonaws.com", site: "a.us-east-1.elb.amazonaws.com", path: "/"},
	} {
		u, err := url.Parse(raw)
		require.NoError(t, err, raw)
		got, ok := TargetOf(u)
		require.True(t, ok, raw)
		require.Equal(t, want, got, raw)
	}
	for _, u := range []*url.URL{
		nil, {}, {Scheme: "http", Path: "/x"}, {Scheme: "file", Path: "/x"}, {Scheme: "ftp", Host: "a.test"}, {Scheme: "http", Host: "."},
		{Scheme: "http", Host: "%41"}, {Scheme: "http", Host: "[::1"}, {Scheme: "http", Host: ":80"}, {Scheme: "http", Host: "1.2.3"},
	} {
		_, ok := TargetOf(u)
		require.False(t, ok, "%v", u)
	}
}

func TestDomainAndPathMatch(t *testing.T) {
	for _, test := range []struct {
		host, domain string
		want         bool
	}{
		{"a.test", "a.test", true}, {"x.a.test", "a.test", true}, {"y.x.a.test", "a.test", true},
		{"a.test", "x.a.test", false}, {"xa.test", "a.test", false}, {"a.test", "b.test", false}, {"a.test", "test", true}, {"test", "a.test", false},
	} {
		require.Equal(t, test.want, domainMatch(test.host, test.domain), "%v", test)
	}
	for _, test := range []struct {
		path, cookie string
		want         bool
	}{
		{"/", "/", true}, {"/x", "/", true}, {"/any", "/any", true}, {"/any/", "/any", true}, {"/any/x", "/any", true}, {"/any/x", "/any/", true},
		{"/anybad/", "/any", false}, {"/an", "/any", false}, {"/Any", "/any", false}, {"/any", "/any/", false},
	} {
		require.Equal(t, test.want, pathMatch(test.path, test.cookie), "%v", test)
	}
	for path, want := range map[string]string{"/": "/", "/x": "/", "/x/": "/x", "/x/y": "/x", "/x/y/z.html": "/x/y"} {
		require.Equal(t, want, (&Target{path: path}).defaultPath(), path)
	}
}
