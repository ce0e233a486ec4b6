package parley

import (
	"fmt"
	"hash"
	"io"
	"net/http"
	"sync"
)

// digesting makes a digest of the content while that is written.
type digesting struct {
	*integrity
	sum hash.Hash // nil: to be made of the file
}

// expect finds out what the content has to be.
func (d *download) expect(resp *Response) {
	d.wants = nil
	said := announced(resp.Header)
	if said.by.name == contentMD5.name && resp.StatusCode == http.StatusPartialContent {
		said = nil // that of the part
	}
	for _, want := range []*integrity{d.want, said} {
		if !want.none() {
			d.wants = append(d.wants, &digesting{want, want.by.make()})
		}
	}
}

// heed takes note of content that comes in its order.
func (d *download) heed(p []byte) {
	for _, w := range d.wants {
		if w.sum != nil {
			w.sum.Write(p) // never fails
		}
	}
}

// unheeded says that the content comes in another order.
func (d *download) unheeded() {
	for _, w := range d.wants {
		w.sum = nil
	}
}

// verify checks the digests.
func (d *download) verify(size int64) error {
	d.result.Verified = nil
	for _, w := range d.wants {
		if w.sum == nil {
			w.sum = w.by.make()
			if _, err := io.CopyBuffer(w.sum, io.NewSectionReader(d.part, 0, size), make([]byte, copyBuffer)); err != nil {
				return fmt.Errorf("read the file: %w", err)
			}
		}
		if err := w.check(w.sum.Sum(nil)); err != nil {
			return err
		}
		d.result.Verified = append(d.result.Verified, w.by.name)
	}
	return nil
}

// fileMeter is a meter for several goroutines.
type fileMeter struct {
	mu sync.Mutex
	m  *meter // nil: nobody wants to know
}

func (f *fileMeter) begin(tell func(Progress), total, before int64) {
	if tell == nil {
		return
	}
	p := new(progress)
	f.m = p.meter(&p.download, tell, total)
	f.m.bytes, f.m.toldBytes, f.m.before = before, before, before
	f.m.start()
}

func (f *fileMeter) add(n int64, ended bool) {
	if f.m == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.m.add(n, ended)
}
