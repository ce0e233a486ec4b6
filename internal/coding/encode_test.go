package coding

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEncoder_givesWhatTheDecoderTakes(t *testing.T) {
	texts := map[string]string{"empty": "", "short": "hello", "long": strings.Repeat("all work and no play ", 50_000)}
	for _, name := range []string{"gzip", "deflate", "br", "zstd"} {
		for what, text := range texts {
			for range 2 { // one from the pool works as a new one does
				var coded bytes.Buffer
				w, err := LookupEncoder(name)(&coded)
				require.NoError(t, err)
				_, err = io.WriteString(w, text)
				require.NoError(t, err)
				require.NoError(t, w.Close())
				if what == "long" {
					require.Less(t, coded.Len(), len(text)/50, name)
				}
				require.Positive(t, coded.Len(), name)
				r, err := Lookup(name)(&coded)
				require.NoError(t, err, name)
				plain, err := io.ReadAll(r)
				require.NoError(t, err, "%s %s", name, what)
				require.Equal(t, text, string(plain), name)
				require.NoError(t, r.Close())
			}
		}
	}
	require.Nil(t, LookupEncoder("compress"))
}

func TestEncoder_flushesWhatItHas(t *testing.T) {
	for _, name := range []string{"gzip", "deflate", "br", "zstd"} {
		var coded bytes.Buffer
		w, err := LookupEncoder(name)(&coded)
		require.NoError(t, err)
		_, err = io.WriteString(w, "hello")
		require.NoError(t, err)
		require.NoError(t, w.(Encoder).Flush())
		r, err := Lookup(name)(bytes.NewReader(coded.Bytes())) // it ends in the middle
		require.NoError(t, err, name)
		got := make([]byte, 5)
		_, err = io.ReadFull(r, got)
		require.NoError(t, err, name)
		require.Equal(t, "hello", string(got), name)
		require.NoError(t, r.Close())
		require.NoError(t, w.Close())
	}
}
