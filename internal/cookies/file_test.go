package cookies

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

// format is one of the two kinds of file.
type format struct {
	name  string
	write func(io.Writer, []Cookie) error
	read  func(*Store, io.Reader, time.Time) ([]error, error)
}

var formats = []format{
	{"JSON", WriteJSON, (*Store).ReadJSON},
	{"Netscape", WriteNetscape, (*Store).ReadNetscape},
}

func (f format) text(t testing.TB, s *Store) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, f.write(&b, s.All(noon, nil)))
	return b.String()
}

// variety is a store with cookies of all kinds.
func variety(t testing.TB) *Store {
	s := NewStore(roomy)
	printable := make([]byte, 0, 256)
	for c := ' '; c <= '~'; c++ {
		if c != ';' {
			printable = append(printable, byte(c))
		}
	}
	for i, line := range []string{
		"plain=1", "domain=1; Domain=a.test", "ends=1; Max-Age=100", "flags=1; Secure; HttpOnly; SameSite=Lax; Path=/x y",
		"empty=", "=nameless", "printable=x" + string(printable) + "x", "\xc3\xa9\xff=\xff\xfe", "u=\u00e9 \u2028 <&>", `q="quoted"`,
		"l=" + strings.Repeat("x", 4095), "#HttpOnly_=1", "date=1; Expires=Tue, 02 Jun 2026 12:00:00 GMT",
	} {
		require.NoError(t, set(t, s, "https://www.a.test/p/q", line, noon.Add(time.Duration(i)*time.Millisecond)), line)
	}
	require.NoError(t, set(t, s, "https://[fe80::1%25eth0]/", "six=1", noon))
	require.NoError(t, set(t, s, "https://10.0.0.1/", "four=1", noon))
	require.NoError(t, set(t, s, "https://b\u00fccher.example.co.uk/", "i=1", noon))
	return s
}

func TestFiles_areSymmetric(t *testing.T) {
	for _, f := range formats {
		t.Run(f.name, func(t *testing.T) {
			s, soon := variety(t), noon.Add(time.Second)
			text := f.text(t, s)
			again := NewStore(roomy)
			for _, r := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text)), iotest.DataErrReader(strings.NewReader(text))} {
				again.Clear()
				s := variety(t) // asking for a header uses cookies
				bad, err := f.read(again, r, soon)
				require.NoError(t, err)
				require.Empty(t, bad)
				again.check(t)
				want, got := listed(s, soon), listed(again, soon)
				if f.name == "Netscape" { // which has no place for these
					for i := range want {
						want[i].SameSite, want[i].Created, want[i].Accessed = 0, time.Time{}, time.Time{}
						got[i].Created, got[i].Accessed = time.Time{}, time.Time{}
						want[i].Expires = want[i].Expires.Add(time.Second - 1).Truncate(time.Second)
						if s := listed(s, soon)[i]; s.Expires.IsZero() {
							want[i].Expires = time.Time{}
						}
					}
				}
				require.Equal(t, want, got)
				for _, url := range []string{"https://www.a.test/x y/", "https://www.a.test/p/z", "https://x.www.a.test/", "https://10.0.0.1/"} {
					require.Equal(t, header(t, s, url, soon), header(t, again, url, soon), "and are sent in the same order")
				}
			}
		})
	}
}

func TestFiles_cutShortAnywhereStoreNothing(t *testing.T) {
	for _, f := range formats {
		for _, cookies := range []int{0, 2} {
			full := NewStore(roomy)
			for i := range cookies {
				require.NoError(t, set(t, full, "http://a.test/", fmt.Sprintf("c%d=12", i), noon))
			}
			text := f.text(t, full)
			for n := range len(text) {
				s := NewStore(roomy)
				require.NoError(t, set(t, s, "http://b.test/", "old=1", noon))
				before := listed(s, noon)
				bad, err := f.read(s, strings.NewReader(text[:n]), noon)
				require.Error(t, err, "%s cut after %q", f.name, text[:n])
				require.Empty(t, bad)
				if line := (*LineError)(nil); n > 0 {
					require.ErrorAs(t, err, &line)
					require.Contains(t, []int{strings.Count(text[:n], "\n"), strings.Count(text[:n], "\n") + 1}, line.Line, "%q", text[:n])
				}
				require.Equal(t, before, listed(s, noon))
			}
		}
	}
}

