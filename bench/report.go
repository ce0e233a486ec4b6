package main

import (
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"strings"
)

// chartFile is the name of the chart beside the report.
const chartFile = "results.svg"

// markdown is the whole report.
func markdown(res results) string {
	var b strings.Builder
	o := res.options
	b.WriteString("# What requests cost\n\n")
	if o.quick {
		b.WriteString("**A quick run: it shows that everything works; its figures mean nothing.**\n\n")
	}
	fmt.Fprintf(&b, "Written by `go run .` in `bench/`: %s, %d cores, %s/%s; %d %s of %v for each client in each scenario, "+
		"each client in a process of its own and never two at once, medians of the rounds. The server is a raw loop in "+
		"another process on the same machine, over loopback, for HTTP/2 it is that of net/http. The machine is shared, so ratios tell more than absolute figures.\n\n",
		runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, o.rounds, plural(o.rounds, "round"), o.slice)
	fmt.Fprintf(&b, "Clients: %s.\n", strings.Join(versions(o.clients), ", "))
	if o.out != "" {
		fmt.Fprintf(&b, "\n![CPU time a request and requests a second of each client](%s)\n", chartFile)
	}
	writeGoals(&b, res)
	writeRatios(&b, res)
	writeLoads(&b, res)
	writeTransfers(&b, res)
	writeIdle(&b, res)
	writeRedials(&b, res)
	writeNotes(&b, res)
	return b.String()
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// versions names the clients with the versions that were built in.
func versions(clients []clientKind) []string {
	built := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			built[d.Path] = " " + d.Version
		}
	}
	var list []string
	for _, k := range clients {
		list = append(list, k.name+built[k.module])
	}
	return list
}

// table writes a Markdown table. The first columns, as many as left says, are
// aligned to the left and the others to the right.
func table(b *strings.Builder, left int, head []string, rows [][]string) {
	b.WriteString("| " + strings.Join(head, " | ") + " |\n|")
	for i := range head {
		if i < left {
			b.WriteString(" --- |")
		} else {
			b.WriteString(" ---: |")
		}
	}
	b.WriteString("\n")
	for _, row := range rows {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
	}
}

func writeGoals(b *strings.Builder, res results) {
	var rows [][]string
	for _, r := range judge(res) {
		value := "–"
		if !math.IsNaN(r.value) {
			value = short(r.value) + r.unit
		}
		rows = append(rows, []string{r.what, r.target(), value, r.spread(), r.verdict()})
	}
	b.WriteString("\n## Targets\n\nWhat parley is meant to reach. A KB is 1,024 bytes.\n\n")
	table(b, 2, []string{"what", "target", "measured", "single rounds", ""}, rows)
}

