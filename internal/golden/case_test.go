package golden

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func loadAll(t *testing.T) []*Case {
	t.Helper()
	var all []*Case
	for _, topic := range Topics {
		cases, err := Load(folder, topic)
		require.NoError(t, err)
		all = append(all, cases...)
	}
	return all
}

func TestEveryRecordedCaseIsRead(t *testing.T) {
	all := loadAll(t)
	require.Len(t, all, 707)
	for _, c := range all {
		for system, outcome := range c.Seen {
			require.Len(t, outcome.Replies, len(c.Calls), "%s/%s: %s", c.Topic, c.ID, system)
		}
	}
}

func TestACaseIsDecodedWhole(t *testing.T) {
	c, err := decodeCase("errors", []byte(`{
		"id": "x", "note": "n", "want": ["text"], "agree": true,
		"client": {"base_url": "http://a.test", "headers": [["X", "1"], ["X", "2"]], "params": {"z": null, "a": [1, true]}, "trust_env": true},
		"request": {"method": "POST", "url": "p", "timeout": {"connect": 0.5, "read": null}, "follow": "default", "pause": 0.25,
			"json": {"b": 1.0, "a": [null]}},
		"server": {"*": [{"raw": "HTTP/1.1 200 OK\r\n\r\n", "close": false}, {"steps": []},
			{"status": 200, "headers": [["X", {"repeat": ["ab", 3]}]], "body_b64": "AAE="}]},
		"seen": {"httpx": {"response": {"status": 200, "text": "t", "headers": {"x": "1"}},
			"sent": [{"origin": "http://a.test", "method": "POST", "target": "/p", "headers": [["X", "1"]], "framing": "none", "body_b64": "AAE="}]}}}`))
	require.NoError(t, err)
	require.Equal(t, []Field{{"X", "1"}, {"X", "2"}}, c.Client.Headers.List)
	require.Equal(t, "z", c.Client.Params.List[0].Name)
	require.Nil(t, c.Client.Params.List[0].Value)
	require.True(t, c.Client.TrustEnv)

	call := c.Calls[0]
	require.Nil(t, call.Follow, "the system's own default")
	require.Equal(t, 250*time.Millisecond, call.Pause)
	require.Equal(t, 500*time.Millisecond, *call.Timeout.Connect)
	require.Nil(t, call.Timeout.Read)
	require.Equal(t, []string{"json"}, call.Body.Kinds)
	text, err := call.Body.JSON.(Object).MarshalJSON()
	require.NoError(t, err)
	require.Equal(t, `{"b":1.0,"a":[null]}`, string(text), "order and numbers stay")

	answers := c.Server["*"]
	require.True(t, answers[0].IsRaw)
	require.False(t, *answers[0].Close)
	require.True(t, answers[1].IsSet)
	require.Equal(t, [][2]string{{"X", "ababab"}}, answers[2].Headers)
	require.Equal(t, []byte{0, 1}, answers[2].Body)

	seen := c.Seen["httpx"]
	require.Equal(t, "t", *seen.Replies[0].Text)
	require.Equal(t, "1", seen.Replies[0].Headers.Get("X"))
	require.Equal(t, []byte{0, 1}, seen.Sent[0].Body)
}

func TestBodiesAreDecoded(t *testing.T) {
	for name, tt := range map[string]struct {
		request string
		want    Body
	}{
		"content is bytes":           {`{"content": "é"}`, Body{Kinds: []string{"content"}, Content: []byte("é")}},
		"content_b64 is decoded":     {`{"content_b64": "AP8="}`, Body{Kinds: []string{"content_b64"}, Content: []byte{0, 255}}},
		"content_repeat is expanded": {`{"content_repeat": ["ab", 2]}`, Body{Kinds: []string{"content_repeat"}, Content: []byte("abab")}},
		"a JSON null is given":       {`{"json": null}`, Body{Kinds: []string{"json"}}},
		"chunks may be none":         {`{"chunks": []}`, Body{Kinds: []string{"chunks"}, Chunks: []string{}}},
		"several kinds are kept": {`{"json": 1, "text": "x"}`,
			Body{Kinds: []string{"json", "text"}, JSON: mustValue(t, "1"), Text: "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			var call Call
			require.NoError(t, call.UnmarshalJSON([]byte(tt.request)))
			require.Equal(t, tt.want, call.Body)
		})
	}
}

func mustValue(t *testing.T, text string) any {
	t.Helper()
	v, err := decodeValue([]byte(text))
	require.NoError(t, err)
	return v
}

func TestMalformedCasesAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"no id":                `{"request": {}, "seen": {"httpx": {}}}`,
		"no request":           `{"id": "x", "seen": {"httpx": {}}}`,
		"nothing seen":         `{"id": "x", "request": {}}`,
		"no answer":            `{"id": "x", "request": {}, "seen": {"httpx": {}}, "server": {"*": []}}`,
		"a field of one":       `{"id": "x", "request": {"params": [["a"]]}, "seen": {"httpx": {}}}`,
		"a repeat without end": `{"id": "x", "request": {"content_repeat": ["x", 1000000000]}, "seen": {"httpx": {}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decodeCase("query", []byte(text))
			require.Error(t, err)
		})
	}
}

func TestFeaturesAreToldByTheInput(t *testing.T) {
	needs := map[string]func(*Case) bool{
		"redirects": (*Case).Redirects, "auth": (*Case).GivesAuth, "proxies": (*Case).UsesProxy,
	}
	for name, tt := range map[string]struct {
		input string
		want  []string
	}{
		"a Location that may be followed":      {`"request": {}, "server": {"*": {"status": 302, "headers": [["location", "/"]]}}`, []string{"redirects"}},
		"a raw Location":                       {`"request": {}, "server": {"*": {"raw": "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"}}`, []string{"redirects"}},
		"a Location that is not followed":      {`"request": {"follow": false}, "server": {"*": {"status": 302, "headers": [["Location", "/"]]}}`, nil},
		"a 302 without Location":               {`"request": {}, "server": {"*": {"status": 302}}`, nil},
		"credentials of the client":            {`"client": {"auth": ["u", "p"]}, "request": {}`, []string{"auth"}},
		"a proxy that is trusted":              {`"client": {"trust_env": true}, "env": {"HTTPS_PROXY": "http://p.test"}, "request": {}`, []string{"proxies"}},
		"a proxy in an environment not looked": {`"env": {"https_proxy": "http://p.test"}, "request": {}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := decodeCase("errors", []byte(`{"id": "x", "seen": {"httpx": {}}, `+tt.input+`}`))
			require.NoError(t, err)
			var got []string
			for feature, needed := range needs {
				if needed(c) {
					got = append(got, feature)
				}
			}
			slices.Sort(got)
			require.Equal(t, tt.want, got)
		})
	}
}
