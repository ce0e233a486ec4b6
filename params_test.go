package parley_test

import (
	"errors"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

// level is a text by its method.
type level int

func (l level) String() string { return [...]string{"low", "high"}[l] }

// failing cannot be text.
type failing struct{}

func (failing) MarshalText() ([]byte, error) { return nil, errors.New("no text for it") }

func queryOf(t testing.TB, v any) (string, error) {
	t.Helper()
	req, err := parley.NewRequest("GET", "http://a.test", parley.WithParams(v))
	if err != nil {
		return "", err
	}
	return req.URL.RawQuery, nil
}

func ptr[T any](v T) *T { return &v }

func TestParams_ofEveryKind(t *testing.T) {
	t.Parallel()
	type paging struct {
		Page   int       `url:"page"`
		Sort   []string  `url:"sort,omitempty"`
		Since  time.Time `url:"since,omitempty"`
		Hidden string    `url:"-"`
		Deep   *bool     `url:"deep,omitempty"`
	}
	type search struct {
		paging
		Text string `url:"q"`
	}
	type named map[string][]int
	day := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, test := range map[string]struct {
		value any
		want  string
	}{
		"nothing":            {nil, ""},
		"a list in order":    {parley.Params{{Key: "z", Value: "1"}, {Key: "a", Value: "2"}, {Key: "z", Value: "3"}}, "z=1&a=2&z=3"},
		"url.Values":         {url.Values{"b": {"2", "1"}, "a": {"3"}, "c": {}}, "a=3&b=2&b=1"},
		"a map of lists":     {map[string][]string{"a": {"1", "2"}}, "a=1&a=2"},
		"a map of texts":     {map[string]string{"b": "2", "a": "1"}, "a=1&b=2"},
		"a named map":        {named{"a": {1, 2}}, "a=1&a=2"},
		"a map of anything":  {map[string]any{"e": "", "f": 1.5, "i": -1, "u": uint8(2), "y": true, "n": false}, "e=&f=1.5&i=-1&n=false&u=2&y=true"},
		"nil values":         {map[string]any{"a": nil, "b": (*int)(nil), "c": []any{nil, 1}, "d": []string(nil), "e": 1}, "c=1&e=1"},
		"nil of any type":    {map[string]any{"a": (*time.Time)(nil), "b": (*url.URL)(nil), "c": (*level)(nil), "d": 1}, "d=1"},
		"pointers":           {map[string]any{"a": ptr(1), "b": ptr(ptr("x")), "c": []*int{ptr(2), nil}}, "a=1&b=x&c=2"},
		"bytes":              {map[string]any{"a": []byte("x y")}, "a=x+y"},
		"numbers":            {map[string]any{"a": 1e20, "b": 1e21, "c": 0.000001, "d": float32(0.1), "e": 100.0}, "a=100000000000000000000&b=1e%2B21&c=0.000001&d=0.1&e=100"},
		"what has a text":    {map[string]any{"a": day, "b": level(1), "c": netip.MustParseAddr("::1"), "d": time.Second}, "a=2030-01-02T03%3A04%3A05Z&b=high&c=%3A%3A1&d=1s"},
		"an array":           {map[string]any{"a": [2]int{1, 2}}, "a=1&a=2"},
		"a struct":           {paging{Page: 1, Hidden: "x"}, "page=1"},
		"a pointer to one":   {&paging{Page: 1, Sort: []string{"a", "b"}, Since: day, Deep: ptr(false)}, "deep=false&page=1&since=2030-01-02T03%3A04%3A05Z&sort=a&sort=b"},
		"an embedded struct": {search{paging{Page: 1}, "x"}, "page=1&q=x"},
		"a nil pointer":      {(*paging)(nil), ""},
		"a nil map":          {map[string]any(nil), ""},
		"escaped":            {map[string]string{"a&b": "c=d é~/?"}, "a%26b=c%3Dd+%C3%A9~%2F%3F"},
	} {
		got, err := queryOf(t, test.value)
		require.NoError(t, err, name)
		require.Equal(t, test.want, got, name)
	}
}

func TestParams_thatCannotBeWrittenAreErrors(t *testing.T) {
	t.Parallel()
	type self struct{ Self *self }
	circle := &self{}
	circle.Self = circle
	for name, value := range map[string]any{
		"a number":            1,
		"a text":              "a=1",
		"a list":              []string{"a"},
		"a map of other keys": map[int]string{1: "a"},
		"nested":              map[string]any{"a": map[string]any{"b": 1}},
		"nested in a list":    map[string]any{"a": []any{[]any{1}}},
		"a function":          map[string]any{"a": func() {}},
		"one without text":    map[string]any{"a": failing{}},
		"a circle":            circle,
	} {
		_, err := queryOf(t, value)
		require.ErrorContains(t, err, "GET http://a.test/: request: invalid option: parameter", name)
		_, err = parley.FormBody(value)
		require.ErrorContains(t, err, "invalid option: parameter", name)
	}
}

func TestParamsOf_givesACopyOfWhatWouldBeSent(t *testing.T) {
	t.Parallel()
	given := parley.Params{{Key: "b", Value: "1"}, {Key: "a", Value: "2"}}
	got, err := parley.ParamsOf(given)
	require.NoError(t, err)
	require.Equal(t, given, got)
	got[0].Value = "changed"
	require.Equal(t, "1", given[0].Value)

	got, err = parley.ParamsOf(struct {
		Page *int     `url:"page,omitempty"`
		Tags []string `url:"tag"`
	}{Tags: []string{"x", "y"}})
	require.NoError(t, err)
	require.Equal(t, parley.Params{{Key: "tag", Value: "x"}, {Key: "tag", Value: "y"}}, got)

	_, err = parley.ParamsOf(7)
	require.ErrorContains(t, err, "a struct with url tags")
}
