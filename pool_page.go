package parley

import (
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

//go:embed pool_page.html
var poolPage string

// PoolHandler gives a page about the session's pool for people and programs: origins,
// connections, waits, latencies and what [Client.Doctor] says, renewed every second in a
// browser, and as JSON for requests that accept that before HTML or have "format=json" in
// their query. It answers GET and HEAD.
//
//	http.Handle("/debug/parley", parley.PoolHandler(client))
//
// The page names the hosts that the program talks to and the URLs of requests under way,
// without their queries. Like that of
// net/http/pprof it belongs where only those can reach it who run the program. With the
// call the pool begins to measure latencies ([Pool.MeasureLatency]). For a session
// without a pool the answer is 404. It is safe for concurrent use.
func PoolHandler(c *Client) http.Handler {
	if c.pool != nil {
		c.pool.MeasureLatency()
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "this is a page to look at", http.StatusMethodNotAllowed)
		case c.pool == nil:
			http.Error(w, "the session has no pool", http.StatusNotFound)
		case wantsJSON(r):
			writePoolJSON(w, c)
		default:
			writePoolPage(w)
		}
	})
}

// wantsJSON reports whether a request asks for JSON rather than for HTML.
func wantsJSON(r *http.Request) bool {
	if format := r.URL.Query().Get("format"); format != "" {
		return format == "json"
	}
	accept := r.Header.Get("Accept")
	at := strings.Index(accept, "application/json")
	html := strings.Index(accept, "text/html")
	return at >= 0 && (html < 0 || at < html)
}

// poolReport is the page as JSON.
type poolReport struct {
	Client   string
	Time     time.Time
	Limits   PoolLimits
	Stats    PoolStats
	Findings []Finding
}

func writePoolJSON(w http.ResponseWriter, c *Client) {
	report := poolReport{c.String(), time.Now(), c.pool.Limits(), c.Stats(), c.Doctor()}
	if report.Findings == nil {
		report.Findings = []Finding{}
	}
	data, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(data, '\n')) // whether somebody still reads it is for the server to see
}

// writePoolPage writes the page, which gets its figures as JSON.
func writePoolPage(w http.ResponseWriter) {
	nonce := rand.Text()
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", fmt.Sprintf(
		"default-src 'none'; style-src 'nonce-%[1]s'; script-src 'nonce-%[1]s'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'", nonce))
	io.WriteString(w, strings.ReplaceAll(poolPage, "NONCE", nonce)) // as above
}
