package parley_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-0474a412/parley"
)

// BenchmarkMultipart_smallForm makes and reads a form that stays in memory.
func BenchmarkMultipart_smallForm(b *testing.B) {
	photo, buf := make([]byte, 4096), make([]byte, 8192)
	b.ReportAllocs()
	for b.Loop() {
		body, err := parley.MultipartBody(parley.FormField("title", "A cat"), parley.FormField("public", "true"), parley.FormBytes("photo", "cat.jpg", photo))
		if err != nil {
			b.Fatal(err)
		}
		drain(b, body, buf)
	}
}

// BenchmarkMultipart_file reads a form with a file of 16 MiB, beside the bare file.
func BenchmarkMultipart_file(b *testing.B) {
	const size = 16 << 20
	path := filepath.Join(b.TempDir(), "file.bin")
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		b.Fatal(err)
	}
	form, err := parley.MultipartBody(parley.FormField("title", "A cat"), parley.FormFile("file", path))
	if err != nil {
		b.Fatal(err)
	}
	bare, err := parley.FileBody(path)
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	for name, body := range map[string]parley.Body{"form": form, "bare": bare} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				drain(b, body, buf)
			}
		})
	}
}

// drain reads a body with a buffer.
func drain(b *testing.B, body parley.Body, buf []byte) {
	r, err := body.Open()
	if err == nil {
		_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, buf)
	}
	if err == nil {
		err = r.Close()
	}
	if err != nil {
		b.Fatal(err)
	}
}
