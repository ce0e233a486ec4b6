package coding

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

// form is a way in which servers code content.
type form struct {
	coding string // as Lookup knows it
	encode func(w io.Writer) (io.WriteCloser, error)
}

var forms = map[string]form{
	"gzip": {"gzip", func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }},
	"zlib": {"deflate", func(w io.Writer) (io.WriteCloser, error) { return zlib.NewWriter(w), nil }},
	"raw":  {"deflate", func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, 6) }},
	"br":   {"br", func(w io.Writer) (io.WriteCloser, error) { return brotli.NewWriter(w), nil }},
	"zstd": {"zstd", func(w io.Writer) (io.WriteCloser, error) {
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	}},
}

func encode(t testing.TB, f form, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := f.encode(&b)
	require.NoError(t, err)
	_, err = w.Write(plain)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

// decode reads all of r, which must end for good: an error stays.
func decode(t testing.TB, coding string, r io.Reader) ([]byte, error) {
	t.Helper()
	d, err := Lookup(coding)(r)
	require.NoError(t, err)
	defer func() { require.NoError(t, d.Close()) }()
	return io.ReadAll(d)
}

// samples are contents of several sizes and kinds.
func samples() map[string][]byte {
	random := make([]byte, 100_000)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	return map[string][]byte{
		"nothing": {}, "a byte": {'a'}, "text": []byte("plain text"),
		"a long text": []byte(strings.Repeat("The quick brown fox jumps over the lazy dog. ", 5000)),
		"noise":       random, "zeros": make([]byte, 1<<20),
	}
}

func TestDecode_whatWasEncodedComesBack(t *testing.T) {
	t.Parallel()
	for name, f := range forms {
		for sample, plain := range samples() {
			coded := encode(t, f, plain)
			for way, r := range map[string]io.Reader{
				"at once": bytes.NewReader(coded), "in single bytes": iotest.OneByteReader(bytes.NewReader(coded)),
				"with the end in the last piece": iotest.DataErrReader(bytes.NewReader(coded)),
			} {
				got, err := decode(t, f.coding, r)
				require.NoError(t, err, "%s, %s, %s", name, sample, way)
				require.True(t, bytes.Equal(plain, got), "%s, %s, %s", name, sample, way)
			}
		}
	}
}

func TestDecode_aSourceThatEndsEarlyIsAnError(t *testing.T) {
	t.Parallel()
	for name, f := range forms {
		for _, plain := range []string{"", "plain text", strings.Repeat("The quick brown fox. ", 20)} {
			coded := encode(t, f, []byte(plain))
			for n := 1; n < len(coded); n++ {
				got, err := decode(t, f.coding, bytes.NewReader(coded[:n]))
				require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%s, %d of %d bytes", name, n, len(coded))
				require.True(t, strings.HasPrefix(plain, string(got)))
			}
		}
	}
}

func TestDecode_anErrorOfTheSourceIsGivenOn(t *testing.T) {
	t.Parallel()
	broken := errors.New("the line is dead")
	for name, f := range forms {
		coded := encode(t, f, samples()["noise"])
		_, err := decode(t, f.coding, io.MultiReader(bytes.NewReader(coded[:len(coded)/2]), iotest.ErrReader(broken)))
		require.ErrorIs(t, err, broken, name)
		_, err = decode(t, f.coding, io.MultiReader(bytes.NewReader(coded), iotest.ErrReader(broken)))
		require.ErrorIs(t, err, broken, "%s: what ends so is not whole", name)
	}
}

func TestDecode_whatFollowsIsAnErrorButForGzip(t *testing.T) {
	t.Parallel()
	for name, f := range forms {
		coded := encode(t, f, []byte("plain text"))
		for _, rest := range []string{"\x00", "\n", "garbage", strings.Repeat("\x00", 100_000)} {
			for _, r := range []io.Reader{
				strings.NewReader(string(coded) + rest), io.MultiReader(bytes.NewReader(coded), strings.NewReader(rest)),
			} {
				got, err := decode(t, f.coding, r)
				if f.coding == "gzip" {
					require.NoError(t, err)
					require.Equal(t, "plain text", string(got))
				} else {
					require.Error(t, err, "%s, %.10q", name, rest)
				}
			}
		}
	}
}

func TestDecode_severalMembersAndFramesFollowEachOther(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"gzip", "zstd"} {
		one, none, two := encode(t, forms[name], []byte("one")), encode(t, forms[name], nil), encode(t, forms[name], []byte("two"))
		got, err := decode(t, name, bytes.NewReader(bytes.Join([][]byte{one, none, two}, nil)))
		require.NoError(t, err)
		require.Equal(t, "onetwo", string(got))
		got, err = decode(t, name, bytes.NewReader(append(one, two[:len(two)-1]...)))
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.True(t, strings.HasPrefix("onetwo", string(got)))
	}
	one := encode(t, forms["gzip"], []byte("one"))
	for _, begun := range []string{"\x1f", "\x1f\x8b", "\x1f\x8b\x08"} {
		_, err := decode(t, "gzip", strings.NewReader(string(one)+begun))
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%q", begun)
	}
}

