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
			Name:   "a reference that climbs above the base path is refused",
			Reason: "it leaves the API that the session was made for; a path made of foreign input must not do that",
			When: relative(func(_ *Case, ref written) bool {
				_, above := resolve("/" + strings.TrimPrefix(ref.path, "/"))
				return above
			}),
			Then: refuse("ErrInvalidURL"),
		}, {
			Name: "a reference that begins with two slashes or a backslash is refused",
			Reason: "RFC 3986 makes the first another host, browsers the second too, httpx a path: " +
				"whoever joins foreign input to a base URL would send the session's credentials away",
			When: func(c *Case) bool {
				ref := c.Calls[len(c.Calls)-1].URL
				return c.Client.BaseURL != "" && (strings.HasPrefix(ref, "//") || strings.HasPrefix(ref, `\`) || strings.HasPrefix(ref, `/\`))
			},
			Then: refuse("ErrInvalidURL"),
		},
	}
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
		fields := slices.Concat(c.Client.Params.List, c.Calls[len(c.Calls)-1].Params.List)
		return slices.ContainsFunc(fields, func(f Field) bool {
			list, ok := f.Value.([]any)
			return slices.ContainsFunc(list, when) || !ok && when(f.Value)
		})
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
