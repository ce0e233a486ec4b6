package parley_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

func TestWithTextCharset_writesTheCharsetThatItNames(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, charset, want string }{
		{"grüß", "iso-8859-1", "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Length: 4\r\n\r\ngr\xfc\xdf"},
		{"1 €", "windows-1252", "Content-Type: text/plain; charset=windows-1252\r\nContent-Length: 3\r\n\r\n1 \x80"},
		{"日本", "Shift_JIS", "Content-Type: text/plain; charset=Shift_JIS\r\nContent-Length: 4\r\n\r\n\x93\xfa\x96\x7b"},
		{"grüß", "utf-8", "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 6\r\n\r\ngrüß"},
		{"a", "utf-16", "Content-Type: text/plain; charset=utf-16\r\nContent-Length: 4\r\n\r\n\xfe\xff\x00a"},
		{"", "us-ascii", "Content-Type: text/plain; charset=us-ascii\r\nContent-Length: 0\r\n\r\n"},
		{"ä", "ISO_8859-1:1987", "Content-Type: text/plain; charset=\"ISO_8859-1:1987\"\r\nContent-Length: 1\r\n\r\n\xe4"},
	} {
		s := wiretest.Serve(t, wiretest.Echo())
		_, err := sessionTo(t, s, bare).Post(t.Context(), "up", parley.WithTextCharset(test.text, test.charset))
		require.NoError(t, err, test.charset)
		require.Equal(t, "POST /up HTTP/1.1\r\nHost: "+s.Addr()+"\r\n"+test.want, s.Text(), test.charset)
	}
}

func TestWithTextCharset_sendsNoSubstitutes(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	c := sessionTo(t, s)
	for _, test := range []struct{ text, charset, want string }{
		{"1 €", "iso-8859-1", "cannot be written in iso-8859-1"},
		{"ü", "us-ascii", "cannot be written in us-ascii"},
		{"a\xff", "iso-8859-1", "not UTF-8 to begin with"},
		{"a", "klingon", `unknown charset "klingon"`},
		{"a", "utf-8\r\nX: y", "unknown charset"},
		{"a", "", "unknown charset"},
	} {
		_, err := c.Post(t.Context(), "up", parley.WithTextCharset(test.text, test.charset))
		require.ErrorContains(t, err, test.want, test.charset)
	}
	require.Zero(t, s.Accepted())
}
