package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
)

// serveUploads reads a form by the multipart request specification as it comes, and
// answers with what stands where: the variables with a description of each file.
func serveUploads(w http.ResponseWriter, r *http.Request) {
	answer, err := readUploads(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	graphSays(graphType, 200, answer)(w, r)
}

func readUploads(r *http.Request) (string, error) {
	form, err := r.MultipartReader()
	if err != nil {
		return "", err
	}
	var operation map[string]any
	var places map[string][]string
	for _, field := range []struct {
		name string
		into any
	}{{"operations", &operation}, {"map", &places}} {
		part, err := form.NextPart()
		if err != nil {
			return "", err
		}
		if part.FormName() != field.name || part.FileName() != "" {
			return "", fmt.Errorf("%q in place of %q", part.FormName(), field.name)
		}
		if err := json.NewDecoder(part).Decode(field.into); err != nil {
			return "", err
		}
	}
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
		size, err := io.Copy(io.Discard, part)
		if err != nil {
			return "", err
		}
		file := fmt.Sprintf("%s %s %d", part.FileName(), part.Header.Get("Content-Type"), size)
		if len(places[part.FormName()]) == 0 {
			return "", fmt.Errorf("file %q stands nowhere", part.FormName())
		}
		for _, path := range places[part.FormName()] {
			if err := place(operation, strings.Split(path, "."), file); err != nil {
				return "", fmt.Errorf("%s: %w", path, err)
			}
		}
	}
	answer, err := json.Marshal(map[string]any{"data": operation["variables"], "extensions": map[string]any{"query": operation["query"]}})
	return string(answer), err
}

// place puts a file where null must be.
func place(node any, path []string, file string) error {
	var old any
	switch node := node.(type) {
	case map[string]any:
		if old = node[path[0]]; len(path) == 1 {
			node[path[0]] = file
		}
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil {
			return err
		}
		if old = node[i]; len(path) == 1 {
			node[i] = file
		}
	default:
		return errors.New("nothing can be there")
	}
	if len(path) > 1 {
		return place(old, path[1:], file)
	}
	if old != nil {
		return errors.New("it is not null")
	}
	return nil
}

func TestGraph_uploadsStandWhereTheyAreInTheVariables(t *testing.T) {
	t.Parallel()
	server := newRPCServer(t, serveUploads)
	graph := api.NewGraph(newRPCClient(t, server.URL), "", api.WithPersistedQueries(true))
	path := filepath.Join(t.TempDir(), "a.txt")
	require.NoError(t, os.WriteFile(path, []byte("alpha"), 0o600))
	a := api.NewUpload(parley.FormFile("", path))
	b := api.NewUpload(parley.FormBytes("ignored", "b.bin", []byte("bravo!")))
	type input struct {
		Title string        `json:"title"`
		Files []*api.Upload `json:"files"`
		Cover api.Upload    `json:"cover,omitzero"`
		Inner *input        `json:"inner,omitempty"`
		When  time.Time     `json:"when,omitzero"`
	}
	cyclic := map[string]any{"file": b}
	for name, test := range map[string]struct {
		vars any
		want string
	}{
		"one":              {map[string]any{"file": a}, `{"file":"a.txt text/plain 5"}`},
		"a list":           {map[string]any{"files": []any{b, a}}, `{"files":["b.bin application/octet-stream 6","a.txt text/plain 5"]}`},
		"one in two place": {map[string]any{"x": b, "y": []any{nil, b}}, `{"x":"b.bin application/octet-stream 6","y":[null,"b.bin application/octet-stream 6"]}`},
		"a typed map":      {map[string]*api.Upload{"a": a, "none": nil}, `{"a":"a.txt text/plain 5","none":null}`},
		"a struct by its tags": {
			&input{Title: "upload:x", Files: []*api.Upload{a, nil}, Cover: *b, Inner: &input{Files: []*api.Upload{b}}, When: time.Unix(0, 0).UTC()},
			`{"title":"upload:x","files":["a.txt text/plain 5",null],"cover":"b.bin application/octet-stream 6","inner":{"title":"","files":["b.bin application/octet-stream 6"]},"when":"1970-01-01T00:00:00Z"}`,
		},
		"large numbers stay": {map[string]any{"f": a, "n": uint64(1<<64 - 1)}, `{"f":"a.txt text/plain 5","n":18446744073709551615}`},
		"without a name":     {map[string]any{"f": api.NewUpload(parley.FormReader("", "", strings.NewReader("x")))}, `{"f":"blob text/plain 1"}`},
		"the same map twice": {map[string]any{"a": cyclic, "b": cyclic}, `{"a":{"file":"b.bin application/octet-stream 6"},"b":{"file":"b.bin application/octet-stream 6"}}`},
	} {
		answer, err := graph.Execute(t.Context(), "mutation <", test.vars)
		require.NoError(t, err, name)
		if name == "large numbers stay" { // the server knows floats only
			require.Contains(t, server.one(t).Body, `"n":18446744073709551615`)
			continue
		}
		require.JSONEq(t, test.want, string(answer.Data), name)
		require.Equal(t, `"mutation \u003c"`, string(answer.Extensions["query"]))
		got := server.one(t)
		require.Equal(t, "POST true", got.Method+" "+got.Header.Get("Apollo-Require-Preflight"))
		require.NotContains(t, got.Body, "persistedQuery")
		require.NotContains(t, got.Body, `"upload:`+"0")
	}
	_, err := graph.Execute(t.Context(), "q", struct {
		F *api.Upload `json:"-"`
	}{a})
	require.ErrorContains(t, err, "an Upload is in the variables, but not in their JSON")
	_, err = graph.Execute(t.Context(), "q", map[string]any{"f": api.NewUpload(parley.FormFile("", "does-not-exist"))})
	require.ErrorIs(t, err, os.ErrNotExist)
	cyclic["self"] = cyclic
	_, err = graph.Execute(t.Context(), "q", cyclic)
	require.ErrorContains(t, err, "cycle")
	require.Empty(t, server.all())
	// A zero Upload is null, and no file.
	_, err = graph.Execute(t.Context(), "q", map[string]any{"f": api.Upload{}}, api.WithPersistedQueries(false))
	require.Error(t, err, "the server takes forms alone")
	require.Equal(t, `{"query":"q","variables":{"f":null}}`, server.one(t).Body)
	require.Equal(t, "<Upload b.bin> <Upload b.bin>", fmt.Sprintf("%v %#v", b, *b))
}

