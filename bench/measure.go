package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// sliceSpec tells a client's process what to measure. It travels as JSON.
type sliceSpec struct {
	Client   string        `json:"client"`
	Scenario scenario      `json:"scenario"`
	At       addresses     `json:"at"`
	Slice    time.Duration `json:"slice"`
	Warmup   time.Duration `json:"warmup"`
	Profile  string        `json:"profile"` // path of profiles without their endings; empty: none
	Dir      string        `json:"dir"`     // for files that are sent and stored
}

// sliceResult is what one slice gave. It travels back as JSON.
type sliceResult struct {
	Requests       int64         `json:"requests"`
	Elapsed        time.Duration `json:"elapsed"`
	CPU            time.Duration `json:"cpu"`    // user and system time of the whole process
	Allocs         uint64        `json:"allocs"` // objects allocated
	Bytes          uint64        `json:"bytes"`  // bytes allocated
	P50            time.Duration `json:"p50"`
	P99            time.Duration `json:"p99"`
	Redials        int64         `json:"redials"`         // connections made although there were enough
	IdleBytes      float64       `json:"idle_bytes"`      // heap and stacks for each idle connection
	IdleGoroutines float64       `json:"idle_goroutines"` // goroutines for each idle connection
}

// measureSlice runs one slice of one scenario in this process.
func measureSlice(spec sliceSpec) (res sliceResult, err error) {
	kind, err := findClient(spec.Client)
	if err != nil {
		return sliceResult{}, err
	}
	sc := spec.Scenario
	cc, err := dialCounts(spec.At.Plain)
	if err != nil {
		return sliceResult{}, err
	}
	defer func() { err = errors.Join(err, cc.close()) }()
	if err := awaitQuiet(cc); err != nil {
		return sliceResult{}, err
	}
	s, err := newSetup(sc, spec.At)
	if err != nil {
		return sliceResult{}, err
	}
	c, err := kind.make(s)
	if err != nil {
		return sliceResult{}, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if sc.Kind == kindIdle {
		return measureIdle(c, s.base, sc.Conns, cc)
	}
	return measureLoad(newLoad(c, sc, s.base, spec.Dir), spec, cc)
}

// newSetup says how the client of a scenario is to be made.
func newSetup(sc scenario, at addresses) (setup, error) {
	s := setup{addr: at.Plain, base: "http://" + at.Plain, conns: sc.connections(), fresh: sc.Fresh, resume: sc.Resume}
	switch sc.Way {
	case wayPlain:
	case wayTLS:
		s.addr, s.base = at.TLS, "https://"+at.TLS
	case wayHTTP2:
		s.addr, s.base = at.HTTP2, "https://"+at.HTTP2
	case wayProxy:
		s.proxy = "http://" + at.Plain
	case wayTunnel:
		s.base, s.proxy = "https://"+at.TLS, "http://"+at.Plain
	default:
		return setup{}, fmt.Errorf("there is no way %q", sc.Way)
	}
	if strings.HasPrefix(s.base, "https:") {
		cert, err := x509.ParseCertificate(at.Root)
		if err != nil {
			return setup{}, fmt.Errorf("the server's certificate: %w", err)
		}
		s.roots = x509.NewCertPool()
		s.roots.AddCert(cert)
	}
	if sc.Kind == kindIdle || sc.Kind == kindOrigins || sc.Fresh {
		s.dial = oneListener(s.addr)
	}
	if sc.Kind == kindOrigins {
		s.base = ""
	}
	return s, nil
}

func findClient(name string) (clientKind, error) {
	for _, k := range allClients() {
		if k.name == name {
			return k, nil
		}
	}
	return clientKind{}, fmt.Errorf("no client is called %q", name)
}

// awaitQuiet waits until the server has seen the end of the connections of the
// process that was measured before.
func awaitQuiet(cc *countConn) error {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		n, err := cc.ask()
		if err != nil || n.open == 0 {
			return err
		}
	}
	return errors.New("the server still has connections of another client")
}

// load is a scenario made ready: each worker repeats its call.
type load struct {
	workers int
	prepare func(worker int) error // once, before the warm-up
	call    func(worker, i int) error
}

func newLoad(c client, sc scenario, base, dir string) load {
	ctx := context.Background()
	l := load{workers: sc.Concurrency, prepare: func(int) error { return nil }}
	targets := workerTargets(sc, base)
	switch sc.Kind {
	case kindGet:
		l.call = func(w, _ int) error { return c.get(ctx, targets[w][0]) }
		if sc.PerCallCtx {
			l.call = func(w, _ int) error {
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				return c.get(ctx, targets[w][0])
			}
		}
	case kindPost:
		json := []byte(smallBody())
		l.call = func(w, _ int) error { return c.post(ctx, targets[w][0], json) }
	case kindDownload, kindDecode:
		bufs := make([][chunkSize]byte, sc.Concurrency)
		l.call = func(w, _ int) error { return c.download(ctx, targets[w][0], sc.Size, bufs[w][:]) }
	case kindUpload:
		l.call = func(w, _ int) error { return c.upload(ctx, targets[w][0], &pattern{left: sc.Size}, sc.Size) }
	case kindSave:
		l.call = func(w, _ int) error { return c.save(ctx, targets[w][0], fileOf(dir, "saved", w), sc.Size) }
	case kindSend:
		l.prepare = func(w int) error { return makeSparse(fileOf(dir, "sent", w), sc.Size) }
		l.call = func(w, _ int) error { return c.send(ctx, targets[w][0], fileOf(dir, "sent", w), sc.Size) }
	case kindOrigins:
		l.call = func(w, i int) error { return c.get(ctx, targets[w][i%len(targets[w])]) }
		l.prepare = func(w int) error {
			for _, t := range targets[w] {
				if err := c.get(ctx, t); err != nil {
					return fmt.Errorf("connecting to %s: %w", t.base, err)
				}
			}
			return nil
		}
	}
	return l
}

