package golden

import (
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"
)

// setCookie is what a Set-Cookie line says, with attribute names in lower case.
type setCookie struct {
	name, value string
	attributes  map[string]string
}

func parseSetCookie(line string) setCookie {
	parts := strings.Split(line, ";")
	k := setCookie{attributes: map[string]string{}}
	var named bool
	if k.name, k.value, named = strings.Cut(parts[0], "="); !named {
		k.name, k.value = "", parts[0]
	}
	k.name, k.value = strings.TrimSpace(k.name), strings.TrimSpace(k.value)
	for _, part := range parts[1:] {
		name, value, _ := strings.Cut(part, "=")
		k.attributes[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
	}
	return k
}

func (k setCookie) has(attribute string) bool { _, ok := k.attributes[attribute]; return ok }

// prefixed reports whether the name promises something (RFC 6265bis, section 4.1.3).
func (k setCookie) prefixed(prefix string) bool {
	return strings.HasPrefix(strings.ToLower(k.name), prefix)
}

// domain gives the Domain attribute as parley reads it, "" for none.
func (k setCookie) domain() string {
	return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(k.attributes["domain"], "."), "."))
}

// ended reports whether a cookie is set only to be removed. Dates are read in the shapes of RFC 9110, section 5.6.7.
func (k setCookie) ended() bool {
	if n, err := strconv.ParseInt(k.attributes["max-age"], 10, 64); err == nil {
		return n <= 0
	}
	t, err := http.ParseTime(k.attributes["expires"])
	return err == nil && t.Before(time.Now())
}

// modelJar is a jar by RFC 6265bis, as plain as can be, for what the cases with a rule hold.
type modelJar []modelCookie

type modelCookie struct {
	name, value, domain, path string
	hostOnly, secure          bool
}

// place is where a request goes.
type place struct {
	host, path string
	secure     bool
}

func placeOf(url string) place {
	w := takeApart(url)
	p := place{host: authorityOf(url).host, path: w.path, secure: w.scheme == "https"}
	p.host = strings.ToLower(strings.TrimSuffix(p.host, "."))
	if p.path == "" {
		p.path = "/"
	}
	p.secure = p.secure || p.host == "localhost"
	return p
}

// shared reports whether nobody owns the names below a host, or whether it has none.
func shared(host string) bool {
	_, err := netip.ParseAddr(host)
	suffix, _ := publicsuffix.PublicSuffix(host)
	return err == nil || suffix == host
}

func under(host, domain string) bool { return host == domain || strings.HasSuffix(host, "."+domain) }

// set takes a cookie from the server at p.
func (j *modelJar) set(k setCookie, p place) {
	c := modelCookie{name: k.name, value: k.value, domain: k.domain(), path: k.attributes["path"], secure: k.has("secure")}
	if c.domain == "" || c.domain == p.host && shared(p.host) {
		c.domain, c.hostOnly = p.host, true
	}
	givenRoot := c.path == "/"
	if !strings.HasPrefix(c.path, "/") {
		c.path = p.path[:max(1, strings.LastIndex(p.path, "/"))]
	}
	switch {
	case !under(p.host, c.domain), !c.hostOnly && (shared(p.host) || shared(c.domain)):
		return
	case c.secure && !p.secure, k.prefixed("__secure-") && !c.secure:
		return
	case k.prefixed("__host-") && !(c.secure && c.hostOnly && givenRoot):
		return
	}
	for i, old := range *j {
		if old.name == c.name && old.secure && !c.secure && !p.secure {
			return
		}
		if old.name == c.name && old.domain == c.domain && old.hostOnly == c.hostOnly && old.path == c.path {
			(*j)[i] = c
			if k.ended() {
				*j = slices.Delete(*j, i, i+1)
			}
			return
		}
	}
	if !k.ended() {
		*j = append(*j, c)
	}
}

// header gives the cookies that go to p.
func (j modelJar) header(p place) string {
	var found []modelCookie
	for _, c := range j {
		path := p.path == c.path || strings.HasPrefix(p.path, strings.TrimSuffix(c.path, "/")+"/")
		if (c.domain == p.host || !c.hostOnly && under(p.host, c.domain)) && path && (p.secure || !c.secure) {
			found = append(found, c)
		}
	}
	slices.SortStableFunc(found, func(a, b modelCookie) int { return len(b.path) - len(a.path) })
	var pairs []string
	for _, c := range found {
		if c.name == "" {
			pairs = append(pairs, c.value)
			continue
		}
		pairs = append(pairs, c.name+"="+c.value)
	}
	return strings.Join(pairs, "; ")
}

// answerTo gives what the server answers to the call with that number.
func (c *Case) answerTo(call int) Answer {
	key := func(url string) string {
		w := takeApart(url)
		return w.scheme + "://" + w.authority + w.path
	}
	earlier := 0
	for _, before := range c.Calls[:call] {
		if key(before.URL) == key(c.Calls[call].URL) {
			earlier++
		}
	}
	list := c.Server[key(c.Calls[call].URL)]
	if len(list) == 0 {
		return Answer{}
	}
	return list[min(earlier, len(list)-1)]
}

// expectCookies expects the Cookie headers of a jar by RFC 6265bis, with the session's own behind.
func expectCookies(c *Case, e *Expected) {
	var jar modelJar
	headers := make([]string, len(c.Calls))
	for i, call := range c.Calls {
		p := placeOf(call.URL)
		headers[i] = jar.header(p)
		if own, ok := c.Client.Headers.Get("Cookie"); ok && headers[i] != "" {
			headers[i] += "; " + own.(string)
		} else if ok {
			headers[i] = own.(string)
		}
		for _, line := range c.answerTo(i).header("Set-Cookie") {
			jar.set(parseSetCookie(line), p)
		}
	}
	e.edit(func(o *Outcome) {
		for i := range o.Sent {
			s := &o.Sent[i]
			s.Headers = slices.DeleteFunc(s.Headers, func(h [2]string) bool { return strings.EqualFold(h[0], "Cookie") })
			if i < len(headers) && headers[i] != "" {
				s.Headers = append(s.Headers, [2]string{"Cookie", headers[i]})
			}
		}
	})
}
