package integration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mccutchen/go-httpbin/v2/httpbin"
	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/integration/internal/peer"
	"github.com/seed-0474a412/parley/internal/wiretest"
	"github.com/stretchr/testify/require"
)

// origin is go-httpbin with what it has not, by http and by https with a certificate for
// site.test and localhost. It speaks HTTP/2 too, by both.
type origin struct {
	authority *wiretest.Authority
	server    tls.Certificate // for site.test and localhost
	user      tls.Certificate // of client.test
	plain     *httptest.Server
	tls       *httptest.Server
}

const largeSize = 4 << 20

// large is content of that size, and largeDigest its digest.
var (
	large = sync.OnceValue(func() []byte {
		all, err := io.ReadAll(pattern(largeSize))
		if err != nil {
			panic(err) // a pattern has no errors
		}
		return all
	})
	largeDigest = sync.OnceValue(func() string { return fmt.Sprintf("%x", sha256.Sum256(large())) })
)

func newOrigin(t *testing.T) *origin {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/", httpbin.New(httpbin.WithMaxBodySize(largeSize)))
	mux.HandleFunc("/hello", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	mux.HandleFunc("GET /large", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, bytes.NewReader(large())) // the client sees what is missing
	})
	mux.HandleFunc("PUT /large", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		if _, err := io.Copy(sum, r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "%x", sum.Sum(nil))
	})
	mux.HandleFunc("POST /trailers", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Trailer", "X-Check, X-Sent")
		fmt.Fprintf(w, "%s", body)
		w.Header().Set("X-Check", "7")
		w.Header().Set("X-Sent", r.Trailer.Get("X-Sent"))
	})
	o := &origin{authority: wiretest.NewAuthority(t), plain: httptest.NewUnstartedServer(mux), tls: httptest.NewUnstartedServer(mux)}
	o.plain.Config.Protocols = new(http.Protocols)
	o.plain.Config.Protocols.SetHTTP1(true)
	o.plain.Config.Protocols.SetUnencryptedHTTP2(true)
	o.plain.Start()
	o.server = o.authority.Certificate(t, "site.test", "localhost", "127.0.0.1")
	o.user = o.authority.Certificate(t, "client.test")
	o.tls.TLS = &tls.Config{Certificates: []tls.Certificate{o.server}}
	o.tls.EnableHTTP2 = true
	o.tls.StartTLS()
	t.Cleanup(o.plain.Close)
	t.Cleanup(o.tls.Close)
	return o
}

// at is the URL of the origin by a scheme and another name for its host.
func (o *origin) at(scheme, host string) string {
	s := o.plain
	if scheme == "https" {
		s = o.tls
	}
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		panic(err) // the kernel gave the address
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// trust is what a client says of TLS to reach servers with the origin's certificate.
func (o *origin) trust() parley.Option { return parley.WithTLSConfig(o.authority.Trusted()) }

// files are those that servers need for TLS.
func (o *origin) files(t *testing.T, more map[string]string) map[string]string {
	t.Helper()
	cert, key := wiretest.PairPEM(t, o.server)
	more["cert.pem"], more["key.pem"], more["site.pem"] = string(cert), string(key), string(cert)+string(key)
	more["authority.pem"] = string(o.authority.PEM())
	return more
}

// way is one of the ways that lead to the origin.
type way struct {
	name     string
	base     string
	opts     []parley.ClientOption
	curl     []string // what curl has to be told to go that way
	shown    string   // expression for a line of some log of the peer's; PROTO is for the protocol's name
	log      func(t *testing.T) []string
	speaks   []string // what is spoken at its end: "h2", "h2c" or "http/1.1"
	trailers string   // which get through: "both" those of requests and responses, "down" those of responses, "h2" these by HTTP/2, "" none
	costly   bool     // refusals on the way cost connections
}

// protocol is one of those by which a way can be gone.
type protocol struct {
	name string
	mode parley.HTTP2Mode
	want string // Response.Proto
	curl string // curl's argument for it, and
	says string // what it calls it
}

// offers reports whether the end of the way speaks a protocol.
func (w way) offers(name string) bool { return slices.Contains(w.speaks, name) }

// secure reports whether there is a handshake to choose a protocol in.
func (w way) secure() bool { return strings.HasPrefix(w.base, "https:") }

// protocols gives those that are spoken at the end of the way.
func (w way) protocols() []protocol {
	var all []protocol
	if w.offers("h2") {
		all = append(all, protocol{"h2", parley.HTTP2Auto, "HTTP/2.0", "--http2", "2"})
	}
	if w.offers("h2c") {
		all = append(all, protocol{"h2c", parley.H2C, "HTTP/2.0", "--http2-prior-knowledge", "2"})
	}
	if w.offers("http/1.1") {
		mode := parley.HTTP2Auto // the server's choice, if there is one
		if w.offers("h2") {
			mode = parley.HTTP2Off
		}
		all = append(all, protocol{"1.1", mode, "HTTP/1.1", "--http1.1", "1.1"})
	}
	return all
}

// session makes a client that goes the way by a mode, every response of which is an error
// if it came by another protocol than proto.
func (w way) session(t *testing.T, o *origin, mode parley.HTTP2Mode, proto string) *parley.Client {
	t.Helper()
	check := func(_ context.Context, resp *parley.Response) (*parley.Response, error) {
		if resp.Proto != proto {
			return nil, fmt.Errorf("answered by %q, not %q", resp.Proto, proto)
		}
		return resp, nil
	}
	opts := []parley.ClientOption{parley.WithBaseURL(w.base), o.trust(), parley.WithHTTP2(mode), parley.WithHopResponseHook(check)}
	return session(t, append(opts, w.opts...)...)
}

func containsMatch(lines []string, expression string) bool {
	return slices.ContainsFunc(lines, regexp.MustCompile(expression).MatchString)
}

// TestWays goes all ways there are, by each protocol that is spoken at the end, and does
// there what people do with servers; curl shows that it is not the way that is wrong.
func TestWays(t *testing.T) {
	groups := map[string]func(t *testing.T, o *origin) []way{
		"squid": squidWays, "squid by Digest": squidDigestWays, "httpd as a proxy": httpdProxyWays, "dante": danteWays, "go-socks5": socksWays,
		"haproxy": haproxyWays, "nginx": nginxWays, "httpd": httpdWays, "caddy": caddyWays, "h2o": h2oWays,
	}
	for group, ways := range groups {
		t.Run(group, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t)
			for _, w := range ways(t, o) {
				t.Run(w.name, func(t *testing.T) {
					for _, p := range w.protocols() {
						t.Run(p.name, func(t *testing.T) { goByProtocol(t, o, w, p) })
					}
					t.Run("only by what is spoken there", func(t *testing.T) { demandHTTP2(t, o, w) })
				})
			}
		})
	}
}

