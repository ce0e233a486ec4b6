package parleytest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-0474a412/parley"
)

// leakPatience is how long what is about to end may take.
const leakPatience = 5 * time.Second

// NoLeaks fails a test that leaves something behind: responses that nobody closed,
// connections of the clients that are still in use, and goroutines. Call it first, so that
// it looks once everything else has been cleaned up; what is about to end gets some seconds.
//
//	parleytest.NoLeaks(t)
//
// Goroutines are those that the test has started, directly or by others, since the call;
// tests that run at the same time do not disturb each other. They are reported with where
// they stand and where they were started. (Labels of package runtime/pprof tell them apart:
// what a test starts while it has put its own labels in their place is not seen, nor is a
// goroutine that a timer starts.)
//
// The option that it returns makes a session tell of each response that is still open where
// the request was made. The clients are sessions that exist already: of them the connections
// in use are counted, by origin, and idle ones are closed.
//
//	client := parleytest.NewClient(t, parleytest.NoLeaks(t), parley.WithBaseURL(url))
func NoLeaks(tb testing.TB, clients ...*parley.Client) parley.ClientOption {
	tb.Helper()
	label := "run " + strconv.FormatInt(runs.Add(1), 10)
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("parleytest", label)))
	open := &openCalls{calls: make(map[*openCall]struct{})}
	tb.Cleanup(func() {
		tb.Helper()
		pprof.SetGoroutineLabels(context.Background())
		end := time.Now().Add(leakPatience)
		soon(end, func() bool { return open.count() == 0 })
		for _, text := range open.list() {
			tb.Errorf("parleytest: %s", text)
		}
		for _, c := range clients {
			inUse := func() bool { return c.Stats().Active > 0 || c.Stats().Dialing > 0 || c.Stats().Waiting > 0 }
			if soon(end, func() bool { return !inUse() }); inUse() {
				tb.Errorf("parleytest: %v is still in use:%s", c, inUseBy(c.Stats()))
			}
			c.CloseIdle()
		}
		left := ""
		soon(end, func() bool { left = withLabel(label); return left == "" })
		if left != "" {
			tb.Errorf("parleytest: goroutines are left over:\n\n%s", withCreators(left))
		}
	})
	return parley.WithNetworkMiddleware(open.watch)
}

// soon waits until ok holds, or the end has come; it looks once at least.
func soon(end time.Time, ok func() bool) {
	for wait := time.Millisecond; !ok() && time.Now().Before(end); wait = min(2*wait, 100*time.Millisecond) {
		time.Sleep(wait)
	}
}

// inUseBy lists the origins with connections in use.
func inUseBy(s parley.PoolStats) string {
	var b strings.Builder
	for _, o := range s.Origins {
		if o.Active+o.Dialing+o.Waiting > 0 {
			fmt.Fprintf(&b, "\n\t%s: %d active, %d dialing, %d waiting", o.Origin, o.Active, o.Dialing, o.Waiting)
			if !o.Oldest.IsZero() {
				fmt.Fprintf(&b, ", the oldest for %v", time.Since(o.Oldest).Round(time.Second))
				if o.OldestRequest != "" {
					fmt.Fprintf(&b, " (%s)", o.OldestRequest)
				}
			}
		}
	}
	return b.String()
}

// openCalls knows the requests that are under way and the responses that are open.
type openCalls struct {
	mu    sync.Mutex
	calls map[*openCall]struct{}
}

// openCall is one of them.
type openCall struct {
	what string
	from []uintptr
	head string // the status of the answer; "": there is none yet
}

// watch is the middleware that keeps account.
func (o *openCalls) watch(next parley.Transport) parley.Transport {
	return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
		if req == nil || req.URL == nil {
			return next.Send(ctx, req)
		}
		c := &openCall{what: req.Method + " " + withoutQuery(&Call{URL: req.URL}), from: make([]uintptr, 64)}
		c.from = c.from[:runtime.Callers(2, c.from)]
		o.begin(c)
		returned := false
		defer func() {
			if !returned {
				o.end(c)
			}
		}()
		resp, err := next.Send(ctx, req)
		switch {
		case err != nil, resp == nil, resp.Body == nil, resp.Body == http.NoBody:
			return resp, err
		case resp.StatusCode == http.StatusSwitchingProtocols || req.Method == http.MethodConnect:
			return resp, nil // it is a connection now, and its holder's
		}
		returned = true
		o.answered(c, resp.Status)
		resp.Body = &watchedBody{ReadCloser: resp.Body, ended: sync.OnceFunc(func() { o.end(c) })}
		return resp, nil
	})
}

