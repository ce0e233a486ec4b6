package parley

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"

	"github.com/seed-0474a412/parley/internal/netrc"
)

// NetrcAuth sends the login that a netrc file has for the machine of each request, as
// Basic credentials. path is the file, "" the one of the environment: what NETRC names,
// else .netrc in the home directory. With useDefault the default entry serves machines
// that have none of their own.
//
// The file is read once, here. One that is missing, larger than 1 MiB or readable by
// other users is an error. An entry with a mistake in it, or without a login or a
// password, gives no credentials, nor does one whose login is not the user that the URL
// of the request names. A session does the same by itself, but for the default entry:
// see [WithEnv].
func NetrcAuth(path string, useDefault bool) (Auth, error) {
	paths := []string{path}
	if path == "" {
		paths = netrcPaths()
	}
	err := failed("NetrcAuth: there is no home directory to look for .netrc in: give a path")
	for _, path := range paths {
		file, failure := netrc.Load(path)
		switch {
		case failure == nil && file.Exposed():
			return nil, failed("%s", exposedText(file))
		case failure == nil:
			return &netrcAuth{file: &netrcFile{file, useDefault}}, nil
		}
		err = failure
		if !errors.Is(failure, fs.ErrNotExist) {
			break
		}
	}
	return nil, err
}

// netrcAuth is a file that was given as an Auth.
type netrcAuth struct {
	file *netrcFile
	user string // that of the URL; "": any
}

func (a *netrcAuth) Send(ctx context.Context, req *Request, next Transport) (*Response, error) {
	found, err := a.file.login(req.URL, a.user)
	switch {
	case err != nil:
		return nil, buildError(req.Method, req.URL, err)
	case found == nil:
		return next.Send(ctx, req)
	}
	return found.Send(ctx, req, next)
}

// String names what it is.
func (a *netrcAuth) String() string { return "<netrc auth>" }

// Format names what it is for all verbs.
func (a *netrcAuth) Format(s fmt.State, verb rune) { printSafe(s, verb, a.String()) }

// netrcFile is where logins are looked up by machine.
type netrcFile struct {
	file       *netrc.File
	useDefault bool
}

func netrcPaths() []string {
	if path := os.Getenv("NETRC"); path != "" {
		return []string{path}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return nil
	}
	paths := []string{filepath.Join(home, ".netrc")}
	if runtime.GOOS == "windows" {
		paths = append(paths, filepath.Join(home, "_netrc"))
	}
	return paths
}

// auth gives the credentials for the machine of u, nil if there are none.
func (n *netrcFile) auth(u *url.URL) (Auth, error) {
	return n.login(u, "")
}

// login is auth for one login of the machine; "" for the first.
func (n *netrcFile) login(u *url.URL, login string) (Auth, error) {
	e, ok := n.file.Lookup(u.Hostname(), "")
	switch {
	case ok && login != "":
		e, ok = n.file.Lookup(u.Hostname(), login)
	case !ok && n.useDefault:
		if e, ok = n.file.Default(); login != "" && e.Login != login {
			ok = false
		}
	}
	if !ok || e.Err != nil {
		return nil, nil
	}
	if n.file.Exposed() {
		return nil, failed("%s, or send the request WithoutAuth or the session WithEnv(false)", exposedText(n.file))
	}
	a, err := BasicAuth(e.Login, e.Password)
	if err != nil {
		return nil, fmt.Errorf("netrc file %q, line %d: %w", n.file.Path(), e.Line, err)
	}
	return a, nil
}

func exposedText(file *netrc.File) string {
	return fmt.Sprintf("netrc file %q has logins but can be read by other users: make it private (chmod 600)", file.Path())
}
