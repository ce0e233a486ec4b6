package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"time"
)

// measureIdle opens n connections at the same time, lets all of them fall idle,
// and measures what the client then holds. The server answers no request before
// all have come, so that none can reuse another's connection.
func measureIdle(c client, base string, n int, cc *countConn) (sliceResult, error) {
	reserveGoroutines(3 * n)
	before := settle()

	targets := make([]target, n)
	for i := range targets {
		targets[i] = newTarget(base, pathHold+strconv.Itoa(n), i)
	}
	l := load{workers: n}
	start := time.Now()
	err := l.each(func(w int) error { return c.get(context.Background(), targets[w]) })
	elapsed := time.Since(start)
	if err != nil {
		return sliceResult{}, fmt.Errorf("opening %d connections: %w", n, err)
	}
	targets = nil
	after := settle()

	// A client that had closed its connections would seem to hold nothing.
	open, err := cc.ask()
	if err != nil {
		return sliceResult{}, err
	}
	if open.open != int64(n) {
		return sliceResult{}, fmt.Errorf("%d connections are open, want %d", open.open, n)
	}
	runtime.KeepAlive(c)
	return sliceResult{
		Requests:       int64(n),
		Elapsed:        elapsed,
		IdleBytes:      float64(after.bytes-before.bytes) / float64(n),
		IdleGoroutines: float64(after.goroutines-before.goroutines) / float64(n),
	}, nil
}

// reserveGoroutines starts n goroutines at once and lets them end. The runtime
// never gives back the descriptor of a goroutine (some 0.4 KB), so without this
// the callers that are gone would count as memory of the connections. What
// goroutines hold that stay, their stacks, is still counted.
func reserveGoroutines(n int) {
	var wg, started sync.WaitGroup
	release := make(chan struct{})
	started.Add(n)
	for range n {
		wg.Go(func() {
			started.Done()
			<-release
		})
	}
	started.Wait()
	close(release)
	wg.Wait()
}

// footprint is what a process holds.
type footprint struct {
	bytes      int64 // heap in use and stacks
	goroutines int
}

// settle waits until goroutines that are about to end have ended, collects what
// is garbage, and returns what is left.
func settle() footprint {
	last, same := -1, 0
	for end := time.Now().Add(5 * time.Second); same < 10 && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if n := runtime.NumGoroutine(); n == last {
			same++
		} else {
			last, same = n, 0
		}
	}
	// What a sync.Pool holds goes in the second collection; stacks of goroutines
	// that ended are freed in the one after they are found.
	for range 3 {
		runtime.GC()
	}
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return footprint{bytes: int64(m.HeapAlloc + m.StackInuse), goroutines: runtime.NumGoroutine()}
}
