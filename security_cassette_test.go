package parley_test

import (
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/har"
	"github.com/seed-0474a412/parley/internal/wiretest"
	"github.com/seed-0474a412/parley/parleytest"
)

// echoed is a secret that answers repeat where nobody expects it.
const echoed = "Sekret.0123456789/+"

// taped records requests with secrets in all places that have them, and gives the file.
func taped(t *testing.T, cfg parleytest.CassetteConfig) string {
	t.Helper()
	t.Setenv("CI", "")
	t.Setenv(parleytest.CassetteVariable, "")
	path := filepath.Join(t.TempDir(), "tape.har")
	sent := 0
	t.Run("record", func(t *testing.T) {
		s := secretAnswers(t)
		tells := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
			content := "in text " + echoed + " and escaped " + url.QueryEscape(echoed)
			typ := "text/plain"
			if r.URL.Path == "/events" {
				content, typ = `data: {"token": "`+secret+`", "n": 1}`+"\n\ndata: ["+`{"password": 123456}]`+"\n\n", "text/event-stream"
			}
			return "HTTP/1.1 200 OK\r\nContent-Type: " + typ + "\r\nLink: </a?sig=" + url.QueryEscape(secret) + ">; rel=next; x=\"" + secret + "\"\r\nContent-Length: " + strconv.Itoa(len(content)) + "\r\n\r\n" + content
		}))
		c := parleytest.NewCassette(t, path, cfg)
		client := c.Client(
			parley.WithHeader("X-Api-Key", echoed), parley.WithHeader("X-Mine", secret), parley.WithCookie("own", url.QueryEscape(secret)),
			parley.WithHeader("Proxy-Authorization", "Basic "+secret), parley.WithQuery("api_key", secret), parley.WithTrustedOrigins(s.URL(), tells.URL()),
			parley.WithBaseURL(s.URL()),
		)
		auth := parley.WithBasicAuth("user", secret)
		for _, row := range []struct {
			method, url string
			opts        []parley.RequestOption
		}{
			{"GET", withUser(s.URL()) + "/redirect?X-Amz-Signature=" + url.QueryEscape(secret) + "&shown=yes", nil},
			{"POST", s.URL() + "/form", []parley.RequestOption{parley.WithForm(map[string]string{"password": secret, "shown": "plain text"})}},
			{"POST", s.URL() + "/multipart", []parley.RequestOption{parley.WithMultipart(parley.FormField("password", secret), parley.FormJSON("meta", map[string]string{"token": secret}))}},
			{"POST", s.URL() + "/json", []parley.RequestOption{auth, parley.WithJSON(map[string]any{"client_secret": secret, "a": []any{map[string]any{"Password": secret}}})}},
			{"POST", s.URL() + "/broken", []parley.RequestOption{parley.WithBytes([]byte(`{"a": nothing, "token": "` + secret + `"`))}},
			{"POST", s.URL() + "/reader", []parley.RequestOption{parley.WithBearerToken(echoed), parley.WithReader(struct{ io.Reader }{strings.NewReader(`{"token":"` + secret + `"}`)})}},
			{"POST", s.URL() + "/coded", []parley.RequestOption{parley.WithJSON(map[string]string{"token": secret}), parley.WithCompression("gzip")}},
			{"GET", s.URL() + "/fails", []parley.RequestOption{auth}},
			{"GET", tells.URL() + "/text", nil},
			{"GET", tells.URL() + "/events", nil},
			{"GET", tells.URL() + "/bot" + url.PathEscape(cfg.Secrets[0]) + "/send", []parley.RequestOption{parley.WithText("my own " + cfg.Secrets[0])}},
		} {
			req, err := client.NewRequest(row.method, row.url, row.opts...)
			require.NoError(t, err)
			resp, err := client.Send(t.Context(), req)
			require.NoError(t, err)
			text, err := resp.Text()
			require.NoError(t, err)
			if strings.HasSuffix(req.URL.Path, "/json") {
				require.Contains(t, text, secret, "the program gets the real answer")
			}
			sent++
		}
	})
	require.Equal(t, 11, sent)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, har.Check(data))
	return string(data)
}

func TestS199_NoSecretsInCassettes(t *testing.T) {
	text := taped(t, parleytest.CassetteConfig{Secrets: []string{"my own key/1"}})
	for _, form := range append(forms(), echoed, url.QueryEscape(echoed), "my own key", url.PathEscape("my own key/1"), "123456}") {
		require.False(t, strings.Contains(text, form), form)
	}
	for _, kept := range []string{
		"plain text", "shown=yes", `\"session\": {\"access_token\": \"[hidden]\", \"list\": [\"[hidden]\"]}`, "sid=[hidden]; Path=/; HttpOnly", "</a?sig=[hidden]>; rel=\\\"next\\\"",
		"in text [hidden] and escaped [hidden]", `\"n\": 1}`, `[{\"password\": 0}]`, "/bot[hidden]/send", `"/end?access_token=[hidden]&shown=yes"`,
	} {
		require.True(t, strings.Contains(text, kept), "what is no secret is shown, and types remain: %s", kept)
	}
}

func TestS199_SecretsInCassettesByNameOnly(t *testing.T) {
	none := []string{"my own key/1"}
	text := taped(t, parleytest.CassetteConfig{Secrets: none, Redaction: parley.Redaction{ShowSecrets: true}})
	for _, shown := range []string{secret, echoed, "sid=" + secret, "dXNlcjpTRUNSRVR"} {
		require.True(t, strings.Contains(text, shown), shown)
	}
	text = taped(t, parleytest.CassetteConfig{Secrets: none, Redaction: parley.Redaction{ShowHeaders: []string{"x-mine"}, HideParams: []string{"shown"}}})
	require.True(t, strings.Contains(text, `"value": "`+secret+`"`))
	require.False(t, strings.Contains(text, "plain text") || strings.Contains(text, "shown=yes"))
}
