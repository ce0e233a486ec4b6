package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// TestMain lets the test binary be started again as a server or a client, as
// the program itself is.
func TestMain(m *testing.M) {
	if role, ok := childRole(os.Args); ok {
		os.Exit(runChild(role, os.Stdin, os.Stdout, os.Stderr))
	}
	// A process built with -race sleeps a second before it exits; a run starts dozens.
	if os.Getenv("GORACE") == "" {
		if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

func TestQuickRunReportsEveryScenario(t *testing.T) {
	var stdout, progress bytes.Buffer
	err := run(t.Context(), []string{"-quick", "-client", "^(raw loop|net/http|parley)$"}, &stdout, &progress)
	require.NoError(t, err, progress.String())

	report := stdout.String()
	require.Contains(t, report, "its figures mean nothing")
	for _, heading := range []string{"## Targets", "## Ratios", "## Requests", "## Transfers", "## Idle connections"} {
		require.Contains(t, report, heading)
	}
	for _, sc := range allScenarios(quickSize, true) {
		for _, k := range allClients() {
			measured := strings.Contains(report, "\n| "+sc.Name+" | "+k.name+" | ")
			wanted := sc.runs(k) && k.name != nameFastHTTP && k.name != nameResty
			require.Equal(t, wanted, measured, "%s, %s", sc.Name, k.name)
		}
	}
	require.NotContains(t, report, "NaN")
	require.NotContains(t, report, chartFile, "the chart is not written, so nothing may refer to it")
}

func TestEveryClientIsMeasured(t *testing.T) {
	for _, k := range allClients() {
		t.Run(k.name, func(t *testing.T) {
			var stdout bytes.Buffer
			args := []string{"-quick", "-slice", "5ms", "-client", "^" + k.name + "$", "-scenario", "get-16|post|load|idle|origins-10$"}
			require.NoError(t, run(t.Context(), args, &stdout, io.Discard))
			require.Contains(t, stdout.String(), "| get-16 | "+k.name+" |")
		})
	}
}

func TestFilesAreWrittenToTheNamedFolder(t *testing.T) {
	dir := t.TempDir()
	var stdout bytes.Buffer
	args := []string{"-quick", "-rounds", "2", "-slice", "5ms", "-scenario", "^get-1$", "-client", "raw", "-out", dir}
	require.NoError(t, run(t.Context(), args, &stdout, io.Discard))
	require.Empty(t, stdout.String())

	report, err := os.ReadFile(filepath.Join(dir, "RESULTS.md"))
	require.NoError(t, err)
	require.Contains(t, string(report), "]("+chartFile+")")
	require.Contains(t, string(report), "2 rounds")
	drawing, err := os.ReadFile(filepath.Join(dir, chartFile))
	require.NoError(t, err)
	requireXML(t, string(drawing))
}

func TestProfilesAreWrittenToTheNamedFolder(t *testing.T) {
	dir := t.TempDir()
	args := []string{"-quick", "-slice", "5ms", "-scenario", "^get-1$", "-client", "raw", "-profile", dir}
	require.NoError(t, run(t.Context(), args, io.Discard, io.Discard))
	for _, name := range []string{"get-1-rawloop-1.cpu", "get-1-rawloop-1.mem"} {
		profile, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.NotEmpty(t, profile)
	}
	err := run(t.Context(), append(args, "-profile", filepath.Join(dir, "none")), io.Discard, io.Discard)
	require.Error(t, err)
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want string // part of the error; empty: none
		out  string
	}{
		{name: "a full run writes here", out: "."},
		{name: "a quick run prints", args: []string{"-quick"}},
		{name: "a narrowed run prints", args: []string{"-client", "raw"}},
		{name: "a named folder wins", args: []string{"-quick", "-out", "x"}, out: "x"},
		{name: "a filter that matches nothing", args: []string{"-scenario", "^none$"}, want: "nothing matches"},
		{name: "a filter that is no expression", args: []string{"-client", "("}, want: "-client"},
		{name: "another size prints", args: []string{"-size", "4096"}},
		{name: "no size", args: []string{"-size", "0"}, want: "-size"},
		{name: "a size beyond all disks", args: []string{"-size", "1048577"}, want: "-size"},
		{name: "no rounds", args: []string{"-rounds", "0"}, want: "above zero"},
		{name: "an argument", args: []string{"get-1"}, want: "unexpected argument"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, err := parseOptions(c.args, io.Discard)
			if c.want != "" {
				require.ErrorContains(t, err, c.want)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.out, o.out)
		})
	}
}

func TestCancelledRunEndsAndSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	// The first line of progress comes when a slice is done: the user interrupts,
	// and the next slice must not be waited for.
	progress := writerFunc(func(p []byte) (int, error) {
		cancel()
		return len(p), nil
	})
	err := run(ctx, []string{"-quick", "-rounds", "1000000", "-scenario", "^get-1$", "-client", "raw"}, io.Discard, progress)
	require.ErrorIs(t, err, context.Canceled)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestFailureOfAClientIsReported(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	spec := sliceSpec{Client: "nobody", Scenario: allScenarios(quickSize, true)[0], At: addresses{Plain: "127.0.0.1:1"}, Slice: time.Millisecond}
	_, err = runSlice(t.Context(), exe, spec)
	require.ErrorContains(t, err, "nobody")

	_, err = runSlice(t.Context(), "/nonexistent/program", spec)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestRequestErrorStopsALoad(t *testing.T) {
	broken := errors.New("broken")
	l := load{workers: 4, call: func(w, i int) error {
		if w == 2 && i == 3 {
			return broken
		}
		return nil
	}}
	_, err := l.run(time.Hour, make([]histogram, 4))
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "request 4 of worker 3")
}