func TestFiles_failingReaders(t *testing.T) {
	boom := errors.New("boom")
	for _, f := range formats {
		s := variety(t)
		text := f.text(t, s)
		for _, n := range []int{0, 1, len(text) / 2, len(text)} {
			again := NewStore(roomy)
			_, err := f.read(again, io.MultiReader(strings.NewReader(text[:n]), iotest.ErrReader(boom)), noon)
			require.ErrorIs(t, err, boom, "%s after %d bytes", f.name, n)
			require.True(t, again.Empty())
		}
		require.ErrorIs(t, f.write(failingWriter{boom}, s.All(noon, nil)), boom)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestReadNetscape(t *testing.T) {
	const foreign = "# Netscape HTTP Cookie File\r\n\r\n# a comment\r\n#HttpOnly_a.test\tFALSE\t/\tFALSE\t0\th\t1\r\n" +
		".a.test\ttrue\t/\tTRUE\t1811851200.5\td\t2\r\na.test\tFALSE\t/\tFALSE\t\tnothing\r\n" +
		"a.test\tFALSE\t/\tFALSE\t100\tended\t1\n"
	s := NewStore(roomy)
	bad, err := s.ReadNetscape(strings.NewReader(foreign), noon)
	require.NoError(t, err)
	require.Empty(t, bad)
	require.Equal(t, "h=1; d=2; nothing=", header(t, s, "https://a.test/", noon))
	require.Equal(t, "d=2", header(t, s, "https://x.a.test/", noon))
	require.True(t, listed(s, noon)[1].HttpOnly)

	const good = "a.test\tFALSE\t/\tFALSE\t0\tgood%d\t1\n"
	for name, row := range map[string]struct {
		line string
		why  error
	}{
		"fields":              {"a.test\tFALSE\t/\tFALSE\t0", errFieldCount},
		"more fields":         {"a.test\tFALSE\t/\tFALSE\t0\tb\t1\t2", errFieldCount},
		"text":                {"broken", errFieldCount},
		"a flag":              {"a.test\tmaybe\t/\tFALSE\t0\tb\t1", errFlag},
		"an end":              {"a.test\tFALSE\t/\tFALSE\t-1\tb\t1", errEnds},
		"an end that is text": {"a.test\tFALSE\t/\tFALSE\tnever\tb\t1", errEnds},
		"a point alone":       {"a.test\tFALSE\t/\tFALSE\t.5\tb\t1", errEnds},
		"no host":             {"\tFALSE\t/\tFALSE\t0\tb\t1", errBadDomain},
		"a bad host":          {"a..test\tFALSE\t/\tFALSE\t0\tb\t1", errBadDomain},
		"a public suffix":     {".com\tTRUE\t/\tFALSE\t0\tb\t1", errPublic},
		"another":             {".co.uk\tTRUE\t/\tFALSE\t0\tb\t1", errPublic},
		"below an address":    {"10.0.0.1\tTRUE\t/\tFALSE\t0\tb\t1", errPublic},
		"no path":             {"a.test\tFALSE\t\tFALSE\t0\tb\t1", errBadPath},
		"a relative path":     {"a.test\tFALSE\tx\tFALSE\t0\tb\t1", errBadPath},
		"a control byte":      {"a.test\tFALSE\t/\tFALSE\t0\tb\tx\ry", errControl},
		"a semicolon":         {"a.test\tFALSE\t/\tFALSE\t0\tb\tx;y", errSeparator},
		"space":               {"a.test\tFALSE\t/\tFALSE\t0\tb\tx ", errSpaceAround},
		"a prefix":            {"a.test\tFALSE\t/\tFALSE\t0\t__Secure-b\t1", errSecureName},
		"too long a cookie":   {"a.test\tFALSE\t/\tFALSE\t0\tb\t" + strings.Repeat("x", 4096), errTooLong},
		"too long a line":     {"a.test\tFALSE\t/\tFALSE\t0\tb\t" + strings.Repeat("x", 1<<20), errLongRecord},
	} {
		s := NewStore(roomy)
		bad, err := s.ReadNetscape(strings.NewReader(fmt.Sprintf(good, 1)+row.line+"\n"+fmt.Sprintf(good, 2)), noon)
		require.NoError(t, err, name)
		require.Len(t, bad, 1, name)
		require.ErrorIs(t, bad[0], row.why, name)
		require.ErrorContains(t, bad[0], "line 2: ", name)
		require.Less(t, len(bad[0].Error()), 120, name)
		require.Equal(t, "good1=1; good2=1", header(t, s, "http://a.test/", noon), name)
	}
	_, err = s.ReadNetscape(strings.NewReader("x"+strings.Repeat("y", 1<<20)), noon)
	require.ErrorIs(t, err, errCutLine)
	bad, err = s.ReadNetscape(strings.NewReader(strings.Repeat("broken\n", 50)), noon)
	require.NoError(t, err)
	require.Len(t, bad, maxBadRecords+1)
	require.EqualError(t, bad[maxBadRecords], "and 30 more")
}

func TestReadJSON(t *testing.T) {
	file := func(records string) string {
		return "{\"version\":1,\n\"cookies\":[\n" + records + "\n],\n\"more\":{}}"
	}
	const good = `{"domain":"a.test","path":"/","name":"good","value":"1"}`
	for name, row := range map[string]struct {
		record string
		why    error
	}{
		"a field's type":     {`{"domain":1}`, errFields},
		"no object":          {`"x"`, errFields},
		"a time":             {`{"domain":"a.test","path":"/","name":"b","expires":"soon"}`, errFields},
		"no UTF-8":           {"{\"domain\":\"a.test\",\"path\":\"/\",\"name\":\"b\xff\"}", errNotUTF8},
		"nothing":            {`{}`, errBadDomain},
		"null":               {`null`, errBadDomain},
		"no path":            {`{"domain":"a.test","name":"b"}`, errBadPath},
		"a public suffix":    {`{"domain":"com","subdomains":true,"path":"/","name":"b"}`, errPublic},
		"CR LF":              {`{"domain":"a.test","path":"/","name":"b","value":"x\r\ny"}`, errControl},
		"a tab":              {`{"domain":"a.test","path":"/","name":"b","value":"x\ty"}`, errTab},
		"in bytes":           {`{"domain":"a.test","path":"/","name":"b","value_base64":"AA=="}`, errControl},
		"neither name":       {`{"domain":"a.test","path":"/"}`, errEmpty},
		"a prefix and a dot": {`{"domain":"a.test","subdomains":true,"path":"/","name":"__Host-b","secure":true}`, errHostName},
	} {
		s := NewStore(roomy)
		bad, err := s.ReadJSON(strings.NewReader(file(good+",\n"+row.record+",\n"+strings.Replace(good, "good", "too", 1))), noon)
		require.NoError(t, err, name)
		require.Len(t, bad, 1, name)
		require.ErrorIs(t, bad[0], row.why, name)
		require.ErrorContains(t, bad[0], "line 4: ", name)
		require.Equal(t, "good=1; too=1", header(t, s, "http://a.test/", noon), name)
		require.Empty(t, header(t, s, "http://x.a.test/", noon), "for the host only unless it says otherwise")
	}
	for name, row := range map[string]struct {
		text string
		line int
		why  error
	}{
		"another text":   {"cookies!", 1, errNotJSON},
		"a list":         {"[]", 1, errNotOurs},
		"no cookies":     {`{"version":1}`, 1, errNotOurs},
		"cookies null":   {`{"cookies":null}`, 1, errNotOurs},
		"another kind":   {`{"cookies":{}}`, 1, errNotOurs},
		"no number":      {`{"version":"1","cookies":[]}`, 1, errVersion},
		"a later format": {`{"version":2,"cookies":[]}`, 1, errVersion},
		"a comma":        {file(good + ",\n" + good + "\n" + good), 5, errNotJSON},
		"a text's end":   {file(good + ",\n{\"domain\":\"a\nb\"}"), 4, errNotJSON},
		"something more": {file(good) + "\n{}", 6, errTrailing},
		"a long record":  {file(good + ",\n{\"domain\":\"" + strings.Repeat("x", 1<<20) + "\"}"), 4, errLongRecord},
	} {
		s := NewStore(roomy)
		bad, err := s.ReadJSON(strings.NewReader(row.text), noon)
		require.ErrorIs(t, err, row.why, name)
		require.Empty(t, bad, name)
		line := (*LineError)(nil)
		require.ErrorAs(t, err, &line, name)
		require.Equal(t, row.line, line.Line, name)
		require.True(t, s.Empty(), name)
	}
	s := NewStore(roomy)
	bad, err := s.ReadJSON(strings.NewReader(strings.ReplaceAll(file(good+","+good), "\n", "")), noon)
	require.NoError(t, err, "written on one line")
	require.Empty(t, bad)
}

func TestFiles_loadingKeepsTheLimitsAndTheOrderOfUse(t *testing.T) {
	full := NewStore(roomy)
	for i := range 4000 {
		require.NoError(t, set(t, full, fmt.Sprintf("http://%d.test/", i%2000), fmt.Sprintf("c%d=1", i), noon.Add(time.Duration(i))))
	}
	header(t, full, "http://0.test/", noon.Add(5000))
	s := NewStore(Limits{CookieBytes: 4096, PerDomain: 180, Total: 3, HeaderBytes: -1})
	require.NoError(t, set(t, s, "http://old.test/", "old=1", noon.Add(-time.Hour)))
	bad, err := s.ReadJSON(strings.NewReader(formats[0].text(t, full)), noon.Add(6000))
	require.NoError(t, err)
	require.Empty(t, bad)
	s.check(t)
	require.Equal(t, 3, s.Len(noon.Add(6000)))
	require.Equal(t, "c0=1; c2000=1", header(t, s, "http://0.test/", noon.Add(6000)))
	require.Equal(t, "c3999=1", header(t, s, "http://1999.test/", noon.Add(6000)))
}

func fuzzFile(f *testing.F, form format, seeds ...string) {
	f.Add(form.text(f, variety(f)))
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := NewStore(roomy)
		_, err := form.read(s, strings.NewReader(text), noon)
		if err != nil {
			require.True(t, s.Empty())
			return
		}
		s.check(t)
		again := NewStore(roomy)
		bad, err := form.read(again, strings.NewReader(form.text(t, s)), noon)
		require.NoError(t, err)
		require.Empty(t, bad, "what was loaded and saved loads again")
		require.Equal(t, form.text(t, s), form.text(t, again))
	})
}

func FuzzReadJSON(f *testing.F) {
	fuzzFile(f, formats[0], `{"cookies":[]}`, `{"cookies":[{"domain":"a.test","path":"/","name_base64":"/w==","expires":"2026-12-31T00:00:00+01:00"}]}`)
}

func FuzzReadNetscape(f *testing.F) {
	fuzzFile(f, formats[1], "# Netscape HTTP Cookie File\n.a.test\tTRUE\t/\tFALSE\t99999999999\tb\t1\n", "a.test\tFALSE\t/\tTRUE\t0.5\tb\r\n")
}