func (o *openCalls) begin(c *openCall) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls[c] = struct{}{}
}

func (o *openCalls) answered(c *openCall, status string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.head = status
}

func (o *openCalls) end(c *openCall) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.calls, c)
}

func (o *openCalls) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.calls)
}

// list describes what is open.
func (o *openCalls) list() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []string
	for c := range o.calls {
		text := c.what + ": the request has not ended; it was made by"
		if c.head != "" {
			text = fmt.Sprintf("%s: the response %s was neither read to its end nor closed; it was asked for by", c.what, c.head)
		}
		out = append(out, text+callersOf(c.from))
	}
	slices.Sort(out)
	return out
}

// callersOf prints the frames of a stack that are the caller's of parley.
func callersOf(pcs []uintptr) string {
	var b strings.Builder
	frames := runtime.CallersFrames(pcs)
	for {
		f, more := frames.Next()
		own := strings.HasPrefix(f.Function, "github.com/seed-0474a412/parley.") || strings.HasPrefix(f.Function, "runtime.")
		if !own && f.Function != "" {
			fmt.Fprintf(&b, "\n\t%s\n\t\t%s:%d", f.Function, f.File, f.Line)
		}
		if !more {
			return b.String()
		}
	}
}

// watchedBody tells when a response has been read to its end, has failed or was closed.
type watchedBody struct {
	io.ReadCloser
	ended func()
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.ended()
	}
	return n, err
}

func (b *watchedBody) Close() error {
	defer b.ended()
	return b.ReadCloser.Close()
}

// withCreators gives the stacks of a goroutine profile in the form that tells where each
// goroutine was started, as far as they are still there.
func withCreators(profile string) string {
	all := allStacks()
	var out []string
	for group := range strings.SplitSeq(profile, "\n\n") {
		place := placesOfProfile(group)
		i := slices.IndexFunc(all, func(stack string) bool { return slices.Equal(placesOfStack(stack), place) })
		if i < 0 {
			out = append(out, group)
			continue
		}
		if strings.HasPrefix(group, "goroutine profile:") { // its first line is of all
			_, group, _ = strings.Cut(group, "\n")
		}
		text := all[i]
		if count, _, _ := strings.Cut(group, " "); count != "1" {
			text = count + " of these:\n" + text
		}
		out = append(out, text)
	}
	return strings.Join(out, "\n\n")
}

// maxStacks bounds the text of all stacks.
const maxStacks = 16 << 20

// allStacks gives the stacks of all goroutines as a panic prints them.
func allStacks() []string {
	for size := 1 << 20; ; size *= 4 {
		b := make([]byte, size)
		if n := runtime.Stack(b, true); n < size || size >= maxStacks {
			return strings.Split(string(bytes.TrimSpace(b[:n])), "\n\n")
		}
	}
}

// placesOfProfile gives the file and line of each frame in the text form of a profile.
func placesOfProfile(group string) []string {
	var out []string
	for line := range strings.SplitSeq(group, "\n") {
		if rest, ok := strings.CutPrefix(line, "#\t"); ok {
			out = append(out, rest[strings.LastIndexByte(rest, '\t')+1:])
		}
	}
	return withoutRuntime(out)
}

// placesOfStack does so for a stack, without where it was started.
func placesOfStack(stack string) []string {
	var out []string
	for line := range strings.SplitSeq(stack, "\n") {
		if strings.HasPrefix(line, "created by ") {
			break
		}
		if rest, ok := strings.CutPrefix(line, "\t"); ok {
			place, _, _ := strings.Cut(rest, " +0x")
			out = append(out, place)
		}
	}
	return withoutRuntime(out)
}

// withoutRuntime leaves out the frames of the runtime, which the two forms show differently.
func withoutRuntime(places []string) []string {
	return slices.DeleteFunc(places, func(p string) bool { return strings.Contains(p, "/src/runtime/") || strings.HasPrefix(p, "runtime/") })
}