// What is changed on the way is found out, but for fields that say nothing of the
// content. br has no checksum: only the grammar can tell.
func TestDecode_corruptDataIsAnError(t *testing.T) {
	t.Parallel()
	plain := strings.Repeat("The quick brown fox. ", 20)
	for name, f := range forms {
		coded := encode(t, f, []byte(plain))
		for i := range coded {
			bad := bytes.Clone(coded)
			bad[i] ^= 0x55
			got, err := decode(t, f.coding, bytes.NewReader(bad))
			switch {
			case err != nil:
			case f.coding == "br" || name == "raw":
				require.LessOrEqual(t, len(got), 1<<20)
			default:
				require.Equal(t, plain, string(got), "%s, byte %d", name, i)
			}
		}
	}
}

func TestDeflate_theFirstTwoBytesTellTheFormat(t *testing.T) {
	t.Parallel()
	plain := []byte(strings.Repeat("plain text ", 50))
	for level := -2; level <= 9; level++ {
		for window, header := range map[string]func(w io.Writer) (io.WriteCloser, error){
			"zlib": func(w io.Writer) (io.WriteCloser, error) { return zlib.NewWriterLevel(w, level) },
			"raw":  func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, level) },
		} {
			for _, content := range [][]byte{plain, {}, {0}, plain[:1]} {
				got, err := decode(t, "deflate", bytes.NewReader(encode(t, form{"deflate", header}, content)))
				require.NoError(t, err, "%s, level %d", window, level)
				require.True(t, bytes.Equal(content, got))
			}
		}
	}
	for _, test := range []struct {
		cmf, flg byte
		zlib     bool
	}{
		{0x78, 0x01, true}, {0x78, 0x5e, true}, {0x78, 0x9c, true}, {0x78, 0xda, true}, {0x08, 0x1d, true}, // windows of 32 KiB and 256 bytes
		{0x78, 0x9d, false}, {0x88, 0x1c, false}, {0x79, 0x9c, false}, {0x03, 0x00, false}, {0x4b, 0xcc, false}, {0, 0, false},
	} {
		require.Equal(t, test.zlib, isZlib(test.cmf, test.flg), "%x %x", test.cmf, test.flg)
	}
	var b bytes.Buffer
	w, err := zlib.NewWriterLevelDict(&b, 6, []byte("plain text "))
	require.NoError(t, err)
	_, err = w.Write(plain)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	_, err = decode(t, "deflate", &b)
	require.Error(t, err, "a dictionary that nobody has")
}

// A zstd body may have a window of 8 MiB, said in so many words or by its size.
func TestZstd_theWindowIsBounded(t *testing.T) {
	t.Parallel()
	frame := func(descriptor byte, fields ...byte) []byte {
		out := append([]byte{0x28, 0xb5, 0x2f, 0xfd, descriptor}, fields...)
		return append(out, 1|1<<1|5<<3, 0, 0, 'a') // the last block, of one byte five times
	}
	size := func(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }
	for name, test := range map[string]struct {
		frame []byte
		fits  bool
	}{
		"8 MiB":                   {frame(0, 13<<3), true},
		"9 MiB":                   {frame(0, 13<<3|1), false},
		"the most":                {frame(0, 0xff), false},
		"more than 8 MiB at once": {frame(0xc0|0x20, size(8<<20+1)...), false},
		"very much at once":       {frame(0xc0|0x20, size(1<<60)...), false},
	} {
		got, err := decode(t, "zstd", bytes.NewReader(test.frame))
		if test.fits {
			require.NoError(t, err, name)
			require.Equal(t, "aaaaa", string(got))
		} else {
			require.ErrorContains(t, err, "exceed", name)
		}
	}
}

