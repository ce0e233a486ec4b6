package parley_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
	"github.com/seed-0474a412/parley/internal/golden"
)

// goldenKinds are the names by which the cases know parley's errors.
var goldenKinds = map[string]error{
	"ErrPoolTimeout": parley.ErrPoolTimeout, "ErrConnectTimeout": parley.ErrConnectTimeout,
	"ErrWriteTimeout": parley.ErrWriteTimeout, "ErrResponseTimeout": parley.ErrResponseTimeout,
	"ErrReadTimeout": parley.ErrReadTimeout, "ErrTotalTimeout": parley.ErrTotalTimeout,
	"ErrTimeout": parley.ErrTimeout, "ErrNetwork": parley.ErrNetwork, "ErrProtocol": parley.ErrProtocol,
	"ErrConnect": parley.ErrConnect, "ErrRead": parley.ErrRead, "ErrWrite": parley.ErrWrite,
	"ErrPeerClosed": parley.ErrPeerClosed, "ErrLocalProtocol": parley.ErrLocalProtocol,
	"ErrRemoteProtocol": parley.ErrRemoteProtocol, "ErrProxy": parley.ErrProxy, "ErrTLS": parley.ErrTLS,
	"ErrUnsupportedProtocol": parley.ErrUnsupportedProtocol, "ErrInvalidURL": parley.ErrInvalidURL,
	"ErrInvalidHeader": parley.ErrInvalidHeader, "ErrTooManyRedirects": parley.ErrTooManyRedirects,
	"ErrInsecureRedirect": parley.ErrInsecureRedirect, "ErrBodyNotRewindable": parley.ErrBodyNotRewindable,
	"ErrDecoding": parley.ErrDecoding, "ErrBodyTooLarge": parley.ErrBodyTooLarge, "ErrAuth": parley.ErrAuth,
}

// driveGolden does with parley what the case says, as a user of parley would
// write it, and reports what happened.
func driveGolden(t *testing.T, c *golden.Case, lab *golden.Lab, authority *golden.Authority) golden.Outcome {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // no case takes so long: it would be stuck
	defer cancel()
	client, err := parley.New(goldenClient(t, c, lab, authority)...)
	if err != nil {
		reply := golden.Reply{Failure: goldenFailure(err)}
		return golden.Outcome{Replies: slices.Repeat([]golden.Reply{reply}, len(c.Calls))}
	}
	defer func() { require.NoError(t, client.Close()) }()
	var outcome golden.Outcome
	for _, call := range c.Calls {
		if call.Pause > 0 {
			time.Sleep(goldenTime(call.Pause)) // the case says so: the server does something meanwhile
		}
		outcome.Replies = append(outcome.Replies, goldenCall(ctx, t, c, call, client))
	}
	outcome.Sent = golden.LevelBoundaries(lab.Sent())
	return outcome
}

// goldenClient gives the options of the session.
func goldenClient(t *testing.T, c *golden.Case, lab *golden.Lab, authority *golden.Authority) []parley.ClientOption {
	opts := append([]parley.ClientOption{parley.WithDialer(lab)}, goldenJar(t, c)...)
	if c.Client.Verify != "system" {
		opts = append(opts, parley.WithTLSConfig(&tls.Config{RootCAs: authority.Pool()}))
	}
	if c.Client.BaseURL != "" {
		opts = append(opts, parley.WithBaseURL(c.Client.BaseURL))
	}
	for _, o := range goldenHeaders(c.Client.Headers) {
		opts = append(opts, o)
	}
	for _, o := range goldenParams(c.Client.Params) {
		opts = append(opts, o)
	}
	if c.Client.Auth != nil {
		opts = append(opts, goldenAuth(c, c.Client.Auth))
	}
	if c.Client.MaxRedirects != nil {
		opts = append(opts, parley.WithMaxRedirects(*c.Client.MaxRedirects))
	}
	return opts
}

