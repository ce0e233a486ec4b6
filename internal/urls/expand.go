package urls

import "strings"

// Expand puts values in the place of {name} in the path of a reference. used
// holds the names that occurred, each once, in the order of their first place,
// so that the caller can refuse values that nothing asked for. Of several
// values with one name the last counts.
//
// A value becomes a part of one segment: all but unreserved characters is
// percent-encoded, also '/'. Refused are a placeholder without a value, an
// empty value, a brace without its partner, and a value that would make its
// segment "." or "..". Scheme, authority, query and fragment stay as they are,
// and so does everything when there are no values.
func Expand(ref string, values []Param) (expanded string, used []string, err error) {
	if len(values) == 0 {
		return ref, nil, nil
	}
	start, end := pathBounds(ref)
	if !strings.ContainsAny(ref[start:end], "{}") {
		return ref, nil, nil
	}
	e := expander{values: values, input: ref}
	e.out = append(make([]byte, 0, len(ref)+32), ref[:start]...)
	rest := ref[start:end]
	for more := true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		if err := e.segment(segment); err != nil {
			return "", nil, err
		}
		if more {
			e.out = append(e.out, '/')
		}
	}
	return string(append(e.out, ref[end:]...)), e.used, nil
}

// Path returns the path of a reference as it is written, and whether the reference
// is absolute.
func Path(ref string) (path string, absolute bool) {
	start, end := pathBounds(ref)
	return ref[start:end], start > 0
}

// pathBounds returns where the path of a reference begins and ends.
func pathBounds(ref string) (start, end int) {
	end = len(ref)
	if i := strings.IndexAny(ref, "?#"); i >= 0 {
		end = i
	}
	if _, rest, ok := splitScheme(ref[:end]); ok {
		start = end - len(rest)
	}
	if strings.HasPrefix(ref[start:end], "//") {
		authority := ref[start+2 : end]
		if i := strings.IndexByte(authority, '/'); i >= 0 {
			return start + 2 + i, end
		}
		return end, end
	}
	return start, end
}

// expander is the state of one Expand.
type expander struct {
	values  []Param
	input   string
	out     []byte
	used    []string
	indexed map[string]string // the values, once there are many
	seen    keySet
}

// segment appends a segment with its placeholders replaced.
func (e *expander) segment(s string) error {
	if !strings.ContainsAny(s, "{}") {
		e.out = append(e.out, s...)
		return nil
	}
	start := len(e.out)
	for s != "" {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			e.out = append(e.out, s...)
			break
		}
		e.out = append(e.out, s[:i]...)
		name, after, closed := strings.Cut(s[i+1:], "}")
		if s[i] == '}' || !closed || name == "" || strings.IndexByte(name, '{') >= 0 {
			return invalidPart("braces in the path are not of the form {name}: write others as %7B and %7D", s, e.input)
		}
		value, ok := e.value(name)
		switch {
		case !ok:
			return invalidPart("no value for a placeholder in the path", name, e.input)
		case value == "":
			return invalidPart("empty value for a placeholder in the path", name, e.input)
		}
		e.out = appendComponent(e.out, value, Percent)
		if !e.seen.has(name) {
			e.seen.add(name)
			e.used = append(e.used, name)
		}
		s = after
	}
	made := string(e.out[start:])
	if dots(made) > 0 {
		return invalid(`a value makes a segment of the path "." or "..", which would change the path`)
	}
	// Values cannot bring a colon, but they could complete a scheme before one.
	if start == 0 && strings.IndexByte(made, ':') >= 0 {
		return errColonFirst()
	}
	return nil
}

// value returns the value for a name.
func (e *expander) value(name string) (string, bool) {
	if len(e.values) > fewKeys {
		if e.indexed == nil {
			e.indexed = make(map[string]string, len(e.values))
			for _, v := range e.values {
				e.indexed[v.Key] = v.Value
			}
		}
		value, ok := e.indexed[name]
		return value, ok
	}
	for i := len(e.values) - 1; i >= 0; i-- {
		if e.values[i].Key == name {
			return e.values[i].Value, true
		}
	}
	return "", false
}
