package golden

import (
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

func cookieRules() []Rule {
	return slices.Concat(cookiePlaceRules(), cookieFlagRules(), []Rule{{
		Name: "the jar's cookies join a Cookie header that was given",
		Reason: "as net/http, and as with cookies given by name: of a name the request's own is sent. The systems send the " +
			"header alone, so that one cookie of the program's own loses the session; without a jar there is nothing to join",
		When: func(c *Case) bool { return c.Topic == "cookies" && hasField(c.Client.Headers, "Cookie") },
		Then: expectCookies,
	}, {
		Name:   "cookie values beyond ASCII are sent as UTF-8",
		Reason: "as header values are; requests sends Latin-1 or fails, httpx fails",
		When: func(c *Case) bool {
			return slices.ContainsFunc(c.Calls[len(c.Calls)-1].Cookies.Fields, func(f Field) bool {
				value, _ := f.Value.(string)
				return strings.ContainsFunc(value, func(r rune) bool { return r >= 0x80 })
			})
		},
		Then: func(c *Case, e *Expected) {
			follow("requests")(c, e)
			var pairs []string
			for _, f := range c.Calls[len(c.Calls)-1].Cookies.Fields {
				pairs = append(pairs, f.Name+"="+asLatin1(f.Value.(string)))
			}
			e.setHeader("Cookie", strings.Join(pairs, "; "))
		},
	}, {
		Name: "a cookie with Domain and one without are two, of which one does not remove the other",
		Reason: "RFC 6265bis section 5.7; what a program sets for a domain the systems take for what the host sets for itself, " +
			"but send it to the names below, too",
		When: func(c *Case) bool { return c.keptPlaced() != "" },
		Then: func(c *Case, e *Expected) { e.setHeader("Cookie", c.keptPlaced()) },
	}})
}

// keptPlaced gives what is sent of a cookie that the program set for a domain, and that a server then ends for its host.
func (c *Case) keptPlaced() string {
	for _, k := range c.Client.Cookies.Placed {
		for _, a := range c.Answers() {
			for _, line := range a.header("Set-Cookie") {
				if set := parseSetCookie(line); set.name == k.Name && set.ended() && !set.has("domain") {
					return k.Name + "=" + k.Value
				}
			}
		}
	}
	return ""
}

// cookiePlaceRules are about Domain and Path.
func cookiePlaceRules() []Rule {
	return []Rule{{
		Name:   "a cookie for a public suffix is refused",
		Reason: "RFC 6265bis section 5.7: every site below co.uk could read it, and set it for the others; Python has no list of such names",
		When: setting(func(k setCookie, p place) bool {
			return k.domain() != p.host && under(p.host, k.domain()) && shared(k.domain()) && strings.Contains(k.domain(), ".") && !address(p.host)
		}),
		Then: expectCookies,
	}, {
		Name:   "an address has no domain above it",
		Reason: "RFC 6265bis section 5.1.3: 0.0.1 is a part of 127.0.0.1 as text only, and of other machines' addresses too",
		When: setting(func(k setCookie, p place) bool {
			return address(p.host) && k.domain() != "" && k.domain() != p.host
		}),
		Then: expectCookies,
	}, {
		Name:   "a Domain that is the host itself, and a name that nobody owns, is for the host only",
		Reason: "RFC 6265bis section 5.7; for localhost the systems send such a cookie to every name below it, but not to localhost",
		When:   setting(func(k setCookie, p place) bool { return k.domain() == p.host && shared(p.host) }),
		Then:   expectCookies,
	}, {
		Name:   "a Domain that is empty counts as none",
		Reason: "RFC 6265bis section 5.7; the systems keep the cookie, but send it nowhere",
		When:   setting(func(k setCookie, _ place) bool { return k.has("domain") && k.domain() == "" }),
		Then:   expectCookies,
	}, {
		Name:   "a dot at the end of Domain counts for nothing",
		Reason: "a host has one form without it, so that names are compared, and public suffixes known, however they are written",
		When: setting(func(k setCookie, _ place) bool {
			return strings.HasSuffix(k.attributes["domain"], ".") && k.domain() != ""
		}),
		Then: expectCookies,
	}, {
		Name:   "a Path that does not begin with a slash counts as none",
		Reason: "RFC 6265bis section 5.6.4; the systems keep the cookie, but send it nowhere",
		When: setting(func(k setCookie, _ place) bool {
			return k.attributes["path"] != "" && !strings.HasPrefix(k.attributes["path"], "/")
		}),
		Then: expectCookies,
	}}
}

// cookieFlagRules are about the other attributes and about names.
func cookieFlagRules() []Rule {
	return []Rule{{
		Name:   "a Secure cookie is taken over https only",
		Reason: "RFC 6265bis section 5.7: whoever can change plain traffic could set it",
		When:   setting(func(k setCookie, p place) bool { return k.has("secure") && !p.secure }),
		Then:   expectCookies,
	}, {
		Name:   "a Secure cookie is neither replaced nor hidden over http",
		Reason: "RFC 6265bis section 5.7: whoever can change plain traffic could run the session as somebody else",
		When: func(c *Case) bool {
			secured := map[string]bool{}
			return setting(func(k setCookie, p place) bool {
				if k.has("secure") && p.secure {
					secured[k.name] = true
				}
				return !p.secure && secured[k.name]
			})(c)
		},
		Then: expectCookies,
	}, {
		Name:   "names with __Secure- and __Host- hold what they promise",
		Reason: "RFC 6265bis section 4.1.3: servers rely on it; the systems take them as any other name",
		When: setting(func(k setCookie, _ place) bool {
			return (k.prefixed("__secure-") || k.prefixed("__host-")) &&
				(!k.has("secure") || k.prefixed("__host-") && (k.has("domain") || k.attributes["path"] != "/"))
		}),
		Then: expectCookies,
	}, {
		Name:   "a Max-Age that is no number counts as none",
		Reason: "RFC 6265bis section 5.6.2; the systems take it as an order to forget the cookie",
		When: setting(func(k setCookie, _ place) bool {
			_, err := strconv.ParseInt(k.attributes["max-age"], 10, 64)
			return k.has("max-age") && err != nil
		}),
		Then: expectCookies,
	}, {
		Name:   "a date counts in every shape that the RFC knows",
		Reason: "RFC 6265bis section 5.1.1; the systems do not read that of asctime and keep the cookie for the session",
		When: setting(func(k setCookie, _ place) bool {
			t, err := http.ParseTime(k.attributes["expires"])
			return err == nil && t.Format("Mon Jan _2 15:04:05 2006") == k.attributes["expires"]
		}),
		Then: expectCookies,
	}, {
		Name:   "a cookie without a name is its value alone",
		Reason: "RFC 6265bis sections 5.6 and 5.8.3; the systems drop it. A value that would be read as having a name is refused",
		When:   setting(func(k setCookie, _ place) bool { return k.name == "" && k.value != "" }),
		Then:   expectCookies,
	}}
}

func address(host string) bool { _, err := netip.ParseAddr(host); return err == nil }

// setting makes a predicate of one over the cookies that are set, with the place that sets them.
func setting(when func(setCookie, place) bool) func(*Case) bool {
	return func(c *Case) bool {
		if c.Topic != "cookies" || c.Redirects() {
			return false
		}
		for i, call := range c.Calls {
			for _, line := range c.answerTo(i).header("Set-Cookie") {
				if when(parseSetCookie(line), placeOf(call.URL)) {
					return true
				}
			}
		}
		return false
	}
}
