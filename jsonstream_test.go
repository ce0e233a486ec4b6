package parley_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

// unread makes a response with a body that is not read yet.
func unread(body io.Reader) *parley.Response {
	return &parley.Response{StatusCode: 200, Status: "200 OK", Body: io.NopCloser(body)}
}

// said is what one step of a loop gave.
type said[T any] struct {
	value T
	err   string
}

func saidBy[T any](seq func(func(T, error) bool)) (all []said[T]) {
	for v, err := range seq {
		s := said[T]{value: v}
		if err != nil {
			s.err = err.Error()
		}
		all = append(all, s)
	}
	return all
}

type entry struct{ N int }

func TestJSONLines_skipBlankLinesAndNameBadOnes(t *testing.T) {
	t.Parallel()
	const text = "\ufeff{\"N\":1}\n\n \t\r\n{\"N\":2}\r{\"N\":\"x\"}\nnonsense\n{\"N\":3} {}\n{\"N\":4}"
	const bad = "decode: cannot decode the body in line "
	want := []said[entry]{
		{value: entry{1}}, {value: entry{2}},
		{err: bad + "5: json: cannot unmarshal string into Go struct field entry.N of type int"},
		{err: bad + "6: invalid character 'o' in literal null (expecting 'u')"},
		{err: bad + "7: invalid character '{' after top-level value"},
		{value: entry{4}},
	}
	require.Equal(t, want, saidBy(parley.JSONLines[entry](unread(strings.NewReader(text)), nil)))
	require.Equal(t, want, saidBy(parley.JSONLines[entry](unread(iotest.OneByteReader(strings.NewReader(text))), nil)))
	require.Empty(t, saidBy(parley.JSONLines[entry](unread(strings.NewReader("\n \n")), nil)))

	for _, err := range parley.JSONLines[entry](unread(strings.NewReader("x")), nil) {
		require.ErrorIs(t, err, parley.ErrDecoding)
	}
}

func TestJSONLines_endWhereTheCallTheStatusOrTheBodySaySo(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, err := range parley.JSONLines[int](nil, broken) {
		require.Equal(t, broken, err)
	}
	steps := 0
	for _, err := range parley.JSONLines[int](&parley.Response{StatusCode: 404, Body: io.NopCloser(strings.NewReader("1\n2\n"))}, nil) {
		steps++
		require.ErrorAs(t, err, new(*parley.StatusError))
	}
	require.Equal(t, 1, steps)
	got := saidBy(parley.JSONLines[int](unread(io.MultiReader(strings.NewReader("1\n2\n3"), failingReader{broken})), nil))
	require.Equal(t, []said[int]{{value: 1}, {value: 2}, {err: "broken"}}, got)
	got = saidBy(parley.JSONLines[int](unread(strings.NewReader("1\n"+strings.Repeat(" ", 1<<20+1))), nil))
	require.Equal(t, []said[int]{{value: 1}, {err: "read: body too large: line 2 is longer than 1048576 bytes (WithMaxItemBytes)"}}, got)
}

func TestJSONArray_findsTheElements(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		path []string
		want []int
	}{
		"the body itself":           {" [1, 2,3 ]\n", nil, []int{1, 2, 3}},
		"after a byte order mark":   {"\ufeff[1]", nil, []int{1}},
		"empty":                     {"[]", nil, nil},
		"null":                      {"null", nil, nil},
		"a member":                  {`{"items": [1,2]}`, []string{"items"}, []int{1, 2}},
		"null in a member":          {`{"items": null, "x": 1}`, []string{"items"}, nil},
		"the first of two":          {`{"items": [1], "items": [2]}`, []string{"items"}, []int{1}},
		"spelled so":                {`{"Items": [1], "items": [2]}`, []string{"items"}, []int{2}},
		"blanks in strings stay":    {`{"  ":[1],"\"  \\":[2],"  \"  " : [3]}`, []string{`  "  `}, []int{3}},
		"an escaped name":           {`{"\u0069tems": [1]}`, []string{"items"}, []int{1}},
		"an empty name":             {`{"": [1]}`, []string{""}, []int{1}},
		"members all around":        {`{"a":{"items":[9,[8]]},"b":[[],{}],"n":1e999,"items":[1,2],"c":"]}","d":{"e":[{}]}} `, []string{"items"}, []int{1, 2}},
		"deeper":                    {`{"x":[{"data":0}],"data":{"y":null,"items":[3]},"z":true}`, []string{"data", "items"}, []int{3}},
		"a name that a value bears": {`{"a":"items","items":[1]}`, []string{"items"}, []int{1}},
	} {
		for _, body := range []io.Reader{strings.NewReader(test.text), iotest.OneByteReader(strings.NewReader(test.text)), iotest.DataErrReader(strings.NewReader(test.text))} {
			var got []int
			for v, err := range parley.JSONArray[int](unread(body), nil, test.path...) {
				require.NoError(t, err, name)
				got = append(got, v)
			}
			require.Equal(t, test.want, got, name)
		}
	}
}

