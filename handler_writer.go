package parley

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/seed-0474a412/parley/internal/memconn"
)

const (
	// handlerHeadBytes is how much a handler writes before its head goes out by itself,
	// as in the server of net/http.
	handlerHeadBytes = 2 << 10
	// handlerBuffer is how far a handler may be ahead of its reader.
	handlerBuffer = 64 << 10
)

// handlerWriter is the http.ResponseWriter of a handler, and a bounded buffer from
// there to the reader of the response.
type handlerWriter struct {
	method   string
	local    net.Addr // of a connection that is hijacked
	remote   net.Addr
	body     *source       // of the request; nil: none
	interims chan interim  // to be told before the head
	ready    chan struct{} // closed when the head is there, or will never be

	mu      sync.Mutex
	changed sync.Cond // something was written, read or ended
	header  http.Header

	status   int         // 0: not chosen yet
	chosen   http.Header // header when it was
	declared int64       // Content-Length; -1: none
	announce []string    // names of trailers
	offered  int64       // bytes that Write was given
	written  int64       // of these, taken
	chunked  bool        // what the handler set leaves no room for a Content-Length

	headed   bool // the head is there
	settled  bool // it is, or it will never be: ready is closed
	length   int64
	buf      []byte
	informed int
	asked    bool  // 100 Continue has been sent
	done     bool  // the handler has returned
	err      error // what ended the response, once buf is empty; io.EOF in good order
	broken   error // the reader's side has ended: nothing is written any more

	writing, reading handlerDeadline

	near, far *memconn.Conn // of a connection that was hijacked; nil: it was not
	handed    bool          // far is the caller's
}

func newHandlerWriter(method string) *handlerWriter {
	w := &handlerWriter{
		method: method, interims: make(chan interim, MaxInformational), ready: make(chan struct{}),
		header: make(http.Header), declared: -1, length: -1,
	}
	w.changed.L = &w.mu
	return w
}

// Header is the handler's, until it returns.
func (w *handlerWriter) Header() http.Header { return w.header }

// WriteHeader chooses the status, or sends an informational one. Like net/http it panics
// for a status that is none, and does nothing the second time.
func (w *handlerWriter) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeHeaderLocked(status)
}

func (w *handlerWriter) writeHeaderLocked(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %v", status))
	}
	if w.status != 0 || w.near != nil {
		return
	}
	if status < 200 && status != http.StatusSwitchingProtocols {
		h := cleanHeader(w.header)
		delete(h, "Content-Length")
		w.informLocked(status, h)
		return
	}
	w.status = status
	w.chosen = cleanHeader(w.header)
	w.chunked = w.chosen["Trailer"] != nil || w.chosen.Get("Transfer-Encoding") != ""
	for name := range w.header {
		w.chunked = w.chunked || strings.HasPrefix(name, http.TrailerPrefix)
	}
	if v := w.chosen["Content-Length"]; len(v) > 0 {
		n, err := strconv.ParseUint(strings.Trim(v[0], " \t"), 10, 63)
		if err != nil {
			delete(w.chosen, "Content-Length") // as net/http does
			w.chunked = true
		} else {
			w.declared = int64(n)
			w.chosen["Content-Length"] = []string{strconv.FormatUint(n, 10)}
		}
	}
	for _, line := range w.chosen["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = textproto.CanonicalMIMEHeaderKey(strings.Trim(name, " \t")); httpguts.ValidTrailerHeader(name) {
				w.announce = append(w.announce, name)
			}
		}
	}
}

// goOn sends 100 Continue once, if that is not too late.
func (w *handlerWriter) goOn() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.asked {
		w.asked = true
		w.informLocked(http.StatusContinue, make(http.Header))
	}
}

func (w *handlerWriter) informLocked(status int, header http.Header) {
	if w.settled || w.status != 0 {
		return
	}
	if w.informed++; w.informed > MaxInformational {
		w.endLocked(because(ErrRemoteProtocol, fmt.Errorf("more than %d informational responses", MaxInformational)))
		return
	}
	w.interims <- interim{status, header} // has room for all that are allowed
}

// nextInterim gives one that has not been told.
func (w *handlerWriter) nextInterim() (interim, bool) {
	select {
	case i := <-w.interims:
		return i, true
	default:
		return interim{}, false
	}
}

