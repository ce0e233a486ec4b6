// Package netrc reads the files in which ftp, curl and others look up a login and
// a password by the name of a machine.
//
// There is no standard for them; this is what the programs agree on. A file is a
// list of words with white space between. "machine NAME" or "default" begins an
// entry, "login", "password" and "account" with a word each belong to it, "user"
// is another word for login, "macdef NAME" begins a macro that ends with an empty
// line and is skipped. Where one of these words, in any case, is expected, a '#'
// begins a comment up to the end of the line; where a value is expected it is part
// of the value. A value in double quotes may hold spaces, and in it \n, \r and \t
// stand for control characters, and a backslash before any other character for
// that character. Outside quotes a backslash is a backslash.
//
// A mistake spoils the entry that it is in, not the file: reading goes on at the
// next line that begins with machine or default. A spoiled entry gives no
// credentials.
package netrc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/seed-0474a412/parley/internal/urls"
)

// maxFileBytes bounds a file, which is held in memory; those of people have a few
// hundred bytes.
const maxFileBytes = 1 << 20

// Entry is what a file says of a machine. It is self-contained: nothing is taken
// from another entry.
type Entry struct {
	Machine  string // as the file writes it; "" for the default entry
	Login    string
	Password string
	Line     int   // where the entry begins, from 1
	Err      error // why it gives no credentials; nil: login and password are there
}

// Format prints machine and line for all verbs.
func (e Entry) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "<netrc entry %q of line %d>", e.Machine, e.Line)
}

// File is a file that has been read. It does not change.
type File struct {
	path     string
	exposed  bool
	machines map[string][]Entry // by canonical host, in the file's order
	fallback *Entry             // nil: none
}

// Format prints the path for all verbs.
func (f *File) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "<netrc file %q>", f.path) }

var (
	errNotRegular = errors.New("not a regular file")
	errTooLarge   = errors.New("larger than 1 MiB")
)

// Load reads the file at path; the null device is an empty file. Its errors are
// about the file as a whole and name it; mistakes in entries are theirs.
func Load(path string) (*File, error) {
	if path == os.DevNull {
		return Parse(path, nil), nil
	}
	f, err := load(path)
	if err != nil {
		return nil, fmt.Errorf("netrc file %q: %w", path, reason(err))
	}
	return f, nil
}

func load(path string) (*File, error) {
	// Opening a pipe would wait for its writer.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() // only read
	if info, err = file.Stat(); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFileBytes {
		return nil, errTooLarge
	}
	f := Parse(path, data)
	f.exposed = runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0
	return f, nil
}

// reason leaves out the path of an error that names it.
func reason(err error) error {
	if e := (*os.PathError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// Parse reads what a file holds; path is for errors. It accepts anything.
func Parse(path string, data []byte) *File {
	f := &File{path: path, machines: make(map[string][]Entry)}
	for _, e := range parse(path, data) {
		switch {
		case e.isDefault:
			if f.fallback == nil {
				f.fallback = &e.Entry
			}
		default:
			// What is no host is nobody's entry.
			if host, err := urls.CanonicalHost(e.Machine); err == nil {
				f.machines[host] = append(f.machines[host], e.Entry)
			}
		}
	}
	return f
}

// Path gives the path as it was given.
func (f *File) Path() string { return f.path }

// Exposed reports whether other users of the system than the file's owner may read
// or write it. It is always false on Windows, whose modes say nothing of that.
func (f *File) Exposed() bool { return f.exposed }

// Lookup gives the entry of a host, which is compared in its canonical form,
// without a port. With a login only an entry of that login counts. The first entry
// that can be used comes before those that cannot; where there are only such, it
// is one with Err set. ok is false where the file says nothing of the host.
func (f *File) Lookup(host, login string) (e Entry, ok bool) {
	host, err := urls.CanonicalHost(host)
	if err != nil {
		return Entry{}, false
	}
	for _, candidate := range f.machines[host] {
		switch {
		case login != "" && candidate.Login != login && (candidate.Err == nil || candidate.Login != ""):
		case candidate.Err == nil:
			return candidate, true
		case !ok:
			e, ok = candidate, true
		}
	}
	return e, ok
}

// Default gives the default entry.
func (f *File) Default() (e Entry, ok bool) {
	if f.fallback == nil {
		return Entry{}, false
	}
	return *f.fallback, true
}

// Empty reports whether the file has no entry for any machine.
func (f *File) Empty() bool { return len(f.machines) == 0 }