// goldenCall makes one call.
func goldenCall(ctx context.Context, t *testing.T, c *golden.Case, call golden.Call, client *parley.Client) golden.Reply {
	url := call.URL
	if call.Params.IsText && call.Params.Text != "" {
		// There is no option for a query that is encoded already: it is written into the URL.
		sep := "?"
		if strings.Contains(url, "?") {
			sep = "&"
		}
		url += sep + call.Params.Text
	}
	var opts []parley.RequestOption
	for _, o := range slices.Concat(goldenHeaders(call.Headers), goldenParams(call.Params), goldenTimeout(call.Timeout), goldenCookies(call.Cookies)) {
		opts = append(opts, o)
	}
	if call.Auth != nil {
		opts = append(opts, goldenAuth(c, call.Auth))
	}
	if call.Follow != nil {
		opts = append(opts, parley.WithFollowRedirects(*call.Follow))
	}
	opts = append(opts, goldenBody(t, call.Body)...)
	var resp *parley.Response
	var err error
	if c.UsesResource() {
		r := api.NewResource(client).Suffix(c.Client.Trailing)
		for _, path := range c.Client.Append {
			r = r.Join(path)
		}
		resp, err = r.Join(url).Request(ctx, call.Method, opts...)
	} else {
		resp, err = client.Request(ctx, call.Method, url, opts...)
	}
	if err != nil {
		return golden.Reply{Failure: goldenFailure(err)}
	}
	defer resp.Close()
	reply := golden.Reply{Status: resp.StatusCode, URL: resp.Request.URL.String(), Headers: resp.Header}
	for _, r := range resp.History {
		reply.History = append(reply.History, golden.Hop{Status: r.StatusCode, Method: r.Request.Method, URL: r.Request.URL.String()})
	}
	if c.Wants("next") {
		if next, err := resp.Next(); err == nil {
			reply.Next = &golden.Hop{Method: next.Method, URL: next.URL.String()}
		}
	}
	if c.Wants("text") {
		text, err := resp.Text()
		if err != nil {
			return golden.Reply{Failure: goldenFailure(err)}
		}
		reply.Text = &text
	}
	if c.Wants("links") {
		reply.Links = goldenLinks(resp)
	}
	if c.Wants("json") {
		reply.JSONErr = resp.JSON(&reply.JSON) != nil
	}
	if call.Raise {
		if err := resp.Err(); err != nil {
			reply.Raised = goldenFailure(err)
		}
	}
	_, reason, _ := strings.Cut(resp.Status, " ")
	reply.Reason = &reason
	return reply
}

// goldenAuth gives the credentials of a session or a call.
func goldenAuth(c *golden.Case, raw json.RawMessage) parley.Option {
	var login []*string // of Basic
	var other struct {
		Digest []string
		Bearer string
		Netrc  bool
	}
	if string(raw) == "null" {
		return parley.WithoutAuth()
	}
	if json.Unmarshal(raw, &login) == nil {
		if len(login) != 2 || login[0] == nil || login[1] == nil {
			return parley.WithBasicAuth("\x00", "") // what is no text cannot be given at all
		}
		return parley.WithBasicAuth(*login[0], *login[1])
	}
	var a parley.Auth
	err := json.Unmarshal(raw, &other)
	switch {
	case err != nil:
	case other.Digest != nil:
		if a, err = parley.DigestAuth(other.Digest[0], other.Digest[1]); err == nil {
			parley.SetClientNonce(a, func() (string, error) { return cmp.Or(c.CNonce, goldenCNonce), nil })
		}
	case other.Netrc:
		a, err = parley.NetrcAuth("", false)
	default:
		a = parley.AuthFunc(func(_ context.Context, req *parley.Request) error {
			req.Header.Set("Authorization", "Bearer "+other.Bearer)
			return nil
		})
	}
	if err != nil {
		panic(fmt.Sprintf("%s: auth %s: %v", c.ID, raw, err))
	}
	return parley.WithAuth(a)
}

// goldenCNonce is the client nonce of the cases that do not name one.
const goldenCNonce = "0a4f113b0a4f113b"

// goldenLinks gives the links by relation type, or by URL where there is none.
func goldenLinks(resp *parley.Response) map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, link := range resp.Links() {
		keys := link.Rel
		if len(keys) == 0 {
			keys = []string{link.URL.String()}
		} else if first, ok := resp.Link(keys[0]); ok {
			link = first
		}
		shown := map[string]string{"url": link.URL.String()}
		for _, p := range link.Params {
			shown[p.Key] = p.Value
		}
		for _, key := range keys {
			all[key] = shown
		}
	}
	return all
}

