package har

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Check tells the first thing in which data is no HAR 1.2: a field that is missing, is of
// another type or has a value that it cannot have, and one that the format does not know and
// whose name does not begin with an underscore.
func Check(data []byte) error {
	var file any
	if err := json.Unmarshal(data, &file); err != nil {
		return err
	}
	return object{
		"log": object{
			"version": one(Version),
			"creator": object{"name": text, "version": text, "comment": maybe(text)},
			"browser": maybe(object{"name": text, "version": text, "comment": maybe(text)}),
			"pages":   maybe(list{object{"startedDateTime": date, "id": text, "title": text, "pageTimings": object{"onContentLoad": maybe(milliseconds), "onLoad": maybe(milliseconds), "comment": maybe(text)}, "comment": maybe(text)}}),
			"entries": list{both(entryRule, rule(checkEntry))},
			"comment": maybe(text),
		},
	}.check("", file)
}

var (
	pairRule   = object{"name": text, "value": text, "comment": maybe(text)}
	cookieRule = object{
		"name": text, "value": text, "path": maybe(text), "domain": maybe(text), "expires": maybe(date),
		"httpOnly": maybe(boolean), "secure": maybe(boolean), "comment": maybe(text),
	}
	cacheRule = object{
		"expires": maybe(date), "lastAccess": date, "eTag": text, "hitCount": size, "comment": maybe(text),
	}
	entryRule = object{
		"pageref":         maybe(text),
		"startedDateTime": date,
		"time":            milliseconds,
		"request": object{
			"method": text, "url": absolute, "httpVersion": text, "cookies": list{cookieRule}, "headers": list{pairRule},
			"queryString": list{pairRule}, "headersSize": size, "bodySize": size, "comment": maybe(text),
			"postData": maybe(object{
				"mimeType": text, "text": maybe(text), "comment": maybe(text),
				"params": maybe(list{object{"name": text, "value": maybe(text), "fileName": maybe(text), "contentType": maybe(text), "comment": maybe(text)}}),
			}),
		},
		"response": object{
			"status": size, "statusText": text, "httpVersion": text, "cookies": list{cookieRule}, "headers": list{pairRule},
			"content": object{
				"size": size, "compression": maybe(number), "mimeType": text, "text": maybe(text), "encoding": maybe(text), "comment": maybe(text),
			},
			"redirectURL": text, "headersSize": size, "bodySize": size, "comment": maybe(text),
		},
		"cache": object{"beforeRequest": maybe(cacheRule), "afterRequest": maybe(cacheRule), "comment": maybe(text)},
		"timings": object{
			"blocked": maybe(milliseconds), "dns": maybe(milliseconds), "connect": maybe(milliseconds), "ssl": maybe(milliseconds),
			"send": required(milliseconds), "wait": required(milliseconds), "receive": required(milliseconds), "comment": maybe(text),
		},
		"serverIPAddress": maybe(text), "connection": maybe(text), "comment": maybe(text),
	}
)

// checkEntry checks what fields say of each other.
func checkEntry(at string, v any) error {
	e := v.(map[string]any)
	timings := e["timings"].(map[string]any)
	total := 0.0
	for _, name := range []string{"blocked", "dns", "connect", "send", "wait", "receive"} {
		if ms, ok := timings[name].(float64); ok {
			total += max(ms, 0)
		}
	}
	if whole := e["time"].(float64); math.Abs(whole-total) > 0.01 {
		return fmt.Errorf("%s.time: %v is not the %v of the timings", at, whole, total)
	}
	connect, _ := timings["connect"].(float64)
	if ssl, _ := timings["ssl"].(float64); ssl > 0 && ssl > connect {
		return fmt.Errorf("%s.timings.ssl: more than connect, which it is a part of", at)
	}
	content := e["response"].(map[string]any)["content"].(map[string]any)
	if content["encoding"] == "base64" {
		coded, _ := content["text"].(string)
		if _, err := base64.StdEncoding.DecodeString(coded); err != nil {
			return fmt.Errorf("%s.response.content: %w", at, err)
		}
	}
	post, _ := e["request"].(map[string]any)["postData"].(map[string]any)
	if post["text"] != nil && post["params"] != nil {
		return fmt.Errorf("%s.request.postData: text and params exclude each other", at)
	}
	return nil
}

// checker judges one value of an archive. at is where it stands.
type checker interface{ check(at string, v any) error }

type rule func(at string, v any) error

func (r rule) check(at string, v any) error { return r(at, v) }

// object has these fields and no others.
type object map[string]checker

func (o object) check(at string, v any) error {
	fields, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: not an object", at)
	}
	for name := range fields {
		if o[name] == nil && !strings.HasPrefix(name, "_") {
			return fmt.Errorf("%s.%s: the format has no such field", at, name)
		}
	}
	names := make([]string, 0, len(o))
	for name := range o {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value, has := fields[name]
		if _, free := o[name].(optional); !has && free {
			continue
		} else if !has {
			return fmt.Errorf("%s.%s: missing", at, name)
		}
		if err := o[name].check(at+"."+name, value); err != nil {
			return err
		}
	}
	return nil
}

// list has any number of these.
type list struct{ of checker }

func (l list) check(at string, v any) error {
	values, ok := v.([]any)
	if !ok {
		return fmt.Errorf("%s: not an array", at)
	}
	for i, value := range values {
		if err := l.of.check(fmt.Sprintf("%s[%d]", at, i), value); err != nil {
			return err
		}
	}
	return nil
}

// optional may be missing.
type optional struct{ checker }

func maybe(c checker) checker { return optional{c} }

func both(a, b checker) checker {
	return rule(func(at string, v any) error {
		if err := a.check(at, v); err != nil {
			return err
		}
		return b.check(at, v)
	})
}

// required is a time that has to be there: -1 does not do.
func required(c checker) checker {
	return both(c, rule(func(at string, v any) error {
		if v.(float64) < 0 {
			return fmt.Errorf("%s: must not be negative", at)
		}
		return nil
	}))
}

func one(value string) checker {
	return rule(func(at string, v any) error {
		if v != value {
			return fmt.Errorf("%s: %v is not %q", at, v, value)
		}
		return nil
	})
}

var (
	text = rule(func(at string, v any) error {
		if _, ok := v.(string); !ok {
			return fmt.Errorf("%s: not a string", at)
		}
		return nil
	})
	boolean = rule(func(at string, v any) error {
		if _, ok := v.(bool); !ok {
			return fmt.Errorf("%s: not a boolean", at)
		}
		return nil
	})
	number = rule(func(at string, v any) error {
		if _, ok := v.(float64); !ok {
			return fmt.Errorf("%s: not a number", at)
		}
		return nil
	})
	milliseconds = both(number, rule(func(at string, v any) error {
		if ms := v.(float64); ms < 0 && ms != -1 {
			return fmt.Errorf("%s: a time of %v", at, ms)
		}
		return nil
	}))
	size = both(milliseconds, rule(func(at string, v any) error {
		if n := v.(float64); n != math.Trunc(n) {
			return fmt.Errorf("%s: %v is no whole number", at, n)
		}
		return nil
	}))
	date = both(text, rule(func(at string, v any) error {
		if _, err := time.Parse(time.RFC3339Nano, v.(string)); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		return nil
	}))
	absolute = both(text, rule(func(at string, v any) error {
		if u, err := url.Parse(v.(string)); err != nil || !u.IsAbs() || u.Fragment != "" {
			return fmt.Errorf("%s: not an absolute URL without fragment", at)
		}
		return nil
	}))
)
