package parleytest_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fakeTB is a test that may fail: what is reported to it is looked at.
type fakeTB struct {
	testing.TB // the real one, for what is not replaced here

	mu       sync.Mutex
	reports  []string
	logs     []string
	fatal    bool
	cleanups []func()
}

func (f *fakeTB) Helper() {}

func (f *fakeTB) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reports = append(f.reports, fmt.Sprintf(format, args...))
}

func (f *fakeTB) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	f.fatal = true
	runtime.Goexit()
}

func (f *fakeTB) Logf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logs = append(f.logs, fmt.Sprintf(format, args...))
}

func (f *fakeTB) Failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.reports) > 0
}

func (f *fakeTB) Fatal(args ...any) { f.Fatalf("%s", fmt.Sprint(args...)) }

func (f *fakeTB) Cleanup(c func()) { f.cleanups = append(f.cleanups, c) }

// end runs the cleanups, the last first.
func (f *fakeTB) end() {
	for len(f.cleanups) > 0 {
		last := f.cleanups[len(f.cleanups)-1]
		f.cleanups = f.cleanups[:len(f.cleanups)-1]
		last()
	}
}

// reports runs a test and gives what it reported, and whether that ended it early.
func reports(t *testing.T, test func(testing.TB)) (reports []string, fatal bool) {
	t.Helper()
	f := run(t, test)
	return slices.Clone(f.reports), f.fatal
}

// run runs a test. Its cleanups run on its goroutine, as those of a real test do.
func run(t *testing.T, test func(testing.TB)) *fakeTB {
	t.Helper()
	f := &fakeTB{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer f.end()
		test(f)
	}()
	<-done
	return f
}

// reported runs a test that has to report one thing, in which these words are.
func reported(t *testing.T, test func(testing.TB), words ...string) {
	t.Helper()
	all, _ := reports(t, test)
	if len(all) != 1 {
		t.Errorf("%d reports, should be one: %q", len(all), all)
		return
	}
	for _, w := range words {
		if !strings.Contains(all[0], w) {
			t.Errorf("the report should say %q: %s", w, all[0])
		}
	}
}
