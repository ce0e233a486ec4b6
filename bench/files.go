package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Transfers of files: uploads from one, downloads to one.

// makeSparse makes a file of size bytes that takes no room on the disk.
func makeSparse(path string, size int64) error {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	return os.Truncate(path, size)
}

// saveBody writes what r gives to path as parley's Download does: to another file, which
// reaches the disk before it is moved to its place, and then the directory does. Without
// that the clients would not do the same work.
func saveBody(path string, r io.Reader) (int64, error) {
	part := path + ".part"
	f, err := os.Create(part)
	if err != nil {
		return 0, err
	}
	n, err := io.CopyBuffer(writerOnly{f}, readerOnly{r}, make([]byte, transferSize))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return n, err
	}
	if err := os.Rename(part, path); err != nil {
		return n, err
	}
	return n, syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	if runtime.GOOS == "windows" { // which knows no such thing
		return nil
	}
	return withFile(path, (*os.File).Sync)
}

// These hide what else a writer or reader can do, so that a copy goes through the buffer
// that it is given.
type (
	writerOnly struct{ io.Writer }
	readerOnly struct{ io.Reader }
)

// withFile calls f with a file that is open.
func withFile(path string, f func(*os.File) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f(file), file.Close())
}

// codedBody is JSON of size bytes as an API has it, in gzip.
func codedBody(size int64) ([]byte, error) {
	random := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("the quick brown fox jumps over lazy dog while seven wizards mix jugs of purple liquor")
	word := func() string { return words[random.IntN(len(words))] }
	var out, line bytes.Buffer
	z := gzip.NewWriter(&out)
	for left := size; left > 0; left -= int64(line.Len()) {
		line.Reset()
		fmt.Fprintf(&line, `{"id": %d, "name": "%s %s", "price": %.2f, "tags": ["%s", "%s"]},`+"\n",
			random.IntN(1e6), word(), word(), random.Float64()*1000, word(), word())
		line.Truncate(int(min(left, int64(line.Len()))))
		if _, err := z.Write(line.Bytes()); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
