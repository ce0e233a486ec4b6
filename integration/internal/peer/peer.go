// Package peer runs programs for tests to talk to: servers and proxies, each a child
// process with a folder of its own, on ports that the kernel chose.
//
// A program started by root runs as the user nobody, since most servers refuse to be
// root or give it up for their workers: so there is one case and not two.
package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"
)

// Required is the environment variable that makes the absence of a program a failure
// and not a reason to skip.
const Required = "PARLEY_INTEGRATION"

const (
	startLimit = 20 * time.Second      // from the start to an open port, on a busy machine
	stopLimit  = 5 * time.Second       // for an orderly end, before it is killed
	lookAgain  = 10 * time.Millisecond // between two tries to connect
	maxTries   = 5                     // with other ports each time
	maxShown   = 3 << 10               // of the end of each log
)

// Program says what to run. Args and Files are templates (see text/template) over
// Values with two functions: dir is the program's folder, and port "name" is a free
// port on 127.0.0.1, the same wherever that name stands.
type Program struct {
	Command string            // a path, or a name looked for in PATH and the folders for servers
	Package string            // Debian's, named to who lacks it
	Args    []string          // of the command
	Files   map[string]string // by name below the folder: written before the start
	Values  any               // for the templates
}

// Peer is a program that runs.
type Peer struct {
	dir    string
	ports  map[string]int
	cmd    *exec.Cmd
	ended  chan struct{} // closed when the process has ended
	result error         // how it ended; valid once ended is closed
}

// Start runs a program until the test ends, and returns once all its ports can be
// connected to. What it logged, in files ending in .log and on its standard output and
// error, is shown if the test fails.
func Start(t testing.TB, p Program) *Peer {
	t.Helper()
	path := Find(t, p.Command, p.Package)
	for try := 1; ; try++ {
		peer, err := start(path, p)
		if err == nil {
			t.Cleanup(func() { peer.finish(t) })
			return peer
		}
		// Between the moment at which the kernel gave a port and that at which the
		// program took it, another process can have been faster.
		if try == maxTries || !errors.Is(err, errPortTaken) {
			t.Fatalf("start %s: %v", p.Command, err)
		}
	}
}

// Find gives the path of a program that a package of Debian's brings. Without it the
// test is skipped, or fails: see [Required].
func Find(t testing.TB, command, debian string) string {
	t.Helper()
	path, err := find(command)
	if err != nil {
		reason := fmt.Sprintf("%s is not installed: apt-get install --no-install-recommends %s", command, debian)
		if os.Getenv(Required) != "" {
			t.Fatalf("%s (%s is set)", reason, Required)
		}
		t.Skip(reason)
	}
	return path
}

// find gives the path of a program. Servers often live where only root's PATH leads.
func find(command string) (string, error) {
	path, err := exec.LookPath(command)
	if err == nil || strings.ContainsRune(command, filepath.Separator) {
		return path, err
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, command)); err == nil {
			return path, nil
		}
	}
	return "", err
}

var errPortTaken = errors.New("a port was taken by another process")

// start makes the folder, runs the program and waits until it listens.
func start(path string, p Program) (_ *Peer, err error) {
	dir, err := os.MkdirTemp("", "parley-peer-")
	if err != nil {
		return nil, err
	}
	peer := &Peer{dir: dir, ports: make(map[string]int), ended: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	args, err := peer.prepare(p)
	if err != nil {
		return nil, err
	}
	if err := peer.run(path, args); err != nil {
		return nil, err
	}
	if err := peer.listens(); err != nil {
		logs := peer.logs()
		err = errors.Join(err, peer.stop(stopLimit))
		if strings.Contains(strings.ToLower(logs), "address already in use") {
			err = errors.Join(errPortTaken, err)
		}
		return nil, fmt.Errorf("%w\n%s", err, logs)
	}
	return peer, nil
}

// prepare writes the files and gives the arguments. The ports are held until both are
// complete, so that no two names get the same.
func (p *Peer) prepare(program Program) (args []string, err error) {
	var held []net.Listener
	defer func() {
		for _, l := range held {
			err = errors.Join(err, l.Close())
		}
	}()
	port := func(name string) (int, error) {
		if n, ok := p.ports[name]; ok {
			return n, nil
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		held = append(held, l)
		p.ports[name] = l.Addr().(*net.TCPAddr).Port
		return p.ports[name], nil
	}
	fill := func(text string) (string, error) {
		tmpl, err := template.New("peer").Option("missingkey=error").Funcs(template.FuncMap{
			"dir":  func() string { return p.dir },
			"port": port,
		}).Parse(text)
		if err != nil {
			return "", err
		}
		var out bytes.Buffer
		err = tmpl.Execute(&out, program.Values)
		return out.String(), err
	}
	for _, name := range slices.Sorted(maps.Keys(program.Files)) {
		text, err := fill(program.Files[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if err := p.write(name, text); err != nil {
			return nil, err
		}
	}
	for _, a := range program.Args {
		a, err := fill(a)
		if err != nil {
			return nil, fmt.Errorf("argument: %w", err)
		}
		args = append(args, a)
	}
	return args, p.give()
}

func (p *Peer) write(name, text string) error {
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o600)
}

// give makes all that is in the folder the property of who will run the program.
func (p *Peer) give() error {
	uid, gid := owner()
	if uid < 0 {
		return nil
	}
	return filepath.WalkDir(p.dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, uid, gid)
	})
}

// run starts the process. The goroutine that does so waits for its end too and keeps
// its thread: the kernel ends the program with that thread, also when the test's
// process is killed.
func (p *Peer) run(path string, args []string) error {
	output, err := os.OpenFile(filepath.Join(p.dir, "output.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	p.cmd = exec.Command(path, args...)
	p.cmd.Dir = p.dir
	p.cmd.Stdout, p.cmd.Stderr = output, output
	p.cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "TMPDIR=" + p.dir}
	p.cmd.SysProcAttr = attributes()
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.ended)
		err := errors.Join(p.cmd.Start(), output.Close())
		started <- err
		if p.cmd.Process != nil {
			p.result = p.cmd.Wait()
		}
	}()
	return <-started
}

