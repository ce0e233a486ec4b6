package parley

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unique"

	"github.com/seed-0474a412/parley/internal/h1"
	"github.com/seed-0474a412/parley/internal/urls"
)

const proxyAuthorization = "Proxy-Authorization"

// proxyFields sees to it that credentials for a proxy are in a head if a proxy is to read
// it, and only then.
func (r route) proxyFields(req *Request, h *h1.RequestHead) {
	given := h.Header[proxyAuthorization]
	if !r.forwards(req.URL.Scheme) {
		if given != nil && req.Method != http.MethodConnect {
			h.Header = h.Header.Clone()
			delete(h.Header, proxyAuthorization)
		}
		return
	}
	own := r.hop().header()
	if len(own) == 0 {
		return
	}
	header := make(http.Header, len(h.Header)+len(own))
	maps.Copy(header, h.Header)
	maps.Copy(header, own)
	if given != nil {
		header[proxyAuthorization] = given
	}
	h.Header = header
}

// header gives what an HTTP proxy is sent for itself.
func (h hop) header() http.Header {
	if h.basic == "" && h.fields == "" {
		return nil
	}
	header := make(http.Header)
	if h.basic != "" {
		header[proxyAuthorization] = []string{h.basic}
	}
	for line := range strings.Lines(h.fields) {
		name, value, _ := strings.Cut(line, ": ")
		header[name] = []string{strings.TrimSuffix(value, "\r\n")}
	}
	return header
}

// WithProxyHeader sets a header for the HTTP proxy that a request goes through, whichever
// it is: it is sent with CONNECT, and with the requests that the proxy forwards in
// place of a header of the same name, but neither into a tunnel nor to SOCKS proxies.
// Connections are not shared by requests with different ones. Proxy-Authorization, for
// other schemes than Basic, takes the place of user and password in the proxy's URL. An empty
// value takes back what the session says. Malformed ones, and those that frame the
// message, are ErrInvalidHeader.
func WithProxyHeader(name, value string) Option {
	return option(func(s *settings) error {
		if err := h1.CheckField(name, value); err != nil {
			return because(ErrInvalidHeader, err)
		}
		name := http.CanonicalHeaderKey(name)
		if slices.Contains(messageHeaders, name) && name != proxyAuthorization || name == "Te" || name == "Upgrade" {
			return because(ErrInvalidHeader, fmt.Errorf("WithProxyHeader cannot set %s", quoteBad(name, 32)))
		}
		s.conduct.proxyHeader = (&proxyHeader{[]Param{{Key: name, Value: value}}}).over(s.conduct.proxyHeader)
		return nil
	})
}

// proxyHeader is what WithProxyHeader says. It is never changed once it is somebody's.
type proxyHeader struct{ fields []Param }

// over gives p, with what it leaves open taken from lower; both may be nil.
func (p *proxyHeader) over(lower *proxyHeader) *proxyHeader {
	if p == nil || lower == nil {
		return cmp.Or(p, lower)
	}
	return &proxyHeader{urls.MergeParams(lower.fields, p.fields)}
}

// withFields adds the headers for the proxy, if it is one that speaks HTTP.
func (r route) withFields(header *proxyHeader) route {
	if header == nil || r.direct() {
		return r
	}
	h := r.hop()
	if h.socks() {
		return r
	}
	var lines strings.Builder
	for _, f := range slices.SortedFunc(slices.Values(header.fields), func(a, b Param) int { return strings.Compare(a.Key, b.Key) }) {
		if value := strings.Trim(f.Value, " \t"); value != "" {
			lines.WriteString(f.Key + ": " + value + "\r\n")
		}
	}
	h.fields = lines.String()
	return route{unique.Make(unique.Make(h))}
}

// proxyFields gives what goes along to a proxy.
func (r *Request) proxyFields() *proxyHeader {
	if r.conduct == nil {
		return nil
	}
	return r.conduct.proxyHeader
}
