package parley

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-0474a412/parley/internal/urls"
)

// Source says where the value of a setting comes from.
type Source string

// The sources, the weakest first. A value that a request and its session both give is
// the session's.
const (
	SourceDefault     Source = "default"         // parley's own
	SourceEnvironment Source = "environment"     // a variable of the process, or a file that one names
	SourceJar         Source = "jar"             // the cookie jar
	SourceSession     Source = "session"         // an option of New
	SourceDerived     Source = "derived session" // an option of With
	SourceMount       Source = "mount"           // WithMount
	SourceRequest     Source = "request"         // the URL or an option of the request, or a field changed since
)

// Setting is one value that a request would be sent with.
type Setting struct {
	Name   string
	Value  string // "[hidden]" where it may be a secret
	Source Source
}

// String gives name, value and source in one line.
func (s Setting) String() string { return fmt.Sprintf("%s: %s (%s)", s.Name, s.Value, s.Source) }

// Explanation is what [Client.Explain] gives. It can be printed and logged: what may be
// a secret (credentials, cookies, parameters, headers that are not known to be
// harmless) is not in it.
type Explanation struct {
	Method string
	URL    *url.URL // without user information and query
	Route  string   // see Request.Route

	Headers  []Setting // by name; one line for each value
	Params   []Setting // in the order of the query
	Cookies  []Setting // in the order in which they are sent
	Timeouts []Setting // all of Timeouts, by name
	Settings []Setting // how the call is carried out: redirects, decoding, limits, hooks, …
	Dialling []Setting // how connections are made, where something is said of it

	Auth  Setting // who the request comes from
	Proxy Setting // what it goes through
	TLS   Setting // for https

	// Transport is what carries the request out: the session's pool, a transport in its
	// place, or one that is mounted for the URL.
	Transport Setting

	// PoolKey names what tells the connections that may carry the request from all
	// others.
	PoolKey string
	// Layers are the parts that the request goes through, the outermost first.
	Layers []string
}

// Explain tells how a request would be sent, and of each value where it comes from,
// without sending it. Hooks, middleware and functions of the user's are named but not
// called. The errors are those of [Client.Send] before anything is sent.
func (c *Client) Explain(req *Request) (Explanation, error) {
	if req == nil {
		return Explanation{}, buildError("", nil, errNoURL)
	}
	if !req.merged {
		var err error
		if req, err = c.merge(req); err != nil {
			return Explanation{}, err
		}
	}
	if err := checkRequest(req); err != nil {
		return Explanation{}, buildError(req.Method, req.URL, err)
	}
	e := Explanation{Method: req.Method, Route: req.Route()}
	e.URL = withoutUser(req.URL)
	if e.URL.RawQuery != "" {
		u := *e.URL
		u.RawQuery = ""
		e.URL = &u
	}
	e.Headers = c.explainHeaders(req)
	e.Params = c.explainParams(req)
	e.Cookies = c.explainCookies(req)
	e.Timeouts = c.explainTimeouts(req)
	e.Settings = c.explainConduct(req)
	var err error
	if e.Auth, err = c.explainAuth(req); err != nil {
		return Explanation{}, buildError(req.Method, req.URL, err)
	}
	if err := c.explainNetwork(req, &e); err != nil {
		return Explanation{}, buildError(req.Method, req.URL, err)
	}
	e.Layers = c.explainLayers(req)
	return e, nil
}

// source tells which session of a line first had a value; same reports whether a
// session of it has the value of c.
func (c *clientConfig) source(same func(*clientConfig) bool) Source {
	for c.parent != nil {
		if !same(c.parent) {
			return SourceDerived
		}
		c = c.parent
	}
	return SourceSession
}

