package parley_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// page asks for the pool's page.
func page(c *parley.Client, method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	parley.PoolHandler(c).ServeHTTP(w, r)
	return w
}

func TestPoolHandler_theFiguresAsJSON(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	c := newSession(t, parley.WithBaseURL("http://user:"+"SECRET@"+s.Addr()+"/?key=SECRET"))
	handler := parley.PoolHandler(c)
	for range 3 {
		_, err := c.Get(t.Context(), "x")
		require.NoError(t, err)
	}
	for _, ask := range [][]string{{"/?format=json"}, {"/", "Accept", "application/json"}, {"/", "Accept", "application/json, text/html"}} {
		r := httptest.NewRequest("GET", ask[0], nil)
		if len(ask) > 1 {
			r.Header.Set(ask[1], ask[2])
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		require.Equal(t, 200, w.Code)
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		require.NotContains(t, w.Body.String(), "SECRET")
		var got struct {
			Client string
			Limits parley.PoolLimits
			Stats  struct {
				Idle, Dials, Reuses int
				Origins             []struct {
					Origin  string
					Peak    int
					Latency struct{ Count, P50, Max int64 }
				}
			}
			Findings []parley.Finding
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
		require.Equal(t, "<Client "+s.URL()+"/ [0 active, 1 idle]>", got.Client)
		require.Equal(t, parley.DefaultSoftLimit, got.Limits.Soft)
		require.Equal(t, []int{1, 1, 2}, []int{got.Stats.Idle, got.Stats.Dials, got.Stats.Reuses})
		require.Equal(t, s.URL(), got.Stats.Origins[0].Origin)
		require.Equal(t, 1, got.Stats.Origins[0].Peak)
		require.EqualValues(t, 3, got.Stats.Origins[0].Latency.Count)
		require.NotNil(t, got.Findings)
	}
}

func TestPoolHandler_thePageRunsNothingButItsOwn(t *testing.T) {
	t.Parallel()
	c := newSession(t)
	seen := map[string]bool{}
	for range 3 {
		w := page(c, "GET", "/", "Accept", "text/html,application/xhtml+xml,application/json;q=0.9")
		require.Equal(t, 200, w.Code)
		require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
		nonce := regexp.MustCompile(`script-src 'nonce-([A-Z2-7]{26})'`).FindStringSubmatch(w.Header().Get("Content-Security-Policy"))
		require.NotNil(t, nonce)
		require.Contains(t, w.Body.String(), `<script nonce="`+nonce[1]+`">`)
		require.Contains(t, w.Body.String(), `<style nonce="`+nonce[1]+`">`)
		require.NotContains(t, w.Body.String(), "NONCE")
		seen[nonce[1]] = true
	}
	require.Len(t, seen, 3)
}

func TestPoolHandler_whatItDoesNotAnswer(t *testing.T) {
	t.Parallel()
	c := newSession(t)
	w := page(c, "POST", "/")
	require.Equal(t, 405, w.Code)
	require.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
	require.Equal(t, 200, page(c, "HEAD", "/").Code)
	require.Equal(t, 404, page(newSession(t, parley.WithHandler(http.NotFoundHandler())), "GET", "/").Code)
}
