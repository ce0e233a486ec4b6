package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/seed-0474a412/parley"
)

// mediaOf gives the media type of an answer in lower case, without parameters; "" if it
// names none.
func mediaOf(resp *parley.Response) string {
	media, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	return strings.ToLower(strings.Trim(media, " \t"))
}

// isJSON reports whether a media type is JSON (RFC 6839, section 3.1).
func isJSON(media string) bool {
	return media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json")
}

// linesOfJSON are the media types of a JSON value on each line.
var linesOfJSON = []string{
	"application/jsonl", "application/jsonlines", "application/x-jsonlines", "application/json-lines", "application/x-jsonl",
	"application/ndjson", "application/x-ndjson", "application/x-json-stream", "application/stream+json",
}

// isJSONLines reports whether a media type is JSON by the line.
func isJSONLines(media string) bool { return slices.Contains(linesOfJSON, media) }

// hasNoContent reports whether an answer has no content by its nature.
func hasNoContent(resp *parley.Response) bool {
	switch resp.StatusCode {
	case http.StatusNoContent, http.StatusResetContent:
		return true
	}
	return resp.Request != nil && resp.Request.Method == http.MethodHead
}

// plainJSON encodes v as sessions do by default: without HTML escaping and without a
// newline.
func plainJSON(v any) (json.RawMessage, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode %T as JSON: %w", v, err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// jsonMembers gives the members of what is a JSON object, nil for null.
func jsonMembers(v any) (map[string]any, error) {
	encoded, err := plainJSON(v)
	if err != nil {
		return nil, err
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(encoded, &raw); err != nil {
		return nil, fmt.Errorf("fields are a map with string keys or a struct, not %T", v)
	}
	if raw == nil {
		return nil, nil
	}
	members := make(map[string]any, len(raw))
	for name, value := range raw {
		members[name] = value
	}
	return members, nil
}

// jsonTree decodes JSON into maps, slices, strings, json.Number, bool and nil.
func jsonTree(raw []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("more follows after the value")
	}
	return tree, nil
}

// jsonAt gives the value at the end of a way by the names of members; nil where a member is
// missing, and how much of the way leads to that. What should have a member but is no object
// is an error.
func jsonAt(value json.RawMessage, path []string) (at json.RawMessage, missing []string, err error) {
	for i, name := range path {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(value, &members); err != nil {
			return nil, nil, fmt.Errorf("what should have the member %.64q is no object", name)
		}
		if value = members[name]; value == nil {
			return nil, path[:i+1], nil
		}
	}
	return value, nil, nil
}
