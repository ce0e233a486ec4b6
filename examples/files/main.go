// Command files sends files to a server and fetches them again: as they are, compressed,
// in a form; into a directory, after a connection was lost, in parts at once. The server
// is in the same process.
//
//	go run ./examples/files
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed-0474a412/parley"
)

func main() {
	files := newStore()
	server := httptest.NewServer(files)
	defer server.Close()
	dir, err := os.MkdirTemp("", "files-")
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err = errors.Join(run(ctx, os.Stdout, server.URL, files, dir), os.RemoveAll(dir))
	if err != nil {
		log.Fatal(err)
	}
}

// tour is what the steps share.
type tour struct {
	client *parley.Client
	out    io.Writer
	server *store
	dir    string // where the files are
	report string // the path of the one that goes up
}

// run walks through the steps. Each is a few lines that could stand in any program.
func run(ctx context.Context, out io.Writer, url string, server *store, dir string) error {
	client, err := parley.New(parley.WithBaseURL(url))
	if err != nil {
		return err
	}
	defer client.Close()
	t := &tour{client: client, out: out, server: server, dir: dir, report: filepath.Join(dir, "report.csv")}
	rows := strings.Repeat("2026-11-29,tea,2,3.50\n", 50_000)
	if err := os.WriteFile(t.report, []byte(rows), 0o600); err != nil {
		return err
	}
	for _, step := range []struct {
		title string
		run   func(context.Context) error
	}{
		{"a file goes up as it is", t.upload},
		{"the same in gzip", t.compress},
		{"a form with a field and files", t.form},
		{"down into a directory, under the name that the server suggests", t.download},
		{"a connection is lost, and the next call goes on from there", t.resume},
		{"four requests at once fetch parts of it", t.parts},
		{"what is not what it should be never stands there", t.refuse},
	} {
		fmt.Fprintln(out, step.title)
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.title, err)
		}
	}
	return nil
}

func (t *tour) upload(ctx context.Context) error {
	show := func(p parley.Progress) { // ten times a second at most, and at the end
		if p.Done {
			fmt.Fprintf(t.out, "  sent %d of %d bytes\n", p.Bytes, p.Total)
		}
	}
	arrived, err := parley.As[int](t.client.Put(ctx, "files/report.csv",
		parley.WithBodyFile(t.report), parley.WithUploadProgress(show)))
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "  %d bytes arrived\n", arrived)
	return nil
}

func (t *tour) compress(ctx context.Context) error {
	arrived, err := parley.As[int](t.client.Put(ctx, "files/report.csv",
		parley.WithBodyFile(t.report), parley.WithCompression("gzip")))
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "  less than a twentieth of them arrived: %v\n", arrived < 1_100_000/20)
	return nil
}

func (t *tour) form(ctx context.Context) error {
	resp, err := t.client.Stream(ctx, "POST", "files", parley.WithMultipart(
		parley.FormField("title", "what was sold"),
		parley.FormFile("table", t.report),
		parley.FormBytes("note", "read me.txt", []byte("all of November")),
	))
	if err != nil {
		return err
	}
	defer resp.Close()
	if err := resp.Err(); err != nil {
		return err
	}
	for line, err := range resp.Lines() {
		if err != nil {
			return err
		}
		fmt.Fprintf(t.out, "  %s\n", line)
	}
	return nil
}

func (t *tour) download(ctx context.Context) error {
	target := filepath.Join(t.dir, "downloads")
	if err := os.Mkdir(target, 0o700); err != nil {
		return err
	}
	file, err := t.client.Download(ctx, "files/report.csv", target)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "  %s, %d bytes, found to be right by %v\n", filepath.Base(file.Path), file.Size, file.Verified)
	return nil
}

func (t *tour) resume(ctx context.Context) error {
	path := filepath.Join(t.dir, "again.csv")
	t.server.cutNext()
	_, err := t.client.Download(ctx, "files/report.csv", path)
	if !errors.Is(err, parley.ErrNetwork) {
		return fmt.Errorf("expected a lost connection, got %w", err)
	}
	_, err = os.Stat(path)
	fmt.Fprintf(t.out, "  lost; nothing stands there: %v\n", errors.Is(err, fs.ErrNotExist))
	file, err := t.client.Download(ctx, "files/report.csv", path)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "  %d of %d bytes were there already; found to be right by %v\n", file.Resumed, file.Size, file.Verified)
	return nil
}

func (t *tour) parts(ctx context.Context) error {
	path := filepath.Join(t.dir, "parts.csv")
	file, err := t.client.Download(ctx, "files/report.csv", path,
		parley.WithDownload(parley.DownloadConfig{Parallel: 4, PartSize: 256 << 10}))
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "  %d bytes, found to be right by %v\n", file.Size, file.Verified)
	return nil
}

func (t *tour) refuse(ctx context.Context) error {
	path := filepath.Join(t.dir, "wrong.csv")
	_, err := t.client.Download(ctx, "files/report.csv", path,
		parley.WithIntegrity("sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"))
	if !errors.Is(err, parley.ErrIntegrity) {
		return fmt.Errorf("expected another digest, got %w", err)
	}
	_, err = os.Stat(path)
	fmt.Fprintf(t.out, "  another digest; nothing stands there: %v\n", errors.Is(err, fs.ErrNotExist))
	return nil
}
