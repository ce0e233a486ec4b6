package parley

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// curlFlag is what a flag of curl means here: set for one without a value, value for one
// with. One with neither is read over, with its value if skip says that it has one.
type curlFlag struct {
	set   func(*curlCommand)
	value func(*curlCommand, string) error
	skip  bool
}

func (f curlFlag) takes() bool { return f.value != nil || f.skip }

// curlShort gives the long names of flags of one letter.
var curlShort = map[byte]string{
	'X': "request", 'H': "header", 'd': "data", 'F': "form", 'u': "user", 'b': "cookie", 'A': "user-agent", 'e': "referer",
	'k': "insecure", 'L': "location", 'x': "proxy", 'U': "proxy-user", 'G': "get", 'I': "head", 'T': "upload-file", 'r': "range",
	'm': "max-time", 'E': "cert", 'g': "globoff", 's': "silent", 'S': "show-error", 'v': "verbose", 'i': "include", 'f': "fail",
	'#': "progress-bar", 'N': "no-buffer", 'O': "remote-name", 'J': "remote-header-name", 'R': "remote-time", 'o': "output",
	'w': "write-out", 'D': "dump-header",
}

func text(place func(*curlCommand) *string) curlFlag {
	return curlFlag{value: func(c *curlCommand, v string) error { *place(c) = v; return nil }}
}

func on(place func(*curlCommand) *bool) curlFlag {
	return curlFlag{set: func(c *curlCommand) { *place(c) = true }}
}

// curlFlags are the flags that are understood, by their long names. It is never changed.
var curlFlags = map[string]curlFlag{
	"url":            {value: func(c *curlCommand, v string) error { c.urls = append(c.urls, v); return nil }},
	"request":        text(func(c *curlCommand) *string { return &c.method }),
	"request-target": text(func(c *curlCommand) *string { return &c.target }),
	"header":         {value: (*curlCommand).addHeader},
	"user-agent":     {value: func(c *curlCommand, v string) error { return c.addHeader("User-Agent: " + v) }},
	"referer": {value: func(c *curlCommand, v string) error {
		return c.addHeader("Referer: " + strings.TrimSuffix(v, ";auto"))
	}},
	"range":         {value: func(c *curlCommand, v string) error { return c.addHeader("Range: bytes=" + v) }},
	"oauth2-bearer": {value: func(c *curlCommand, v string) error { return c.addHeader("Authorization: Bearer " + v) }},
	"cookie":        {value: (*curlCommand).addCookie},

	"data":           {value: func(c *curlCommand, v string) error { return c.addData(v, true) }},
	"data-ascii":     {value: func(c *curlCommand, v string) error { return c.addData(v, true) }},
	"data-binary":    {value: func(c *curlCommand, v string) error { return c.addData(v, false) }},
	"data-raw":       {value: func(c *curlCommand, v string) error { return c.more([]byte(v)) }},
	"data-urlencode": {value: (*curlCommand).addEncoded},
	"json":           {value: (*curlCommand).addJSON},
	"url-query":      {value: (*curlCommand).addQuery},
	"form":           {value: (*curlCommand).addPart},
	"form-string":    {value: (*curlCommand).addField},
	"upload-file":    text(func(c *curlCommand) *string { return &c.upload }),
	"get":            on(func(c *curlCommand) *bool { return &c.get }),
	"head":           on(func(c *curlCommand) *bool { return &c.head }),
	"compressed":     on(func(c *curlCommand) *bool { return &c.compressed }),
	"globoff":        on(func(c *curlCommand) *bool { return &c.globoff }),

	"user":     text(func(c *curlCommand) *string { return &c.user }),
	"basic":    {set: func(c *curlCommand) { c.digest = false }},
	"digest":   on(func(c *curlCommand) *bool { return &c.digest }),
	"insecure": {set: func(c *curlCommand) { c.add(WithVerify(false)) }},
	"cacert":   {value: func(c *curlCommand, v string) error { c.add(WithRootCAs(v)); return nil }},
	"cert":     text(func(c *curlCommand) *string { return &c.cert }),
	"key":      text(func(c *curlCommand) *string { return &c.key }),

	"location":   on(func(c *curlCommand) *bool { return &c.follow }),
	"max-redirs": {value: (*curlCommand).limitRedirects},
	"proxy": {value: func(c *curlCommand, v string) error {
		if c.proxy = v; v == "" {
			c.add(WithoutProxy())
		}
		return nil
	}},
	"proxy-user": text(func(c *curlCommand) *string { return &c.proxyUser }),
	"noproxy": {value: func(c *curlCommand, v string) error {
		if v != "*" {
			return errors.New("only * is understood")
		}
		c.add(WithoutProxy())
		return nil
	}},
	"unix-socket": {value: func(c *curlCommand, v string) error { c.add(WithUnixSocket(v)); return nil }},
	"max-time": {value: func(c *curlCommand, v string) (err error) {
		c.timeouts.Total, err = seconds(v)
		return err
	}},
	"connect-timeout": {value: func(c *curlCommand, v string) (err error) {
		c.timeouts.Connect, err = seconds(v)
		return err
	}},

	// What does not change the request.
	"silent": {}, "show-error": {}, "verbose": {}, "include": {}, "show-headers": {}, "fail": {}, "fail-with-body": {},
	"fail-early": {}, "progress-bar": {}, "progress-meter": {}, "no-progress-meter": {}, "buffer": {}, "no-buffer": {},
	"remote-name": {}, "remote-header-name": {}, "remote-time": {}, "create-dirs": {}, "styled-output": {}, "no-styled-output": {},
	"http1.1": {}, "http2": {}, "keepalive": {}, "no-keepalive": {}, "tcp-nodelay": {}, "disable": {},
	"output": {skip: true}, "output-dir": {skip: true}, "write-out": {skip: true}, "dump-header": {skip: true}, "stderr": {skip: true},
	"trace": {skip: true}, "trace-ascii": {skip: true}, "trace-time": {},
}

