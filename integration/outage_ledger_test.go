package integration

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// The headers by which the drill's server knows its calls. A call is what a program asks
// for once, however often it is sent.
const (
	callHeader = "Drill-Call"
	sumHeader  = "Drill-Sum" // of the body, in hex
	keyHeader  = "Idempotency-Key"
)

// ledger is a server that keeps account of what it was asked to do and what it did. It
// behaves as services do on a bad day: it says 503, loses connections after the work was
// done, and is slow at times. Repetitions of a request that has a key do nothing.
type ledger struct {
	seed uint64
	slow time.Duration // which some GETs take

	mu    sync.Mutex
	calls map[string]*account
	keys  map[string]string // of which call each is
	odd   []string          // what a server never ought to see
}

// account is what is known of a call that is to have an effect.
type account struct {
	heads   int // how often its request came, whole or not
	effects int
}

func newLedger(seed uint64) *ledger {
	return &ledger{seed: seed, calls: make(map[string]*account), keys: make(map[string]string)}
}

func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "POST /effects":
		l.post(w, r)
	case "GET /things":
		l.get(w, r)
	default:
		l.wonder("%s %s", r.Method, r.URL)
		http.NotFound(w, r)
	}
}

// wonder notes what the drill never asks for.
func (l *ledger) wonder(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.odd) < 10 {
		l.odd = append(l.odd, fmt.Sprintf(format, args...))
	}
}

// arrive counts the head of a request, and gives what its fate is drawn from.
func (l *ledger) arrive(call string) *rand.Rand {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.calls[call]
	if a == nil {
		a = new(account)
		l.calls[call] = a
	}
	a.heads++
	sum := fnv.New64a()
	fmt.Fprint(sum, call, a.heads)
	return rand.New(rand.NewPCG(l.seed, sum.Sum64()))
}

// act does what a call asks for, unless its key says that this was done.
func (l *ledger) act(call, key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if key != "" {
		if of, known := l.keys[key]; known {
			if of != call {
				l.odd = append(l.odd, "calls "+of+" and "+call+" have one key")
			}
			return
		}
		l.keys[key] = call
	}
	l.calls[call].effects++
}

func (l *ledger) post(w http.ResponseWriter, r *http.Request) {
	call, key := r.Header.Get(callHeader), r.Header.Get(keyHeader)
	fate := l.arrive(call).Float64()
	if fate < 0.05 {
		unavailable(w)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // it has not come whole, and nobody hears an answer
	}
	if sum := fmt.Sprintf("%x", sha256.Sum256(body)); sum != r.Header.Get(sumHeader) {
		l.wonder("call %s: %d bytes of a body that was not sent", call, len(body))
		return
	}
	l.act(call, key)
	switch {
	case fate < 0.1:
		panic(http.ErrAbortHandler) // done, but nobody hears of it
	case fate < 0.15:
		unavailable(w) // done, and a lie
	default:
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, call)
	}
}

// unavailable has a try ended that way repeated soon.
func unavailable(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "0")
	w.WriteHeader(http.StatusServiceUnavailable)
}

func (l *ledger) get(w http.ResponseWriter, r *http.Request) {
	size, err := strconv.Atoi(r.URL.Query().Get("size"))
	if err != nil || size < 0 || size > maxThing {
		l.wonder("%s", r.URL)
	}
	switch fate := rand.Float64(); { // not by the seed: nothing depends on it
	case fate < 0.03:
		unavailable(w)
		return
	case fate < 0.05:
		panic(http.ErrAbortHandler)
	case fate < 0.25 && l.slow > 0:
		select {
		case <-time.After(l.slow):
		case <-r.Context().Done():
			return
		}
	}
	body := thing(size)
	if size%2 == 0 {
		w.Header().Set("Content-Length", strconv.Itoa(size))
	}
	if _, err := w.Write(body[:size/2]); err != nil {
		return
	}
	if size%3 == 0 {
		w.(http.Flusher).Flush()
	}
	w.Write(body[size/2:]) // whether it arrives is for the client to tell
}

// maxThing is the largest body of the drill.
const maxThing = 100_000

// things are all bodies: each is a beginning of it.
var things = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	io.Copy(&b, pattern(maxThing)) // cannot fail
	return b.Bytes()
})

func thing(size int) []byte { return things()[:size] }
