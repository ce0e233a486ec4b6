//go:build !race

package coding

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// With the race detector a pool forgets on purpose.
func TestDecode_aPooledDecoderAllocatesNothing(t *testing.T) {
	for name, f := range forms {
		coded, buf := encode(t, f, []byte(strings.Repeat("plain text ", 100))), make([]byte, 4096)
		source := bytes.NewReader(coded)
		n := testing.AllocsPerRun(100, func() {
			source.Reset(coded)
			d, err := Lookup(f.coding)(struct{ io.Reader }{source})
			require.NoError(t, err)
			for err == nil {
				_, err = d.Read(buf)
			}
			require.Equal(t, io.EOF, err)
			require.NoError(t, d.Close())
		})
		require.LessOrEqual(t, n, 5.0, name) // the wrapper of the source, and tables that br has for each block
	}
}