// goldenHeaders sets headers. A null takes out what the session or parley itself
// would send; a name that comes twice has two values.
func goldenHeaders(fields golden.Fields) []parley.Option {
	var opts []parley.Option
	values := map[string][]string{}
	for _, f := range fields.List {
		if value, ok := f.Value.(string); ok {
			values[f.Name] = append(values[f.Name], value)
			opts = append(opts, parley.WithHeaders(http.Header{f.Name: values[f.Name]}))
			continue
		}
		opts = append(opts, parley.WithoutHeader(f.Name))
	}
	return opts
}

// goldenCookies sets cookies for whatever host the request goes to.
func goldenCookies(given golden.Cookies) []parley.Option {
	var opts []parley.Option
	for _, f := range given.Fields {
		if value, ok := f.Value.(string); ok {
			opts = append(opts, parley.WithCookie(f.Name, value))
			continue
		}
		opts = append(opts, parley.WithoutCookie(f.Name))
	}
	return opts
}

// goldenJar gives the cookies of the session. Those that are for a domain are in its
// jar before the first call.
func goldenJar(t *testing.T, c *golden.Case) []parley.ClientOption {
	var opts []parley.ClientOption
	for _, o := range goldenCookies(c.Client.Cookies) {
		opts = append(opts, o)
	}
	jar := parley.NewJar()
	for _, k := range c.Client.Cookies.Placed {
		host := strings.TrimPrefix(k.Domain, ".")
		set := &http.Cookie{Name: k.Name, Value: k.Value, Domain: k.Domain, Path: cmp.Or(k.Path, "/")}
		require.NoError(t, jar.Set(&url.URL{Scheme: "http", Host: host}, set))
	}
	return append(opts, parley.WithJar(jar))
}

// goldenParams sets query parameters. A null means that there is none, not even
// the session's. Values go in as what they are, name by name, for a map would sort
// the names.
func goldenParams(fields golden.Fields) []parley.Option {
	var opts []parley.Option
	for _, f := range fields.List {
		if f.Value == nil {
			opts = append(opts, parley.WithoutQuery(f.Name))
		}
	}
	if params, ok := goldenTexts(fields.List); ok {
		return append(opts, parley.WithParams(params))
	}
	for _, f := range fields.List {
		if f.Value != nil {
			opts = append(opts, parley.WithParams(map[string]any{f.Name: goldenValue(f.Value)}))
		}
	}
	return opts
}

// goldenTexts gives fields in their order, lists one by one, where they are all
// text, and also where a name comes twice, since only Params can say that.
func goldenTexts(fields []golden.Field) (params parley.Params, ok bool) {
	seen := map[string]bool{}
	texts, twice := true, false
	for _, f := range fields {
		twice = twice || seen[f.Name]
		seen[f.Name] = true
		values, list := f.Value.([]any)
		if !list {
			values = []any{f.Value}
		}
		for _, v := range values {
			text, is := v.(string)
			if !is {
				text = fmt.Sprint(v)
			}
			texts = texts && (is || v == nil && !list)
			if v != nil {
				params = append(params, parley.Param{Key: f.Name, Value: text})
			}
		}
	}
	return params, texts || twice
}

// goldenValue gives the Go value for one of the case's.
func goldenValue(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if f, err := v.Float64(); err == nil && strconv.FormatFloat(f, 'f', -1, 64) == v.String() {
			return f
		} // else it stays as it is written, say 2.0, which no float64 remembers
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = goldenValue(v[i])
		}
		return list
	case golden.Object:
		object := map[string]any{}
		for _, f := range v {
			object[f.Name] = goldenValue(f.Value)
		}
		return object
	}
	return v
}

// goldenTimeout sets the limits of the phases; Python's read is the wait for the
// response's head as well as for the pieces of its body.
func goldenTimeout(limits golden.Timeout) []parley.Option {
	if !limits.Given {
		return nil
	}
	limit := func(d *time.Duration) time.Duration {
		if d == nil {
			return parley.NoTimeout
		}
		return goldenTime(*d)
	}
	return []parley.Option{parley.WithTimeouts(parley.Timeouts{
		Pool: limit(limits.Pool), Connect: limit(limits.Connect), Write: limit(limits.Write),
		Response: limit(limits.Read), Read: limit(limits.Read),
	})}
}