func (c *Client) explainHeaders(req *Request) []Setting {
	var out []Setting
	header, redact := canonical(req.Header), req.redaction()
	host := Setting{Name: "Host", Value: urls.HostHeader(req.URL), Source: SourceRequest}
	if c.base != nil && !req.foreign {
		host.Source = c.cfg.source(func(p *clientConfig) bool { return p.base == c.cfg.base })
	}
	if own := cmp.Or(req.Host, header.Get("Host")); own != "" {
		host = Setting{Name: "Host", Value: own, Source: SourceRequest}
	}
	out = append(out, host)
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if name == "Host" || name == "Cookie" {
			continue
		}
		source := SourceRequest
		if slices.Equal(header[name], c.cfg.header[name]) {
			source = c.cfg.source(func(p *clientConfig) bool { return slices.Equal(p.header[name], header[name]) })
			if source == SourceSession && slices.Equal(header[name], defaultHeader()[name]) {
				source = SourceDefault
			}
		}
		for _, v := range header[name] {
			out = append(out, Setting{name, quoteBad(redact.ofRequest(name, v), 256), source})
		}
	}
	return out
}

func (c *Client) explainParams(req *Request) []Setting {
	var out []Setting
	for pair := range strings.SplitSeq(req.URL.RawQuery, "&") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(key)
		if err != nil {
			name = key
		}
		source := SourceRequest
		has := func(cfg *clientConfig) bool {
			return slices.ContainsFunc(cfg.params, func(p Param) bool {
				return p.Key == name && sameValue(value, p.Value)
			}) || inQuery(cfg.base, pair)
		}
		if !req.foreign && has(c.cfg) {
			source = c.cfg.source(has)
		}
		out = append(out, Setting{quoteBad(name, 64), hidden, source})
	}
	return out
}

func sameValue(escaped, plain string) bool {
	v, err := url.QueryUnescape(escaped)
	return err == nil && v == plain
}

func inQuery(base, pair string) bool {
	_, query, _ := strings.Cut(base, "?")
	query, _, _ = strings.Cut(query, "#")
	return query != "" && slices.Contains(strings.Split(query, "&"), pair)
}

func (c *Client) explainCookies(req *Request) []Setting {
	var out []Setting
	var own []string
	for pair := range strings.SplitSeq(strings.Join(req.Header["Cookie"], "; "), ";") {
		name, value, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
		if name == "" {
			continue
		}
		own = append(own, name)
		source := SourceRequest
		has := func(cfg *clientConfig) bool { return slices.Contains(cfg.cookies, Param{Key: name, Value: value}) }
		if !req.foreign && has(c.cfg) {
			source = c.cfg.source(has)
		}
		out = append(out, Setting{quoteBad(name, 64), hidden, source})
	}
	omitted := req.omitted()
	if c.cfg.jar == nil || slices.Contains(omitted.headers, "Cookie") || slices.Contains(c.cfg.removed, "Cookie") {
		return out
	}
	leftOut := slices.Concat(own, omitted.cookies, c.cfg.removedCookie)
	var ofJar []Setting
	for _, cookie := range c.cfg.jar.Cookies(req.URL) {
		if !slices.Contains(leftOut, cookie.Name) {
			ofJar = append(ofJar, Setting{quoteBad(cookie.Name, 64), hidden, SourceJar})
		}
	}
	return append(ofJar, out...)
}

func (c *Client) explainTimeouts(req *Request) []Setting {
	var out []Setting
	of := func(t *Timeouts) [6]time.Duration {
		return [...]time.Duration{t.Pool, t.Connect, t.Write, t.Response, t.Read, t.Total}
	}
	names := [...]string{"Pool", "Connect", "Write", "Response", "Read", "Total"}
	values, session := of(&req.Timeouts), of(&c.timeouts)
	for i, name := range names {
		s := Setting{Name: name, Value: values[i].String(), Source: SourceRequest}
		if values[i] < 0 {
			s.Value = "none"
		}
		if values[i] == session[i] {
			said := of(&c.cfg.timeouts)[i]
			s.Source = SourceDefault
			if said != 0 {
				s.Source = c.cfg.source(func(p *clientConfig) bool { return of(&p.timeouts)[i] == said })
			}
		}
		out = append(out, s)
	}
	return out
}

