package golden

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/andybalholm/brotli"
)

// Rules are parley's departures and choices: where the systems agree and parley does otherwise, and where they differ
// and one of them, or neither, is followed.
func Rules() []Rule {
	return slices.Concat(urlRules(), headerRules(), cookieRules(), bodyRules(), multipartRules(), redirectRules(), authRules(), errorRules(), textRules(), linkRules())
}

func headerRules() []Rule {
	return []Rule{
		{
			Name: "a header that is removed is not sent at all",
			Reason: "as requests; there urllib3 then sends its own User-Agent, Accept-Encoding: identity and the body's " +
				"Content-Type all the same. httpx cannot remove a header",
			When: func(c *Case) bool {
				return slices.ContainsFunc(c.headerFields(), func(f Field) bool { return f.Value == nil })
			},
			Then: func(c *Case, e *Expected) {
				follow("requests")(c, e)
				for _, f := range c.headerFields() {
					if f.Value == nil {
						e.setHeader(f.Name)
					}
				}
			},
		}, {
			Name:   "several values of one header are several lines",
			Reason: "as httpx; requests keeps the last",
			When: func(c *Case) bool {
				seen := map[string]bool{}
				return slices.ContainsFunc(c.Calls[len(c.Calls)-1].Headers.List, func(f Field) bool {
					name := strings.ToLower(f.Name)
					twice := seen[name]
					seen[name] = true
					return twice
				})
			},
			Then: follow("httpx"),
		}, {
			Name:   "space around a header value is left out",
			Reason: "RFC 9110 section 5.5: it is no part of the value, so that there is nothing to refuse",
			When: anyHeader(func(name, value string) bool {
				return strings.Trim(value, " \t") != value && legalValue(value)
			}),
			Then: expectHeaders,
		}, {
			Name: "header values beyond ASCII are sent as UTF-8",
			Reason: "RFC 9110 section 5.5 allows such bytes (obs-text), and UTF-8 is what the servers that take them expect; " +
				"requests sends Latin-1 or fails, httpx fails",
			When: anyHeader(func(name, value string) bool {
				return strings.ContainsFunc(value, func(r rune) bool { return r >= 0x80 }) && legalValue(value)
			}),
			Then: expectHeaders,
		}, {
			Name:   "header names are tokens, and values have no control bytes",
			Reason: "RFC 9110 sections 5.1 and 5.5; they must never leave, for the next hop may see a line's end in them",
			When: func(c *Case) bool {
				return slices.ContainsFunc(c.headerFields(), func(f Field) bool {
					value, _ := f.Value.(string)
					return !token(f.Name) || !legalValue(value)
				})
			},
			Then: refuse("ErrInvalidHeader"),
		}, {
			Name: "a Content-Length of the caller's only confirms that of the body",
			Reason: "RFC 9112 section 6.2: a wrong one is request smuggling at the next hop, so that it is an error, and one " +
				"without a body says nothing",
			When: anyHeader(func(name, _ string) bool { return strings.EqualFold(name, "Content-Length") }),
			Then: expectLength,
		}, {
			Name:   "a length or chunks, never both",
			Reason: "RFC 9112 section 6.2; the caller's Transfer-Encoding: chunked makes parley write chunks, without a Content-Length",
			When: anyHeader(func(name, value string) bool {
				return strings.EqualFold(name, "Transfer-Encoding") && strings.EqualFold(value, "chunked")
			}),
			Then: func(c *Case, e *Expected) {
				follow("httpx")(c, e)
				e.setHeader("Content-Length")
			},
		},
	}
}

