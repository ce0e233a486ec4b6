package parleytest

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/seed-0474a412/parley"
)

// CassetteMode says when a [Cassette] goes to the network.
type CassetteMode int

const (
	// RecordOnce records where there is no file yet, and otherwise replays.
	RecordOnce CassetteMode = iota
	// ReplayOnly never goes to the network.
	ReplayOnly
	// RecordAgain records everything anew, whatever there is.
	RecordAgain
	// RecordMissing replays, and records the requests that are not there yet.
	RecordMissing
)

// CassetteVariable is the environment variable that says the mode of all cassettes, in
// place of [CassetteConfig.Mode]: once, replay, record or missing.
const CassetteVariable = "PARLEY_CASSETTE"

var cassetteModes = []string{RecordOnce: "once", ReplayOnly: "replay", RecordAgain: "record", RecordMissing: "missing"}

// String gives the name that the environment variable has for it.
func (m CassetteMode) String() string {
	if m < 0 || int(m) >= len(cassetteModes) {
		return fmt.Sprintf("CassetteMode(%d)", int(m))
	}
	return cassetteModes[m]
}

// BodyMatch says how the bodies of requests are compared.
type BodyMatch int

const (
	// BodyByType compares what bodies say: JSON and forms without regard to order and
	// spelling, multipart forms without their boundary, others byte for byte.
	BodyByType BodyMatch = iota
	// BodyExactly compares all byte for byte.
	BodyExactly
	// BodyIgnored compares none.
	BodyIgnored
)

// The defaults of [CassetteConfig].
const (
	DefaultCassetteBody  = 4 << 20
	DefaultCassetteBytes = 64 << 20
)

// CassetteConfig configures a [Cassette]. The zero value is what most tests want.
type CassetteConfig struct {
	// Mode is when to go to the network. The environment's word wins: [CassetteVariable],
	// and over everything else CI: unless that is "", "0" or "false", cassettes only replay.
	Mode CassetteMode

	// Redaction says what is hidden before the file is written, by the rules of parley:
	// all headers that are not known to be harmless, values of cookies, parameters, form
	// fields and JSON members whose names speak of secrets, at any depth and in the data
	// of event streams too. What a test needs is shown by name (ShowHeaders, ShowParams).
	Redaction parley.Redaction
	// Secrets are values that are hidden wherever they stand, be it in a path or in text:
	// a key from the environment, say. Empty ones are left out.
	Secrets []string
	// Edit changes a recording before it is redacted and written, or leaves it out by
	// returning false. nil changes nothing. It is called at the end of the test, for one
	// after the other.
	Edit func(*Recording) bool

	// MatchHeaders names headers of requests that are compared too; their values may be
	// hidden in the file, and then any will do.
	MatchHeaders []string
	// IgnoreParams names parameters of the query, form fields and JSON members at any depth
	// that may differ, be missing or be new: times, request ids, signatures.
	IgnoreParams []string
	// IgnoreOrigin lets scheme, host and port differ, as those of test servers do.
	IgnoreOrigin bool
	// Body says how bodies are compared.
	Body BodyMatch
	// Match says what else a request has to have in common with a recording, whose hidden
	// values are [parley.Hidden]: "" is that it fits, else in what it differs. nil wants
	// nothing more. It must change neither, and may be called by several goroutines.
	Match func(recorded *Recording, got *Call) string

	// Repeat lets the last recording of several that fit answer again and again. Without it
	// each answers once.
	Repeat bool
	// ReportUnused fails a test that did not ask for everything that was recorded.
	ReportUnused bool

	// MaxAge is how old a file may be when it is replayed; older ones are logged. 0: any age.
	MaxAge time.Duration
	// FailExpired fails the test in place of that.
	FailExpired bool

	// MaxBodyBytes bounds each body, decoded. Default 4 MiB. A test that goes beyond fails.
	MaxBodyBytes int64
	// MaxBytes bounds the file. Default 64 MiB.
	MaxBytes int64

	// Through is what [Cassette.Send] records from; nil: a pool that ends with the test.
	// Closing it is the caller's business.
	Through parley.Transport
}

// Recording is a request with its answer as a [Cassette] has it: bodies whole and without
// their content codings.
type Recording struct {
	Method        string
	URL           *url.URL
	RequestHeader http.Header // without Content-Length and Content-Encoding
	RequestBody   []byte
	Status        int
	Header        http.Header // of the answer; without those that only one connection is about
	Body          []byte
	Trailer       http.Header

	incomplete bool // not all of RequestBody was sent
	proto      string
	reason     string
	number     int // in the file, from 1
	taken      int // how often it was replayed
}

// String gives method and URL without the query.
func (r *Recording) String() string {
	return cut(r.Method) + " " + withoutQuery(&Call{URL: r.URL})
}

// check fills in the defaults, and says what is wrong.
func (cfg *CassetteConfig) check() error {
	if cfg.MaxBodyBytes <= 0 {
		cfg.MaxBodyBytes = DefaultCassetteBody
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = DefaultCassetteBytes
	}
	cfg.Secrets, cfg.MatchHeaders, cfg.IgnoreParams = slices.Clone(cfg.Secrets), slices.Clone(cfg.MatchHeaders), slices.Clone(cfg.IgnoreParams)
	if cfg.Mode < RecordOnce || cfg.Mode > RecordMissing {
		return fmt.Errorf("CassetteConfig.Mode: there is no %v", cfg.Mode)
	}
	if cfg.Body < BodyByType || cfg.Body > BodyIgnored {
		return fmt.Errorf("CassetteConfig.Body: there is no BodyMatch(%d)", int(cfg.Body))
	}
	return nil
}

// modeOf gives the mode that holds, and why nothing may be recorded where that is said by the
// environment.
func modeOf(tb testing.TB, given CassetteMode) (mode CassetteMode, why string) {
	tb.Helper()
	if name := os.Getenv(CassetteVariable); name != "" {
		i := slices.Index(cassetteModes, name)
		if i < 0 {
			tb.Fatalf("parleytest: %s=%q is none of %q", CassetteVariable, name, cassetteModes)
		}
		if given = CassetteMode(i); given == ReplayOnly {
			why = CassetteVariable + " says so"
		}
	}
	switch os.Getenv("CI") {
	case "", "0", "false":
		return given, why
	}
	return ReplayOnly, "CI is set in the environment"
}
