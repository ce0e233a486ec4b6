package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// startTestServer runs a server in this process until the test ends.
func startTestServer(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- newServer().serve(ln) }()
	t.Cleanup(func() {
		require.NoError(t, ln.Close())
		require.NoError(t, <-done)
	})
	return ln.Addr().String()
}

func TestServerAnswersAreValidHTTP(t *testing.T) {
	base := "http://" + startTestServer(t)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	hc := &http.Client{Transport: transport}
	for _, c := range []struct {
		name, method, path string
		body               io.Reader
		want               string
	}{
		{"small answer", "GET", pathGet, nil, smallBody()},
		{"small body sent", "POST", pathPost, strings.NewReader(smallBody()), okBody},
		{"empty body sent", "POST", pathPost, strings.NewReader(""), okBody},
		{"large body sent", "PUT", pathUpload, bytes.NewReader(make([]byte, 3*transferSize+7)), okBody},
		{"hold of one", "GET", pathHold + "1", nil, smallBody()},
		{"empty download", "GET", pathDownload + "0", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), c.method, base+c.path, c.body)
			require.NoError(t, err)
			resp, err := hc.Do(req)
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, c.want, string(body))
			require.Len(t, resp.Header, 8)
		})
	}
	resp, err := hc.Get(base + fmt.Sprintf("%s%d", pathDownload, 2*transferSize+1))
	require.NoError(t, err)
	n, err := readChunks(resp.Body, make([]byte, 1000))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, int64(2*transferSize+1), n)
}

func TestEveryWayLeadsToTheSameAnswer(t *testing.T) {
	s, err := openSite()
	require.NoError(t, err)
	defer func() { require.NoError(t, s.close()) }()
	for _, sc := range networkScenarios(3*transferSize + 7) {
		for _, k := range allClients() {
			if !sc.runs(k) {
				continue
			}
			t.Run(sc.Name+", "+k.name, func(t *testing.T) {
				setup, err := newSetup(sc, s.at)
				require.NoError(t, err)
				c, err := k.make(setup)
				require.NoError(t, err)
				defer func() { require.NoError(t, c.close()) }()
				for range 3 {
					if sc.Kind == kindDownload {
						to := newTarget(setup.base, pathDownload+fmt.Sprint(sc.Size), 0)
						require.NoError(t, c.download(t.Context(), to, sc.Size, make([]byte, chunkSize)))
					} else {
						require.NoError(t, c.get(t.Context(), newTarget(setup.base, pathGet, 0)))
					}
				}
			})
		}
	}
}

func TestHTTP2IsSpokenByNothingElse(t *testing.T) {
	s, err := openSite()
	require.NoError(t, err)
	defer func() { require.NoError(t, s.close()) }()
	setup, err := newSetup(scenario{Way: wayHTTP2}, s.at)
	require.NoError(t, err)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: setup.roots}} // without HTTP/2
	defer transport.CloseIdleConnections()
	_, err = (&http.Client{Transport: transport}).Get(setup.base + pathGet)
	require.Error(t, err)
}

func TestAWayThatIsNotKnownIsAnError(t *testing.T) {
	_, err := newSetup(scenario{Way: "pigeon"}, addresses{})
	require.ErrorContains(t, err, `"pigeon"`)
	_, err = newSetup(scenario{Way: wayTLS}, addresses{Root: []byte("no certificate")})
	require.ErrorContains(t, err, "certificate")
}

func TestConnectionsAreThoseOfTheScenario(t *testing.T) {
	resuming, full := scenario{Fresh: true, Resume: true}, scenario{Fresh: true}
	for _, c := range []struct {
		name          string
		sc            scenario
		made, resumed int64
		want          string // part of the error; empty: none
	}{
		{"nothing is asked of those that are kept", scenario{}, 0, 0, ""},
		{"all resumed", resuming, 200, 200, ""},
		{"one in a hundred may be the first", resuming, 200, 198, ""},
		{"too few resumed", resuming, 200, 197, "197 of 200"},
		{"none resumed", full, 200, 0, ""},
		{"one resumed that should not", full, 200, 1, "1 of 200"},
		{"one kept", full, 0, 0, "no connection"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.sc.checkConns(counts{accepted: 5, resumed: 2}, counts{accepted: 5 + c.made, resumed: 2 + c.resumed})
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestServerTakesARequestInPieces(t *testing.T) {
	c, err := net.Dial("tcp", startTestServer(t))
	require.NoError(t, err)
	defer c.Close()
	request := "POST " + pathPost + " HTTP/1.1\r\nHost: x\r\ncontent-LENGTH:  5 \r\n\r\nabcde"
	for i := range len(request) {
		_, err := io.WriteString(c, request[i:i+1])
		require.NoError(t, err)
	}
	answer := make([]byte, len(answerOK()))
	_, err = io.ReadFull(c, answer)
	require.NoError(t, err)
	require.Equal(t, string(answerOK()), string(answer))
}

func TestServerClosesOnWhatItDoesNotUnderstand(t *testing.T) {
	addr := startTestServer(t)
	for name, request := range map[string]string{
		"unknown path":          "GET /nothing HTTP/1.1\r\n\r\n",
		"no target":             "GET\r\n\r\n",
		"no length":             "POST / HTTP/1.1\r\nHost: x\r\n\r\n",
		"a length too small":    "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nab",
		"a head too long":       "GET " + strings.Repeat("x", headSize),
		"a negative length":     "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
		"a tunnel, without TLS": "CONNECT x:443 HTTP/1.1\r\n\r\n",
		"no number to hold":     "GET " + pathHold + "x HTTP/1.1\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", addr)
			require.NoError(t, err)
			defer c.Close()
			_, err = io.WriteString(c, request)
			require.NoError(t, err)
			n, err := c.Read(make([]byte, 1))
			require.Zero(t, n)
			require.Error(t, err)
		})
	}
}

func TestHeldRequestsAreAnsweredTogether(t *testing.T) {
	addr := startTestServer(t)
	cc, err := dialCounts(addr)
	require.NoError(t, err)
	defer func() { require.NoError(t, cc.close()) }()
	for range 2 {
		c, err := newRawClient(setup{addr: addr, conns: 5})
		require.NoError(t, err)
		require.NoError(t, awaitQuiet(cc))
		var wg sync.WaitGroup
		errs := make([]error, 5)
		for i := range errs {
			wg.Go(func() { errs[i] = c.get(t.Context(), newTarget("", pathHold+"5", i)) })
		}
		wg.Wait()
		for _, err := range errs {
			require.NoError(t, err)
		}
		n, err := cc.ask()
		require.NoError(t, err)
		require.Equal(t, int64(5), n.open)
		require.NoError(t, c.close())
	}
}

func TestWorkersShareTheOriginsOut(t *testing.T) {
	sc := scenario{Kind: kindOrigins, Concurrency: 3, Conns: 7}
	seen := map[string]bool{}
	slots := map[int]bool{}
	for _, list := range workerTargets(sc, "") {
		for _, tg := range list {
			require.False(t, seen[tg.url] || slots[tg.slot], "%s is given twice", tg.url)
			seen[tg.url], slots[tg.slot] = true, true
		}
	}
	require.Len(t, seen, 7)
}

func TestProxySettingsDoNotReachTheClients(t *testing.T) {
	require.Equal(t, []string{"PATH=/bin", "PROXY=x"}, withoutProxies([]string{"HTTP_PROXY=a", "PATH=/bin", "no_proxy=b", "PROXY=x"}))
}