// limitRedirects is --max-redirs.
func (c *curlCommand) limitRedirects(v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return fmt.Errorf("%q is no number of redirects", quoteBad(v, 32))
	}
	c.add(WithMaxRedirects(n))
	return nil
}

// addCookie is -b.
func (c *curlCommand) addCookie(v string) error {
	if !strings.Contains(v, "=") {
		return errors.New("a file of cookies is not read: load it into the Jar of a session")
	}
	c.cookies = append(c.cookies, strings.TrimRight(v, "; "))
	return nil
}

// more adds to the data that is sent, after an ampersand.
func (c *curlCommand) more(data []byte) error {
	if _, err := c.allData(); err != nil {
		return err
	}
	if c.hasData && !c.json {
		c.data = append(c.data, '&')
	}
	c.hasData = true
	c.data = append(c.data, data...)
	return nil
}

// maxCurlFile bounds a file that is read while a command line is parsed.
const maxCurlFile = 16 << 20

// readFile reads what stands behind an @.
func (c *curlCommand) readFile(name string) (data []byte, err error) {
	if name == "-" {
		if c.stdin == nil {
			return nil, errors.New("standard input is not there to be read")
		}
		return c.stdin, nil
	}
	if _, err := newFileBody(name); err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // it was read
	if data, err = io.ReadAll(io.LimitReader(f, maxCurlFile+1)); err == nil && len(data) > maxCurlFile {
		err = fmt.Errorf("a file of more than %d bytes: use --data-binary or --upload-file", maxCurlFile)
	}
	return data, err
}

// addData is -d, and --data-binary where plain is false: of files -d leaves out the ends of
// lines.
func (c *curlCommand) addData(v string, plain bool) error {
	name, file := strings.CutPrefix(v, "@")
	if !file {
		return c.more([]byte(v))
	}
	if !plain && !c.hasData && name != "-" { // perhaps all there is
		c.hasData, c.dataFile = true, name
		return nil
	}
	data, err := c.readFile(name)
	if err != nil {
		return err
	}
	if plain {
		data = bytes.Map(func(r rune) rune {
			if r == '\r' || r == '\n' || r == 0 {
				return -1
			}
			return r
		}, data)
	}
	return c.more(data)
}

// allData gives the data, with that of a file read.
func (c *curlCommand) allData() ([]byte, error) {
	if c.dataFile != "" {
		data, err := c.readFile(c.dataFile)
		if err != nil {
			return nil, &CurlError{"--data-binary", err}
		}
		c.data, c.dataFile = data, ""
	}
	return c.data, nil
}

// encoded gives what --data-urlencode makes of its value.
func (c *curlCommand) encoded(v string) (string, error) {
	i := strings.IndexAny(v, "=@")
	if i < 0 {
		return url.QueryEscape(v), nil
	}
	name, value := v[:i], v[i+1:]
	if v[i] == '@' {
		data, err := c.readFile(value)
		if err != nil {
			return "", err
		}
		value = string(data)
	}
	if name != "" {
		name += "="
	}
	return name + url.QueryEscape(value), nil
}

func (c *curlCommand) addEncoded(v string) error {
	text, err := c.encoded(v)
	if err != nil {
		return err
	}
	return c.more([]byte(text))
}