// Write writes to the response, waiting for its reader where that is behind.
func (w *handlerWriter) Write(p []byte) (int, error) { return writeAll(w, p) }

// WriteString is Write.
func (w *handlerWriter) WriteString(s string) (int, error) { return writeAll(w, s) }

func writeAll[T string | []byte](w *handlerWriter, p T) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.near != nil {
		return 0, http.ErrHijacked
	}
	if w.status == 0 {
		w.writeHeaderLocked(http.StatusOK)
	}
	switch {
	case len(p) == 0:
		return 0, nil
	case !bodyAllowed(w.status):
		return 0, http.ErrBodyNotAllowed
	}
	if w.offered += int64(len(p)); w.declared >= 0 && w.offered > w.declared {
		return 0, http.ErrContentLength // nothing of it, as with net/http
	}
	return put(w, p)
}

// put moves p into the buffer, as fast as the reader makes room.
func put[T string | []byte](w *handlerWriter, p T) (int, error) {
	total := 0
	for {
		switch {
		case w.writing.passed:
			return total, os.ErrDeadlineExceeded
		case w.err != nil || w.broken != nil:
			return total, errResponseOver
		}
		n := min(handlerBuffer-len(w.buf), len(p))
		if w.method == http.MethodHead {
			n = len(p) // which goes nowhere
		}
		if n > 0 {
			if w.method != http.MethodHead || len(w.buf) == 0 && !w.headed {
				w.buf = append(w.buf, p[:min(n, handlerBuffer)]...)
			}
			p = p[n:]
			w.written += int64(n)
			total += n
			if !w.headed && w.written > handlerHeadBytes {
				w.sendHeadLocked()
			}
			w.changed.Broadcast()
		}
		if len(p) == 0 {
			return total, nil
		}
		w.changed.Wait()
	}
}

// errResponseOver is what the handler's writes get when nobody reads any more.
var errResponseOver = fmt.Errorf("the response has been closed: %w", io.ErrClosedPipe)

// Flush is FlushError.
func (w *handlerWriter) Flush() { _ = w.FlushError() } // has no other way to fail

// FlushError sends what has been written.
func (w *handlerWriter) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.near != nil {
		return http.ErrHijacked
	}
	if w.status == 0 {
		w.writeHeaderLocked(http.StatusOK)
	}
	w.sendHeadLocked()
	switch {
	case w.writing.passed:
		return os.ErrDeadlineExceeded
	case w.broken != nil:
		return errResponseOver
	}
	return nil
}

// EnableFullDuplex does nothing: requests are read and answered at the same time.
func (w *handlerWriter) EnableFullDuplex() error { return nil }

// bodyAllowed reports whether an answer can have content (RFC 9110, section 6.4.1).
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// sendHeadLocked makes the head what it will be.
func (w *handlerWriter) sendHeadLocked() {
	if w.settled || w.status == http.StatusSwitchingProtocols && !w.done { // whose connection may be hijacked next
		return
	}
	w.headed = true
	h := w.chosen
	_, typed := h["Content-Type"]
	_, dated := h["Date"]
	coded, framed := h.Get("Content-Encoding") != "", h.Get("Transfer-Encoding") != ""
	delete(h, "Transfer-Encoding")
	switch {
	case !bodyAllowed(w.status):
		if delete(h, "Content-Length"); w.status == http.StatusNotModified {
			delete(h, "Content-Type")
		}
	case w.done && !w.chunked && w.declared < 0 && (w.method != http.MethodHead || w.written > 0):
		w.declared = w.written
		h["Content-Length"] = []string{strconv.FormatInt(w.written, 10)}
	case framed && w.declared >= 0:
		w.declared = -1
		delete(h, "Content-Length")
	}
	if bodyAllowed(w.status) && !coded && !typed && !framed && len(w.buf) > 0 {
		h["Content-Type"] = []string{http.DetectContentType(w.buf)}
	}
	if !dated {
		h["Date"] = []string{time.Now().UTC().Format(http.TimeFormat)}
	}
	maps.DeleteFunc(h, func(_ string, values []string) bool { return len(values) == 0 })
	if w.length = w.declared; !bodyAllowed(w.status) {
		if w.length = 0; w.status == http.StatusNotModified {
			w.length = -1
		}
	}
	if w.method == http.MethodHead {
		w.buf = nil
	}
	w.settleLocked()
}