func TestGraph_uploadsOnTheWire(t *testing.T) {
	t.Parallel()
	server := newRPCServer(t, graphSays(graphType, 200, `{"data":{}}`))
	graph := api.NewGraph(newRPCClient(t, server.URL), "")
	upload := api.NewUpload(parley.FormBytes("", "a.txt", []byte("Alpha file content.\n")))
	_, err := graph.Execute(t.Context(), "mutation($file: Upload!) { up(file: $file) { id } }", map[string]any{"file": upload}, parley.WithHeader("Content-Type", "multipart/form-data; boundary=b"))
	require.NoError(t, err)
	require.Equal(t, "--b\r\nContent-Disposition: form-data; name=\"operations\"\r\n\r\n"+
		`{"query":"mutation($file: Upload!) { up(file: $file) { id } }","variables":{"file":null}}`+
		"\r\n--b\r\nContent-Disposition: form-data; name=\"map\"\r\n\r\n"+`{"0":["variables.file"]}`+
		"\r\n--b\r\nContent-Disposition: form-data; name=\"0\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\nAlpha file content.\n\r\n--b--\r\n", server.one(t).Body)
}

func TestGraph_uploadsAreStreamed(t *testing.T) {
	t.Parallel()
	// The server reads the first part of the file before the rest of it is made.
	begun := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		form := multipart.NewReader(r.Body, params["boundary"])
		for range 3 {
			part, err := form.NextPart()
			if err != nil || part.FormName() != "0" {
				continue
			}
			if _, err := io.ReadFull(part, make([]byte, 1000)); err != nil {
				continue
			}
			close(begun)
			n, err := io.Copy(io.Discard, part)
			graphSays(graphType, 200, fmt.Sprintf(`{"data":{"rest":%d,"failed":%t}}`, n, err != nil))(w, r)
		}
	}))
	t.Cleanup(server.Close)
	r, w := io.Pipe()
	go func() {
		w.Write([]byte(strings.Repeat("x", 256<<10)))
		<-begun
		w.Write([]byte(strings.Repeat("y", 256<<10)))
		w.Close()
	}()
	graph := api.NewGraph(newRPCClient(t, server.URL), "")
	got, err := api.Execute[struct {
		Rest   int
		Failed bool
	}](t.Context(), graph, "m", map[string]any{"f": api.NewUpload(parley.FormReader("", "f", r))})
	require.NoError(t, err)
	require.Equal(t, 512<<10-1000, got.Rest)
	require.False(t, got.Failed)
}
