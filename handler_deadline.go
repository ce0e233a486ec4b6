package parley

import "time"

// handlerDeadline ends reading or writing of a handler once it has passed, and for good, as
// [http.ResponseController] says.
type handlerDeadline struct {
	at     time.Time // zero: never
	timer  *time.Timer
	passed bool
}

func (d *handlerDeadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}

// set moves a deadline of w; late is called once it has passed, without the lock.
func (d *handlerDeadline) set(w *handlerWriter, t time.Time, late func()) {
	w.mu.Lock()
	d.stop()
	d.at = t
	wait := time.Until(t)
	if !t.IsZero() && wait > 0 && !d.passed {
		d.timer = time.AfterFunc(wait, func() { d.expire(w, t, late) })
	}
	w.mu.Unlock()
	if !t.IsZero() && wait <= 0 {
		d.expire(w, t, late)
	}
}

// expire ends what the deadline is for, unless it was moved meanwhile.
func (d *handlerDeadline) expire(w *handlerWriter, t time.Time, late func()) {
	w.mu.Lock()
	passed := !d.passed && d.at.Equal(t) && !w.done && w.near == nil
	d.passed = d.passed || passed
	w.mu.Unlock()
	if passed {
		late()
	}
}

// SetWriteDeadline breaks the response off if it has not ended by then.
func (w *handlerWriter) SetWriteDeadline(t time.Time) error {
	if near := w.ofHandler(); near != nil {
		return near.SetWriteDeadline(t)
	}
	w.writing.set(w, t, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.endLocked(errAborted)
	})
	return nil
}

// SetReadDeadline ends the request's body by then.
func (w *handlerWriter) SetReadDeadline(t time.Time) error {
	if near := w.ofHandler(); near != nil {
		return near.SetReadDeadline(t)
	}
	w.reading.set(w, t, func() { w.body.Close() })
	return nil
}

// readLate reports whether the time for reading has passed.
func (w *handlerWriter) readLate() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reading.passed
}