func bodyRules() []Rule {
	return []Rule{
		{
			Name: "the body's own type wins over the session's Content-Type",
			Reason: "a session's default cannot know what a single call sends, and JSON that is marked as something else is " +
				"wrong; a Content-Type given with the call wins over both",
			When: func(c *Case) bool {
				call := c.Calls[len(c.Calls)-1]
				return bodyType(call) != "" && !hasField(call.Headers, "Content-Type") && hasField(c.Client.Headers, "Content-Type")
			},
			Then: expectType,
		}, {
			Name:   "a text is text/plain; charset=utf-8",
			Reason: "RFC 9110 section 8.3: the sender knows the type and says it; bytes without a type can be sent as bytes",
			When: func(c *Case) bool {
				call := c.Calls[len(c.Calls)-1]
				return call.Body.Is("text") && !hasField(call.Headers, "Content-Type") && !hasField(c.Client.Headers, "Content-Type")
			},
			Then: expectType,
		}, {
			Name:   "an empty form is a form all the same",
			Reason: "it is what browsers send for a form without fields, and servers that look at the type can parse it",
			When: func(c *Case) bool {
				call := c.Calls[len(c.Calls)-1]
				return call.Body.Is("form") && len(call.Body.Form.List) == 0 && !hasField(call.Headers, "Content-Type")
			},
			Then: expectType,
		}, {
			Name:   "a form is written as parameters are: without nulls, booleans as true and false",
			Reason: "one notation for both; requests leaves nulls out and writes True, httpx sends empty values and writes true",
			When: func(c *Case) bool {
				return anyValue(c.Calls[len(c.Calls)-1].Body.Form.List, func(v any) bool {
					_, is := v.(bool)
					return is || v == nil
				})
			},
			Then: func(c *Case, e *Expected) {
				if c.Sends("files") {
					expectMultipart(c, e)
					return
				}
				var pairs []string
				for _, f := range flatten(c.Calls[len(c.Calls)-1].Body.Form.List) {
					pairs = append(pairs, url.QueryEscape(f.Name)+"="+url.QueryEscape(f.Value.(string)))
				}
				e.edit(func(o *Outcome) {
					if len(o.Sent) > 0 {
						last := &o.Sent[len(o.Sent)-1]
						last.Framing, last.Body = "content-length", []byte(strings.Join(pairs, "&"))
					}
				})
				e.setHeader("Transfer-Encoding")
				expectType(c, e)
			},
		}, {
			Name:   "a nested value in a form or a query is refused",
			Reason: "there is no common way to write it; requests sends the keys only, httpx Python's notation",
			When: func(c *Case) bool {
				call := c.Calls[len(c.Calls)-1]
				nested := func(f Field) bool { _, is := f.Value.(Object); return is }
				return slices.ContainsFunc(call.Body.Form.List, nested) || slices.ContainsFunc(call.Params.List, nested)
			},
			Then: refuse(Unsent),
		}, {
			Name:   "bytes inside JSON are base64 text",
			Reason: "encoding/json does so, and Go programs on both sides rely on it",
			When:   func(c *Case) bool { return c.Calls[len(c.Calls)-1].Body.Special == "bytes" },
			Then: func(c *Case, e *Expected) {
				e.Alternatives = nil
				call := c.Calls[len(c.Calls)-1]
				to := takeApart(call.URL)
				e.add("the rule", Outcome{
					Replies: []Reply{{Status: 200}},
					Sent: []Sent{{
						Origin: to.scheme + "://" + to.authority, Method: call.Method, Target: c.target(),
						Headers: [][2]string{{"Host", to.authority}, {"Content-Type", "application/json"}, {"Content-Length", ""}},
						Framing: "content-length", Body: []byte(`"Ynl0ZXM="`),
					}},
				})
			},
		},
	}
}

