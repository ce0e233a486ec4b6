package parley_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

func sha256Of(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func TestWithIntegrity(t *testing.T) {
	const content = "the content"
	of256, of512 := sha256.Sum256([]byte(content)), sha512.Sum512([]byte(content))
	sri256 := "sha256-" + base64.StdEncoding.EncodeToString(of256[:])
	sri512 := "sha512-" + base64.StdEncoding.EncodeToString(of512[:])
	wrong512 := "sha512-" + base64.StdEncoding.EncodeToString(make([]byte, 64))
	wrong256 := "sha256:" + sha256Of("another content")
	client := newSession(t, parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/missing" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(content))
	})))
	for name, row := range map[string]struct {
		said  string
		match bool
	}{
		"the right digest":                          {sri256, true},
		"in hexadecimal":                            {"sha256:" + sha256Of(content), true},
		"the name of the algorithm in capitals":     {"SHA256:" + sha256Of(content), true},
		"with options":                              {sri256 + "?x", true},
		"in the other alphabet and without padding": {"sha256-" + base64.RawURLEncoding.EncodeToString(of256[:]), true},
		"one of several":                            {wrong256 + " " + sri256, true},
		"the strongest counts":                      {wrong256 + " " + sri512, true},
		"also if a weaker one would match":          {sri256 + " " + wrong512, false},
		"a wrong digest":                            {wrong256, false},
		"nothing is said":                           {"", true},
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := client.Get(t.Context(), "http://h.test/", parley.WithIntegrity(row.said))
			if row.match {
				require.NoError(t, err)
				text, err := resp.Text()
				require.NoError(t, err)
				require.Equal(t, content, text)
				return
			}
			require.ErrorIs(t, err, parley.ErrIntegrity)
			resp, err = client.Stream(t.Context(), http.MethodGet, "http://h.test/", parley.WithIntegrity(row.said))
			require.NoError(t, err)
			defer resp.Close()
			_, err = resp.Bytes()
			require.ErrorIs(t, err, parley.ErrIntegrity)
		})
	}
	t.Run("an answer that is no success is not looked at", func(t *testing.T) {
		resp, err := client.Get(t.Context(), "http://h.test/missing", parley.WithIntegrity(wrong256))
		require.NoError(t, err)
		require.Equal(t, http.StatusNotFound, resp.StatusCode)
	})
	t.Run("an answer without content is not looked at", func(t *testing.T) {
		_, err := client.Head(t.Context(), "http://h.test/", parley.WithIntegrity(wrong256))
		require.NoError(t, err)
	})
	t.Run("a request takes back what its session says", func(t *testing.T) {
		strict := derive(t, client, parley.WithIntegrity(wrong256))
		_, err := strict.Get(t.Context(), "http://h.test/")
		require.ErrorIs(t, err, parley.ErrIntegrity)
		_, err = strict.Get(t.Context(), "http://h.test/", parley.WithIntegrity(""))
		require.NoError(t, err)
	})
}

func TestWithIntegrity_refusesWhatItCannotCheck(t *testing.T) {
	for name, said := range map[string]string{
		"no algorithm":         "abc",
		"an unknown algorithm": "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
		"md5":                  "md5:d41d8cd98f00b204e9800998ecf8427e",
		"no digest":            "sha256-",
		"no digest either":     "sha256:",
		"a short digest":       "sha256-AAAA",
		"no base64":            "sha256-????",
		"no hexadecimal":       "sha256:xy",
		"one good, one not":    "sha256:" + sha256Of("") + " sha9-AAAA",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parley.New(parley.WithIntegrity(said))
			require.ErrorContains(t, err, "WithIntegrity")
			_, err = parley.NewRequest(http.MethodGet, "http://h.test/", parley.WithIntegrity(said))
			require.ErrorContains(t, err, "WithIntegrity")
		})
	}
}
