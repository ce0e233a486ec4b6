package parley

import (
	"fmt"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// proxyEnv is what the environment says of proxies.
type proxyEnv struct {
	http, https envProxy
	// bypass reports whether NO_PROXY or being on this machine keeps a URL from the
	// proxies.
	bypass func(*url.URL) bool
}

// envProxy is the proxy for one scheme.
type envProxy struct {
	route    route
	variable string // that names it; "": none
	err      error  // what is wrong with it
}

// newProxyEnv reads the variables with getenv, as curl, requests and net/http do:
// HTTP_PROXY, HTTPS_PROXY, ALL_PROXY for what these leave open, NO_PROXY; each also in
// lower case, which wins. An empty value is none. It gives nil if there is no proxy.
//
// HTTP_PROXY in upper case is not looked at in a CGI program, where whoever makes a
// request can set it by a header "Proxy".
func newProxyEnv(getenv func(string) string) *proxyEnv {
	all := envProxyOf(getenv, "all_proxy", "ALL_PROXY")
	httpNames := []string{"http_proxy", "HTTP_PROXY"}
	if getenv("REQUEST_METHOD") != "" {
		httpNames = httpNames[:1]
	}
	e := &proxyEnv{http: envProxyOf(getenv, httpNames...), https: envProxyOf(getenv, "https_proxy", "HTTPS_PROXY")}
	if e.http.variable == "" {
		e.http = all
	}
	if e.https.variable == "" {
		e.https = all
	}
	if e.http.variable == "" && e.https.variable == "" {
		return nil
	}
	_, excluded := firstSet(getenv, "no_proxy", "NO_PROXY")
	e.bypass = bypassFor(excluded)
	return e
}

// firstSet gives the first of the variables that is not blank.
func firstSet(getenv func(string) string, names ...string) (name, value string) {
	for _, name := range names {
		if value := strings.TrimSpace(getenv(name)); value != "" {
			return name, value
		}
	}
	return "", ""
}

func envProxyOf(getenv func(string) string, names ...string) envProxy {
	name, value := firstSet(getenv, names...)
	if name == "" {
		return envProxy{}
	}
	p := envProxy{variable: name}
	if p.route, p.err = parseRoute(value); p.err != nil {
		p.err = because(ErrProxy, fmt.Errorf("the environment's %s: %w", name, p.err))
	}
	return p
}

// bypassFor reads NO_PROXY: names (with what is below them), addresses and CIDR blocks,
// with or without a port, separated by commas or spaces; "*" for all. Which of them
// holds for a URL is httpproxy's business, which also keeps localhost and loopback
// addresses from any proxy.
func bypassFor(list string) func(*url.URL) bool {
	rules := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
	for i, rule := range rules {
		rules[i] = plainRule(rule)
	}
	const some = "http://proxy.invalid" // whichever it is
	cfg := httpproxy.Config{HTTPProxy: some, HTTPSProxy: some, NoProxy: strings.Join(rules, ",")}
	choose := cfg.ProxyFunc()
	return func(u *url.URL) bool {
		p, err := choose(u)
		return p == nil && err == nil
	}
}

// plainRule takes from a rule of NO_PROXY what URLs here never have: a dot at the end of a
// name, and brackets without a port behind them.
func plainRule(rule string) string {
	if rest, found := strings.CutPrefix(rule, "["); found {
		if address, behind, _ := strings.Cut(rest, "]"); behind == "" || behind[0] == '/' {
			return address + behind
		}
		return rule
	}
	name, port, found := strings.Cut(rule, ":")
	if name = strings.TrimSuffix(name, "."); found {
		return name + ":" + port
	}
	return name
}

// route gives the way to u and the variable that says so.
func (e *proxyEnv) route(u *url.URL) (route, string, error) {
	p := &e.http
	if u.Scheme == "https" {
		p = &e.https
	}
	switch {
	case p.variable == "":
		return route{}, "", nil
	case e.bypass(u):
		return route{}, "", nil
	case p.err != nil:
		return route{}, p.variable, p.err
	}
	return p.route, p.variable, nil
}
