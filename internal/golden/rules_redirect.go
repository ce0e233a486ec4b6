package golden

import (
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// redirectRules say where redirects lead, and what goes along.
func redirectRules() []Rule {
	return []Rule{
		{
			Name: "to another origin only harmless headers follow",
			Reason: "the keys of most APIs live in headers of their own, which no list of names knows; both systems send " +
				"them on, and Authorization too when http becomes https. WithTrustedOrigins and WithRedirectHeaders say otherwise",
			When: func(c *Case) bool {
				return c.leavesOrigin() && slices.ContainsFunc(c.headerFields(), func(f Field) bool { return !followsAnywhere(f.Name) })
			},
			Then: func(c *Case, e *Expected) {
				e.edit(func(o *Outcome) {
					for i := range o.Sent {
						if o.Sent[i].Origin != o.Sent[0].Origin {
							o.Sent[i].remove(func(name string) bool { return c.names(name) && !followsAnywhere(name) })
						}
					}
				})
			},
		}, {
			Name: "Proxy-Authorization goes to proxies alone",
			Reason: "the systems send it to whatever server they speak with, through a tunnel too, and with it the caller's password for " +
				"the proxy. parley sends it where a proxy reads it: with an http URL through an HTTP proxy, and with CONNECT",
			When: func(c *Case) bool { return c.names("Proxy-Authorization") && !c.UsesProxy() },
			Then: func(c *Case, e *Expected) {
				e.edit(func(o *Outcome) {
					for i := range o.Sent {
						o.Sent[i].remove(func(name string) bool { return strings.EqualFold(name, "Proxy-Authorization") })
					}
				})
			},
		}, {
			Name: "a Cookie header of the caller's stays with its origin",
			Reason: "the caller wrote it for that server; the systems drop it at the first redirect and count on their jar, in " +
				"which it is not. A cookie that the redirect itself sets replaces it",
			When: func(c *Case) bool {
				return c.names("Cookie") && slices.ContainsFunc(c.locations(), func(l string) bool { return c.sameOrigin(l) })
			},
			Then: func(c *Case, e *Expected) {
				e.edit(func(o *Outcome) {
					for i := range o.Sent {
						if i > 0 && o.Sent[i].Origin == o.Sent[0].Origin {
							o.Sent[i].copyHeaders(o.Sent[0], func(name string) bool { return name == "Cookie" })
						}
					}
				})
			},
		}, {
			Name: "301 and 302 make a GET of a POST alone",
			Reason: "RFC 9110 section 15.4 allows the change for POST, and browsers make it for nothing else; the systems make it " +
				"for every method at 302",
			When: func(c *Case) bool {
				method := c.Calls[len(c.Calls)-1].Method
				return c.redirectsWith(http.StatusFound) && !slices.Contains([]string{"GET", "HEAD", "POST"}, method)
			},
			Then: func(_ *Case, e *Expected) {
				e.edit(func(o *Outcome) {
					for i := range o.Sent[1:] {
						first, next := o.Sent[0], &o.Sent[i+1]
						next.Method, next.Body, next.Framing = first.Method, first.Body, first.Framing
						next.remove(ofContent)
						next.copyHeaders(first, ofContent)
					}
				})
			},
		}, {
			Name:   "all headers of a body go when the body goes",
			Reason: "they speak of content that is not there; requests leaves some, httpx all",
			When: func(c *Case) bool {
				dropped := c.redirectsWith(http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther)
				return dropped && slices.ContainsFunc(c.headerFields(), func(f Field) bool { return ofContent(f.Name) })
			},
			Then: func(_ *Case, e *Expected) {
				e.edit(func(o *Outcome) {
					for i := range o.Sent {
						if o.Sent[i].Method == http.MethodGet {
							o.Sent[i].remove(ofContent)
						}
					}
				})
			},
		}, {
			Name: "bytes of a Location that are not UTF-8 are percent-encoded as they are",
			Reason: "RFC 3986 section 2.5: what they stand for is the server's own business; httpx takes them for Latin-1, " +
				"requests fails",
			When: func(c *Case) bool {
				return slices.ContainsFunc(c.locations(), func(l string) bool { return !utf8.ValidString(l) })
			},
			Then: func(c *Case, e *Expected) {
				follow("httpx")(c, e)
				e.edit(func(o *Outcome) {
					last := &o.Sent[len(o.Sent)-1]
					for _, l := range c.locations() {
						if !utf8.ValidString(l) {
							last.Target = encodeIllegal(l, pathBytes)
						}
					}
					o.Replies[len(o.Replies)-1].URL = last.Origin + last.Target
				})
			},
		}, {
			Name:   "a Location that is no URL ends the call",
			Reason: "whoever guesses what was meant sends the request to somewhere else; the error bears the redirect",
			When:   func(c *Case) bool { return slices.ContainsFunc(c.locations(), malformedURL) },
			Then: func(c *Case, e *Expected) {
				e.edit(func(o *Outcome) { o.Sent, o.Count = o.Sent[:1], 0 })
				fail("ErrInvalidURL")(c, e)
			},
		},
	}
}

// locations are the targets of the redirects that the case's server gives and the client follows.
func (c *Case) locations() []string {
	if !c.Redirects() {
		return nil
	}
	var all []string
	for _, a := range c.Answers() {
		switch a.status() {
		case 301, 302, 303, 307, 308:
			all = append(all, a.header("Location")...)
		}
	}
	return all
}

// redirectsWith reports whether a redirect with one of the statuses is followed.
func (c *Case) redirectsWith(statuses ...int) bool {
	return len(c.locations()) > 0 && anyAnswer(func(a Answer) bool { return slices.Contains(statuses, a.status()) })(c)
}

func (c *Case) leavesOrigin() bool {
	return slices.ContainsFunc(c.locations(), func(l string) bool { return !c.sameOrigin(l) && !malformedURL(l) })
}

// sameOrigin reports whether a Location stays with the origin of the last call.
func (c *Case) sameOrigin(location string) bool {
	from, to := takeApart(c.Calls[len(c.Calls)-1].URL), takeApart(location)
	return !to.hasAuthority || (to.scheme == "" || to.scheme == from.scheme) && strings.EqualFold(to.authority, from.authority)
}

func malformedURL(location string) bool {
	u, err := url.Parse(location)
	return err != nil && takeApart(location).hasAuthority || err == nil && takeApart(location).hasAuthority && u.Host == ""
}

// followsAnywhere reports whether a header goes along to every origin.
func followsAnywhere(name string) bool {
	name = textproto.CanonicalMIMEHeaderKey(name)
	harmless := []string{
		"User-Agent", "Range", "Expect", "Host", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since",
	}
	return strings.HasPrefix(name, "Accept") || ofContent(name) || slices.Contains(harmless, name)
}

// ofContent reports whether a header speaks of the body.
func ofContent(name string) bool {
	return strings.HasPrefix(textproto.CanonicalMIMEHeaderKey(name), "Content-")
}

// remove takes out the headers whose names are such.
func (s *Sent) remove(such func(name string) bool) {
	s.Headers = slices.DeleteFunc(s.Headers, func(h [2]string) bool { return such(h[0]) })
}

// copyHeaders adds those headers of another request whose names are such.
func (s *Sent) copyHeaders(from Sent, such func(name string) bool) {
	for _, h := range from.Headers {
		if such(h[0]) {
			s.Headers = append(s.Headers, h)
		}
	}
}
