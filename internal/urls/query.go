package urls

import "strings"

// Param is one query or path parameter, unescaped.
type Param struct{ Key, Value string }

// Style says how a space in an added parameter is written.
type Style uint8

const (
	// Plus writes '+', as forms do. It is the default.
	Plus Style = iota
	// Percent writes %20, as RFC 3986 does.
	Percent
)

// Up to how many keys, or comparisons, a search beats a map.
const (
	fewKeys  = 8
	fewPairs = 256
)

// AppendQuery appends parameters in their order to a raw query. What is in raw
// stays byte for byte. All but unreserved characters is percent-encoded.
func AppendQuery(raw string, params []Param, style Style) string {
	if len(params) == 0 {
		return raw
	}
	n := len(raw)
	for i := range params {
		n += len(params[i].Key) + len(params[i].Value) + len("&=")
	}
	out := append(make([]byte, 0, n+n/8), raw...)
	for i := range params {
		if len(out) > 0 && out[len(out)-1] != '&' {
			out = append(out, '&')
		}
		out = appendComponent(out, params[i].Key, style)
		out = append(out, '=')
		out = appendComponent(out, params[i].Value, style)
	}
	return string(out)
}

// appendComponent appends a key or a value, escaped.
func appendComponent(dst []byte, s string, style Style) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case classes[c]&unreserved != 0:
			dst = append(dst, c)
		case c == ' ' && style == Plus:
			dst = append(dst, '+')
		default:
			dst = appendEscaped(dst, c)
		}
	}
	return dst
}

// MergeParams merges parameters by key. The request's values for a key replace
// all of the session's and stand where the session's first one stood; keys that
// only the request has follow. Otherwise the order stays. The result may share
// memory with an argument that needed no change.
func MergeParams(session, request []Param) []Param {
	if len(request) == 0 {
		return session
	}
	if len(session) == 0 {
		return request
	}
	if len(session)*len(request) > fewPairs {
		return mergeMany(session, request)
	}
	merged := make([]Param, 0, len(session)+len(request))
	for _, p := range session {
		if !hasParam(request, p.Key) {
			merged = append(merged, p)
			continue
		}
		if hasParam(merged, p.Key) {
			continue
		}
		for _, r := range request {
			if r.Key == p.Key {
				merged = append(merged, r)
			}
		}
	}
	for _, r := range request {
		if !hasParam(session, r.Key) {
			merged = append(merged, r)
		}
	}
	return merged
}

// hasParam reports whether one of params has the key.
func hasParam(params []Param, key string) bool {
	for i := range params {
		if params[i].Key == key {
			return true
		}
	}
	return false
}

// mergeMany is MergeParams in linear time.
func mergeMany(session, request []Param) []Param {
	groups := make(map[string][]Param, len(request))
	for _, r := range request {
		groups[r.Key] = append(groups[r.Key], r)
	}
	merged := make([]Param, 0, len(session)+len(request))
	placed := make(map[string]struct{})
	for _, p := range session {
		group, ok := groups[p.Key]
		if !ok {
			merged = append(merged, p)
			continue
		}
		if _, done := placed[p.Key]; !done {
			placed[p.Key] = struct{}{}
			merged = append(merged, group...)
		}
	}
	for _, r := range request {
		if _, done := placed[r.Key]; !done {
			merged = append(merged, r)
		}
	}
	return merged
}

// HasKey reports whether a raw query has a key, which is compared decoded.
func HasKey(raw, key string) bool {
	for more := raw != ""; more; {
		var part string
		part, raw, more = strings.Cut(raw, "&")
		if part == "" {
			continue
		}
		written, _, _ := strings.Cut(part, "=")
		if keyEqual(written, key) {
			return true
		}
	}
	return false
}

// RemoveKeys returns a raw query without the pairs of the given keys, which are
// compared decoded. All else stays byte for byte.
func RemoveKeys(raw string, keys ...string) string {
	if raw == "" || len(keys) == 0 {
		return raw
	}
	var set keySet
	for _, key := range keys {
		set.add(key)
	}
	return removeKeys(raw, &set)
}

// removeKeys is RemoveKeys for a set.
func removeKeys(raw string, set *keySet) string {
	var out []byte
	changed := false
	kept := 0 // parts
	rest := raw
	for more := true; more; {
		var part string
		start := len(raw) - len(rest)
		part, rest, more = strings.Cut(rest, "&")
		written, _, _ := strings.Cut(part, "=")
		if part != "" && set.hasWritten(written) {
			if !changed {
				out = append(make([]byte, 0, len(raw)), strings.TrimSuffix(raw[:start], "&")...)
				changed = true
			}
			continue
		}
		if changed {
			if kept > 0 {
				out = append(out, '&')
			}
			out = append(out, part...)
		}
		kept++
	}
	if !changed {
		return raw
	}
	return string(out)
}

// mergeQueries joins two raw queries. Keys of the second one are taken out of
// the first.
func mergeQueries(first, second string) string {
	if first == "" {
		return second
	}
	if second == "" {
		return first
	}
	var set keySet
	rest := second
	for more := true; more; {
		var part string
		part, rest, more = strings.Cut(rest, "&")
		written, _, _ := strings.Cut(part, "=")
		if part != "" {
			set.add(decodeKey(written))
		}
	}
	first = removeKeys(first, &set)
	switch {
	case first == "":
		return second
	case strings.HasSuffix(first, "&"):
		return first + second
	}
	return first + "&" + second
}

// keyEqual reports whether a key as written in a query decodes to key.
func keyEqual(written, key string) bool {
	j := 0
	for i := 0; i < len(written); i++ {
		if j == len(key) {
			return false
		}
		c := written[i]
		switch {
		case c == '+':
			c = ' '
		case isEscape(written, i):
			c = byte(unhex(written[i+1])<<4 | unhex(written[i+2]))
			i += 2
		}
		if c != key[j] {
			return false
		}
		j++
	}
	return j == len(key)
}

// decodeKey decodes a key as written in a query.
func decodeKey(written string) string {
	return decode(strings.ReplaceAll(written, "+", " "))
}

// keySet is a set of decoded keys: a slice while they are few, then a map.
type keySet struct {
	few  []string
	many map[string]struct{}
}

func (s *keySet) add(key string) {
	if s.has(key) {
		return
	}
	if s.many == nil && len(s.few) < fewKeys {
		s.few = append(s.few, key)
		return
	}
	if s.many == nil {
		s.many = make(map[string]struct{})
		for _, k := range s.few {
			s.many[k] = struct{}{}
		}
	}
	s.many[key] = struct{}{}
}

func (s *keySet) has(key string) bool {
	if s.many != nil {
		_, ok := s.many[key]
		return ok
	}
	for _, k := range s.few {
		if k == key {
			return true
		}
	}
	return false
}

// hasWritten is has for a key as written in a query.
func (s *keySet) hasWritten(written string) bool {
	if s.many != nil {
		return s.has(decodeKey(written))
	}
	for _, k := range s.few {
		if keyEqual(written, k) {
			return true
		}
	}
	return false
}
