package main

import "fmt"

// scenarioKind says which loop a scenario runs.
type scenarioKind string

const (
	kindGet      scenarioKind = "get"      // GET of a 1 KB body, read to its end
	kindPost     scenarioKind = "post"     // POST of 1 KB of JSON
	kindDownload scenarioKind = "download" // a large body read as a stream
	kindUpload   scenarioKind = "upload"   // a large body sent as a stream
	kindSave     scenarioKind = "save"     // a large body stored as a file
	kindSend     scenarioKind = "send"     // a large file sent
	kindDecode   scenarioKind = "decode"   // a body in gzip, read decoded as a stream
	kindIdle     scenarioKind = "idle"     // what idle connections hold
	kindOrigins  scenarioKind = "origins"  // GET in turn from many names, one connection each
)

// way is how the server is reached.
type way string

const (
	wayPlain  way = ""
	wayTLS    way = "tls"    // HTTP/1.1 over TLS
	wayHTTP2  way = "http2"  // HTTP/2 over TLS
	wayProxy  way = "proxy"  // HTTP/1.1 by asking a proxy for the whole URL
	wayTunnel way = "tunnel" // HTTP/1.1 over TLS, through a tunnel that a proxy opened
)

// originWorkers is the concurrency of the origins scenarios, the same for any
// number of names, so that the number of names is all that differs between them.
const originWorkers = 8

// scenario is one row of the matrix. It travels to the client's process as JSON.
type scenario struct {
	Name        string       `json:"name"`
	Kind        scenarioKind `json:"kind"`
	Concurrency int          `json:"concurrency"` // workers, each with one request at a time
	Size        int64        `json:"size"`        // bytes of a streamed body
	Conns       int          `json:"conns"`       // connections to hold open: idle connections, or names
	PerCallCtx  bool         `json:"per_call_ctx"`
	Way         way          `json:"way"`
	Fresh       bool         `json:"fresh"`  // a new connection for each request
	Resume      bool         `json:"resume"` // handshakes of TLS resume a session
	what        string       // for the report
}

func (s scenario) title() string { return s.Name }

// streamed tells the scenarios whose rate is shown as bytes rather than requests.
func (s scenario) streamed() bool {
	switch s.Kind {
	case kindDownload, kindUpload, kindSave, kindSend, kindDecode:
		return true
	}
	return false
}

// connections is the most connections that a client has open at one time.
func (s scenario) connections() int { return max(s.Concurrency, s.Conns) }

// runs tells whether the scenario means anything for the client: the raw loop
// and fasthttp take no context, so a context for each call is no question there.
// TLS and proxies are measured beside net/http alone, which is what resty uses, and
// decoding with those that do it by themselves.
func (s scenario) runs(k clientKind) bool {
	return (!s.PerCallCtx || k.takesContext) && (s.Way == wayPlain || k.allWays) && (s.Kind != kindDecode || k.decodes)
}

// defaultSize is that of the large bodies: enough for the rate to settle within a slice,
// in which there are many. quickSize is that of a quick run.
const (
	defaultSize = 64 << 20
	quickSize   = 1 << 20
)

// allScenarios lists the matrix, with large bodies of size bytes; quick keeps every kind
// and shrinks the other numbers.
func allScenarios(size int64, quick bool) []scenario {
	idle, origins := 4000, []int{10, 100, 1000, 10000}
	coded := int64(16 << 20)
	if quick {
		idle, origins, coded = 100, []int{10, 100}, quickSize
	}
	list := []scenario{
		{Name: "get-1", Kind: kindGet, Concurrency: 1, what: "GET of 1 KB, one at a time"},
		{Name: "get-16", Kind: kindGet, Concurrency: 16, what: "GET of 1 KB, 16 at once"},
		{Name: "get-128", Kind: kindGet, Concurrency: 128, what: "GET of 1 KB, 128 at once"},
		{Name: "get-ctx-16", Kind: kindGet, Concurrency: 16, PerCallCtx: true,
			what: "GET of 1 KB, 16 at once, each call with a context of its own that can be cancelled"},
		{Name: "post-16", Kind: kindPost, Concurrency: 16, what: "POST of 1 KB of JSON, 16 at once"},
		{Name: "download", Kind: kindDownload, Concurrency: 1, Size: size,
			what: fmt.Sprintf("download of %d MiB, read as a stream", size>>20)},
		{Name: "upload", Kind: kindUpload, Concurrency: 1, Size: size,
			what: fmt.Sprintf("upload of %d MiB from a reader", size>>20)},
		{Name: "download-file", Kind: kindSave, Concurrency: 1, Size: size,
			what: fmt.Sprintf("download of %d MiB to a file, which is moved to its place once it has reached the disk", size>>20)},
		{Name: "upload-file", Kind: kindSend, Concurrency: 1, Size: size,
			what: fmt.Sprintf("upload of a file of %d MiB, which is sparse", size>>20)},
		{Name: "decode", Kind: kindDecode, Concurrency: 1, Size: coded,
			what: fmt.Sprintf("download of %d MiB of JSON in gzip, read decoded as a stream; MiB/s are those of the JSON", coded>>20)},
		{Name: "idle-" + fmt.Sprint(idle), Kind: kindIdle, Concurrency: idle, Conns: idle,
			what: fmt.Sprintf("%s idle connections to one origin", grouped(float64(idle)))},
	}
	for _, n := range origins {
		list = append(list, scenario{
			Name: "origins-" + fmt.Sprint(n), Kind: kindOrigins, Concurrency: originWorkers, Conns: n,
			what: fmt.Sprintf("GET of 1 KB from %s names in turn, %d at once, all connected before", grouped(float64(n)), originWorkers),
		})
	}
	return append(list, networkScenarios(size)...)
}

// networkScenarios are those with something between the request and the socket.
func networkScenarios(size int64) []scenario {
	return []scenario{
		{Name: "h2-1", Kind: kindGet, Concurrency: 1, Way: wayHTTP2, what: "GET of 1 KB by HTTP/2 over TLS, one stream at a time"},
		{Name: "h2-128", Kind: kindGet, Concurrency: 128, Way: wayHTTP2, what: "GET of 1 KB by HTTP/2 over TLS, 128 streams at once"},
		{Name: "h2-download", Kind: kindDownload, Concurrency: 1, Size: size, Way: wayHTTP2,
			what: fmt.Sprintf("download of %d MiB by HTTP/2 over TLS, read as a stream", size>>20)},
		{Name: "tls-resumed", Kind: kindGet, Concurrency: 16, Way: wayTLS, Fresh: true, Resume: true,
			what: "GET of 1 KB on a new connection each, 16 at once, the handshake of TLS resuming a session"},
		{Name: "tls-full", Kind: kindGet, Concurrency: 16, Way: wayTLS, Fresh: true,
			what: "GET of 1 KB on a new connection each, 16 at once, with a full handshake of TLS"},
		{Name: "proxy-16", Kind: kindGet, Concurrency: 16, Way: wayProxy, what: "GET of 1 KB from an http URL through a proxy, 16 at once"},
		{Name: "tunnel-16", Kind: kindGet, Concurrency: 16, Way: wayTunnel,
			what: "GET of 1 KB from an https URL through tunnels of a proxy that are kept open, 16 at once"},
	}
}