func goByProtocol(t *testing.T, o *origin, w way, p protocol) {
	t.Run("leads there", func(t *testing.T) { reach(t, w.session(t, o, p.mode, p.want), w, p) })
	name := regexp.QuoteMeta(p.want)
	if p.want == "HTTP/2.0" {
		name = `HTTP/2(\.0)?`
	}
	shown := strings.ReplaceAll(w.shown, "PROTO", name)
	wiretest.Eventually(t, func() bool { return containsMatch(w.log(t), shown) }, "a line like "+shown+" in the log")
	t.Run("leads curl there", func(t *testing.T) {
		got := curlLarge(t, o, append([]string{p.curl, w.base + "/large"}, w.curl...))
		require.Equal(t, p.says+" 200 "+largeDigest(), got)
	})
}

// curlLarge lets curl fetch something large, and gives protocol, status and digest.
func curlLarge(t *testing.T, o *origin, args []string) string {
	t.Helper()
	dir := t.TempDir()
	roots, body := filepath.Join(dir, "authority.pem"), filepath.Join(dir, "body")
	require.NoError(t, os.WriteFile(roots, o.authority.PEM(), 0o600))
	fixed := []string{"--disable", "--silent", "--show-error", "--cacert", roots, "--proxy-cacert", roots,
		"--output", body, "--write-out", "%{http_version} %{http_code}"}
	cmd := exec.CommandContext(t.Context(), peer.Find(t, "curl", "curl"), append(fixed, args...)...)
	cmd.Env = []string{}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	text, err := os.ReadFile(body)
	require.NoError(t, err)
	return fmt.Sprintf("%s %x", out, sha256.Sum256(text))
}

// demandHTTP2 asks by HTTP/2 alone, which is done or refused, but never by HTTP/1.1.
func demandHTTP2(t *testing.T, o *origin, w way) {
	modes := []parley.HTTP2Mode{parley.HTTP2Required}
	if !w.secure() && !w.offers("h2c") { // it is a proxy that is asked, by HTTP/1.1
		modes = append(modes, parley.H2C)
	}
	for _, mode := range modes {
		resp, err := w.session(t, o, mode, "HTTP/2.0").Get(t.Context(), "hello")
		if w.offers("h2") {
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, resp.StatusCode)
			continue
		}
		require.ErrorIs(t, err, parley.ErrUnsupportedProtocol)
		var failure *parley.Error
		require.ErrorAs(t, err, &failure)
		require.Equal(t, parley.NotSent, failure.Sent)
	}
}
