package parley_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

// FuzzCodedBody sends any body with any Content-Encoding. Read at once or in single bytes
// it is the same content, or an error; what is not decoded comes as it was sent; and no
// more codings are undone than the limit allows.
func FuzzCodedBody(f *testing.F) {
	for name := range encoders {
		body := coded(f, name, "plain text plain text")
		f.Add(nameOf(name), []byte(body))
		f.Add(nameOf(name)+", gzip", []byte(coded(f, "gzip", body)))
		f.Add(" ,"+nameOf(name)+",br,identity", []byte(coded(f, "br", body[:len(body)/2])))
	}
	f.Add("x-gzip,compress", []byte("body"))
	const limit = 1 << 20
	req, err := parley.NewRequest("GET", "http://a.test/", parley.WithMaxBodyBytes(limit))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, encoding string, body []byte) {
		read := func(in io.Reader) (*parley.Response, string, error) {
			send := parley.Decoding()(parley.TransportFunc(func(_ context.Context, req *parley.Request) (*parley.Response, error) {
				return &parley.Response{StatusCode: 200, Body: io.NopCloser(in), ContentLength: -1, Request: req,
					Header: http.Header{"Content-Encoding": {encoding}}}, nil
			}))
			resp, err := send.Send(t.Context(), req)
			var content []byte
			if err == nil {
				content, err = resp.Bytes()
			}
			if err != nil {
				require.ErrorAs(t, err, new(*parley.Error))
				require.True(t, errors.Is(err, parley.ErrDecoding) || errors.Is(err, parley.ErrBodyTooLarge), "%v", err)
				return nil, "", err
			}
			return resp, string(content), nil
		}
		resp, whole, err := read(strings.NewReader(string(body)))
		_, pieces, piecesErr := read(iotest.OneByteReader(strings.NewReader(string(body))))
		require.Equal(t, err == nil, piecesErr == nil, "%v, %v", err, piecesErr)
		require.Equal(t, whole, pieces)
		switch {
		case strings.Count(encoding, ",") >= 4:
			require.ErrorIs(t, err, parley.ErrDecoding)
		case err != nil:
		case resp.Uncompressed:
			require.NotContains(t, resp.Header, "Content-Encoding")
			require.LessOrEqual(t, len(whole), limit)
		default:
			require.Equal(t, []string{encoding}, resp.Header["Content-Encoding"])
			require.Equal(t, string(body), whole)
		}
	})
}