// settleLocked lets Send go on.
func (w *handlerWriter) settleLocked() {
	if !w.settled {
		w.settled = true
		close(w.ready)
	}
}

// finish is the end of the handler, orderly if err is nil.
func (w *handlerWriter) finish(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = true
	w.writing.stop()
	w.reading.stop()
	if w.near != nil {
		if err != nil {
			w.err = err
			w.near.Close()
		}
		return
	}
	if err == nil {
		if w.status == 0 {
			w.writeHeaderLocked(http.StatusOK)
		}
		w.sendHeadLocked()
		err = io.EOF
		if w.hasBodyLocked() && w.declared >= 0 && w.written < w.declared {
			err = fmt.Errorf("the handler wrote %d of the announced %d bytes: %w", w.written, w.declared, io.ErrUnexpectedEOF)
		}
	}
	w.endLocked(err)
}

// endLocked sets what the reader gets after all that was written.
func (w *handlerWriter) endLocked(err error) {
	if w.err == nil {
		w.err = err
	}
	w.settleLocked()
	w.changed.Broadcast()
}

// interrupt is breakOff, for a limit.
func (w *handlerWriter) interrupt(why error) { w.breakOff(why) }

// breakOff ends the response from the reader's side: what has been written counts for
// nothing any more.
func (w *handlerWriter) breakOff(why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken == nil {
		w.broken = why
	}
	if w.far != nil && !w.handed {
		w.far.Close()
	}
	w.settleLocked()
	w.changed.Broadcast()
}

// failedBeforeHead gives the error of a response that has no head.
func (w *handlerWriter) failedBeforeHead() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return w.broken
	}
	if !w.headed && w.near == nil {
		return w.err
	}
	return nil
}

// head gives what the head says.
func (w *handlerWriter) head() (status int, header http.Header, length int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status, w.chosen, w.length
}

func (w *handlerWriter) hasBody() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hasBodyLocked()
}

func (w *handlerWriter) hasBodyLocked() bool {
	return w.method != http.MethodHead && bodyAllowed(w.status)
}

// read takes from the buffer, waiting until there is something.
func (w *handlerWriter) read(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		switch {
		case w.broken != nil:
			return 0, w.broken
		case len(w.buf) > 0:
			n := copy(p, w.buf)
			if w.buf = w.buf[n:]; len(w.buf) == 0 {
				w.buf = nil
			}
			w.changed.Broadcast()
			if w.declared >= 0 {
				if w.length -= int64(n); w.length == 0 {
					return n, io.EOF
				}
			}
			return n, nil
		case w.err != nil:
			return 0, w.err
		}
		w.changed.Wait()
	}
}

// trailers gives those that are sent: the handler's words after the head, under the
// names that it announced or with http.TrailerPrefix. A response of known length has
// none.
func (w *handlerWriter) trailers() http.Header {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.declared >= 0 {
		return nil
	}
	out := make(http.Header)
	for name, values := range w.header {
		if name, marked := strings.CutPrefix(name, http.TrailerPrefix); marked {
			if name = textproto.CanonicalMIMEHeaderKey(name); httpguts.ValidTrailerHeader(name) {
				out[name] = append(out[name], values...)
			}
		}
	}
	for _, name := range w.announce {
		if values := w.header[name]; len(values) > 0 {
			out[name] = slices.Clone(values)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return cleanHeader(out)
}

// cleanHeader gives a copy of what a handler set as it would arrive: names that are none
// are left out, line breaks are spaces.
func cleanHeader(h http.Header) http.Header {
	out := make(http.Header, len(h)+2)
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if strings.HasPrefix(name, http.TrailerPrefix) || !httpguts.ValidHeaderFieldName(name) {
			continue
		}
		key := textproto.CanonicalMIMEHeaderKey(name)
		out[key] = out[key][:len(out[key]):len(out[key])] // there, even without a value
		for _, v := range h[name] {
			out[key] = append(out[key], textproto.TrimString(lineBreaks.Replace(v)))
		}
	}
	return out
}

var lineBreaks = strings.NewReplacer("\n", " ", "\r", " ")
