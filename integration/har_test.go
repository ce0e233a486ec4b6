package integration

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/parleytest"
)

// harSchema compiles the schema of HTTP archives.
func harSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	const folder = "testdata/har-schema"
	files, err := fs.Glob(testdata, folder+"/*.json")
	require.NoError(t, err)
	require.Len(t, files, 18)
	for _, name := range files {
		data, err := testdata.ReadFile(name)
		require.NoError(t, err)
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		require.NoError(t, err)
		require.NoError(t, c.AddResource("har://schema/"+path.Base(name), doc))
	}
	schema, err := c.Compile("har://schema/har.json")
	require.NoError(t, err)
	return schema
}

func requireArchive(t *testing.T, schema *jsonschema.Schema, data []byte) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	require.NoError(t, err)
	require.NoError(t, schema.Validate(doc), string(data))
}

// What is archived, recorded in flight or put on a cassette is HAR 1.2 by its schema.
func TestArchivesFitTheirSchema(t *testing.T) {
	t.Setenv("CI", "") // in which a cassette records nothing
	schema := harSchema(t)
	s := bin(t)
	archive, recorder := parley.NewHAR(parley.HARConfig{}), parley.NewRecorder(0)
	c := session(t, parley.WithBaseURL(s.URL), parley.WithHAR(archive), parley.WithRecorder(recorder),
		parley.WithRetry(parley.RetryPolicy{Backoff: -1}))
	for _, call := range []struct {
		method, url string
		opts        []parley.RequestOption
	}{
		{"GET", "get", []parley.RequestOption{parley.WithQuery("q", "a b", ""), parley.WithQuery("token", "secret")}},
		{"POST", "post", []parley.RequestOption{parley.WithJSON(map[string]any{"a": []int{1}, "password": "x"})}},
		{"POST", "post", []parley.RequestOption{parley.WithForm(map[string]string{"a": "1", "b": ""})}},
		{"POST", "post", []parley.RequestOption{parley.WithMultipart(parley.FormField("a", "1"), parley.FormBytes("f", "f.bin", []byte{0, 1, 255}))}},
		{"PUT", "put", []parley.RequestOption{parley.WithBytes([]byte{0, 1, 255}), parley.WithCookie("c", "v")}},
		{"GET", "cookies/set?theme=dark", nil},
		{"GET", "redirect/2", nil},
		{"GET", "gzip", nil},
		{"GET", "image/png", nil},
		{"GET", "bytes/100", nil},
		{"HEAD", "get", nil},
		{"GET", "status/503", nil},
		{"GET", "status/204", nil},
		{"DELETE", "delete", []parley.RequestOption{parley.WithBasicAuth("user", "secret")}},
		{"GET", "http://127.0.0.1:1/refused", nil},
	} {
		_, err := c.Request(t.Context(), call.method, call.url, call.opts...)
		require.Equal(t, strings.HasSuffix(call.url, "refused"), err != nil, call.url)
	}
	var written bytes.Buffer
	_, err := archive.WriteTo(&written)
	require.NoError(t, err)
	requireArchive(t, schema, written.Bytes())
	written.Reset()
	require.NoError(t, recorder.WriteHAR(&written))
	requireArchive(t, schema, written.Bytes())

	file := filepath.Join(t.TempDir(), "cassette.har")
	t.Run("cassette", func(t *testing.T) {
		tape := parleytest.NewCassette(t, file, parleytest.CassetteConfig{})
		c := tape.Client(parley.WithBaseURL(s.URL))
		_, err := c.Get(t.Context(), "gzip")
		require.NoError(t, err)
		_, err = c.Post(t.Context(), "post", parley.WithJSON(map[string]any{"a": 1}))
		require.NoError(t, err)
	})
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	requireArchive(t, schema, data)

	// The schema would notice.
	for _, broken := range []string{`{}`, `{"log":{}}`, strings.Replace(string(data), `"startedDateTime"`, `"startedDate"`, 1), strings.Replace(string(data), `"httpVersion"`, `"version"`, 1)} {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(broken))
		require.NoError(t, err)
		require.Error(t, schema.Validate(doc), broken)
	}
}
