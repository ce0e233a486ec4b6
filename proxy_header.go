package parley

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unique"

	"github.com/seed-0474a412/parley/internal/dial"
	"github.com/seed-0474a412/parley/internal/h1"
	"github.com/seed-0474a412/parley/internal/urls"
)

const proxyAuthorization = "Proxy-Authorization"

// proxyFields sees to it that credentials for a proxy are in a head if a proxy is to read
// it, and only then. login takes the place of those in its URL; "" for these.
func (r route) proxyFields(req *Request, h *h1.RequestHead, login string) {
	given := h.Header[proxyAuthorization]
	if !r.forwards(req.URL.Scheme) {
		if given != nil && req.Method != http.MethodConnect {
			h.Header = h.Header.Clone()
			delete(h.Header, proxyAuthorization)
		}
		return
	}
	own := r.hop().header(login)
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

// header gives what an HTTP proxy is sent for itself, with credentials that it asked
// for; "" for none of these.
func (h hop) header(login string) http.Header {
	if login == "" {
		login = h.basic
	}
	if login == "" && h.fields == "" {
		return nil
	}
	header := make(http.Header)
	if login != "" {
		header[proxyAuthorization] = []string{login}
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
		s.conduct.proxyHeader = (&proxyHeader{fields: []Param{{Key: name, Value: value}}}).over(s.conduct.proxyHeader)
		return nil
	})
}

// proxyHeader is what WithProxyHeader and WithProxyDigest say. It is never changed once it
// is somebody's.
type proxyHeader struct {
	fields []Param
	digest choice // yes: no Basic
}

// over gives p, with what it leaves open taken from lower; both may be nil.
func (p *proxyHeader) over(lower *proxyHeader) *proxyHeader {
	if p == nil || lower == nil {
		return cmp.Or(p, lower)
	}
	return &proxyHeader{urls.MergeParams(lower.fields, p.fields), p.digest.or(lower.digest)}
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
	if header.digest == yes && h.login != (dial.Login{}) {
		h.basic = ""
	}
	return route{unique.Make(unique.Make(h))}
}

// proxyFields gives what goes along to a proxy.
func (r *Request) proxyFields() *proxyHeader {
	if r.conduct == nil {
		return nil
	}
	return r.conduct.proxyHeader
}
