package netrc

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const file = "/home/u/.netrc"

func TestLookup(t *testing.T) {
	good := func(login, password string) string { return login + " " + password }
	for name, row := range map[string]struct {
		text  string
		host  string // a.test where it is not given
		login string
		want  string // login and password; "": no entry; else a part of the error
	}{
		"on one line":                        {text: "machine a.test login u password p", want: good("u", "p")},
		"on several lines":                   {text: "machine a.test\n\tlogin u\n\tpassword p\n", want: good("u", "p")},
		"lines end with CR LF":               {text: "machine a.test\r\nlogin u\r\npassword p\r\n", want: good("u", "p")},
		"a byte order mark":                  {text: "\ufeffmachine a.test login u password p", want: good("u", "p")},
		"values on lines of their own":       {text: "machine\na.test\nlogin\nu\npassword\np", want: good("u", "p")},
		"account, and user for login":        {text: "machine a.test user u account x password p", want: good("u", "p")},
		"keywords in any case":               {text: "MACHINE a.test Login u PassWord p", want: good("u", "p")},
		"keywords as values":                 {text: "machine a.test login machine password default", want: good("machine", "default")},
		"a quoted keyword on the next line":  {text: "machine a.test login u password\n\"machine\"", want: good("u", "machine")},
		"the second entry":                   {text: "machine b.test login x password y\nmachine a.test login u password p", want: good("u", "p")},
		"the first of two":                   {text: "machine a.test login u password p\nmachine a.test login v password q", want: good("u", "p")},
		"no entry":                           {text: "machine b.test login u password p"},
		"not a host below":                   {text: "machine a.test login u password p", host: "sub.a.test"},
		"not a host above":                   {text: "machine sub.a.test login u password p"},
		"not the default entry":              {text: "default login u password p"},
		"an empty file":                      {},
		"case and trailing dot of the host":  {text: "machine a.test login u password p", host: "A.Test.", want: good("u", "p")},
		"case and trailing dot of the entry": {text: "machine A.TEST. login u password p", want: good("u", "p")},
		"an international name":              {text: "machine bücher.test login u password p", host: "xn--bcher-kva.test", want: good("u", "p")},
		"an IPv6 address":                    {text: "machine [::0:1] login u password p", host: "::1", want: good("u", "p")},
		"a port is no part of a machine":     {text: "machine a.test:80 login u password p"},
		"a port is no part of a host":        {text: "machine a.test login u password p", host: "a.test:80"},
		"a comment above":                    {text: "# machine b\nmachine a.test login u password p", want: good("u", "p")},
		"a comment behind":                   {text: "machine a.test # password x\nlogin u password p #password y", want: good("u", "p")},
		"a number sign in values":            {text: "machine a.test login #u password #p", want: good("#u", "#p")},
		"quotes":                             {text: `machine "a.test" login "u v" password "p \"\\\n\r\t\x#"`, want: good("u v", "p \"\\\n\r\tx#")},
		"an empty password in quotes":        {text: `machine a.test login u password ""`, want: good("u", "")},
		"quotes inside a word":               {text: `machine a.test login u"v" password p"`, want: good(`u"v"`, `p"`)},
		"a backslash outside quotes":         {text: `machine a.test login DOM\user password p\n`, want: good(`DOM\user`, `p\n`)},
		"a macro is skipped":                 {text: "machine a.test login u password p\nmacdef init\nmachine b.test password x\n\nmachine c.test login x password y", want: good("u", "p")},
		"an entry after a macro":             {text: "macdef init\nmachine a.test login x password x\n\nmachine a.test login u password p", want: good("u", "p")},
		"an entry inside a macro":            {text: "macdef init\nmachine a.test login u password p\n\n"},
		"a macro without end":                {text: "machine a.test login u password p\nmacdef init\nx", want: good("u", "p")},
		"a macro without name":               {text: "macdef\n\nmachine a.test login u password p", want: good("u", "p")},
		"a macro's empty line may end in CR": {text: "macdef init\r\nx\r\n\r\nmachine a.test login u password p", want: good("u", "p")},
		"with a login":                       {text: "machine a.test login x password y\nmachine a.test login u password p", login: "u", want: good("u", "p")},
		"with a login of nobody":             {text: "machine a.test login x password y", login: "u"},
		"with a login in other case":         {text: "machine a.test login U password y", login: "u"},
		"with a login, not the default":      {text: "default login u password y", login: "u"},
		"with a login of a broken entry":     {text: "machine a.test login u", login: "u", want: "line 1: the entry needs"},
		"with a login, other entries broken": {text: "machine a.test login x", login: "u"},
		"with a login, an entry without one": {text: "machine a.test password x", login: "u", want: "line 1: the entry needs"},
		"no password":                        {text: "machine a.test login u\nmachine b.test login x password y", want: "line 1: the entry needs"},
		"no login":                           {text: "machine a.test password p", want: "line 1: the entry needs"},
		"nothing at all":                     {text: "\n\nmachine a.test", want: "line 3: the entry needs"},
		"a complete entry before a broken one": {
			text: "machine a.test login u password p\nmachine a.test login v", want: good("u", "p")},
		"a complete entry after a broken one": {text: "machine a.test login v\nmachine a.test login u password p", want: good("u", "p")},
		"a value that the file ends before":   {text: "machine a.test login u password", want: "line 1: a value is missing"},
		"a login that the line ends before":   {text: "machine a.test login\npassword p", want: "line 1: a value is missing"},
		"a login that a machine follows": {
			text: "machine b.test login\nmachine a.test login u password p", want: good("u", "p")},
		"an unknown word":                   {text: "machine a.test login u\npassword two words", want: "line 2: expected"},
		"a port":                            {text: "machine a.test port 8080 login u password p", want: "line 1: expected"},
		"an unknown word, and an entry":     {text: "machine b.test x login y\nmachine a.test login u password p", want: good("u", "p")},
		"words of a broken entry":           {text: "machine b.test x password y machine a.test login u password p"},
		"a broken entry, then a macro":      {text: "machine b.test x\nmacdef m\nmachine a.test login u password p\n\n"},
		"a broken entry, then a comment":    {text: "machine b.test x\n#\nmachine a.test login u password p", want: good("u", "p")},
		"a keyword in quotes":               {text: `machine a.test login u "password" p`, want: "line 1: expected"},
		"two passwords":                     {text: "machine a.test login u password p\nmachin b.test\npassword q", want: "line 2: expected"},
		"two logins":                        {text: "machine a.test login u\nlogin v password q", want: "line 2: the entry has two"},
		"a quote without end":               {text: "machine a.test login u password \"p\nmachine b.test", want: "line 1: a quoted value"},
		"a quote without end, and an entry": {text: "machine b.test login \"\nmachine a.test login u password p", want: good("u", "p")},
		"a quote without end at the end":    {text: `machine a.test login u password "p\`, want: "line 1: a quoted value"},
		"a quote that goes on":              {text: `machine a.test login u password "p"q`, want: "line 1: a space"},
		"what belongs to no entry":          {text: "login u password p\nmachine a.test login u password p", want: good("u", "p")},
	} {
		t.Run(name, func(t *testing.T) {
			host := row.host
			if host == "" {
				host = "a.test"
			}
			e, ok := Parse(file, []byte(row.text)).Lookup(host, row.login)
			require.Equal(t, row.want != "", ok)
			switch {
			case !ok:
				require.Zero(t, e)
			case e.Err != nil:
				require.ErrorContains(t, e.Err, `netrc file "`+file+`", `)
				require.ErrorContains(t, e.Err, row.want)
				require.Empty(t, e.Password)
			default:
				require.Equal(t, row.want, e.Login+" "+e.Password)
			}
		})
	}
}

func TestDefault(t *testing.T) {
	_, ok := Parse(file, []byte("machine a.test login u password p")).Default()
	require.False(t, ok)
	f := Parse(file, []byte("machine a.test login x password y\ndefault login u password p\ndefault login v password q"))
	e, ok := f.Default()
	require.True(t, ok)
	require.Equal(t, Entry{Login: "u", Password: "p", Line: 2}, e)
	e, ok = Parse(file, []byte("machine a.test login u password p\ndefault")).Default()
	require.True(t, ok)
	require.ErrorIs(t, e.Err, errIncomplete)
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		require.NoError(t, os.Chmod(path, mode))
		return path
	}
	t.Run("a file of the owner's alone", func(t *testing.T) {
		path := write("netrc", "machine a.test login u password p", 0o600)
		f, err := Load(path)
		require.NoError(t, err)
		require.Equal(t, path, f.Path())
		require.False(t, f.Exposed())
		e, ok := f.Lookup("a.test", "")
		require.True(t, ok)
		require.Equal(t, Entry{Machine: "a.test", Login: "u", Password: "p", Line: 1}, e)
	})
	t.Run("others may read or write it", func(t *testing.T) {
		for _, mode := range []os.FileMode{0o640, 0o604, 0o644, 0o620} {
			f, err := Load(write("open", "", mode))
			require.NoError(t, err)
			require.Equal(t, runtime.GOOS != "windows", f.Exposed(), mode)
		}
	})
	t.Run("the null device", func(t *testing.T) {
		f, err := Load(os.DevNull)
		require.NoError(t, err)
		require.False(t, f.Exposed())
	})
	t.Run("missing", func(t *testing.T) {
		path := filepath.Join(dir, "none")
		_, err := Load(path)
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.Equal(t, 1, strings.Count(err.Error(), path), err)
	})
	t.Run("a directory", func(t *testing.T) {
		_, err := Load(dir)
		require.ErrorIs(t, err, errNotRegular)
	})
	t.Run("too large", func(t *testing.T) {
		_, err := Load(write("large", strings.Repeat("x", maxFileBytes+1), 0o600))
		require.ErrorIs(t, err, errTooLarge)
		f, err := Load(write("largest", strings.Repeat(" ", maxFileBytes), 0o600))
		require.NoError(t, err)
		_, ok := f.Default()
		require.False(t, ok)
	})
}

func TestNothingPrintsPasswords(t *testing.T) {
	f := Parse(file, []byte("machine a.test login u password SECRET\ndefault login u password SECRET"))
	e, ok := f.Lookup("a.test", "")
	require.True(t, ok)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
		text := fmt.Sprintf(verb, []any{e, &e, f})
		require.NotContains(t, text, "SECRET")
		require.NotContains(t, text, fmt.Sprintf("%x", "SECRET"))
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"machine a.test login u password p", "machine a login", "password", `machine a password "SECRET`, "macdef x", "macdef x\n\n",
		"default login \"a\\", "#", "\ufeffmachine\r\n", "machine a x\nmachine b login u password p\n#\n", "machine a login\nmachine",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		parsed := Parse(file, data)
		entries := parse(file, data)
		lines := strings.Count(string(data), "\n") + 1
		last := 0
		for _, e := range entries {
			require.True(t, e.Line >= max(last, 1) && e.Line <= lines)
			last = e.Line
			if e.Err != nil {
				require.Empty(t, e.Password)
				require.Less(t, len(e.Err.Error()), 300)
				continue
			}
			require.True(t, e.hasLogin && e.hasPassword)
			if found, ok := parsed.Lookup(e.Machine, ""); ok {
				require.NoError(t, found.Err, "a good entry is found before a broken one")
			}
		}
	})
}