// explainConduct tells of redirects, decoding, limits, hooks and the like.
func (c *Client) explainConduct(req *Request) []Setting {
	var out []Setting
	add := func(name, value string, isDefault bool, same func(*clientConfig) bool) {
		s := Setting{name, value, SourceDefault}
		switch {
		case isDefault:
		case same(c.cfg):
			s.Source = c.cfg.source(same)
		default:
			s.Source = SourceRequest
		}
		out = append(out, s)
	}
	how := req.conduct
	if how == nil {
		how = new(conduct)
	}
	limit := cmp.Or(how.maxRedirects, DefaultMaxRedirects)
	follows := "at most " + strconv.Itoa(limit)
	if !req.followsRedirects() {
		follows = "not followed"
	}
	add("Redirects", follows, how.maxRedirects == 0 && how.follow == unsaid, func(p *clientConfig) bool {
		return p.conduct.maxRedirects == how.maxRedirects && p.conduct.follow == how.follow
	})
	if how.policy != nil {
		add("RedirectPolicy", funcName(how.policy), false, func(p *clientConfig) bool { return sameFunc(p.conduct.policy, how.policy) })
	}
	decoding := "as it comes"
	if req.decode {
		decoding = "decoded"
	}
	add("Decompression", decoding, req.rawResponses == unsaid, func(p *clientConfig) bool { return p.raw == req.rawResponses })
	bound := "none"
	if req.MaxBodyBytes > 0 {
		bound = strconv.FormatInt(req.MaxBodyBytes, 10)
	}
	add("MaxBodyBytes", bound, req.MaxBodyBytes == 0, func(p *clientConfig) bool { return p.maxBody == req.MaxBodyBytes })
	if want := how.integrity; !want.none() {
		add("Integrity", want.String(), false, func(p *clientConfig) bool { return p.conduct.integrity == want })
	}
	if n := req.attrs.maxItem(); n != DefaultMaxItemBytes {
		add("MaxItemBytes", strconv.Itoa(n), false, func(p *clientConfig) bool { return p.attrs.maxItem() == n })
	}
	if how.pace.wanted() {
		add("MinThroughput", how.pace.String(), false, func(p *clientConfig) bool { return p.conduct.pace == how.pace })
	}
	if p := how.retry; p != nil {
		add("Retry", p.String(), false, func(c *clientConfig) bool { return c.conduct.retry == p })
	}
	c.explainLimits(req, add)
	req.explainDecoders(add)
	body := "none"
	if req.Body != nil {
		if body = strconv.FormatInt(req.Body.Size(), 10) + " bytes"; req.Body.Size() < 0 {
			body = "of unknown length"
		}
	}
	add("Body", body, req.Body == nil, func(*clientConfig) bool { return false })
	c.explainSending(req, add)
	c.explainSeeing(req, add)
	return out
}

func (c *Client) explainAuth(req *Request) (Setting, error) {
	s := Setting{Name: "Auth", Value: "none", Source: SourceDefault}
	if req.Header["Authorization"] != nil && (req.Auth == nil || setsAuthorization(req.Auth)) {
		s.Value, s.Source = "Authorization header", SourceRequest
		if slices.Equal(req.Header["Authorization"], c.cfg.header["Authorization"]) {
			s.Source = c.cfg.source(func(p *clientConfig) bool {
				return slices.Equal(p.header["Authorization"], req.Header["Authorization"])
			})
		}
		return s, nil
	}
	a, err := req.effectiveAuth()
	if err != nil || a == nil {
		return s, err
	}
	s.Value = authName(a)
	same := func(p *clientConfig) bool { return sameAuth(p.auth, a) }
	switch {
	case req.Auth == nil:
		s.Source = SourceEnvironment
	case same(c.cfg):
		s.Source = c.cfg.source(same)
	case sameAuth(c.baseAuth, a):
		s.Source = c.cfg.source(func(p *clientConfig) bool { return p.base == c.cfg.base })
	default:
		s.Source = SourceRequest
	}
	return s, nil
}

