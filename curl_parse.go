package parley

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/seed-0474a412/parley/internal/shell"
)

// CurlError is what [ParseCurl] does not understand. It is found with [errors.As].
type CurlError struct {
	Flag string // the flag it is about, such as "--netrc"; "": it is about something else
	Err  error
}

// Error names the flag and what is wrong with it.
func (e *CurlError) Error() string {
	if e.Flag == "" {
		return "curl command: " + quoteBad(e.Err.Error(), maxErrorText)
	}
	return "curl command: " + quoteBad(e.Flag, 64) + ": " + quoteBad(e.Err.Error(), maxErrorText)
}

// Unwrap gives what is wrong.
func (e *CurlError) Unwrap() error { return e.Err }

func curlError(flag, format string, args ...any) error {
	return &CurlError{flag, fmt.Errorf(format, args...)}
}

// ParseCurl gives the request that a command line for curl sends, such as the
// documentation of an API shows or "Copy as cURL" of a browser gives. The line is taken
// apart as a shell does it, with quotes, $'…', comments and lines that end in a backslash;
// nothing is run and no variable put in.
//
// Understood are -X, -H, -d and its sisters (--data-raw, --data-binary, --data-ascii,
// --data-urlencode, --json, --url-query), -F, --form-string, -T, -G, -I, -A, -e, -b with
// cookies, -r, -u with a password, --basic, --digest, --oauth2-bearer, -k, --cacert, -E,
// --key, -L, --max-redirs, -x, -U, --noproxy with *, --unix-socket, -m, --connect-timeout,
// --compressed, -g, --url and --request-target. What only says how curl shows what it does, such as
// -s, -i, -v, -o and -w, is read over. Every other flag is an error that
// names it, as is a second URL. Errors are *[CurlError], or in one as [NewRequest] gives
// them.
//
// The request is as NewRequest makes it: a session that sends it adds what it has and the
// line does not say, its own User-Agent in place of curl's among them. Redirects are
// followed only with -L, as curl does. A file that the line names (@file, -T) is opened when
// the request is sent; with -d and --data-urlencode, which change what they read, it is read at once,
// up to 16 MiB. So do not parse lines of people who may not read your files.
func ParseCurl(command string) (*Request, error) {
	c, err := readCurl(command)
	if err != nil {
		return nil, err
	}
	req, err := c.request()
	if err != nil {
		var known *CurlError
		if errors.As(err, &known) {
			return nil, err
		}
		return nil, &CurlError{Err: err}
	}
	return req, nil
}

// curlCommand is what a command line says.
type curlCommand struct {
	urls          []string
	method        string
	header        http.Header
	removed       []string
	data          []byte
	dataFile      string // the whole of data, to be read when it is sent
	hasData, json bool
	query         []string // to be added to the URL
	parts         []Part
	upload        string
	get, head     bool
	user, proxy   string
	proxyUser     string
	digest        bool
	cookies       []string
	compressed    bool
	globoff       bool
	follow        bool
	cert, key     string
	timeouts      Timeouts
	target        string
	opts          []RequestOption
	stdin         []byte // what a printf before it writes; nil: nobody writes
}

// readCurl reads the flags.
func readCurl(command string) (*curlCommand, error) {
	words, err := shell.Split(command)
	if err != nil {
		return nil, &CurlError{Err: err}
	}
	c := &curlCommand{header: make(http.Header)}
	if len(words) > 0 && words[0].Text == "$" { // a prompt
		words = words[1:]
	}
	if words, err = c.takePrintf(words); err != nil {
		return nil, err
	}
	if len(words) == 0 || path.Base(words[0].Text) != "curl" || words[0].Operator {
		return nil, curlError("", "it does not begin with curl")
	}
	var args []string
	for _, w := range words[1:] {
		if w.Operator {
			return nil, curlError("", "there is more than one command, by %q; a URL with & in it has to stand in quotes", w.Text)
		}
		args = append(args, w.Text)
	}
	return c, c.flags(args)
}

// takePrintf reads the beginning of "printf '%b' '…' | curl …".
func (c *curlCommand) takePrintf(words []shell.Word) ([]shell.Word, error) {
	if len(words) < 4 || words[0].Text != "printf" || words[1].Text != "%b" || words[3] != (shell.Word{Text: "|", Operator: true}) {
		return words, nil
	}
	data, err := shell.PercentB(words[2].Text)
	if err != nil {
		return nil, &CurlError{Err: err}
	}
	c.stdin = append([]byte{}, data...)
	return words[4:], nil
}

