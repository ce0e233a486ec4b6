package har

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// other is what another program may write.
const other = `{"log": {"version": "1.2", "creator": {"name": "other", "version": "1"}, "pages": [{"startedDateTime": "2028-01-01T00:00:00Z",
"id": "p", "title": "t", "pageTimings": {"onLoad": -1}}], "_more": {}, "entries": [{"pageref": "p", "startedDateTime": "2028-01-01T00:00:00.123+01:00",
"time": 3.5, "request": {"method": "POST", "url": "https://a.test/?q=1", "httpVersion": "h2", "cookies": [], "headers": [{"name": "a", "value": "b"}],
"queryString": [{"name": "q", "value": "1"}], "postData": {"mimeType": "x/y", "params": []}, "headersSize": -1, "bodySize": 3}, "response":
{"status": 200, "statusText": "", "httpVersion": "h2", "cookies": [], "headers": [], "content": {"size": 2, "mimeType": "x/y", "text": "AAE=",
"encoding": "base64"}, "redirectURL": "", "headersSize": -1, "bodySize": 2}, "cache": {"afterRequest": null}, "timings": {"send": 1, "wait": 2.5, "receive": 0}}]}}`

func TestDecode(t *testing.T) {
	t.Parallel()
	f, err := Decode(strings.NewReader(other), 1<<20)
	require.NoError(t, err)
	e := f.Log.Entries[0]
	require.Equal(t, "https://a.test/?q=1", e.Request.URL)
	require.Equal(t, 123*time.Millisecond, time.Duration(e.Started.Nanosecond()))
	body, err := e.Response.Content.Bytes()
	require.NoError(t, err)
	require.Equal(t, []byte{0, 1}, body)
	body, err = e.Request.PostData.Bytes()
	require.NoError(t, err)
	require.Empty(t, body)
	var none *PostData
	body, err = none.Bytes()
	require.NoError(t, err)
	require.Empty(t, body)
	for text, want := range map[string]string{
		"":                             "unexpected end",
		"[]":                           "cannot unmarshal",
		`{"log": {"version": "2.0"}}`:  "no log of version 1.x",
		`{}`:                           "no log of version 1.x",
		strings.Repeat(" ", 100) + "1": "larger than 100 bytes",
	} {
		_, err := Decode(strings.NewReader(text), 100)
		require.ErrorContains(t, err, want)
	}
	_, err = (&Content{Text: "%", Encoding: "base64"}).Bytes()
	require.ErrorContains(t, err, "HTTP archive: content: illegal base64")
	_, err = (&Content{Encoding: "x"}).Bytes()
	require.ErrorContains(t, err, `unknown encoding "x"`)
}

func TestEncode_isWhatTheCheckerAccepts(t *testing.T) {
	t.Parallel()
	f := &File{Log{Version: Version, Creator: Creator{"a", "1"}, Entries: []Entry{{
		Started:  time.Unix(0, 0),
		Request:  Request{URL: "http://a.test/<&>", Cookies: []Cookie{}, Headers: []Pair{}, QueryString: []Pair{}, PostData: &PostData{Text: "x"}},
		Response: Response{Cookies: []Cookie{}, Headers: []Pair{}},
		Timings:  Timings{DNS: -1, Connect: 2, SSL: 1, Wait: Milliseconds(1500 * time.Microsecond)},
	}}}}
	f.Log.Entries[0].Time = f.Log.Entries[0].Timings.Total()
	require.Equal(t, 3.5, f.Log.Entries[0].Time)
	var out bytes.Buffer
	require.NoError(t, Encode(&out, f))
	require.NoError(t, Check(out.Bytes()), out.String())
	require.Contains(t, out.String(), "http://a.test/<&>")
	back, err := Decode(&out, 1<<20)
	require.NoError(t, err)
	require.Equal(t, f.Log.Entries[0].Request, back.Log.Entries[0].Request)
}

func TestCheck(t *testing.T) {
	t.Parallel()
	good := strings.Replace(other, `{"afterRequest": null}`, `{}`, 1)
	require.NoError(t, Check([]byte(good)))
	for _, row := range [][3]string{
		{`"version": "1.2"`, `"version": "1.1"`, `.log.version: 1.1 is not "1.2"`},
		{`"time": 3.5`, `"time": 3`, ".log.entries[0].time: 3 is not the 3.5 of the timings"},
		{`"time": 3.5`, `"time": "3.5"`, ".log.entries[0].time: not a number"},
		{`"wait": 2.5`, `"wait": -1`, ".timings.wait: must not be negative"},
		{`"receive": 0`, `"receive": 0, "ssl": 1`, ".timings.ssl: more than connect"},
		{`"receive": 0`, `"receive": 0, "dns": -2`, ".timings.dns: a time of -2"},
		{`"status": 200`, `"status": 200.5`, ".response.status: 200.5 is no whole number"},
		{`"text": "AAE="`, `"text": "%"`, ".response.content: illegal base64"},
		{`"text": "AAE=",`, ``, ""},
		{`"params": []`, `"params": [], "text": ""`, ".postData: text and params exclude each other"},
		{`"https://a.test/?q=1"`, `"/?q=1"`, ".request.url: not an absolute URL"},
		{`"2028-01-01T00:00:00.123+01:00"`, `"yesterday"`, `.startedDateTime: parsing time`},
		{`"cookies": []`, `"cookies": {}`, ".request.cookies: not an array"},
		{`{"name": "a", "value": "b"}`, `{"name": "a"}`, ".request.headers[0].value: missing"},
		{`{"name": "a", "value": "b"}`, `[]`, ".request.headers[0]: not an object"},
		{`"statusText": ""`, `"statusText": "", "more": 1`, ".response.more: the format has no such field"},
		{`"cookies": []`, `"cookies": [{"name": "", "value": "", "secure": 1}]`, ".cookies[0].secure: not a boolean"},
		{`"cache": {}`, `"cache": {"afterRequest": {"lastAccess": "x"}}`, ".cache.afterRequest.eTag: missing"},
		{`{"log"`, `["log"`, "invalid character"},
	} {
		require.Contains(t, good, row[0])
		err := Check([]byte(strings.Replace(good, row[0], row[1], 1)))
		if row[2] == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, row[2])
	}
}
