// Package partial keeps files that are not complete yet beside the place where they are
// to stand: they are moved there in one step once they are, and can be taken up again by
// another process. It knows nothing of where their content comes from.
//
// For a file NAME there are .NAME.TOKEN.part, which holds the content, is locked while
// somebody writes to it and can be read by its owner alone, and .NAME.TOKEN.part.json,
// which says what it is a part of. TOKEN is random.
package partial

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"unicode/utf8"
)

const (
	suffix      = ".part"
	noteSuffix  = ".json"
	maxPrefix   = 120     // bytes of the file's name in those of its parts
	maxNote     = 1 << 20 // bytes
	noteVersion = 1
)

// Note says what a file is a part of.
type Note struct {
	// Key names what is fetched and for which file. A file with another one is not taken up.
	Key string `json:"key"`
	// ETag and Modified tell one state of it from another, Modified where there is no ETag.
	// Without either nothing is taken up.
	ETag     string `json:"etag,omitempty"`
	Modified string `json:"modified,omitempty"`
	// Total is its length, less than zero if that is not known.
	Total int64 `json:"total"`
}

// Resumable reports whether it can be told what the parts are parts of.
func (n Note) Resumable() bool { return n.ETag != "" || n.Modified != "" }

// record is a Note as it is stored.
type record struct {
	Version int `json:"version"`
	Note
	Scattered bool        `json:"scattered,omitempty"` // it is Done that says what is there, else the file's size
	Done      []Span      `json:"done,omitempty"`
	Mode      fs.FileMode `json:"mode"` // that the user's new files have
}

// Dir is a directory in which files are made. It is safe for concurrent use.
type Dir struct {
	root   *os.Root
	shared bool // anybody may write to it
}

// OpenDir opens a directory.
func OpenDir(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	info, err := root.Stat(".")
	if err != nil {
		root.Close()
		return nil, err
	}
	return &Dir{root, info.Mode().Perm()&0o002 != 0}, nil
}

// Close closes the directory. Its files stay usable, but for being committed or discarded.
func (d *Dir) Close() error { return d.root.Close() }

// Exists reports whether there is anything of that name.
func (d *Dir) Exists(name string) (bool, error) {
	_, err := d.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Find looks for a part of the file name that was left behind by somebody with the same
// key, nil if there is none: one that is the user's own, that nobody else has access to,
// and that nobody is writing to. Nothing is looked for in a directory that anybody may
// write to. What else was left behind with this key is removed.
func (d *Dir) Find(name, key string) (*File, error) {
	if d.shared {
		return nil, nil
	}
	names, err := d.list(prefixOf(name))
	if err != nil {
		return nil, err
	}
	var found *File
	for _, part := range names {
		f := d.take(part, key)
		switch {
		case f == nil:
		case found == nil:
			f.name = name
			found = f
		default:
			if err := f.Discard(); err != nil {
				found.file.Close()
				return nil, err
			}
		}
	}
	return found, nil
}

// list gives the names of parts.
func (d *Dir) list(prefix string) ([]string, error) {
	dir, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var out []string
	for {
		names, err := dir.Readdirnames(1000)
		for _, n := range names {
			token, ok := strings.CutPrefix(n, prefix)
			if token, isPart := strings.CutSuffix(token, suffix); ok && isPart && len(token) == tokenLen {
				out = append(out, n)
			}
		}
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// take opens a part, nil if it is not one to be taken up.
func (d *Dir) take(part, key string) *File {
	file := d.openOwn(part, os.O_RDWR)
	if file == nil {
		return nil
	}
	f := &File{dir: d, part: part, file: file}
	if !lock(file) || !f.readNote() || f.note.Key != key {
		file.Close()
		return nil
	}
	// Whoever had it may have moved or removed it before the lock was taken.
	if info, err := d.root.Lstat(part); err != nil || !sameFile(info, file) {
		file.Close()
		return nil
	}
	return f
}

func sameFile(info fs.FileInfo, file *os.File) bool {
	own, err := file.Stat()
	return err == nil && os.SameFile(info, own)
}

// openOwn opens a file that is the user's own and nobody else's, nil if it is not.
func (d *Dir) openOwn(name string, flag int) *os.File {
	info, err := d.root.Lstat(name)
	if err != nil || !info.Mode().IsRegular() || !owned(info) {
		return nil
	}
	file, err := d.root.OpenFile(name, flag, 0)
	if err != nil {
		return nil
	}
	if !sameFile(info, file) {
		file.Close()
		return nil
	}
	return file
}

const tokenLen = 26 // of rand.Text

func prefixOf(name string) string {
	if len(name) > maxPrefix {
		name = name[:maxPrefix]
		for !utf8.ValidString(name) && name != "" {
			name = name[:len(name)-1]
		}
	}
	return "." + name + "."
}

// Create begins a file.
func (d *Dir) Create(name string, note Note) (*File, error) {
	part := prefixOf(name) + rand.Text() + suffix
	file, err := d.root.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	f := &File{dir: d, name: name, part: part, file: file, note: record{Version: noteVersion, Note: note}}
	lock(file) // where files cannot be locked none is found
	if err := f.writeNote(); err != nil {
		return nil, errors.Join(err, f.Discard())
	}
	return f, nil
}

// File is one that is not complete. Its methods are safe for concurrent use, but for
// those that end it: Commit, Keep and Discard.
type File struct {
	dir  *Dir
	name string
	part string
	file *os.File

	mu   sync.Mutex
	note record
}

// Note gives what the file is a part of.
func (f *File) Note() Note {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.note.Note
}

// WriteAt writes content.
func (f *File) WriteAt(p []byte, at int64) (int, error) { return f.file.WriteAt(p, at) }

// ReadAt reads content.
func (f *File) ReadAt(p []byte, at int64) (int, error) { return f.file.ReadAt(p, at) }

// Size is how many bytes the file has, gaps included.
func (f *File) Size() (int64, error) {
	info, err := f.file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Missing gives what is missing of total bytes. total is less than zero if it is not
// known; the last span then has no end.
func (f *File) Missing(total int64) ([]Span, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	done := f.note.Done
	if !f.note.Scattered {
		info, err := f.file.Stat()
		if err != nil {
			return nil, err
		}
		if done = nil; info.Size() > 0 {
			done = []Span{{0, info.Size()}}
		}
	}
	if total < 0 {
		at := int64(0)
		if len(done) > 0 {
			at = done[len(done)-1].To
		}
		return []Span{{at, -1}}, nil
	}
	if !valid(done, total) {
		return []Span{{0, total}}, nil
	}
	return gaps(done, total), nil
}

// Scatter says that from here on spans are written in any order, and told of by Have.
func (f *File) Scatter() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.note.Scattered {
		return nil
	}
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	if f.note.Scattered = true; info.Size() > 0 {
		f.note.Done = []Span{{0, info.Size()}}
	}
	return f.writeNote()
}

// Have notes that a span has been written.
func (f *File) Have(s Span) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.note.Scattered {
		return nil
	}
	f.note.Done = merged(append(f.note.Done, s))
	return f.writeNote()
}

// Restart begins anew with a file that is another one.
func (f *File) Restart(note Note) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	// The note comes first: without it, what is there is nothing to go by.
	f.note = record{Version: noteVersion, Note: note, Scattered: true, Mode: f.note.Mode}
	if err := f.writeNote(); err != nil {
		return err
	}
	if err := f.file.Truncate(0); err != nil {
		return err
	}
	f.note.Scattered = false
	return f.writeNote()
}

// writeNote stores the note. A reader finds the old one or the new one.
func (f *File) writeNote() error {
	name := f.part + noteSuffix
	fresh := name + ".new"
	const flag, open = os.O_WRONLY | os.O_CREATE | os.O_EXCL, 0o666
	file, err := f.dir.root.OpenFile(fresh, flag, open)
	if errors.Is(err, fs.ErrExist) { // left behind: the part is locked, and its name nobody else's
		if err = f.dir.root.Remove(fresh); err == nil {
			file, err = f.dir.root.OpenFile(fresh, flag, open)
		}
	}
	if err != nil {
		return err
	}
	if err = errors.Join(f.fillNote(file), file.Close()); err != nil {
		return err
	}
	return f.dir.root.Rename(fresh, name)
}

// fillNote writes the note to a new file. Which rights that has shows those that the user
// lets new files have: there is no other way to ask for them without changing them.
func (f *File) fillNote(file *os.File) error {
	if f.note.Mode == 0 {
		info, err := file.Stat()
		if err != nil {
			return err
		}
		f.note.Mode = info.Mode().Perm()
	}
	if err := file.Chmod(0o600); err != nil {
		return err
	}
	b, err := json.Marshal(&f.note)
	if err != nil {
		return err
	}
	_, err = file.Write(b)
	return err
}

func (f *File) readNote() bool {
	file := f.dir.openOwn(f.part+noteSuffix, os.O_RDONLY)
	if file == nil {
		return false
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxNote))
	if err != nil {
		return false
	}
	return json.Unmarshal(b, &f.note) == nil && f.note.Version == noteVersion && f.note.Resumable()
}

