package api

import (
	"context"
	"io"
	"iter"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

// Whatever the tags of a function are, Bind says what is wrong with them, or makes a
// function whose request goes to the session's origin.
func FuzzBindTags(f *testing.F) {
	signatures := []reflect.Type{
		reflect.TypeFor[func(context.Context) error](),
		reflect.TypeFor[func(context.Context, string, int, ...parley.RequestOption) (*parley.Response, error)](),
		reflect.TypeFor[func(context.Context, []string, map[string]any, any) (any, Meta, error)](),
		reflect.TypeFor[func(context.Context, *url.URL, time.Duration, io.Reader) iter.Seq2[string, error]](),
		reflect.TypeFor[func(context.Context, parley.Params, []byte) (io.ReadCloser, error)](),
		reflect.TypeFor[func(string, chan int) time.Time](),
	}
	var sent *parley.Request
	client, err := parley.New(parley.WithBaseURL("https://api.test/v1"), parley.WithEnv(false), parley.WithTransport(parley.TransportFunc(
		func(_ context.Context, req *parley.Request) (*parley.Response, error) {
			sent = req
			return nil, io.ErrUnexpectedEOF
		})))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { client.Close() })
	f.Add(byte(0), "GET users", "", "", "", "", "")
	f.Add(byte(1), "GET users/{id}/{+n}", "id, path:n", "json a.b", "A: b", "a=b", "3s")
	f.Add(byte(2), "POST x{/a*}{?m*}", "a, m, body:xml", "xml", "A: b\nC: d", "", "")
	f.Add(byte(2), "PUT x", "part:a, field:b.c, form", "", "", "", "x")
	f.Add(byte(3), "GET", "url, timeout, body", "array a.b", "", "", "")
	f.Add(byte(3), "PATCH", "url, timeout, part:a", "events", "", "", "")
	f.Add(byte(4), "PUT {x}", "query, path:x", "", "", "", "")
	f.Add(byte(5), "GET x", "", "", "", "", "")
	f.Fuzz(func(t *testing.T, signature byte, pattern, args, result, header, query, timeout string) {
		typ := signatures[int(signature)%len(signatures)]
		tag := ""
		for name, value := range map[string]string{"http": pattern, "args": args, "result": result, "header": header, "query": query, "timeout": timeout} {
			if value != "" || name == "http" {
				tag += name + ":" + strconv.Quote(value) + " "
			}
		}
		whole := reflect.StructOf([]reflect.StructField{{Name: "Do", Type: typ, Tag: reflect.StructTag(tag)}})
		v := reflect.New(whole).Elem()
		b := newBinder(client, whole)
		b.bind(v)
		if len(b.errs) > 0 || v.Field(0).IsNil() {
			return
		}
		in := make([]reflect.Value, 0, typ.NumIn())
		for i := range typ.NumIn() {
			in = append(in, reflect.Zero(typ.In(i)))
			if typ.In(i) == bindString {
				in[i] = reflect.ValueOf("//evil.test/..")
			}
		}
		in[0] = reflect.ValueOf(t.Context())
		sent = nil
		call := v.Field(0).Call
		if typ.IsVariadic() {
			call = v.Field(0).CallSlice
		}
		out := call(in)
		if seq, ok := out[0].Interface().(iter.Seq2[string, error]); ok {
			for _, err := range seq {
				require.Error(t, err)
			}
		}
		if sent != nil && !strings.Contains(pattern, "://") {
			require.Equal(t, "https://api.test", sent.URL.Scheme+"://"+sent.URL.Host)
		}
	})
}
