package golden

import (
	"slices"
	"strings"
)

// urlRules say which URL is asked for. All of them but the refusals are checked against [Case.target].
func urlRules() []Rule {
	return []Rule{
		{
			Name: "an empty reference is the base URL itself",
			Reason: "httpx adds a slash to the base, so that a client for https://h/item cannot ask for that; " +
				"a resource with and without a slash are two",
			When: relative(func(c *Case, ref written) bool { return ref.path == "" }),
			Then: expectTarget,
		}, {
			Name:   "the query of the base URL is merged with the reference's",
			Reason: "httpx takes the query for a part of the path, the others lose it; neither is of use to anybody",
			When:   relative(func(c *Case, _ written) bool { return takeApart(c.Client.BaseURL).hasQuery }),
			Then:   expectTarget,
		}, {
			Name: "bytes that RFC 3986 does not allow are percent-encoded, valid escapes stay as written",
			Reason: "httpx sends some of them raw, which RFC 9112 section 3.2 forbids and strict servers refuse; requests " +
				"also rewrites escapes that were right when another one is not, and so asks for another resource",
			When: inURL(func(_ *Case, w written) bool {
				return encodeIllegal(w.path, pathBytes) != w.path || encodeIllegal(w.query, queryBytes) != w.query
			}),
			Then: expectTarget,
		}, {
			Name: "dot segments are resolved, also at the end and when written as %2e",
			Reason: "RFC 3986 sections 5.2.4 and 6.2.2.2; httpx loses the slash of a last one, and a %2e that only the server " +
				"resolves passes by whatever checked the path before",
			When: inURL(func(_ *Case, w written) bool {
				return slices.ContainsFunc(strings.Split(w.path, "/"), func(s string) bool { return dots(s) > 0 })
			}),
			Then: expectTarget,
		}, {
			Name:   "a session's parameter whose key is in the URL stays out",
			Reason: "what is said for one request wins over the session's word; requests sends both, httpx the session's only",
			When: func(c *Case) bool {
				keys := keysOf(takeApart(c.Calls[len(c.Calls)-1].URL).query)
				return slices.ContainsFunc(c.Client.Params.List, func(f Field) bool { return slices.Contains(keys, f.Name) })
			},
			Then: expectTarget,
		}, {
			Name:   "parameters join what is written in the URL, merged by key and in order",
			Reason: "as requests; httpx drops the URL's own query. After a final & no second one is written",
			When: func(c *Case) bool {
				call := c.Calls[len(c.Calls)-1]
				own, session := call.Params, c.Client.Params
				return takeApart(call.URL).hasQuery && (len(own.List) > 0 || len(session.List) > 0)
			},
			Then: expectTarget,
		}, {
			Name:   "the session's parameters with other keys stay when the request gives some",
			Reason: "as httpx; requests loses them when one side is a list of pairs",
			When: func(c *Case) bool {
				call := c.Calls[len(c.Calls)-1]
				return len(call.Params.List) > 0 && len(c.Client.Params.List) > 0
			},
			Then: expectTarget,
		}, {
			Name:   "a parameter without a value is left out, and removes the session's",
			Reason: "as requests; httpx sends an empty value, which is another thing and can be asked for with \"\"",
			When:   anyParam(func(v any) bool { return v == nil }),
			Then:   expectTarget,
		}, {
			Name:   "booleans are true and false",
			Reason: "as httpx, and as JSON and HTML write them; True and False are Python's",
			When:   anyParam(func(v any) bool { _, is := v.(bool); return is }),
			Then:   expectTarget,
		}, {
			Name: "a host has one form: lower case, no trailing dot, no default port",
			Reason: "RFC 3986 section 6.2.2.1 and 6.2.3: otherwise pool, cookies and credentials would take one server for two; " +
				"the systems keep the dot",
			When: func(c *Case) bool {
				a := authorityOf(c.url())
				given := a.host
				if a.port != "" {
					given += ":" + a.port
				}
				return isASCII(a.host) && a.canonical() != given
			},
			Then: func(c *Case, e *Expected) {
				a := authorityOf(c.url())
				e.edit(func(o *Outcome) {
					if len(o.Sent) > 0 {
						o.Sent[len(o.Sent)-1].Origin = a.scheme + "://" + a.canonical()
					}
				})
				if !hasField(c.Calls[len(c.Calls)-1].Headers, "Host") {
					e.setHeader("Host", a.canonical())
				}
			},
		}, {
			Name: "the session's parameters and headers stay on the origin of its base URL",
			Reason: "an absolute URL may come from anywhere, and API keys mostly live in such values; " +
				"other origins can be trusted with WithTrustedOrigins",
			When: func(c *Case) bool {
				base, own := takeApart(c.Client.BaseURL), takeApart(c.Calls[len(c.Calls)-1].URL)
				return base.scheme != "" && own.scheme != "" && !originsEqual(base, own)
			},
			Then: func(c *Case, e *Expected) {
				expectTarget(c, e)
				for _, f := range c.Client.Headers.List {
					if name := strings.ToLower(f.Name); name != "user-agent" && !strings.HasPrefix(name, "accept") {
						e.setHeader(f.Name)
					}
				}
			},
		}, {
			Name:   "a reference that climbs above the base path is refused",
			Reason: "it leaves the API that the session was made for; a path made of foreign input must not do that",
			When: func(c *Case) bool {
				return relative(func(_ *Case, ref written) bool { return climbs(ref.path) })(c) || slices.ContainsFunc(c.Client.Append, climbs)
			},
			Then: refuse("ErrInvalidURL"),
		}, {
			Name: "a path below a resource follows that of the resource, also with a slash before it",
			Reason: "as with a base URL, whose path is a prefix; clients begins at the root of the host again, which leaves the " +
				"API that the resource is a part of",
			When: func(c *Case) bool {
				return slices.ContainsFunc(c.Client.Append, func(path string) bool { return strings.HasPrefix(path, "/") })
			},
			Then: expectTarget,
		}, {
			Name:   "what all paths end with is put before the query",
			Reason: "clients puts it behind, where it belongs to the value of the last parameter and the path stays without it",
			When: func(c *Case) bool {
				return c.Client.Trailing != "" && takeApart(c.Calls[len(c.Calls)-1].URL).hasQuery
			},
			Then: expectTarget,
		}, {
			Name: "a reference that begins with two slashes or a backslash is refused",
			Reason: "RFC 3986 makes the first another host, browsers the second too, httpx a path: " +
				"whoever joins foreign input to a base URL would send the session's credentials away",
			When: func(c *Case) bool {
				ref := c.Calls[len(c.Calls)-1].URL
				return c.Client.BaseURL != "" && (strings.HasPrefix(ref, "//") || strings.HasPrefix(ref, `\`) || strings.HasPrefix(ref, `/\`))
			},
			Then: refuse("ErrInvalidURL"),
		}, {
			Name: "control bytes in a URL, and spaces around it, are refused",
			Reason: "they are left over from somewhere and hide what a URL is; httpx refuses most of them, requests encodes " +
				"some and drops others",
			When: func(c *Case) bool {
				text := c.Calls[len(c.Calls)-1].URL
				control := func(r rune) bool { return r < ' ' || r == 0x7f }
				return strings.Trim(text, " ") != text || strings.ContainsFunc(text, control)
			},
			Then: refuse("ErrInvalidURL"),
		}, {
			Name: "a host that no server can have is refused before it is looked up",
			Reason: "what one reader takes for a name another takes for an address or for user information, which is how " +
				"filters are passed by; the systems leave it to the resolver",
			When: func(c *Case) bool {
				a := authorityOf(c.url())
				return (a.scheme == "http" || a.scheme == "https") && a.impossible()
			},
			Then: refuse("ErrInvalidURL"),
		},
	}
}

// climbs reports whether a path leads above where it begins.
func climbs(path string) bool {
	_, above := resolve("/" + strings.TrimPrefix(path, "/"))
	return above
}

// url gives the URL that says where the last call goes: its own or, for a reference, the base.
func (c *Case) url() string {
	own := c.Calls[len(c.Calls)-1].URL
	if takeApart(own).scheme == "" {
		return c.Client.BaseURL
	}
	return own
}

// relative makes a predicate of one over the last call's URL, where that is joined to a base URL.
func relative(when func(*Case, written) bool) func(*Case) bool {
	return func(c *Case) bool {
		ref := takeApart(c.Calls[len(c.Calls)-1].URL)
		return c.Client.BaseURL != "" && ref.scheme == "" && !ref.hasAuthority && when(c, ref)
	}
}

// inURL makes a predicate of one over the URLs of a call that may be sent: the request's and the base.
func inURL(when func(*Case, written) bool) func(*Case) bool {
	return func(c *Case) bool {
		if !slices.Contains([]string{"base_url", "query"}, c.Topic) {
			return false
		}
		return when(c, takeApart(c.Calls[len(c.Calls)-1].URL)) || when(c, takeApart(c.Client.BaseURL))
	}
}

// anyParam makes a predicate of one over the values of parameters, also those in lists.
func anyParam(when func(any) bool) func(*Case) bool {
	return func(c *Case) bool {
		return anyValue(c.Client.Params.List, when) || anyValue(c.Calls[len(c.Calls)-1].Params.List, when)
	}
}

// expectTarget makes the target of the last request what parley's rules for URLs give.
func expectTarget(c *Case, e *Expected) {
	e.edit(func(o *Outcome) {
		if len(o.Sent) > 0 {
			o.Sent[len(o.Sent)-1].Target = c.target()
		}
	})
}