func TestJSONArray_goesOnAfterAnElementOfAnotherType(t *testing.T) {
	t.Parallel()
	const bad = "decode: cannot decode the body in element "
	require.Equal(t, []said[entry]{
		{value: entry{1}},
		{err: bad + "1: json: cannot unmarshal string into Go struct field entry.N of type int"},
		{err: bad + "2: json: cannot unmarshal array into Go value of type parley_test.entry"},
		{value: entry{4}},
	}, saidBy(parley.JSONArray[entry](unread(strings.NewReader(`[{"N":1},{"N":"x"},[1,{}],{"N":4}]`)), nil)))
}

func TestJSONArray_whatIsMalformedOrCutShortIsAnError(t *testing.T) {
	t.Parallel()
	const whole = `{"a":{"b":[1]},"items":[1,{"x":[2]},"s"],"c":[{}]}`
	for cut := range len(whole) {
		var last error
		for _, err := range parley.JSONArray[any](unread(strings.NewReader(whole[:cut])), nil, "items") {
			require.NoError(t, last, "an error is the last thing")
			last = err
		}
		require.ErrorIs(t, last, parley.ErrDecoding, whole[:cut])
		require.ErrorIs(t, last, io.ErrUnexpectedEOF, whole[:cut])
	}
	for text, path := range map[string][]string{
		"{}": nil, "[1] 2": nil, "[1]]": nil, "[1,]": nil, "[1 2]": nil, "[,1]": nil, "[1}": nil, "[nope]": nil, "1": nil, `"[1]"`: nil,
		`{"items":[1]`: {"items"}, `{"items":[1]}]`: {"items"}, `{"items":{}}`: {"items"}, `{"x":1}`: {"items"}, `[{"items":[]}]`: {"items"},
		`{"items":[1],}`: {"items"}, `{"items":[1] 1}`: {"items"}, `{"items":[1],"x"}`: {"items"}, `{items:[1]}`: {"items"},
		`{"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `,"items":[]}`: {"items"},
	} {
		var last error
		for _, err := range parley.JSONArray[any](unread(strings.NewReader(text)), nil, path...) {
			require.NoError(t, last, "an error is the last thing")
			last = err
		}
		require.ErrorIs(t, last, parley.ErrDecoding, "%.60s", text)
	}
}

func TestJSONArray_boundsEveryElement(t *testing.T) {
	t.Parallel()
	const limit = 10_000
	req, err := parley.NewRequest("GET", "http://a.test/", parley.WithMaxItemBytes(limit))
	require.NoError(t, err)
	fits := strings.Repeat("x", limit-2)
	for name, test := range map[string]struct {
		text string
		path []string
		want int
		err  error
	}{
		"the longest":                 {`["` + fits + `" , "` + fits + `"]`, nil, 2, nil},
		"a byte more":                 {`[1,"` + fits + `x"]`, nil, 1, parley.ErrBodyTooLarge},
		"much more":                   {`[1,"` + fits + fits + fits, nil, 1, parley.ErrBodyTooLarge},
		"blanks do not count":         {`[1,` + strings.Repeat(" \n", limit) + `2, "` + strings.Repeat(`  \"  `, 10) + `"   ]`, nil, 3, nil},
		"blanks before":               {strings.Repeat("\n", 2*limit) + `[]`, nil, 0, nil},
		"blanks in a string count":    {`[1,"` + strings.Repeat(" ", 9*limit), nil, 1, parley.ErrBodyTooLarge},
		"a member that is skipped":    {`{"a":"` + fits + fits + `","items":[]}`, []string{"items"}, 0, parley.ErrBodyTooLarge},
		"many members are skipped":    {`{"a":[` + strings.Repeat(`"`+fits[:98]+`",`, limit/50) + `0],"items":[1]}`, []string{"items"}, 1, nil},
		"a member after it":           {`{"items":[1],"a":"` + fits + fits + `"}`, []string{"items"}, 1, parley.ErrBodyTooLarge},
		"a name that is far too long": {`{"` + fits + fits + `":1}`, []string{"items"}, 0, parley.ErrBodyTooLarge},
	} {
		n, last := 0, error(nil)
		resp := unread(iotest.HalfReader(strings.NewReader(test.text)))
		resp.Request = req
		for _, err := range parley.JSONArray[any](resp, nil, test.path...) {
			if last = err; err == nil {
				n++
			}
		}
		require.Equal(t, test.want, n, name)
		if test.err == nil {
			require.NoError(t, last, name)
		} else {
			require.ErrorIs(t, last, test.err, name)
		}
	}
}

