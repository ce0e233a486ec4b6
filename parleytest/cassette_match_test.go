package parleytest_test

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/parleytest"
)

func TestCassette_matching(t *testing.T) {
	form := func(pairs ...string) parley.RequestOption {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Add(pairs[i], pairs[i+1])
		}
		return parley.WithForm(v)
	}
	opts := func(o ...parley.RequestOption) []parley.RequestOption { return o }
	for _, row := range []struct {
		name           string
		cfg            parleytest.CassetteConfig
		path           string
		recorded, sent []parley.RequestOption
		toPath         string // "": path
		differs        string // "": it fits
	}{
		{name: "the order of parameters makes no difference", path: "a?x=1&y=2&x=3", toPath: "a?y=2&x=1&x=3"},
		{name: "the order of values of one parameter does", path: "a?x=1&x=3", toPath: "a?x=3&x=1", differs: `the parameter x is "3, 1", was "1, 3"`},
		{name: "another parameter", path: "a?x=1", toPath: "a?x=2", differs: `the parameter x is "2", was "1"`},
		{name: "a new parameter", path: "a", toPath: "a?x=2", differs: "the parameter x was not there"},
		{name: "a parameter less", path: "a?x=1", toPath: "a", differs: "the parameter x is missing"},
		{name: "a hidden parameter fits any", path: "a?api_key=one", toPath: "a?api_key=two"},
		{name: "but has to be there", path: "a?api_key=one", toPath: "a", differs: "the parameter api_key is missing"},
		{name: "an ignored parameter", cfg: parleytest.CassetteConfig{IgnoreParams: []string{"Ts"}}, path: "a?ts=1", toPath: "a"},
		{name: "another path", path: "users/1", toPath: "users/2", differs: "the path is /users/2, was /users/1"},
		{name: "escapes of the path", path: "a%20b", toPath: "a b"},
		{name: "a secret in the path", cfg: parleytest.CassetteConfig{Secrets: []string{"", "123:abc"}}, path: "./bot123:abc/send", toPath: "botother/send"},
		{
			name: "JSON is compared by value", path: "a", recorded: opts(parley.WithBytes([]byte(`{"a": 1, "b": [1.0, null, true, "x"]}`)), parley.WithHeader("Content-Type", "application/json")),
			sent: opts(parley.WithJSON(map[string]any{"b": []any{1, nil, true, "x"}, "a": 1})),
		},
		{
			name: "other JSON", path: "a", recorded: opts(parley.WithJSON(map[string]any{"a": map[string]any{"b": 1}})),
			sent: opts(parley.WithJSON(map[string]any{"a": map[string]any{"b": 2}})), differs: "in the JSON .a.b is 2, was 1",
		},
		{
			name: "hidden members fit any, of any type", path: "a",
			recorded: opts(parley.WithJSON(map[string]any{"password": "one", "pin": 123, "session": map[string]any{"a": "b"}})),
			sent:     opts(parley.WithJSON(map[string]any{"password": "two", "pin": "x", "session": nil})),
		},
		{
			name: "ignored members", cfg: parleytest.CassetteConfig{IgnoreParams: []string{"at"}}, path: "a",
			recorded: opts(parley.WithJSON([]any{map[string]any{"at": 1, "b": 1}})), sent: opts(parley.WithJSON([]any{map[string]any{"b": 1}})),
		},
		{name: "a form in another order", path: "a", recorded: opts(form("a", "1", "b", "2")), sent: opts(parley.WithBytes([]byte("b=2&a=%31")), parley.WithHeader("Content-Type", "application/x-www-form-urlencoded"))},
		{name: "another form", path: "a", recorded: opts(form("a", "1")), sent: opts(form("a", "2")), differs: `the field a is "2", was "1"`},
		{name: "a hidden field", path: "a", recorded: opts(form("password", "one")), sent: opts(form("password", "two"))},
		{
			name: "a multipart form has another boundary each time", path: "a", recorded: opts(parley.WithMultipart(parley.FormField("a", "1"), parley.FormField("password", "one"))),
			sent: opts(parley.WithMultipart(parley.FormField("a", "1"), parley.FormField("password", "two"))),
		},
		{
			name: "another multipart form", path: "a", recorded: opts(parley.WithMultipart(parley.FormField("a", "1"))),
			sent: opts(parley.WithMultipart(parley.FormField("a", "2"))), differs: `part a is "2", was "1"`,
		},
		{name: "other text", path: "a", recorded: opts(parley.WithText("one")), sent: opts(parley.WithText("two")), differs: `the body is "two", was "one"`},
		{name: "no text", path: "a", recorded: opts(parley.WithText("one")), differs: "the body is missing"},
		{name: "new text", path: "a", sent: opts(parley.WithText("one")), differs: "there was no body"},
		{name: "ignored text", cfg: parleytest.CassetteConfig{Body: parleytest.BodyIgnored}, path: "a", recorded: opts(parley.WithText("one")), sent: opts(parley.WithText("two"))},
		{
			name: "JSON byte for byte", cfg: parleytest.CassetteConfig{Body: parleytest.BodyExactly}, path: "a", recorded: opts(parley.WithBytes([]byte(`{"a":1}`))),
			sent: opts(parley.WithBytes([]byte(`{"a": 1}`))), differs: "the body is ",
		},
		{name: "compressed", path: "a", recorded: opts(parley.WithText("one"), parley.WithCompression("gzip")), sent: opts(parley.WithText("one"), parley.WithCompression("zstd"))},
		{name: "headers are not compared", path: "a", recorded: opts(parley.WithHeader("Accept-Language", "en")), sent: opts(parley.WithHeader("Accept-Language", "fr"))},
		{
			name: "unless they are named", cfg: parleytest.CassetteConfig{MatchHeaders: []string{"accept-language"}}, path: "a", recorded: opts(parley.WithHeader("Accept-Language", "en")),
			sent: opts(parley.WithHeader("Accept-Language", "fr")), differs: `the header Accept-Language is "fr", was "en"`,
		},
		{
			name: "a hidden header fits any", cfg: parleytest.CassetteConfig{MatchHeaders: []string{"Authorization", "User-Agent"}}, path: "a", recorded: opts(parley.WithBearerToken("one")),
			sent: opts(parley.WithBearerToken("two")),
		},
		{
			name: "but has to be there", cfg: parleytest.CassetteConfig{MatchHeaders: []string{"Authorization"}}, path: "a", recorded: opts(parley.WithBearerToken("one")),
			differs: "the header Authorization is missing",
		},
		{
			name: "one's own judgement", cfg: parleytest.CassetteConfig{Match: func(r *parleytest.Recording, got *parleytest.Call) string {
				if r.RequestHeader.Get("Accept-Language") != got.Header.Get("Accept-Language") {
					return "it is in another language"
				}
				return ""
			}}, path: "a", recorded: opts(parley.WithHeader("Accept-Language", "en")), sent: opts(parley.WithHeader("Accept-Language", "fr")), differs: "it is in another language",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			tp := newTape(t, row.cfg, answersByNumber())
			tp.record(func(_ *parleytest.Cassette, client *parley.Client) {
				_, err := client.Post(t.Context(), row.path, row.recorded...)
				require.NoError(t, err)
			})
			var words []string
			if row.differs != "" {
				words = []string{row.differs}
			}
			tp.replay(func(_ *parleytest.Cassette, client *parley.Client) {
				path := row.path
				if row.toPath != "" {
					path = row.toPath
				}
				_, err := client.Post(t.Context(), path, row.sent...)
				if row.differs == "" {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, parleytest.ErrUnexpected)
				var e *parley.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, parley.NotSent, e.Sent)
				require.ErrorContains(t, err, row.differs)
			}, words...)
		})
	}
}

func TestCassette_anotherOrigin(t *testing.T) {
	for _, ignored := range []bool{false, true} {
		tp := newTape(t, parleytest.CassetteConfig{IgnoreOrigin: ignored}, answersByNumber())
		tp.record(func(_ *parleytest.Cassette, client *parley.Client) {
			_, err := client.Get(t.Context(), "a")
			require.NoError(t, err)
		})
		tp.base = "https://elsewhere.test"
		var words []string
		if !ignored {
			words = []string{"the origin is https://elsewhere.test:443, was http://127.0.0.1:"}
		}
		tp.replay(func(_ *parleytest.Cassette, client *parley.Client) {
			_, err := client.Get(t.Context(), "a")
			require.Equal(t, ignored, err == nil)
		}, words...)
	}
}