// sameAuth reports whether a and b are one value.
func sameAuth(a, b Auth) bool {
	if a == nil || b == nil || reflect.TypeOf(a) != reflect.TypeOf(b) {
		return false
	}
	if f, ok := a.(AuthFunc); ok {
		return sameFunc(f, b.(AuthFunc))
	}
	return reflect.TypeOf(a).Comparable() && a == b
}

// authName names an Auth of this package by what it says of itself, one of others by
// its type, as it may print its secrets.
func authName(a Auth) string {
	t := reflect.TypeOf(a)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if s, ok := a.(fmt.Stringer); ok && t.PkgPath() == reflect.TypeFor[Client]().PkgPath() {
		return s.String()
	}
	return fmt.Sprintf("%T", a)
}

// explainNetwork tells what the connection depends on.
func (c *Client) explainNetwork(req *Request, e *Explanation) error {
	var via route
	var err error
	if e.Proxy, via, err = c.explainProxy(req); err != nil {
		return err
	}
	e.TLS = Setting{Name: "TLS", Value: "none", Source: SourceDefault}
	if req.URL.Scheme == "https" {
		e.TLS = c.explainTLS(req)
	}
	e.Transport = c.explainTransport(req)
	e.Dialling = c.explainDialling(req)
	pool := c.pool
	if m := mountFor(c.cfg.mounts, req.URL); m != nil {
		pool, _ = m.to.(*Pool)
		e.PoolKey = "none: mounted at " + quoteBad(m.text, 128)
	}
	if pool != nil {
		e.PoolKey = pool.keyOf(req, via.withFields(req.proxyFields())).origin()
		e.PoolKey += spoken(req, pool.protocolOf(req, via))
		if said := req.proxyFields(); said != nil && !via.direct() {
			if len(said.fields) > 0 {
				e.PoolKey += " with headers for the proxy"
			}
			if said.digest == yes {
				e.PoolKey += " by Digest alone"
			}
		}
		if p := req.Proxy.at(req.URL); p != nil && p.choose != nil {
			e.PoolKey += " via the proxy that the function chooses"
		}
		if req.URL.Scheme == "https" && (req.TLSConfig != nil || req.security != nil) {
			e.PoolKey += " with TLS settings of its own"
		}
	}
	return nil
}

// explainTransport tells what carries the request out.
func (c *Client) explainTransport(req *Request) Setting {
	s := Setting{Name: "Transport", Value: "pool", Source: SourceDefault}
	if m := mountFor(c.cfg.mounts, req.URL); m != nil {
		s.Value, s.Source = fmt.Sprintf("%T at %s", m.to, quoteBad(m.text, 128)), SourceMount
		return s
	}
	if c.cfg.transport != nil {
		s.Value = fmt.Sprintf("%T", c.cfg.transport)
		s.Source = c.cfg.source(func(p *clientConfig) bool { return p.transport != nil })
	} else if own := c.cfg.pool.said(); own != "" {
		s.Value += " with " + own + " of its own"
		s.Source = c.cfg.source(func(p *clientConfig) bool { return p.pool == c.cfg.pool })
	}
	return s
}

