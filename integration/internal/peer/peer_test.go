package peer

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stranger is a test that does not end when it is told to, so that another can see
// what it was told.
type stranger struct {
	testing.TB
	failed, skipped string
}

func (s *stranger) Helper() {}

func (s *stranger) Fatalf(format string, args ...any) {
	s.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (s *stranger) Skip(args ...any) {
	s.skipped = fmt.Sprint(args...)
	runtime.Goexit()
}

func startElsewhere(p Program) *stranger {
	s := &stranger{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		Start(s, p)
	}()
	<-done
	return s
}

func TestAMissingProgram(t *testing.T) {
	missing := Program{Command: "parley-has-no-such-program", Package: "such"}
	t.Run("is a reason to skip", func(t *testing.T) {
		t.Setenv(Required, "")
		s := startElsewhere(missing)
		require.Contains(t, s.skipped, "apt-get install --no-install-recommends such")
		require.Empty(t, s.failed)
	})
	t.Run("is a failure where programs are required", func(t *testing.T) {
		t.Setenv(Required, "1")
		s := startElsewhere(missing)
		require.Contains(t, s.failed, "parley-has-no-such-program is not installed")
		require.Empty(t, s.skipped)
	})
}

func TestAProgramThatEndsAtOnceShowsItsLogs(t *testing.T) {
	s := startElsewhere(Program{
		Command: "sh",
		Args:    []string{"-c", "echo to the error output >&2; echo to a log > some.log; exit 3 # {{port \"main\"}}"},
	})
	require.Contains(t, s.failed, "exit status 3")
	require.Contains(t, s.failed, "to the error output")
	require.Contains(t, s.failed, "to a log")
}

func TestAPortThatIsTakenIsAReasonToTryOthers(t *testing.T) {
	s := startElsewhere(Program{
		Command: "sh",
		Args:    []string{"-c", "echo 'bind() to {{port \"main\"}}: Address already in use'; exit 1"},
	})
	require.Contains(t, s.failed, errPortTaken.Error())
}

func TestTemplates(t *testing.T) {
	p := &Peer{dir: t.TempDir(), ports: make(map[string]int)}
	args, err := p.prepare(Program{
		Args:   []string{`{{dir}}/x`, `{{port "a"}}`, `{{port "b"}}`, `{{.Name}}`},
		Files:  map[string]string{"in/a.conf": `listen {{port "a"}}`},
		Values: map[string]string{"Name": "tea"},
	})
	require.NoError(t, err)
	require.Equal(t, []string{p.dir + "/x", fmt.Sprint(p.Port("a")), fmt.Sprint(p.Port("b")), "tea"}, args)
	require.NotEqual(t, p.Port("a"), p.Port("b"))
	l, err := net.Listen("tcp", p.Addr("a"))
	require.NoError(t, err, "the port is free again")
	require.NoError(t, l.Close())

	_, err = p.prepare(Program{Args: []string{"{{.Nothing}}"}, Values: map[string]string{}})
	require.ErrorContains(t, err, "Nothing")
}

func TestLinesAreThoseThatAreComplete(t *testing.T) {
	p := &Peer{dir: t.TempDir()}
	require.Empty(t, p.Lines(t, "access.log"))
	require.NoError(t, p.write("access.log", "one\ntwo\nthr"))
	require.Equal(t, []string{"one", "two"}, p.Lines(t, "access.log"))
}

func TestLogsAreCut(t *testing.T) {
	p := &Peer{dir: t.TempDir()}
	require.NoError(t, p.write("error.log", "first\n"+strings.Repeat("x", maxShown)))
	require.NotContains(t, p.logs(), "first")
}