func errorRules() []Rule {
	return []Rule{
		{
			Name: "an answer that breaks the grammar or the framing rules of HTTP/1.1 is refused",
			Reason: "RFC 9112 sections 2.2, 4, 5, 6.1 to 6.3 and 7.1: whoever guesses differently from the hop before can be made " +
				"to see another answer; requests guesses nearly always, httpx now and then",
			When: func(c *Case) bool {
				return anyAnswer(func(a Answer) bool { return a.malformed(c.Calls[len(c.Calls)-1].Method) })(c)
			},
			Then: fail("ErrRemoteProtocol"),
		}, {
			Name:   "a gzip body that ends early is an error",
			Reason: "what is missing cannot be told from what was never there; the systems return the part as the whole",
			When:   anyAnswer(truncatedGzip),
			Then:   fail("ErrDecoding", "ErrRead"),
		}, {
			Name:   "br is decoded wherever parley runs",
			Reason: "it needs no library to be installed; without one the systems give the coded bytes, though they asked for others",
			When:   anyAnswer(func(a Answer) bool { return a.coded("br") }),
			Then:   expectUnbrotli,
		}, {
			Name:   "NaN, Infinity and numbers beyond a float64 are no JSON values",
			Reason: "RFC 8259 section 6, and encoding/json; Python reads them",
			When: func(c *Case) bool {
				return c.Wants("json") && anyAnswer(func(a Answer) bool { return onlyPythonReads(a.Body) })(c)
			},
			Then: func(c *Case, e *Expected) {
				e.edit(func(o *Outcome) {
					last := &o.Replies[len(o.Replies)-1]
					last.JSON, last.JSONErr = nil, true
				})
			},
		}, {
			Name:   "no error for a 3xx answer that was not followed",
			Reason: "as requests: the caller asked for it. Response.Err is for 4xx and 5xx",
			When: func(c *Case) bool {
				call := c.Calls[len(c.Calls)-1]
				return call.Raise && anyAnswer(func(a Answer) bool { return a.Status >= 300 && a.Status < 400 })(c)
			},
			Then: follow("requests"),
		}, {
			Name:   "a negative time limit is none",
			Reason: "as in net.Dialer and elsewhere in Go, where -1 is the usual way to switch a limit off (NoTimeout)",
			When: func(c *Case) bool {
				t := c.Calls[len(c.Calls)-1].Timeout
				return t.Read != nil && *t.Read < 0
			},
			Then: func(c *Case, e *Expected) {
				e.Alternatives = nil
				e.add("the rule", Outcome{Replies: []Reply{{Status: 200}}})
			},
		},
	}
}

// anyAnswer makes a predicate of one over the answers of the server.
func anyAnswer(when func(Answer) bool) func(*Case) bool {
	return func(c *Case) bool { return slices.ContainsFunc(c.Answers(), when) }
}

// anyHeader makes a predicate of one over the headers that the case sets.
func anyHeader(when func(name, value string) bool) func(*Case) bool {
	return func(c *Case) bool {
		return slices.ContainsFunc(c.headerFields(), func(f Field) bool {
			value, ok := f.Value.(string)
			return ok && when(f.Name, value)
		})
	}
}

// headerFields are the headers of the session and of the last call.
func (c *Case) headerFields() []Field {
	return slices.Concat(c.Client.Headers.List, c.Calls[len(c.Calls)-1].Headers.List)
}

func hasField(fields Fields, name string) bool {
	return slices.ContainsFunc(fields.List, func(f Field) bool { return strings.EqualFold(f.Name, name) })
}

// bodyType is the Content-Type that a body brings with it.
func bodyType(call Call) string {
	switch {
	case call.Body.Is("form"):
		return "application/x-www-form-urlencoded"
	case call.Body.Is("json") && call.Body.JSON != nil, call.Body.Is("json_special"):
		return "application/json"
	case call.Body.Is("text"):
		return "text/plain; charset=utf-8"
	}
	return ""
}

// expectType makes the last request bear the Content-Type of its body.
func expectType(c *Case, e *Expected) {
	e.setHeader("Content-Type", bodyType(c.Calls[len(c.Calls)-1]))
}