// listens waits until every port takes a connection.
func (p *Peer) listens() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	for _, name := range slices.Sorted(maps.Keys(p.ports)) {
		if err := p.listensAt(ctx, p.Addr(name)); err != nil {
			return fmt.Errorf("port %q: %w", name, err)
		}
	}
	return nil
}

func (p *Peer) listensAt(ctx context.Context, addr string) error {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-p.ended:
			return fmt.Errorf("the program ended: %w", orZero(p.result))
		case <-ctx.Done():
			return fmt.Errorf("nobody listens: %w", err)
		}
	}
}

// orZero gives a word for an end without an error.
func orZero(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// finish ends the program with the test.
func (p *Peer) finish(t testing.TB) {
	if err := p.stop(stopLimit); err != nil {
		t.Errorf("stop %s: %v", filepath.Base(p.cmd.Path), err)
	}
	if t.Failed() {
		t.Logf("%s said:\n%s", filepath.Base(p.cmd.Path), p.logs())
	}
	if err := os.RemoveAll(p.dir); err != nil {
		t.Error(err)
	}
}

// stop asks the program to end and, when it has ended or patience has, ends whatever is
// left of it.
func (p *Peer) stop(patience time.Duration) error {
	select {
	case <-p.ended:
		return killGroup(p.cmd.Process.Pid)
	default:
	}
	if err := interrupt(p.cmd.Process); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return errors.Join(err, killGroup(p.cmd.Process.Pid))
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-p.ended:
	case <-limit.C:
	}
	err := killGroup(p.cmd.Process.Pid)
	<-p.ended
	return err
}

// Signal sends the program a signal, such as the one by which it is told to read its
// configuration again.
func (p *Peer) Signal(t testing.TB, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// Dir is the program's folder.
func (p *Peer) Dir() string { return p.dir }

// Port is the number of a port that the configuration names.
func (p *Peer) Port(name string) int {
	n, ok := p.ports[name]
	if !ok {
		panic(fmt.Sprintf("peer: the configuration has no port %q", name))
	}
	return n
}

// Addr is host and port of a port that the configuration names.
func (p *Peer) Addr(name string) string { return fmt.Sprintf("127.0.0.1:%d", p.Port(name)) }

// URL is the address of an HTTP server at a port that the configuration names.
func (p *Peer) URL(name string) string { return "http://" + p.Addr(name) }

// Lines gives the complete lines that a file in the folder has so far, none if there
// is no such file.
func (p *Peer) Lines(t testing.TB, name string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	end := bytes.LastIndexByte(text, '\n')
	if end < 0 {
		return nil
	}
	return strings.Split(string(text[:end]), "\n")
}

// logs gives the ends of all logs.
func (p *Peer) logs() string {
	names, err := filepath.Glob(filepath.Join(p.dir, "*.log"))
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			text = []byte(err.Error())
		}
		if len(text) > maxShown {
			text = text[len(text)-maxShown:]
		}
		fmt.Fprintf(&b, "-- %s\n%s\n", filepath.Base(name), text)
	}
	return b.String()
}
