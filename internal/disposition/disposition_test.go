package disposition

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestFilename(t *testing.T) {
	for name, row := range map[string]struct{ header, want string }{
		"none":                                {`attachment`, ""},
		"empty":                               {``, ""},
		"a token":                             {`attachment; filename=a.txt`, "a.txt"},
		"a quoted string":                     {`attachment; filename="a b;c.txt"`, "a b;c.txt"},
		"the name in capitals":                {`ATTACHMENT; FILENAME="a"`, "a"},
		"inline has one too":                  {`inline; filename=a`, "a"},
		"spaces round the equals sign":        {`attachment; filename = "a"`, "a"},
		"spaces without quotes":               {`attachment; filename=my file.txt ; x=y`, "my file.txt"},
		"an escaped quote":                    {`attachment; filename="a\"b\\c"`, `a"b\c`},
		"a path of a machine":                 {`attachment; filename="C:\temp\a.txt"`, `C:\temp\a.txt`},
		"a quote that is not closed":          {`attachment; filename="a`, "a"},
		"the extended form wins, wherever":    {`attachment; filename*=UTF-8''%e2%82%ac.txt; filename=e.txt`, "€.txt"},
		"also after the plain one":            {`attachment; filename=e.txt; filename*=utf-8'de'%e2%82%ac.txt`, "€.txt"},
		"extended in ISO-8859-1":              {`attachment; filename*=ISO-8859-1''na%EFve`, "naïve"},
		"a broken extended form is left":      {`attachment; filename*=UTF-8''%zz; filename=b`, "b"},
		"one of another charset is left":      {`attachment; filename*=koi8-r''%c1; filename=b`, "b"},
		"UTF-8 as it is":                      {"attachment; filename=\"na\u00efve\"", "naïve"},
		"ISO-8859-1 as it is":                 {"attachment; filename=\"na\xefve\"", "naïve"},
		"percent signs of the plain one stay": {`attachment; filename="a%20b"`, "a%20b"},
		"the first counts":                    {`attachment; filename=a; filename=b`, "a"},
		"a parameter without a value":         {`attachment; x; filename=a`, "a"},
		"a longer name of a parameter":        {`attachment; xfilename=b; filename=a`, "a"},
		"in another parameter's quotes":       {`attachment; x="; filename=b"; filename=a`, "a"},
		"too long to be looked at":            {`attachment; filename=` + strings.Repeat("a", maxHeader), ""},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, row.want, Filename(row.header)) })
	}
}

func TestSafe(t *testing.T) {
	long := strings.Repeat("ä", 200)
	for name, row := range map[string]struct{ given, want string }{
		"a usual name":                  {"report 2026 (final).tar.gz", "report 2026 (final).tar.gz"},
		"other scripts":                 {"отчёт-報告.pdf", "отчёт-報告.pdf"},
		"nothing":                       {"", ""},
		"a climbing path":               {"../../x", "x"},
		"an absolute path":              {"/etc/passwd", "passwd"},
		"a path of Windows":             {`..\x`, "x"},
		"a drive":                       {`C:x`, "C_x"},
		"a stream of NTFS":              {"a.txt:b", "a.txt_b"},
		"a path that ends":              {"x/", ""},
		"a hidden file":                 {".bashrc", "bashrc"},
		"dots alone":                    {"...", ""},
		"dots and spaces at the end":    {"a. . ", "a"},
		"a NUL":                         {"a\x00b", "ab"},
		"line ends":                     {"a\r\nb", "ab"},
		"a name that reads backwards":   {"a\u202efdp.exe", "afdp.exe"},
		"invisible characters":          {"a\u200bb\ufeff", "ab"},
		"what is no UTF-8":              {"a\xffb", "ab"},
		"what Windows refuses":          {`a<b>c"d|e?f*g`, "a_b_c_d_e_f_g"},
		"a device":                      {"CON", "_CON"},
		"a device with an extension":    {"nul.tar.gz", "_nul.tar.gz"},
		"a device with a space":         {"aux .txt", "_aux .txt"},
		"a port":                        {"com1", "_com1"},
		"a port by a raised digit":      {"LPT²", "_LPT²"},
		"no device":                     {"console", "console"},
		"no port":                       {"com10", "com10"},
		"a long name keeps its end":     {long + ".tar.gz", strings.Repeat("ä", 98) + ".gz"},
		"a long name has no long end":   {"a." + strings.Repeat("b", 300), "a." + strings.Repeat("b", 197)},
		"a hidden file behind a device": {".con", "_con"},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, row.want, Safe(row.given)) })
	}
}

func TestFilename_isLinear(t *testing.T) {
	for _, header := range []string{
		strings.Repeat(";", 64<<10), "a;filename=" + strings.Repeat(`"`, 64<<10), `a;filename="` + strings.Repeat(`\`, 64<<10),
		"a;filename*=UTF-8''" + strings.Repeat("%41", 20<<10), "a;filename==?UTF-8?B?" + strings.Repeat("QUFB", 16<<10) + "?=",
		strings.Repeat("a;filename=\xa0,", 1000),
	} {
		began := time.Now()
		Safe(Filename(header))
		Safe(header)
		require.Less(t, time.Since(began), time.Second)
	}
}

func FuzzFilename(f *testing.F) {
	for _, seed := range []string{
		`attachment; filename="a\"b.txt"; filename*=UTF-8''%e2%82%ac`, "x;filename=../..", "a; filename=CON.", "\xff;filename=\xef",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		for _, given := range []string{Filename(header), header} {
			name := Safe(given)
			require.LessOrEqual(t, len(name), MaxName)
			require.True(t, utf8.ValidString(name))
			require.Equal(t, name, Safe(name), "what is safe stays")
			if name == "" {
				continue
			}
			require.True(t, filepath.IsLocal(name))
			require.Equal(t, name, filepath.Base(name))
			require.False(t, strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") || strings.HasSuffix(name, " "))
			require.NotContains(t, name, `\`)
			for _, r := range name {
				require.False(t, unicode.IsControl(r))
			}
		}
	})
}
