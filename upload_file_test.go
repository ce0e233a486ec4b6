package parley

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley/internal/wiretest"
)

// stretches is a body of a file that counts which way its bytes went: taken from the file
// by the connection, or read by the sender. Only from inside the package a body can tell.
type stretches struct {
	path        string
	size        int64
	taken, read int64
}

func (b *stretches) Size() int64         { return b.size }
func (b *stretches) ContentType() string { return "" }
func (b *stretches) Replayable() bool    { return true }
func (b *stretches) Open() (io.ReadCloser, error) {
	f, err := os.Open(b.path)
	return &stretchReader{f, b}, err
}

type stretchReader struct {
	*os.File
	of *stretches
}

func (r *stretchReader) Read(p []byte) (int, error) {
	n, err := r.File.Read(p)
	r.of.read += int64(n)
	return n, err
}

func (r *stretchReader) stretch() (*os.File, int64) { return r.File, r.of.size }
func (r *stretchReader) passed(n int64)             { r.of.taken += n }

func patterned(t *testing.T, size int) (path string, content []byte) {
	t.Helper()
	content = bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
	path = filepath.Join(t.TempDir(), "body.bin")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path, content
}

func TestUpload_theSystemSendsFilesOverPlainTCPByItself(t *testing.T) {
	t.Parallel()
	const size = 3<<20 + 100
	path, content := patterned(t, size)
	authority := wiretest.NewAuthority(t)
	for name, test := range map[string]struct {
		server *wiretest.Server
		taken  int64
	}{
		"plain": {wiretest.Serve(t, wiretest.Echo()), size - 100}, // the rest is not worth the trouble
		"TLS":   {wiretest.ServeTLS(t, authority.Server(t), wiretest.Echo()), 0},
	} {
		for _, metered := range []bool{false, true} {
			c, err := New(WithBaseURL(test.server.URL()), WithTLSConfig(authority.Trusted()))
			require.NoError(t, err)
			body := &stretches{path: path, size: size}
			opts := []RequestOption{WithBody(body)}
			var last Progress
			if metered {
				opts = append(opts, WithUploadProgress(func(p Progress) { last = p }))
			}
			_, err = c.Put(t.Context(), "up", opts...)
			require.NoError(t, err, name)
			require.Equal(t, test.taken, body.taken, name)
			require.EqualValues(t, size, body.taken+body.read, name)
			if metered {
				require.EqualValues(t, size, last.Bytes)
				require.True(t, last.Done)
			}
			require.NoError(t, c.Close())
		}
		got := test.server.Received()
		require.Len(t, got, 2)
		for _, text := range got {
			_, sent, _ := strings.Cut(text, "\r\n\r\n")
			require.Equal(t, len(content), len(sent), name)
			require.True(t, sent == string(content), name)
		}
	}
}

// A form takes its files the same way, after what stands before them.
func TestUpload_ofAFormReadsOnlyWhatIsNoFile(t *testing.T) {
	t.Parallel()
	path, content := patterned(t, 2<<20)
	m, err := newMultipart([]Part{FormField("a", "b"), FormFile("f", path), FormFile("g", path)}, nil)
	require.NoError(t, err)
	s := wiretest.Serve(t, wiretest.Echo())
	c, err := New(WithBaseURL(s.URL()))
	require.NoError(t, err)
	defer c.Close()
	counted := &countedForm{multipartBody: m}
	_, err = c.Put(t.Context(), "up", WithBody(counted))
	require.NoError(t, err)
	require.Greater(t, counted.taken, int64(3<<20))
	_, sent, _ := strings.Cut(s.Text(), "\r\n\r\n")
	require.EqualValues(t, m.Size(), len(sent))
	r, err := m.Open()
	require.NoError(t, err)
	want, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.True(t, string(want) == sent)
	require.Equal(t, 2, strings.Count(sent, string(content)))
}

type countedForm struct {
	*multipartBody
	taken int64
}

func (f *countedForm) Open() (io.ReadCloser, error) {
	r, err := f.multipartBody.Open()
	if err != nil {
		return nil, err
	}
	return &countedFormReader{r.(*multipartReader), f}, nil
}

type countedFormReader struct {
	*multipartReader
	of *countedForm
}

func (r *countedFormReader) passed(n int64) {
	r.of.taken += n
	r.multipartReader.passed(n)
}

func TestUpload_ofAFileThatChangedFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		now  int64
		want string
	}{
		"shorter": {1 << 20, "the body ended after 1048576 of 2097152 bytes"},
		"gone":    {0, "the body ended after 0 of 2097152 bytes"},
		"longer":  {2<<20 + 1, "the body is longer than the announced 2097152 bytes"},
	} {
		path, _ := patterned(t, 2<<20)
		for _, form := range []bool{false, true} {
			require.NoError(t, os.Truncate(path, 2<<20))
			s := wiretest.Serve(t, func(c *wiretest.Conn) {
				if _, err := c.ReadRequest(); err == nil {
					c.Hold() // a body that is whole is not answered: the sender finds out
				}
			})
			c, err := New(WithBaseURL(s.URL()))
			require.NoError(t, err)
			body, err := FileBody(path)
			want := test.want
			if form {
				body, err = MultipartBody(FormFile("f", path))
				want = strings.Replace(want, "the body", "part 1 (f) of the multipart body", 1)
			}
			require.NoError(t, err)
			require.NoError(t, os.Truncate(path, test.now))
			_, err = c.Put(t.Context(), "up", WithBody(body))
			require.ErrorIs(t, err, ErrLocalProtocol, name)
			require.ErrorContains(t, err, want, name)
			require.NoError(t, c.Close())
			s.Close()
		}
	}
}
