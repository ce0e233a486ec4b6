// Command bench measures parley beside a raw socket loop, net/http, fasthttp
// and resty, and writes what it finds to RESULTS.md and results.svg.
//
// Run it in this folder:
//
//	go run .                                  # the whole matrix, about ten minutes
//	go run . -quick                           # everything tiny, for CI; the figures mean nothing
//	go run . -scenario '^get-' -client 'parley|raw' -rounds 9
//	go run . -scenario '^(h2|tls|proxy|tunnel)-'
//	go run . -scenario '^(down|up)load' -size 4096 # of 4 GiB each; twice that much room for temporary files
//	go run . -scenario h2-128 -client parley -rounds 1 -slice 20s -profile /tmp
//
// Every client runs in a process of its own, against one server process; both
// are this program started again. A scenario is measured in rounds: in each
// round every client has one short slice, after a warm-up, and never two at
// once, so that a machine shared with others disturbs all of them alike. What
// is reported is the median of the rounds.
//
// A run that is quick, narrowed by -scenario or -client, or of another -size prints its report
// instead of writing files, unless -out names a folder.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

func main() {
	if role, ok := childRole(os.Args); ok {
		os.Exit(runChild(role, os.Stdin, os.Stdout, os.Stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options is what the command line asks for.
type options struct {
	quick     bool
	rounds    int
	slice     time.Duration
	size      int64 // of large bodies
	warmup    time.Duration
	out       string // folder for the files; empty: print the report
	profiles  string // folder for profiles; empty: none are made
	scenarios []scenario
	clients   []clientKind
}

// Chosen so that the whole matrix takes about ten minutes: five rounds give a
// median that one disturbed slice cannot move, and a slice of 1.5 s holds tens
// of thousands of small requests.
const (
	defaultRounds = 5
	defaultSlice  = 1500 * time.Millisecond
	quickSlice    = 40 * time.Millisecond
)

// maxSize, in MiB, is far above what any disk takes in the time that a request has.
const maxSize = 1 << 20

// parseOptions reads the command line. Usage and mistakes go to stderr.
func parseOptions(args []string, stderr io.Writer) (options, error) {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	quick := fs.Bool("quick", false, "run everything tiny and once; the figures mean nothing")
	rounds := fs.Int("rounds", defaultRounds, "rounds of each scenario; 1 with -quick unless given")
	slice := fs.Duration("slice", defaultSlice, "measured time of each client in a round; a quarter more is warm-up")
	size := fs.Int64("size", defaultSize>>20, "MiB of the large bodies; 1 with -quick unless given")
	out := fs.String("out", "", "folder for RESULTS.md and results.svg; by default this one for a full run, else none")
	profiles := fs.String("profile", "", "folder for a profile of each slice's CPU time and allocations, for go tool pprof")
	scenarioRE := fs.String("scenario", "", "only scenarios whose name matches this regular expression")
	clientRE := fs.String("client", "", "only clients whose name matches this regular expression")
	if err := fs.Parse(args); err != nil {
		return options{}, err
	}
	if fs.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })

	o := options{quick: *quick, rounds: *rounds, slice: *slice, size: *size << 20, out: *out, profiles: *profiles}
	if o.quick && !given["rounds"] {
		o.rounds = 1
	}
	if o.quick && !given["slice"] {
		o.slice = quickSlice
	}
	if o.quick && !given["size"] {
		o.size = quickSize
	}
	if o.rounds < 1 || o.slice <= 0 || *size < 1 || *size > maxSize {
		return options{}, fmt.Errorf("-rounds and -slice must be above zero, -size from 1 to %d", maxSize)
	}
	o.warmup = o.slice / 4
	if o.out == "" && !o.quick && *scenarioRE == "" && *clientRE == "" && !given["size"] {
		o.out = "."
	}
	var err error
	if o.scenarios, err = selectByName("scenario", allScenarios(o.size, o.quick), scenario.title, *scenarioRE); err != nil {
		return options{}, err
	}
	if o.clients, err = selectByName("client", allClients(), clientKind.title, *clientRE); err != nil {
		return options{}, err
	}
	return o, nil
}

// profileOf is the path of a slice's profiles, without what tells one from the other.
func (o options) profileOf(sc scenario, k clientKind, round int) string {
	if o.profiles == "" {
		return ""
	}
	client := strings.NewReplacer("/", "", " ", "").Replace(k.name)
	return filepath.Join(o.profiles, fmt.Sprintf("%s-%s-%d", sc.Name, client, round+1))
}

// selectByName keeps the members of all whose name matches expr, and fails when
// none does: a mistyped filter must not look like a successful run.
func selectByName[T any](what string, all []T, name func(T) string, expr string) ([]T, error) {
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, fmt.Errorf("-%s: %w", what, err)
	}
	var kept []T
	for _, v := range all {
		if re.MatchString(name(v)) {
			kept = append(kept, v)
		}
	}
	if len(kept) == 0 {
		return nil, fmt.Errorf("-%s: nothing matches %q", what, expr)
	}
	return kept, nil
}

// run measures what args ask for, until ctx ends, and reports it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parseOptions(args, stderr)
	if err != nil {
		return err
	}
	res, err := measureMatrix(ctx, o, stderr)
	if err != nil {
		return err
	}
	report := markdown(res)
	if o.out == "" {
		_, err := io.WriteString(stdout, report)
		return err
	}
	if err := os.WriteFile(filepath.Join(o.out, "RESULTS.md"), []byte(report), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(o.out, chartFile), []byte(chart(res)), 0o644)
}