// explainProxy tells what the request goes through. A function that chooses is not asked.
func (c *Client) explainProxy(req *Request) (Setting, route, error) {
	s := Setting{Name: "Proxy", Value: "none", Source: SourceDefault}
	p := req.Proxy.at(req.URL)
	if p == nil || p.env != nil && req.way().get().socket != "" {
		return s, route{}, nil
	}
	if p.choose != nil {
		s.Value = "chosen by " + funcName(p.choose)
	}
	s.Source = SourceRequest
	if same := func(cfg *clientConfig) bool { return cfg.proxy.holds(p) }; same(c.cfg) {
		s.Source = c.cfg.source(same)
	}
	if p.choose != nil {
		return s, route{}, nil
	}
	via, variable, err := p.route(req)
	if err != nil {
		return s, route{}, err
	}
	if !via.direct() {
		s.Value = via.String()
	}
	if part := req.Proxy.part(req.URL); part != nil {
		s.Value += " for " + quoteBad(part.text, 128)
	}
	switch {
	case variable != "":
		s.Value, s.Source = s.Value+" of "+variable, SourceEnvironment
	case p.env != nil: // NO_PROXY, or a scheme that it says nothing of
		s.Source = SourceEnvironment
	}
	return s, via, nil
}

// explainLayers names what the request goes through.
func (c *Client) explainLayers(req *Request) []string {
	var out []string
	for _, m := range c.cfg.middleware {
		out = append(out, "middleware "+funcName(m))
	}
	if conduct := req.conduct; conduct != nil {
		for _, m := range conduct.middleware {
			out = append(out, "middleware of the request "+funcName(m))
		}
		if conduct.hooks.ofCall() {
			out = append(out, fmt.Sprintf("hooks: %d before, %d after", len(conduct.hooks.request), len(conduct.hooks.response)))
		}
	}
	out = append(out, "redirects")
	if conduct := req.conduct; conduct != nil && conduct.hooks.ofHops() {
		out = append(out, fmt.Sprintf("hooks of each hop: %d before, %d after", len(conduct.hooks.hopRequest), len(conduct.hooks.hopResponse)))
	}
	if p := req.retryPolicy(); p != nil && !p.idle() {
		out = append(out, "retries")
	}
	out = append(out, "auth", "decoding")
	if c.cfg.jar != nil {
		out = append(out, "cookies")
	}
	for _, m := range c.cfg.network {
		out = append(out, "network middleware "+funcName(m))
	}
	if conduct := req.conduct; conduct != nil && (conduct.limits.holdBack() || conduct.limits.merge == yes) {
		out = append(out, "limits")
	}
	if m := mountFor(c.cfg.mounts, req.URL); m != nil {
		return append(out, fmt.Sprintf("mount %s %T", quoteBad(m.text, 128), m.to))
	}
	if c.pool != nil && c.cfg.transport == nil {
		return append(out, "pool")
	}
	return append(out, fmt.Sprintf("transport %T", c.network))
}

func funcName(f any) string {
	if fn := runtime.FuncForPC(reflect.ValueOf(f).Pointer()); fn != nil {
		name := fn.Name()
		return name[strings.LastIndexByte(name, '/')+1:]
	}
	return "function"
}

func sameFunc[F any](a, b F) bool {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	return !x.IsNil() && !y.IsNil() && x.Pointer() == y.Pointer()
}

// String gives one line for each value: name, value, source.
func (e Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", quoteBad(e.Method, 32), urls.Redacted(e.URL))
	if e.Route != "" {
		fmt.Fprintf(&b, "  %-10s %s\n", "route", quoteBad(e.Route, 256))
	}
	group := func(kind string, settings ...Setting) {
		for _, s := range settings {
			fmt.Fprintf(&b, "  %-10s %s\n", kind, s)
		}
	}
	group("header", e.Headers...)
	group("parameter", e.Params...)
	group("cookie", e.Cookies...)
	group("timeout", e.Timeouts...)
	group("setting", e.Settings...)
	group("dialling", e.Dialling...)
	group("setting", e.Auth, e.Proxy, e.TLS, e.Transport)
	fmt.Fprintf(&b, "  %-10s %s\n  %-10s %s\n", "pool key", e.PoolKey, "layers", strings.Join(e.Layers, " > "))
	return b.String()
}

// LogValue logs String.
func (e Explanation) LogValue() slog.Value { return slog.StringValue(e.String()) }