// goldenBody gives the body, or several where the case gives several.
func goldenBody(t *testing.T, body golden.Body) []parley.RequestOption {
	if len(body.Files) > 0 { // for the systems, files make it multipart whatever else is given
		return []parley.RequestOption{goldenMultipart(body)}
	}
	var opts []parley.RequestOption
	for _, kind := range body.Kinds {
		switch kind {
		case "json":
			if body.JSON != nil { // json=None means no body in Python
				opts = append(opts, parley.WithJSON(body.JSON))
			}
		case "files": // there are none
		case "json_special":
			opts = append(opts, parley.WithJSON(goldenSpecial(body.Special)))
		case "form":
			opts = append(opts, parley.WithForm(goldenForm(body.Form.List)))
		case "text":
			opts = append(opts, parley.WithText(body.Text))
		case "chunks":
			opts = append(opts, parley.WithReader(newPieces(body.Chunks)))
		case "file":
			opts = append(opts, parley.WithReader(goldenFile(t, body.File)))
		case "content", "content_b64", "content_repeat":
			opts = append(opts, parley.WithBytes(body.Content))
		default:
			t.Fatalf("no way to send a body given as %q", kind)
		}
	}
	return opts
}

// goldenMultipart gives the fields of a form and then its files.
func goldenMultipart(body golden.Body) parley.RequestOption {
	parts := parley.FormFields(goldenForm(body.Form.List))
	for _, f := range body.Files {
		part := parley.FormBytes(f.Field, f.FileName, f.Content)
		part.ContentType = f.ContentType
		part.Header = http.Header{}
		for _, h := range f.Headers.List {
			part.Header.Add(h.Name, fmt.Sprint(h.Value))
		}
		parts = append(parts, part)
	}
	return parley.WithMultipart(parts...)
}

// goldenForm gives a form as goldenParams does parameters. What is not all text is
// a map if that keeps the order, for a map is sent in the order of its names.
func goldenForm(fields []golden.Field) any {
	params, ok := goldenTexts(fields)
	byName := func(a, b golden.Field) int { return strings.Compare(a.Name, b.Name) }
	if ok || !slices.IsSortedFunc(fields, byName) {
		return params
	}
	form := map[string]any{}
	for _, f := range fields {
		form[f.Name] = goldenValue(f.Value)
	}
	return form
}

// goldenSpecial gives what comes nearest to a Python value that JSON lacks.
func goldenSpecial(name string) any {
	switch name {
	case "nan":
		return math.NaN()
	case "inf":
		return math.Inf(1)
	case "-inf":
		return math.Inf(-1)
	case "bytes":
		return []byte("bytes")
	case "tuple":
		return [2]int{1, 2}
	}
	return make(chan int) // something that encoding/json cannot write either
}

func goldenFile(t *testing.T, content string) *os.File {
	path := filepath.Join(t.TempDir(), "body")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	file, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, file.Close()) })
	return file
}

// newPieces gives a reader of unknown length that returns one piece per Read, as
// long as there is room for it.
func newPieces(texts []string) io.Reader {
	readers := make([]io.Reader, len(texts))
	for i, text := range texts {
		readers[i] = bytes.NewReader([]byte(text))
	}
	return io.MultiReader(readers...)
}

// goldenFailure names the kinds that an error matches.
func goldenFailure(err error) *golden.Failure {
	f := &golden.Failure{Text: err.Error()}
	for _, name := range slices.Sorted(maps.Keys(goldenKinds)) {
		if errors.Is(err, goldenKinds[name]) {
			f.Kinds = append(f.Kinds, name)
		}
	}
	if status := (*parley.StatusError)(nil); errors.As(err, &status) {
		f.Kinds = append(f.Kinds, "StatusError "+strconv.Itoa(status.StatusCode), "StatusError")
	}
	return f
}

// goldenTime gives a time of the case as it passes in the test.
func goldenTime(d time.Duration) time.Duration {
	return time.Duration(float64(d) * goldenPace)
}