func TestJSONArray_endsWhereTheCallTheStatusOrTheBodySaySo(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, err := range parley.JSONArray[int](nil, broken) {
		require.Equal(t, broken, err)
	}
	for _, err := range parley.JSONArray[int](&parley.Response{StatusCode: 500, Body: io.NopCloser(strings.NewReader("[1]"))}, nil) {
		require.ErrorAs(t, err, new(*parley.StatusError))
	}
	for _, text := range []string{"", "[1", "[", "[1,2]"} {
		var last error
		for _, err := range parley.JSONArray[int](unread(io.MultiReader(strings.NewReader(text), failingReader{broken})), nil) {
			last = err
		}
		require.ErrorIs(t, last, broken, text)
	}
	closed := 0
	for range parley.JSONArray[int](&parley.Response{StatusCode: 200, Body: countsCloses{strings.NewReader("[1,2]"), &closed}}, nil) {
		break
	}
	require.Equal(t, 1, closed)
}

// Many elements take no more memory than a few.
func TestStreams_takeConstantMemory(t *testing.T) {
	pieces := 10_000
	if raceEnabled {
		pieces = 1000
	}
	for name, loop := range map[string]func(*parley.Client) (int, error){
		"array": func(c *parley.Client) (n int, err error) {
			resp, err := c.Stream(t.Context(), "GET", "array")
			for _, e := range parley.JSONArray[entry](resp, err, "items") {
				n, err = n+1, errors.Join(err, e)
			}
			return n, err
		},
		"lines": func(c *parley.Client) (n int, err error) {
			for _, e := range parley.JSONLines[entry](c.Stream(t.Context(), "GET", "lines")) {
				n, err = n+1, errors.Join(err, e)
			}
			return n, err
		},
	} {
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			piece, end := strings.Repeat("{\"N\":1,\"pad\":\""+strings.Repeat("x", 50)+"\"}\n", 20), ""
			if r.URL.Path == "/array" {
				piece, end = strings.ReplaceAll(piece, "\n", ","), `{}]}`
				fmt.Fprint(w, `{"items":[`)
			}
			for range pieces {
				fmt.Fprint(w, piece)
			}
			fmt.Fprint(w, end)
		})
		c := newSession(t, parley.WithBaseURL("http://a.test"), parley.WithHandler(handler))
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		n, err := loop(c)
		runtime.GC()
		runtime.ReadMemStats(&after)
		require.NoError(t, err, name)
		require.GreaterOrEqual(t, n, 20*pieces, name)
		require.Less(t, int64(after.HeapSys)-int64(before.HeapSys), int64(8<<20), "%s: %d KB went through", name, 13*pieces/10)
	}
}

// FuzzJSONArray compares the elements of an array with what package json makes of it as a
// whole, fed at once and byte by byte.
func FuzzJSONArray(f *testing.F) {
	for _, text := range []string{
		`[1, "a" ,{"b":[null]}]`, "[]", "null", "[1,]", `["\"  \\"]`, "[\n\n1\t\t,\r\n\"  \" ]\n\n", `{"a":1}`, "[1 2]", "1", "", "[\"\xff\"]", "[1e9999]", "[[[]]]]", "\ufeff[1]", "[1]x",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		read := func(body io.Reader) (got []string, err error) {
			for v, err := range parley.JSONArray[json.RawMessage](unread(body), nil) {
				if err != nil {
					return got, err
				}
				got = append(got, compact(v))
			}
			return got, nil
		}
		got, err := read(bytes.NewReader(text))
		slow, slowErr := read(iotest.OneByteReader(bytes.NewReader(text)))
		require.Equal(t, got, slow)
		require.Equal(t, err == nil, slowErr == nil)
		var whole []json.RawMessage
		if bad := json.Unmarshal(bytes.TrimPrefix(text, []byte("\ufeff")), &whole); bad != nil {
			require.ErrorIs(t, err, parley.ErrDecoding)
			return
		}
		require.NoError(t, err)
		require.Len(t, got, len(whole))
		for i, v := range whole {
			require.Equal(t, compact(v), got[i])
		}
	})
}

// compact leaves the blanks of a valid JSON value out.
func compact(v []byte) string {
	var b bytes.Buffer
	if err := json.Compact(&b, v); err != nil {
		panic(err)
	}
	return b.String()
}

func BenchmarkJSONArray(b *testing.B) {
	text := "[" + strings.Repeat(`{"N":1,"pad":"`+strings.Repeat("x", 50)+"\"},\n  ", 10_000) + "{}]"
	b.Run("streamed", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			for _, err := range parley.JSONArray[entry](unread(strings.NewReader(text)), nil) {
				if n++; err != nil {
					b.Fatal(err)
				}
			}
			if n != 10_001 {
				b.Fatal(n)
			}
		}
	})
	b.Run("whole, by package json", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			var all []entry
			if err := json.Unmarshal([]byte(text), &all); err != nil {
				b.Fatal(err)
			}
		}
	})
}