// Commit moves the file, which is complete, to its place: in one step, and after its
// content has reached the disk. If replace is false and something stands there already it
// fails, matching [fs.ErrExist]. After a failure the file can be kept or discarded.
func (f *File) Commit(replace bool) error {
	if err := f.file.Sync(); err != nil {
		return err
	}
	if err := f.file.Chmod(f.note.Mode.Perm()); err != nil {
		return err
	}
	if err := f.move(replace); err != nil {
		return errors.Join(err, f.file.Chmod(0o600))
	}
	return errors.Join(f.file.Close(), f.dir.remove(f.part+noteSuffix), f.dir.sync())
}

func (f *File) move(replace bool) error {
	root := f.dir.root
	if replace {
		return root.Rename(f.part, f.name)
	}
	err := root.Link(f.part, f.name) // fails if there is something
	switch {
	case err == nil:
		return root.Remove(f.part)
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s: %w", f.name, fs.ErrExist)
	}
	// Some file systems have no links.
	if there, err := f.dir.Exists(f.name); err != nil || there {
		return errors.Join(err, fmt.Errorf("%s: %w", f.name, fs.ErrExist))
	}
	return root.Rename(f.part, f.name)
}

// sync lets the directory reach the disk, where that can be asked for.
func (d *Dir) sync() error {
	dir, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil && !errors.Is(err, fs.ErrInvalid) && !errors.Is(err, errors.ErrUnsupported) && !unsynced(err) {
		return err
	}
	return nil
}

// Keep leaves the file to whoever takes it up again, or discards it if nobody can.
func (f *File) Keep() error {
	f.mu.Lock()
	resumable := f.note.Resumable()
	f.mu.Unlock()
	if !resumable || f.dir.shared {
		return f.Discard()
	}
	unlock(f.file)
	return f.file.Close()
}

// Discard removes the file.
func (f *File) Discard() error {
	return errors.Join(f.dir.root.Remove(f.part), f.dir.remove(f.part+noteSuffix), f.file.Close())
}

// remove removes a file that somebody else may have removed.
func (d *Dir) remove(name string) error {
	if err := d.root.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