// flags reads all arguments.
func (c *curlCommand) flags(args []string) error {
	only := false
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		var err error
		switch {
		case only || arg == "-" || !strings.HasPrefix(arg, "-"):
			c.urls = append(c.urls, arg)
		case arg == "--":
			only = true
		case strings.HasPrefix(arg, "--"):
			args, err = c.long(arg, args)
		default:
			args, err = c.short(arg, args)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// long reads a flag that is written out.
func (c *curlCommand) long(flag string, args []string) ([]string, error) {
	name := flag[2:]
	if f, ok := curlFlags[name]; ok {
		return c.apply(flag, f, args)
	}
	if off, ok := strings.CutPrefix(name, "no-"); ok {
		if f, known := curlFlags[off]; known && f.set == nil && f.value == nil {
			return args, nil
		}
	}
	if name, _, joined := strings.Cut(flag, "="); joined { // what follows may be a secret
		return nil, curlError(name, "not understood with an equals sign: curl takes the next word for the value")
	}
	return nil, curlError(flag, "not understood")
}

// short reads flags of one letter, of which the last may have its value with it.
func (c *curlCommand) short(flag string, args []string) ([]string, error) {
	for i := 1; i < len(flag); i++ {
		name := "-" + flag[i:i+1]
		f, ok := curlFlags[curlShort[flag[i]]]
		if !ok {
			return nil, curlError(name, "not understood")
		}
		if f.takes() && i+1 < len(flag) {
			args = append([]string{flag[i+1:]}, args...)
			i = len(flag)
		}
		var err error
		if args, err = c.apply(name, f, args); err != nil {
			return nil, err
		}
	}
	return args, nil
}

func (c *curlCommand) apply(flag string, f curlFlag, args []string) ([]string, error) {
	var err error
	switch {
	case f.takes() && len(args) == 0:
		return nil, curlError(flag, "its value is missing")
	case f.takes():
		if f.value != nil {
			err = f.value(c, args[0])
		}
		args = args[1:]
	case f.set != nil:
		f.set(c)
	}
	if err != nil {
		var known *CurlError
		if errors.As(err, &known) {
			return nil, err
		}
		return nil, &CurlError{flag, err}
	}
	return args, nil
}

// request makes the request.
func (c *curlCommand) request() (*Request, error) {
	u, err := c.url()
	if err != nil {
		return nil, err
	}
	if c.user != "" {
		if err := c.login(); err != nil {
			return nil, err
		}
	}
	if err := c.proxies(); err != nil {
		return nil, err
	}
	if c.cert != "" || c.key != "" {
		if c.key == "" {
			c.key = c.cert
		}
		c.add(WithClientCert(c.cert, c.key))
	}
	if err := c.content(); err != nil {
		return nil, err
	}
	c.headers()
	c.add(WithTimeouts(c.timeouts), WithFollowRedirects(c.follow))
	if c.target != "" {
		c.add(WithTarget(c.target))
	}
	req, err := NewRequest(c.verb(), u, c.opts...)
	if err != nil {
		return nil, err
	}
	if c.compressed {
		req.askCoding([]string{acceptEncodingOf(req.Header.Get("Accept-Encoding"))})
	}
	return req, nil
}

func (c *curlCommand) add(opts ...RequestOption) { c.opts = append(c.opts, opts...) }

// acceptEncodingOf gives what was asked for where parley can decode all of it, else what
// it asks for by itself.
func acceptEncodingOf(given string) string {
	for name := range strings.SplitSeq(given, ",") {
		if open, _ := new(Request).decoder(strings.TrimSpace(name)); open == nil {
			return acceptEncoding
		}
	}
	return given
}

// verb gives the method.
func (c *curlCommand) verb() string {
	switch {
	case c.method != "":
		return c.method
	case c.head:
		return http.MethodHead
	case c.upload != "":
		return http.MethodPut
	case (c.hasData || len(c.parts) > 0) && !c.get:
		return http.MethodPost
	}
	return http.MethodGet
}

// url gives the URL, with the scheme that curl supposes and with what goes into the query.
func (c *curlCommand) url() (string, error) {
	switch {
	case len(c.urls) == 0:
		return "", curlError("", "it names no URL")
	case len(c.urls) > 1:
		return "", curlError("", "it names %d URLs, of which a request has one", len(c.urls))
	}
	u := c.urls[0]
	_, rest, ok := strings.Cut(u, "://")
	if !ok {
		u, rest = "http://"+u, u
	}
	if !c.globoff {
		at := rest
		if strings.HasPrefix(rest, "[") { // an IPv6 address
			_, at, _ = strings.Cut(rest, "]")
		}
		if strings.ContainsAny(at, "[]{}") {
			return "", curlError("", "its URL has brackets or braces, by which curl means several URLs: add --globoff if they are meant as they are")
		}
	}
	u, _, _ = strings.Cut(u, "#") // which is not sent
	if c.get && c.hasData {
		data, err := c.allData()
		if err != nil {
			return "", err
		}
		c.query = append(c.query, string(data))
	}
	for _, more := range c.query {
		switch {
		case more == "":
		case !strings.Contains(u, "?"):
			u += "?" + more
		case strings.HasSuffix(u, "?") || strings.HasSuffix(u, "&"):
			u += more
		default:
			u += "&" + more
		}
	}
	if c.upload != "" && c.upload != "-" {
		base, query, has := strings.Cut(u, "?")
		if strings.HasSuffix(base, "/") || strings.Count(base, "/") == 2 {
			u = strings.TrimSuffix(base, "/") + "/" + url.PathEscape(path.Base(c.upload))
			if has {
				u += "?" + query
			}
		}
	}
	return u, nil
}

// login proves who asks.
func (c *curlCommand) login() error {
	name, password, ok := strings.Cut(c.user, ":")
	switch {
	case !ok:
		return curlError("--user", "it has no password, which curl would ask for: write user:password")
	case c.digest:
		auth, err := DigestAuth(name, password)
		if err != nil {
			return err
		}
		c.add(WithAuth(auth))
	default:
		c.add(WithBasicAuth(name, password))
	}
	return nil
}

func (c *curlCommand) proxies() error {
	if c.proxy == "" {
		if c.proxyUser != "" {
			return curlError("--proxy-user", "there is no --proxy")
		}
		return nil
	}
	u, err := parseProxyOfCurl(c.proxy)
	if err != nil {
		return &CurlError{"--proxy", err}
	}
	if c.proxyUser != "" {
		name, password, ok := strings.Cut(c.proxyUser, ":")
		if !ok {
			return curlError("--proxy-user", "it has no password, which curl would ask for: write user:password")
		}
		u = withLogin(u, name, password)
	}
	c.add(WithProxy(u))
	return nil
}

// content gives the request its body.
func (c *curlCommand) content() error {
	kinds := 0
	for _, is := range []bool{c.hasData && !c.get, len(c.parts) > 0, c.upload != ""} {
		if is {
			kinds++
		}
	}
	switch {
	case kinds > 1:
		return curlError("", "it has several bodies: only one of --data, --form and --upload-file")
	case c.head && kinds > 0:
		return curlError("--head", "there is a body to be sent: use --request HEAD, or --get")
	case c.upload == "-" || c.upload == ".":
		if c.stdin == nil {
			return curlError("--upload-file", "standard input is not there to be read")
		}
		c.add(WithBytes(c.stdin))
	case c.upload != "":
		file, err := newFileBody(c.upload)
		if err != nil {
			return &CurlError{"--upload-file", err}
		}
		c.add(WithBody(file))
	case len(c.parts) > 0:
		c.add(WithMultipart(c.parts...))
	case c.hasData && !c.get:
		return c.dataBody()
	}
	return nil
}

// dataBody is the body of -d and its sisters.
func (c *curlCommand) dataBody() error {
	typ := "application/x-www-form-urlencoded"
	if c.json {
		typ = "application/json"
		if c.header["Accept"] == nil {
			c.header["Accept"] = []string{typ}
		}
	}
	if c.dataFile != "" {
		file, err := newFileBody(c.dataFile)
		if err != nil {
			return &CurlError{"--data-binary", err}
		}
		file.typ = typ
		c.add(WithBody(file))
		return nil
	}
	c.add(WithBody(BytesBody(c.data, typ)))
	return nil
}

// headers gives the request its header.
func (c *curlCommand) headers() {
	if host := c.header["Host"]; len(host) > 0 {
		c.add(WithHost(host[len(host)-1]))
		delete(c.header, "Host")
	}
	if len(c.cookies) > 0 {
		cookies := strings.Join(append(c.header["Cookie"], c.cookies...), "; ")
		c.header["Cookie"] = []string{cookies}
	}
	c.add(WithHeaders(c.header))
	for _, name := range c.removed {
		if c.header[name] == nil {
			c.add(WithoutHeader(name))
		}
	}
}

// addHeader reads a line of -H.
func (c *curlCommand) addHeader(line string) error {
	if strings.HasPrefix(line, "@") {
		return errors.New("a file of headers is not read: name them one by one")
	}
	name, value, ok := strings.Cut(line, ":")
	if !ok {
		if name, ok = strings.CutSuffix(line, ";"); !ok {
			return errors.New("a header without a colon")
		}
		name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
		c.header[name] = append(c.header[name], "")
		return nil
	}
	name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
	if value = strings.Trim(value, " \t"); value == "" {
		c.removed = append(c.removed, name)
		return nil
	}
	c.header[name] = append(c.header[name], value)
	return nil
}

// seconds reads a time.
func seconds(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text + "s")
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no number of seconds", quoteBad(text, 32))
	}
	return d, nil
}
