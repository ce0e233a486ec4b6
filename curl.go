package parley

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/seed-0474a412/parley/internal/shell"
	"github.com/seed-0474a412/parley/internal/urls"
)

// maxCurlBody bounds a body that stands in a command line.
const maxCurlBody = 64 << 10

// Curl gives the request as a command line for curl, quoted for any POSIX shell, that makes
// curl send the same: method, URL, header and body. What may be a secret is hidden, so that the line can be shown to
// others: see [WithRedaction]; [Request.CurlWithSecrets] gives one that works where
// secrets are needed.
//
// The request of [Client.NewRequest] has what its session adds, but for the cookies of the
// jar and the credentials of an [Auth] other than Basic, Bearer, Digest and API keys in
// headers; Response.Request is what was sent in the end. A proxy of its own, a Unix socket,
// WithVerify(false) and the total timeout are in the line too; other settings of the
// network are not, and curl follows no redirects: it would take headers along to other
// servers.
//
// A body has to be there to be shown: one that can be read once only is
// ErrBodyNotRewindable, and one of more than 64 KiB that is no file an error. Trailers cannot
// be told to curl.
func (r *Request) Curl() (string, error) { return r.curl(r.redaction()) }

// CurlWithSecrets is [Request.Curl] with all secrets in it: whoever sees the line can do
// what the request may do.
func (r *Request) CurlWithSecrets() (string, error) { return r.curl(&redaction{all: true}) }

func (r *Request) curl(redact *redaction) (string, error) {
	if r.URL == nil {
		return "", buildError(r.Method, nil, errNoURL)
	}
	req := r.Clone()
	if err := req.settle(); err != nil {
		return "", buildError(r.Method, r.URL, err)
	}
	c := &curlWriter{req: req, redact: redact, args: []string{"curl"}}
	if err := c.write(); err != nil {
		return "", buildError(r.Method, r.URL, err)
	}
	line := c.prefix + strings.Join(c.args, " \\\n  ")
	if c.remark != "" {
		line += " # " + c.remark
	}
	return line, nil
}

// curlWriter makes a command line of a request.
type curlWriter struct {
	req    *Request
	redact *redaction
	prefix string   // what writes the body to curl's standard input
	args   []string // quoted
	remark string
}

func (c *curlWriter) flag(name string, value ...string) {
	for _, v := range value {
		name += " " + shell.Quote(v)
	}
	c.args = append(c.args, name)
}

func (c *curlWriter) write() error {
	if len(c.req.Trailers) > 0 {
		return failed("curl cannot be told to send trailers")
	}
	if err := c.auth(); err != nil {
		return err
	}
	if coded, ok := c.req.Body.(coded); ok && !c.hidesNothing() { // in which nobody could see what to hide
		c.req.Body = coded.original()
		c.req.Header.Del("Content-Encoding")
	}
	line, fields, err := c.redact.rawHead(c.req)
	if err != nil {
		return because(ErrInvalidHeader, err)
	}
	data := &curlWriter{req: c.req, redact: c.redact}
	if err := data.body(); err != nil {
		return err
	}
	c.prefix = data.prefix
	c.method(len(data.args) > 0)
	c.target(line)
	c.headers(fields, len(data.args) > 0)
	c.args = append(c.args, data.args...)
	return c.network()
}

func (c *curlWriter) hidesNothing() bool { return c.redact != nil && c.redact.all }

// method says the method where curl would not use it by itself.
func (c *curlWriter) method(hasData bool) {
	switch m := c.req.Method; {
	case m == http.MethodHead && !hasData:
		c.flag("--head")
	case m == http.MethodGet && !hasData, m == http.MethodPost && hasData:
	default:
		c.flag("--request", m)
	}
}

// target says the URL, and the request target where it is not the URL's.
func (c *curlWriter) target(line string) {
	u := *c.req.URL
	if u.Scheme == urls.UnixScheme {
		c.flag("--unix-socket", u.Host)
		u.Scheme, u.Host = "http", urls.UnixHost
	}
	text := c.redact.url(&u)
	if strings.ContainsAny(text, "[]{}") {
		c.flag("--globoff")
	}
	if own := c.req.Target; own != "" {
		c.flag("--request-target", strings.Split(line, " ")[1])
	}
	c.args[0] += " " + shell.Quote(text)
}