// A decoder that goes back to the pool keeps nothing of what it has decoded, whatever
// state it is given back in.
func TestDecode_aPooledDecoderBeginsAnew(t *testing.T) {
	t.Parallel()
	for name, f := range forms {
		secret, plain := encode(t, f, samples()["a long text"]), encode(t, f, []byte("plain text"))
		corrupt := bytes.Clone(secret)
		corrupt[len(corrupt)/2] ^= 0xff
		for range 20 {
			for _, before := range [][]byte{secret, corrupt, secret[:len(secret)/2], {0xff}, plain} {
				d, err := Lookup(f.coding)(bytes.NewReader(before))
				require.NoError(t, err)
				_, _ = io.CopyN(io.Discard, d, 1000) // given back in the middle, at an error or at the end
				require.NoError(t, d.Close())
				got, err := decode(t, f.coding, bytes.NewReader(plain))
				require.NoError(t, err, name)
				require.Equal(t, "plain text", string(got), name)
			}
		}
	}
}

func TestLookup_knowsWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	for name := range strings.SplitSeq(Accept, ", ") {
		require.NotNil(t, Lookup(name), name)
	}
	for _, name := range []string{"", "identity", "compress", "GZIP", "x-gzip", "gzip "} {
		require.Nil(t, Lookup(name), name)
	}
}

// FuzzDecode reads what may be anything in every coding: whole and in single bytes it is
// the same, it ends, and it is never more than the format allows for.
func FuzzDecode(f *testing.F) {
	for _, form := range forms {
		coded := encode(f, form, []byte("plain text plain text"))
		for _, seed := range [][]byte{coded, coded[:len(coded)/2], append(coded, "rest"...), append(coded, coded...)} {
			f.Add(form.coding, seed)
		}
	}
	f.Fuzz(func(t *testing.T, coding string, data []byte) {
		open := Lookup(coding)
		if open == nil || len(data) == 0 {
			return
		}
		read := func(r io.Reader) (string, error) {
			d, err := open(r)
			require.NoError(t, err)
			defer func() { require.NoError(t, d.Close()) }()
			var b strings.Builder
			_, err = io.Copy(&b, io.LimitReader(d, 1<<20))
			return b.String(), err
		}
		whole, err := read(bytes.NewReader(data))
		pieces, piecesErr := read(iotest.OneByteReader(bytes.NewReader(data)))
		require.Equal(t, fmt.Sprint(err == nil), fmt.Sprint(piecesErr == nil), "%v, %v", err, piecesErr)
		if err == nil {
			require.Equal(t, whole, pieces)
		}
	})
}

// FuzzDecode_asTheStandardLibrary holds gzip and deflate against the decoders of the
// standard library: what these read to the end of the data is the same here.
func FuzzDecode_asTheStandardLibrary(f *testing.F) {
	for name := range forms {
		f.Add(encode(f, forms[name], []byte("plain text plain text")))
	}
	f.Add([]byte{0x78, 0x9c, 3, 0, 0, 0, 0, 1})
	f.Add([]byte{3, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		read := func(coding string, open func(io.Reader) (io.Reader, error)) {
			source := bytes.NewReader(data)
			r, err := open(source)
			if err != nil {
				return
			}
			want, err := io.ReadAll(io.LimitReader(r, 1<<20))
			if err != nil || len(want) == 1<<20 || source.Len() > 0 {
				return
			}
			got, err := decode(t, coding, bytes.NewReader(data))
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, got))
		}
		read("gzip", func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) })
		if len(data) > 1 && isZlib(data[0], data[1]) {
			read("deflate", func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) })
		} else {
			read("deflate", func(r io.Reader) (io.Reader, error) { return flate.NewReader(r), nil })
		}
	})
}
