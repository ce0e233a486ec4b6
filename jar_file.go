package parley

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/seed-0474a412/parley/internal/cookies"
)

// Save writes all cookies to a file as JSON, those that end with the session included:
// [Jar.Load] gives the same jar again. The file takes the place of an older one in one
// step, so that there is a whole one at every moment, and can be read and written by
// its owner only. Something else than a regular file is not replaced, nor is a file
// that this jar could not load ([ErrCookieFile]): it may be worth repairing, and would
// be lost. Nothing is written to a file that cannot be written whole.
func (j *Jar) Save(path string) error { return j.save(path, j.WriteJSON) }

// SaveNetscape is [Jar.Save] in the format of cookies.txt, which curl and many others
// read. It keeps neither SameSite nor the times of making and use, and seconds only.
func (j *Jar) SaveNetscape(path string) error { return j.save(path, j.WriteNetscape) }

// Load adds the cookies of a file that [Jar.Save] wrote; they replace those of the same
// name, domain and path. What has ended is left out.
//
// A file that is damaged or was cut short matches [ErrCookieFile], and leaves the jar as
// it was. Of a file that is whole every record is looked at as if a server had set it:
// what is no cookie is left out, all others are stored, and the error names the lines
// and matches [ErrInvalidCookie]. Other errors are those of reading.
func (j *Jar) Load(path string) error { return j.load(path, j.ReadJSON) }

// LoadNetscape is [Jar.Load] for a cookies.txt. A last line without its end counts as
// cut short. A line that has not the form of a record is left out and named; it does
// not spoil the lines around it.
func (j *Jar) LoadNetscape(path string) error { return j.load(path, j.ReadNetscape) }

// WriteJSON writes what [Jar.Save] saves. Whoever can read it can act as the session's
// user.
func (j *Jar) WriteJSON(w io.Writer) error { return writeCookies(w, j.all(nil), cookies.WriteJSON) }

// WriteNetscape writes what [Jar.SaveNetscape] saves.
func (j *Jar) WriteNetscape(w io.Writer) error {
	return writeCookies(w, j.all(nil), cookies.WriteNetscape)
}

func writeCookies(w io.Writer, all []cookies.Cookie, write func(io.Writer, []cookies.Cookie) error) error {
	if err := write(w, all); err != nil {
		return fmt.Errorf("parley: write cookies: %w", err)
	}
	return nil
}

// ReadJSON adds the cookies that [Jar.WriteJSON] wrote, as [Jar.Load] does.
func (j *Jar) ReadJSON(r io.Reader) error {
	return cookieFileError(j.use().store.ReadJSON(r, time.Now()))
}

// ReadNetscape adds the cookies of a cookies.txt, as [Jar.LoadNetscape] does.
func (j *Jar) ReadNetscape(r io.Reader) error {
	return cookieFileError(j.use().store.ReadNetscape(r, time.Now()))
}

// cookieFileError gives what came of reading its kind.
func cookieFileError(bad []error, err error) error {
	switch damage := cookies.Damage(""); {
	case errors.As(err, &damage):
		return fmt.Errorf("parley: read cookies: %w", because(ErrCookieFile, err))
	case err != nil:
		return fmt.Errorf("parley: read cookies: %w", err)
	case len(bad) > 0:
		return fmt.Errorf("parley: read cookies: %w", because(ErrInvalidCookie, badRecords(bad)))
	}
	return nil
}

// badRecords is what is wrong with some records, on one line.
type badRecords []error

func (b badRecords) Error() string {
	text := ""
	for i, err := range b {
		if i > 0 {
			text += "; "
		}
		text += err.Error()
	}
	return text
}

func (b badRecords) Unwrap() []error { return b }

func (j *Jar) load(path string, read func(io.Reader) error) error {
	full, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("parley: load cookies: %w", err)
	}
	f, err := os.Open(path)
	if err == nil {
		err = read(f)
		if closed := f.Close(); err == nil && closed != nil {
			err = closed
		}
	}
	partly := errors.Is(err, ErrInvalidCookie) // all was read, and what is left out could not be kept anyway
	core := j.use()
	core.mu.Lock()
	defer core.mu.Unlock()
	if err == nil || partly || errors.Is(err, fs.ErrNotExist) {
		delete(core.damaged, full)
	} else {
		if core.damaged == nil {
			core.damaged = make(map[string]bool)
		}
		core.damaged[full] = true
	}
	if err != nil {
		return fmt.Errorf("parley: load cookies from %q: %w", path, err)
	}
	return nil
}

func (j *Jar) save(path string, write func(io.Writer) error) error {
	if err := j.mayReplace(path); err != nil {
		return fmt.Errorf("parley: save cookies to %q: %w", path, err)
	}
	if err := replaceFile(path, write); err != nil {
		return fmt.Errorf("parley: save cookies to %q: %w", path, err)
	}
	return nil
}

// mayReplace looks at what is where a file is to be saved.
func (j *Jar) mayReplace(path string) error {
	if path == "" {
		return errors.New("it needs the name of a file")
	}
	there, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !there.Mode().IsRegular():
		return errors.New("what is there is no regular file: give another name, or use WriteJSON or WriteNetscape")
	}
	full, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	core := j.use()
	core.mu.Lock()
	defer core.mu.Unlock()
	if core.damaged[full] {
		return because(ErrCookieFile, errors.New("it could not be loaded and would be lost: repair, move or remove it first"))
	}
	return nil
}

// replaceFile writes a file beside the one at path, and puts it in its place once it is
// whole and on the disk.
func replaceFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			// Of the failures the first one says what went wrong.
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	// CreateTemp asks for 0600, of which the umask may have taken more.
	if err := f.Chmod(0o600); err != nil {
		return err
	}
	if err := write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