// headers says all headers, and of those that curl would add that they are not wanted.
func (c *curlWriter) headers(fields []field, hasData bool) {
	has := make(map[string]bool)
	for _, f := range fields {
		name := http.CanonicalHeaderKey(f.name)
		if name == "Content-Length" || name == "Host" && f.value == urls.HostHeader(c.req.URL) {
			continue
		}
		has[name] = true
		if f.value == "" {
			c.flag("--header", f.name+";")
			continue
		}
		c.flag("--header", f.name+": "+f.value)
	}
	for _, name := range []string{"Accept", "User-Agent"} {
		if !has[name] {
			c.flag("--header", name+":")
		}
	}
	if hasData {
		if !has["Content-Type"] {
			c.flag("--header", "Content-Type:")
		}
		if !has["Expect"] {
			c.flag("--header", "Expect:")
		}
	}
	if c.req.decode && has["Accept-Encoding"] {
		c.flag("--compressed")
	}
}

// auth puts credentials where the request has them.
func (c *curlWriter) auth() error {
	a, err := c.req.effectiveAuth()
	if err != nil {
		return err
	}
	switch a := a.(type) {
	case nil, noAuth, leftBehind:
	case *headerAuth:
		c.req.Header[a.name] = []string{a.value}
	case *digestAuth:
		login := hidden + ":" + hidden
		if c.hidesNothing() {
			login = a.user + ":" + a.password
		}
		c.flag("--digest")
		c.flag("--user", login)
	default:
		c.remark = "and with credentials of " + quoteBad(authName(a), 128)
	}
	return nil
}

// body says the content.
func (c *curlWriter) body() error {
	body := c.req.Body
	switch {
	case body == nil || body.Size() == 0 && body.Replayable():
		if bodyExpected(c.req.Method) {
			c.flag("--data-raw", "")
		}
		return nil
	case !body.Replayable():
		return because(ErrBodyNotRewindable, errors.New("it cannot be both shown and sent"))
	}
	if file, ok := body.(*fileBody); ok {
		c.flag("--data-binary", "@"+file.path)
		return nil
	}
	data, err := readBody(body)
	if err != nil {
		return err
	}
	if c.req.Header.Get("Content-Encoding") != "" && !c.hidesNothing() {
		data = []byte(hidden)
	}
	var read capture
	read.expect(c.req.Header, maxCurlBody)
	data = c.redact.content(read.mediaType, data)
	if isText(data, false) {
		c.flag("--data-raw", string(data))
		return nil
	}
	c.prefix = "printf '%b' " + shell.QuotePercentB(data) + " | "
	c.flag("--data-binary", "@-")
	return nil
}

// readBody reads a body that fits into a command line.
func readBody(body Body) (data []byte, err error) {
	rc, err := body.Open()
	if err != nil {
		return nil, err
	}
	defer rc.Close() // it was read
	if data, err = io.ReadAll(io.LimitReader(rc, maxCurlBody+1)); err != nil {
		return nil, asSourceError(err)
	}
	if len(data) > maxCurlBody {
		return nil, failed("a body of more than %d bytes does not fit into a command line: give it as a file", maxCurlBody)
	}
	return bytes.Clone(data), nil
}

// network says how the server is reached, as far as the request has a word of its own on
// that.
func (c *curlWriter) network() error {
	req := c.req
	if s := req.security; s != nil && s.verify == no && req.URL.Scheme == "https" {
		c.flag("--insecure")
	}
	if socket := req.way().get().socket; socket != "" && req.URL.Scheme != urls.UnixScheme {
		c.flag("--unix-socket", socket)
	}
	if p := req.Proxy.at(req.URL); p != nil && p.env == nil && p.choose == nil {
		if p.fixed.direct() {
			c.flag("--noproxy", "*")
		} else {
			c.proxy(p.fixed.hop())
		}
	}
	if d := req.Timeouts.Total; d > 0 {
		c.flag("--max-time", strconv.FormatFloat(d.Seconds(), 'f', -1, 64))
	}
	return nil
}

func (c *curlWriter) proxy(h hop) {
	c.flag("--proxy", fmt.Sprintf("%s://%s", h.scheme, h.address()))
	if h.basic == "" && h.login.User == "" {
		return
	}
	login := hidden + ":" + hidden
	if c.hidesNothing() {
		login = h.login.User + ":" + h.login.Password
	}
	c.flag("--proxy-user", login)
}