// expectHeaders expects that a request is sent as others are, with the headers of the last call as the case gives them.
func expectHeaders(c *Case, e *Expected) {
	call := c.Calls[len(c.Calls)-1]
	to := takeApart(call.URL)
	sent := Sent{Origin: to.scheme + "://" + to.authority, Method: call.Method, Target: c.target(), Framing: "none"}
	sent.Headers = [][2]string{{"Host", to.authority}, {"User-Agent", ""}, {"Accept", "*/*"}, {"Accept-Encoding", ""}}
	e.Alternatives = nil
	e.add("the rule", Outcome{Replies: []Reply{{Status: 200}}, Sent: []Sent{sent}})
	for _, f := range c.headerFields() {
		if value, ok := f.Value.(string); ok {
			e.setHeader(f.Name, asLatin1(strings.Trim(value, " \t")))
		}
	}
}

// setHeader replaces the lines of a header in the last request.
func (e *Expected) setHeader(name string, values ...string) {
	e.edit(func(o *Outcome) {
		if len(o.Sent) == 0 {
			return
		}
		last := &o.Sent[len(o.Sent)-1]
		last.Headers = slices.DeleteFunc(last.Headers, func(h [2]string) bool { return strings.EqualFold(h[0], name) })
		for _, value := range values {
			last.Headers = append(last.Headers, [2]string{name, value})
		}
	})
}

// expectLength expects a request whose Content-Length is that of its body, or none when it does not agree.
func expectLength(c *Case, e *Expected) {
	call := c.Calls[len(c.Calls)-1]
	given := ""
	for _, f := range call.Headers.List {
		if value, ok := f.Value.(string); ok && strings.EqualFold(f.Name, "Content-Length") {
			given = value
		}
	}
	switch {
	case len(call.Body.Kinds) == 0:
		e.setHeader("Content-Length")
		e.edit(func(o *Outcome) {
			if len(o.Sent) > 0 {
				o.Sent[len(o.Sent)-1].Framing = "none"
			}
		})
	case call.Body.Is("content") && given != strconv.Itoa(len(call.Body.Content)):
		refuse("ErrInvalidHeader")(c, e)
	}
}

// anyValue reports whether one of the values, also of those in lists, is such.
func anyValue(fields []Field, when func(any) bool) bool {
	return slices.ContainsFunc(fields, func(f Field) bool {
		list, ok := f.Value.([]any)
		return slices.ContainsFunc(list, when) || !ok && when(f.Value)
	})
}

// onlyPythonReads tells JSON that only Python's reader takes: with its names for what is no number, or with numbers
// that are infinite as a float64.
func onlyPythonReads(body []byte) bool {
	var v any
	if json.Valid(body) {
		return json.Unmarshal(body, &v) != nil
	}
	for _, word := range []string{"-Infinity", "Infinity", "NaN"} {
		body = bytes.ReplaceAll(body, []byte(word), []byte("0"))
	}
	return json.Valid(body)
}

// coded reports whether an answer's body has just this coding.
func (a Answer) coded(name string) bool {
	return slices.ContainsFunc(a.Headers, func(h [2]string) bool {
		return strings.EqualFold(h[0], "Content-Encoding") && strings.EqualFold(h[1], name)
	})
}

// truncatedGzip reports whether an answer's body is gzip without its end.
func truncatedGzip(a Answer) bool {
	if !a.coded("gzip") || len(a.Body) == 0 {
		return false
	}
	r, err := gzip.NewReader(bytes.NewReader(a.Body))
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	return errors.Is(err, io.ErrUnexpectedEOF)
}

// expectUnbrotli expects the text that the body of the answer is when it has been decoded.
func expectUnbrotli(c *Case, e *Expected) {
	_, _, body := c.answered()
	text, err := io.ReadAll(brotli.NewReader(bytes.NewReader(body)))
	if err != nil {
		fail("ErrDecoding")(c, e)
		return
	}
	e.edit(func(o *Outcome) {
		plain := string(text)
		o.Replies[len(o.Replies)-1].Text = &plain
	})
}
