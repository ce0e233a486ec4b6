package shell

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func words(t testing.TB, line string) []string {
	t.Helper()
	split, err := Split(line)
	require.NoError(t, err, line)
	var out []string
	for _, w := range split {
		text := w.Text
		if w.Operator {
			text = "op" + text
		}
		out = append(out, text)
	}
	return out
}

func TestSplit(t *testing.T) {
	t.Parallel()
	for line, want := range map[string][]string{
		"":                                 nil,
		"  a\tb  ":                         {"a", "b"},
		`'a b'c"d e"f\ g`:                  {"a bcd ef g"},
		`'' "" $''`:                        {"", "", ""},
		`"\$ \" \\ \a \` + "\n" + `x"`:     {`$ " \ \a x`},
		"a \\\n  b \\\r\n c":               {"a", "b", "c"},
		"a\\\nb":                           {"ab"},
		"\n\r\n a b\n\n # end \n":          {"a", "b"},
		`$'a\'b\n\x41\101\u00e9\U1F600\e'`: {"a'b\nAAé😀\x1b"},
		`$'\cA\q\x'`:                       {"\x01\\q\\x"},
		`$"text"`:                          {"text"},
		`a#b # c`:                          {"a#b"},
		`a # c` + "\n":                     {"a"},
		`a|b>c`:                            {"a", "op|", "b", "op>", "c"},
		`'|' \| "&"`:                       {"|", "|", "&"},
		`$ a$ $= "5$"`:                     {"$", "a$", "$=", "5$"},
		`~ *.go {a,b} [x] !`:               {"~", "*.go", "{a,b}", "[x]", "!"},
		`\`:                                {`\`},
	} {
		require.Equal(t, want, words(t, line), line)
	}
}

func TestSplit_errors(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		`a 'b`:        "at byte 2: a single quote that is not closed",
		`"b`:          "a double quote that is not closed",
		`$'b`:         "a $' that is not closed",
		`$x`:          "to be substituted",
		`"${x}"`:      "to be substituted",
		"`id`":        "to be substituted",
		"\"`id`\"":    "to be substituted",
		`$(id)`:       "to be substituted",
		"a\x00b":      "NUL",
		"'\x00'":      "NUL",
		"\"\x00\"":    "NUL",
		"$'\x00'":     "NUL",
		`$'\0'`:       "NUL",
		`$'\x00'`:     "NUL",
		`$'\u0000'`:   "NUL",
		`$'\UFFFFFF'`: "stands for no character",
		`$'\ud800'`:   "stands for no character",
		"a\nb":        "a second command",
	} {
		_, err := Split(line)
		require.ErrorContains(t, err, want, line)
	}
}

// TestSplit_asTheShellsOfTheMachine compares with what real shells make of a line.
func TestSplit_asTheShellsOfTheMachine(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no POSIX shell")
	}
	lines := []string{
		`a 'b c' "d \" e" f\ g`, "a \\\n b", `'it'\''s' "\a\\"`, `a # b`, `a#b`, `"$" '$x' \$x`,
	}
	for name, more := range map[string][]string{
		"sh":   lines,
		"bash": append(lines, `$'a\'b\n\x41\101\u00e9\e\cB\q'`, `$'\x4142'`, `$'\1012'`, `$"a"`, `$'\"\?\a\b\f\v'`),
	} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		for _, line := range more {
			cmd := exec.CommandContext(t.Context(), path, "-c", `printf '%s\1' `+line)
			cmd.Env = []string{"LC_ALL=C.UTF-8"}
			out, err := cmd.Output()
			require.NoError(t, err, line)
			require.Equal(t, strings.Split(strings.TrimSuffix(string(out), "\x01"), "\x01"), words(t, line), "%s: %s", name, line)
		}
	}
}

func TestPercentB_asPrintfDoes(t *testing.T) {
	t.Parallel()
	data := make([]byte, 0, 512)
	for i := range 256 {
		data = append(data, byte(i), '7')
	}
	quoted := QuotePercentB(data)
	back, err := PercentB(words(t, quoted)[0])
	require.NoError(t, err)
	require.Equal(t, data, back)
	if path, err := exec.LookPath("sh"); err == nil {
		out, err := exec.CommandContext(t.Context(), path, "-c", "printf '%b' "+quoted).Output()
		require.NoError(t, err)
		require.Equal(t, data, out)
	}
	_, err = PercentB(`\c`)
	require.Error(t, err)
}

// FuzzShell checks that what is quoted comes back, and that nothing makes Split panic.
func FuzzShell(f *testing.F) {
	f.Add(`it's "a" $x`, []byte("\x00\\0"))
	f.Add("$'\\x", []byte("\\\\"))
	f.Fuzz(func(t *testing.T, line string, data []byte) {
		if _, err := Split(line); err != nil {
			require.NotEmpty(t, err.Error())
		}
		if !strings.Contains(line, "\x00") {
			require.Equal(t, []string{line}, words(t, Quote(line)))
		}
		back, err := PercentB(words(t, QuotePercentB(data))[0])
		require.NoError(t, err)
		require.Equal(t, string(data), string(back))
	})
}
