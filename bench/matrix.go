package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// How long a process may take beyond what it was asked to measure, and how long
// the server gets to end by itself.
const (
	sliceGrace  = 2*time.Minute + 2*requestLimit
	serverGrace = 5 * time.Second
)

// results is a whole run.
type results struct {
	options options
	cells   map[cellKey][]figures // by round
}

type cellKey struct{ scenario, client string }

// measureMatrix runs every scenario with every client for as many rounds as o
// says, and tells about it on progress.
func measureMatrix(ctx context.Context, o options, progress io.Writer) (res results, err error) {
	if err := needFiles(filesFor(o.scenarios)); err != nil {
		return results{}, err
	}
	exe, err := os.Executable()
	if err != nil {
		return results{}, err
	}
	srv, err := startServer(ctx, exe)
	if err != nil {
		return results{}, err
	}
	defer func() { err = errors.Join(err, srv.stop(ctx)) }()
	dir, err := os.MkdirTemp("", "parley-bench-")
	if err != nil {
		return results{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	res = results{options: o, cells: map[cellKey][]figures{}}
	for _, sc := range o.scenarios {
		for round := range o.rounds {
			for i := range o.clients {
				// Each round begins with another client, so that none is always first.
				k := o.clients[(i+round)%len(o.clients)]
				if !sc.runs(k) {
					continue
				}
				spec := sliceSpec{Client: k.name, Scenario: sc, At: srv.at, Slice: o.slice, Warmup: o.warmup, Profile: o.profileOf(sc, k, round), Dir: dir}
				got, err := runSlice(ctx, exe, spec)
				if err != nil {
					return results{}, fmt.Errorf("%s, %s, round %d: %w", sc.Name, k.name, round+1, err)
				}
				f := got.figures()
				key := cellKey{sc.Name, k.name}
				res.cells[key] = append(res.cells[key], f)
				fmt.Fprintf(progress, "%-13s round %d/%d  %-9s %s\n", sc.Name, round+1, o.rounds, k.name, f.line(sc))
			}
		}
	}
	return res, nil
}

// filesFor is the number of files that a process may have open in any of the
// scenarios: its connections and a few of its own.
func filesFor(list []scenario) uint64 {
	most := 0
	for _, sc := range list {
		most = max(most, sc.connections())
	}
	return uint64(most) + 64
}

// command prepares to start this program in another role. Cancelling ctx kills
// the process.
func command(ctx context.Context, exe, role string) (*exec.Cmd, *tail) {
	cmd := exec.CommandContext(ctx, exe, rolePrefix+role)
	cmd.Env = withoutProxies(os.Environ())
	cmd.WaitDelay = serverGrace
	stderr := &tail{}
	cmd.Stderr = stderr
	return cmd, stderr
}

// withoutProxies takes the proxy settings out of an environment: every client
// is to connect directly.
func withoutProxies(env []string) []string {
	var kept []string
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasSuffix(strings.ToUpper(name), "_PROXY") {
			kept = append(kept, v)
		}
	}
	return kept
}

// runSlice measures one slice in a process of its own.
func runSlice(ctx context.Context, exe string, spec sliceSpec) (sliceResult, error) {
	line, err := json.Marshal(spec)
	if err != nil {
		return sliceResult{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, spec.Warmup+spec.Slice+sliceGrace)
	defer cancel()
	cmd, stderr := command(ctx, exe, roleClient)
	stdin, err := cmd.StdinPipe() // left open: its end would end the process
	if err != nil {
		return sliceResult{}, err
	}
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	if err := cmd.Start(); err != nil {
		return sliceResult{}, err
	}
	_, writeErr := stdin.Write(append(line, '\n'))
	if err := cmd.Wait(); err != nil {
		return sliceResult{}, processError(ctx, err, stderr)
	}
	if writeErr != nil {
		return sliceResult{}, writeErr
	}
	var res sliceResult
	if err := json.Unmarshal(stdout.Bytes(), &res); err != nil {
		return sliceResult{}, fmt.Errorf("reading the result: %w", err)
	}
	return res, nil
}

// processError says why a process failed: the context's end, or what it wrote.
func processError(ctx context.Context, err error, stderr *tail) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if s := stderr.String(); s != "" {
		return fmt.Errorf("%w: %s", err, s)
	}
	return err
}

// tail keeps the first bytes that a process writes to stderr, where the reason
// of a failure stands.
type tail struct{ buf []byte }

const tailSize = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p[:min(len(p), tailSize-len(t.buf))]...)
	return len(p), nil
}

func (t *tail) String() string { return strings.TrimSpace(string(t.buf)) }

// serverProcess is the one server of a run.
type serverProcess struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	stderr *tail
	kill   context.CancelFunc
	at     addresses
}

func startServer(ctx context.Context, exe string) (*serverProcess, error) {
	ctx, kill := context.WithCancel(ctx)
	cmd, stderr := command(ctx, exe, roleServer)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		kill()
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		kill()
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		kill()
		return nil, fmt.Errorf("starting the server: %w", err)
	}
	var at addresses
	if err := json.NewDecoder(stdout).Decode(&at); err != nil {
		kill()
		waitErr := cmd.Wait()
		return nil, fmt.Errorf("starting the server: %w", processError(ctx, errors.Join(err, waitErr), stderr))
	}
	return &serverProcess{cmd: cmd, stdin: stdin, stderr: stderr, kill: kill, at: at}, nil
}

// stop lets the server end, and kills it when it does not. The end of ctx has
// killed it before, which is no error of the server's.
func (s *serverProcess) stop(ctx context.Context) error {
	defer s.kill()
	timer := time.AfterFunc(serverGrace, s.kill)
	defer timer.Stop()
	closeErr := s.stdin.Close()
	err := s.cmd.Wait()
	if err == nil || ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("the server: %w", errors.Join(processError(ctx, err, s.stderr), closeErr))
}