// writeRatios compares every client with net/http and with the raw loop.
func writeRatios(b *strings.Builder, res results) {
	var rows [][]string
	for _, sc := range res.options.scenarios {
		if sc.Kind == kindIdle {
			continue
		}
		std, okStd := res.median(sc.Name, nameNetHTTP)
		raw, okRaw := res.median(sc.Name, nameRaw)
		for _, k := range res.options.clients {
			f, ok := res.median(sc.Name, k.name)
			if !ok {
				continue
			}
			row := []string{sc.Name, k.name}
			for _, m := range []metric{cpuMicros, perSecond} {
				row = append(row, compared(f, std, okStd, m), compared(f, raw, okRaw, m))
			}
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 {
		return
	}
	b.WriteString("\n## Ratios\n\nLess is better for CPU, more for requests a second (for downloads and uploads: transfers a second).\n\n")
	table(b, 2, []string{"scenario", "client", "CPU: net/http = 1", "CPU: raw loop = 1",
		"requests/s: net/http = 1", "requests/s: raw loop = 1"}, rows)
}

func compared(f, base figures, ok bool, m metric) string {
	if !ok {
		return "–"
	}
	return short(ratio(m(f), m(base)))
}

// rows calls row for each client that was measured in each scenario that pick
// chooses, and collects the rows.
func (r results) rows(pick func(scenario) bool, row func(scenario, figures) []string) [][]string {
	var rows [][]string
	for _, sc := range r.options.scenarios {
		if !pick(sc) {
			continue
		}
		for _, k := range r.options.clients {
			if f, ok := r.median(sc.Name, k.name); ok {
				rows = append(rows, append([]string{sc.Name, k.name}, row(sc, f)...))
			}
		}
	}
	return rows
}

func writeLoads(b *strings.Builder, res results) {
	rows := res.rows(
		func(sc scenario) bool { return sc.Kind != kindIdle && !sc.streamed() },
		func(_ scenario, f figures) []string {
			return []string{grouped(f.perSecond), short(f.cpu), short(f.allocs), grouped(f.bytes), short(f.p50), short(f.p99)}
		})
	if len(rows) == 0 {
		return
	}
	b.WriteString("\n## Requests\n\n")
	table(b, 2, []string{"scenario", "client", "requests/s", "CPU µs a request", "allocations", "bytes allocated", "p50 µs", "p99 µs"}, rows)
}

func writeTransfers(b *strings.Builder, res results) {
	rows := res.rows(scenario.streamed, func(sc scenario, f figures) []string {
		mib := float64(sc.Size) / (1 << 20)
		return []string{grouped(f.perSecond * mib), short(f.cpu / mib), short(f.allocs), grouped(f.bytes), short(f.p50 / 1000), short(f.p99 / 1000)}
	})
	if len(rows) == 0 {
		return
	}
	b.WriteString("\n## Transfers\n\n")
	table(b, 2, []string{"scenario", "client", "MiB/s", "CPU µs a MiB", "allocations a transfer", "bytes allocated a transfer", "p50 ms", "p99 ms"}, rows)
}

func writeIdle(b *strings.Builder, res results) {
	rows := res.rows(
		func(sc scenario) bool { return sc.Kind == kindIdle },
		func(_ scenario, f figures) []string {
			return []string{grouped(f.idleBytes), fmt.Sprintf("%.2f", math.Abs(f.idleGo))}
		})
	if len(rows) == 0 {
		return
	}
	b.WriteString("\n## Idle connections\n\n")
	table(b, 2, []string{"scenario", "client", "bytes a connection", "goroutines a connection"}, rows)
}

// writeRedials names the clients whose figures hold the price of connecting: all
// had a pool that is large enough, so nothing should have been dialled.
func writeRedials(b *strings.Builder, res results) {
	for _, sc := range res.options.scenarios {
		for _, k := range res.options.clients {
			f, ok := res.median(sc.Name, k.name)
			if ok && f.redials > redialsWorthSaying {
				fmt.Fprintf(b, "\n**%s, %s: %s of the requests made a new connection, although one was there before.**\n",
					sc.Name, k.name, percent(f.redials))
			}
		}
	}
}

func writeNotes(b *strings.Builder, res results) {
	b.WriteString("\n## How to read this\n\n")
	for _, sc := range res.options.scenarios {
		fmt.Fprintf(b, "- `%s`: %s.\n", sc.Name, sc.what)
	}
	b.WriteString(`- The raw loop sends bytes made before, reads as many as the answer is known to have, and parses nothing: the floor.
- Every client has its own defaults but for a pool in which nothing waits or needs to be dialled twice; a client that
  does so all the same is named above. parley and resty are sessions with a base URL. Bodies of small answers are read into
  memory as the client's users do it; large ones in pieces of 64 KiB. fasthttp uses its pools of requests and responses, and a
  deadline for each request. Contexts cannot be cancelled unless the scenario says so. The server compresses nothing.
- A file that is downloaded is written in pieces of 256 KiB to another one first, which is told to reach the disk and moved to its place:
  the raw loop and the other clients do it as parley's Download does. The raw loop leaves the copying of a file that is sent to the system,
  by sendfile on Linux, and the others do so by themselves. The raw loop and fasthttp decode nothing unless they are told to.
- TLS is 1.3 with a certificate of ECDSA on P-256. For new connections parley's are retired after one request, and net/http does
  not keep its own; both are reset when closed. The proxy is the server itself: it answers what it is asked for, and is the end of its tunnels.
- CPU is user and system time of the client's whole process, the garbage collector included; latency is measured around each call.
- Bytes of an idle connection are heap and stacks after garbage collection, without the descriptors that the runtime keeps of
  goroutines (some 0.4 KB each), and without the kernel's socket.
`)
}