// fileOf is the path of a worker's own file.
func fileOf(dir, what string, worker int) string {
	return filepath.Join(dir, what+"-"+strconv.Itoa(worker))
}

// workerTargets shares the scenario's targets out: no two workers have the same
// name or slot, so that one connection for each is enough.
func workerTargets(sc scenario, base string) [][]target {
	targets := make([][]target, sc.Concurrency)
	path := map[scenarioKind]string{
		kindGet: pathGet, kindPost: pathPost, kindUpload: pathUpload, kindOrigins: pathGet,
		kindSend: pathUpload, kindDecode: pathCoded + strconv.FormatInt(sc.Size, 10),
		kindDownload: pathDownload + strconv.FormatInt(sc.Size, 10), kindSave: pathDownload + strconv.FormatInt(sc.Size, 10),
	}[sc.Kind]
	if sc.Kind != kindOrigins {
		for w := range targets {
			targets[w] = []target{newTarget(base, path, w)}
		}
		return targets
	}
	for i := range sc.Conns {
		w := i % sc.Concurrency
		targets[w] = append(targets[w], newTarget("http://origin-"+strconv.Itoa(i)+".test", path, i))
	}
	return targets
}

// measureLoad warms a client up under the load and then measures it.
func measureLoad(l load, spec sliceSpec, cc *countConn) (sliceResult, error) {
	// Allocated before, so that it does not count as the client's.
	latencies := make([]histogram, l.workers)
	if err := l.each(l.prepare); err != nil {
		return sliceResult{}, err
	}
	if _, err := l.run(spec.Warmup, latencies); err != nil {
		return sliceResult{}, err
	}
	clear(latencies)
	connsBefore, err := cc.ask()
	if err != nil {
		return sliceResult{}, err
	}
	runtime.GC()
	stopProfile, err := startProfile(spec.Profile)
	if err != nil {
		return sliceResult{}, err
	}

	var memBefore, memAfter runtime.MemStats
	runtime.ReadMemStats(&memBefore)
	cpuBefore, err := cpuTime()
	if err != nil {
		return sliceResult{}, err
	}
	start := time.Now()
	requests, err := l.run(spec.Slice, latencies)
	elapsed := time.Since(start)
	if err != nil {
		return sliceResult{}, err
	}
	cpuAfter, err := cpuTime()
	if err != nil {
		return sliceResult{}, err
	}
	runtime.ReadMemStats(&memAfter)
	if err := stopProfile(); err != nil {
		return sliceResult{}, err
	}

	connsAfter, err := cc.ask()
	if err != nil {
		return sliceResult{}, err
	}
	if err := spec.Scenario.checkConns(connsBefore, connsAfter); err != nil {
		return sliceResult{}, err
	}
	for i := range latencies[1:] {
		latencies[0].merge(&latencies[i+1])
	}
	redials := connsAfter.accepted - connsBefore.accepted - int64(l.workers)
	if spec.Scenario.Fresh {
		redials = 0 // that is what is measured
	}
	return sliceResult{
		Requests: requests,
		Elapsed:  elapsed,
		CPU:      cpuAfter - cpuBefore,
		Allocs:   memAfter.Mallocs - memBefore.Mallocs,
		Bytes:    memAfter.TotalAlloc - memBefore.TotalAlloc,
		P50:      latencies[0].quantile(0.50),
		P99:      latencies[0].quantile(0.99),
		// The warm-up need not have had all workers busy at the same moment.
		Redials: max(0, redials),
	}, nil
}

// checkConns fails if the connections that were made between two looks are not those
// of the scenario, so that no client is measured at something else.
func (s scenario) checkConns(before, after counts) error {
	made, resumed := after.accepted-before.accepted, after.resumed-before.resumed
	switch {
	case !s.Fresh:
	case made == 0:
		return errors.New("no connection was made")
	case s.Resume && resumed < made-made/100:
		return fmt.Errorf("%d of %d handshakes resumed a session, which all are to do", resumed, made)
	case !s.Resume && resumed > 0:
		return fmt.Errorf("%d of %d handshakes resumed a session, which none is to do", resumed, made)
	}
	return nil
}

// startProfile begins profiles, if any are wanted, and gives what ends them.
func startProfile(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	cpu, err := os.Create(path + ".cpu")
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, errors.Join(err, cpu.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		mem, err := os.Create(path + ".mem")
		if err != nil {
			return errors.Join(err, cpu.Close())
		}
		return errors.Join(pprof.Lookup("allocs").WriteTo(mem, 0), mem.Close(), cpu.Close())
	}, nil
}

// each runs f once for every worker, all at the same time, and returns the
// error of the first worker, by number, that failed.
func (l load) each(f func(worker int) error) error {
	errs := make([]error, l.workers)
	var wg sync.WaitGroup
	for w := range l.workers {
		wg.Go(func() { errs[w] = f(w) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// run repeats every worker's call for d, at least once each, and returns how
// many calls were made. The first failure stops all.
func (l load) run(d time.Duration, latencies []histogram) (int64, error) {
	var calls atomic.Int64
	var failed atomic.Bool
	deadline := time.Now().Add(d)
	err := l.each(func(w int) error {
		last := time.Now()
		for i := 0; ; i++ {
			if err := l.call(w, i); err != nil {
				failed.Store(true)
				return fmt.Errorf("request %d of worker %d: %w", i+1, w+1, err)
			}
			now := time.Now()
			latencies[w].add(now.Sub(last))
			last = now
			if now.After(deadline) || failed.Load() {
				calls.Add(int64(i + 1))
				return nil
			}
		}
	})
	return calls.Load(), err
}
