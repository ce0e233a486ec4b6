package parleytest

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/seed-0474a412/parley"
)

// FuzzHidesJSON looks for JSON that is none any more without its secrets, or still has them.
func FuzzHidesJSON(f *testing.F) {
	for _, seed := range []string{
		`{"token":"x","a":[1,{"password":{"b":[true,null,2,"y"]}}]} {"c":1}`, ` [ "token" , "x" ] `, `{"token":""}`, `{"a":1,}`, `{"token":"cut`, `1 2 "token"`, "",
		`{"password":-1.5e9}`, `{"to\u006ben":"x"}`, "\ufeff{\"token\":1}", `{"token":{"token":"x"},"b":2}`,
	} {
		f.Add(seed)
	}
	h := newHider(CassetteConfig{})
	f.Fuzz(func(t *testing.T, text string) {
		out := h.json([]byte(text), func(string) {})
		before, err := decodeJSONs([]byte(text))
		if err != nil {
			return
		}
		after, err := decodeJSONs(out)
		if err != nil || len(before) != len(after) {
			t.Fatalf("%q became %q: %v", text, out, err)
		}
		for i := range before {
			requireHidden(t, h, after[i], false)
		}
		if again := h.json(out, func(string) {}); string(again) != string(out) {
			t.Fatalf("%q became %q", out, again)
		}
	})
}

func requireHidden(t *testing.T, h *hider, v any, hidden bool) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			requireHidden(t, h, value, hidden || h.hides(name))
		}
	case []any:
		for _, value := range v {
			requireHidden(t, h, value, hidden)
		}
	case string:
		if hidden && v != "" && v != parley.Hidden {
			t.Fatalf("%q is shown", v)
		}
	case json.Number:
		if hidden && v != "0" {
			t.Fatalf("%s is shown", v)
		}
	}
}

// FuzzFits compares with a search by every way of splitting.
func FuzzFits(f *testing.F) {
	f.Add("a[hidden]b", "axb")
	f.Add("[hidden]", "")
	f.Add("a[hidden]a", "a")
	f.Add("[hidden]ab[hidden]b", "abab")
	f.Fuzz(func(t *testing.T, recorded, got string) {
		if len(recorded) > 60 || len(got) > 60 {
			return
		}
		if want := slowlyFits(strings.Split(recorded, parley.Hidden), got, true); fits(recorded, got) != want {
			t.Fatalf("fits(%q, %q) is not %v", recorded, got, want)
		}
	})
}

// slowlyFits tries every place for each part; the first has to be at the beginning.
func slowlyFits(parts []string, got string, first bool) bool {
	if len(parts) == 1 {
		return first && got == parts[0] || !first && strings.HasSuffix(got, parts[0])
	}
	for i := 0; i+len(parts[0]) <= len(got); i++ {
		if strings.HasPrefix(got[i:], parts[0]) && slowlyFits(parts[1:], got[i+len(parts[0]):], false) {
			return true
		}
		if first {
			break
		}
	}
	return false
}