// addQuery is --url-query, which has a form of its own for what is encoded already.
func (c *curlCommand) addQuery(v string) error {
	if plain, ok := strings.CutPrefix(v, "+"); ok {
		c.query = append(c.query, plain)
		return nil
	}
	text, err := c.encoded(v)
	if err == nil {
		c.query = append(c.query, text)
	}
	return err
}

// addJSON is --json, whose values are put together as they are.
func (c *curlCommand) addJSON(v string) error {
	if c.hasData && !c.json {
		return errors.New("there is other data already")
	}
	c.json = true
	return c.addData(v, false)
}

// addField is --form-string.
func (c *curlCommand) addField(v string) error {
	name, value, ok := strings.Cut(v, "=")
	if !ok {
		return errors.New("it needs a name, an equals sign and a value")
	}
	c.parts = append(c.parts, FormField(name, value))
	return nil
}

// addPart is -F: name=value, name=@file or name=<file, with ;type= and ;filename= after it.
func (c *curlCommand) addPart(v string) error {
	name, value, ok := strings.Cut(v, "=")
	if !ok {
		return errors.New("it needs a name, an equals sign and a value")
	}
	place := strings.HasPrefix(value, "@") || strings.HasPrefix(value, "<")
	content, rest, err := partContent(value, place)
	if err != nil {
		return err
	}
	var p Part
	switch {
	case strings.HasPrefix(value, "@"):
		file, err := newFileBody(content)
		if err != nil {
			return err
		}
		p = Part{Name: name, FileName: filepath.Base(content), Body: file}
	case strings.HasPrefix(value, "<"):
		data, err := c.readFile(content)
		if err != nil {
			return err
		}
		p = Part{Name: name, Body: BytesBody(data, "")}
	default:
		p = FormField(name, content)
	}
	for rest != "" {
		var key, value string
		key, rest, _ = strings.Cut(rest[1:], "=")
		if value, rest, err = partContent(rest, false); err != nil {
			return err
		}
		switch strings.TrimSpace(key) {
		case "type":
			// A type may have parameters, which look like those of the part.
			for strings.HasPrefix(strings.TrimLeft(strings.TrimPrefix(rest, ";"), " "), "charset=") {
				var more string
				if more, rest, err = partContent(rest[1:], false); err != nil {
					return err
				}
				value += ";" + more
			}
			if _, _, err := mime.ParseMediaType(value); err != nil {
				return fmt.Errorf("the type of the part %q: %w", quoteBad(name, 32), err)
			}
			p.ContentType = value
		case "filename":
			p.FileName = value
		case "headers":
			field, value, ok := strings.Cut(value, ":")
			if !ok {
				return fmt.Errorf("a header of the part %q without a colon", quoteBad(name, 32))
			}
			if p.Header == nil {
				p.Header = make(http.Header)
			}
			p.Header.Add(strings.TrimSpace(field), strings.TrimSpace(value))
		default:
			return fmt.Errorf("the part %q has the setting %q, which is not understood", quoteBad(name, 32), quoteBad(key, 32))
		}
	}
	c.parts = append(c.parts, p)
	return nil
}

// partContent gives the beginning of a value of -F, up to a semicolon outside of quotes.
// marked says that an @ or < stands before it.
func partContent(v string, marked bool) (content, rest string, err error) {
	if marked {
		v = v[1:]
	}
	v = strings.TrimLeft(v, " ")
	if !strings.HasPrefix(v, `"`) {
		if i := strings.IndexByte(v, ';'); i >= 0 {
			return strings.TrimRight(v[:i], " "), v[i:], nil
		}
		return v, "", nil
	}
	var b strings.Builder
	for i := 1; i < len(v); i++ {
		switch {
		case v[i] == '"':
			if rest = strings.TrimLeft(v[i+1:], " "); rest != "" && rest[0] != ';' {
				return "", "", errors.New("there is something after a value in quotes")
			}
			return b.String(), rest, nil
		case v[i] == '\\' && i+1 < len(v) && (v[i+1] == '"' || v[i+1] == '\\'):
			i++
		}
		b.WriteByte(v[i])
	}
	return "", "", errors.New("a quote that is not closed")
}

// parseProxyOfCurl gives the URL of a proxy as parley takes it: without a port curl means
// 1080.
func parseProxyOfCurl(v string) (string, error) {
	if !strings.Contains(v, "://") {
		v = "http://" + v
	}
	u, err := url.Parse(v)
	if err != nil {
		return "", errors.New("malformed URL")
	}
	if u.Port() == "" && u.Scheme != "https" {
		u.Host += ":1080"
	}
	if u.Path == "/" {
		u.Path = ""
	}
	return u.String(), nil
}

// withLogin puts a login into a URL.
func withLogin(raw, name, password string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw // WithProxy says so
	}
	u.User = url.UserPassword(name, password)
	return u.String()
}
