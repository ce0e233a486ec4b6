package golden

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Topics are the files of recorded cases, in the order in which they are run.
var Topics = []string{
	"base_url", "query", "headers", "bodies", "errors",
	"redirects", "cookies", "auth", "charset", "links",
}

// A Case is one recorded situation: everything up to Want is input, the rest is what the systems did with it.
type Case struct {
	Topic string
	ID    string
	Note  string

	Client  Client
	Calls   []Call              // one after the other with the same client
	Server  map[string][]Answer // by "http://host[:port]/path" or "*"; the last answer is given again and again
	Special map[string]string   // host -> nxdomain, refused, backlog or deaf
	Env     map[string]string
	Files   map[string]string
	CNonce  string

	Want  []string           // optional fields that were recorded
	Seen  map[string]Outcome // by system
	Agree bool               // the systems did the same, as far as the topic compares
}

// Client is how the session of a case is set up.
type Client struct {
	BaseURL      string          `json:"base_url"`
	Trailing     string          `json:"trailing"`
	Append       []string        `json:"append"`
	Headers      Fields          `json:"headers"`
	Params       Fields          `json:"params"`
	Cookies      Cookies         `json:"cookies"`
	Auth         json.RawMessage `json:"auth"`
	MaxRedirects *int            `json:"max_redirects"`
	TrustEnv     bool            `json:"trust_env"`
	Verify       string          `json:"verify"` // "system": the lab's certificates are not trusted
}

// Call is one request of a case.
type Call struct {
	Method  string
	URL     string
	Headers Fields
	Params  Fields
	Cookies Cookies
	Auth    json.RawMessage
	Timeout Timeout
	Follow  *bool         // nil: not said, or the system's own default
	Pause   time.Duration // before the call
	Raise   bool          // ask for an error when the status is one
	Body    Body
}

// Timeout is what a case says of time limits: Given false says nothing, a nil limit means none.
type Timeout struct {
	Given                      bool
	Connect, Read, Write, Pool *time.Duration
}

// Body is what a call sends. Kinds names the fields of the case that were given, in its order, "json" also for a null,
// which the systems take as no body.
type Body struct {
	Kinds   []string
	JSON    any    // see Value
	Special string // the name of a Python value that JSON lacks
	Form    Fields
	Content []byte // content, content_b64 and content_repeat
	Text    string
	Chunks  []string
	File    string
	Files   []File
}

// File is one part of a multipart body that was given as a file.
type File struct {
	Field       string
	FileName    string // "" for none
	ContentType string // "" where nothing is said
	Headers     Fields
	Bare        bool // only the content was given
	Content     []byte
}

// Is reports whether the body was given as kind, among others perhaps.
func (b Body) Is(kind string) bool { return slices.Contains(b.Kinds, kind) }

// Answer is what the server does with one request. Exactly one of Raw, Steps and the rest is used, in that order.
type Answer struct {
	Raw   []byte // the whole answer
	IsRaw bool
	Steps []Step
	IsSet bool // Steps was given, if only as an empty list

	Status  int
	Reason  string
	Headers [][2]string
	Body    []byte
	HasBody bool
	Close   *bool
}

// Step is one move of a scripted answer.
type Step struct {
	Send  string  `json:"send"`
	Sleep float64 `json:"sleep"` // seconds
	Reset bool    `json:"reset"`
}

// Wants reports whether the optional field was recorded.
func (c *Case) Wants(field string) bool { return slices.Contains(c.Want, field) }

// Answers returns every answer of the case's server.
func (c *Case) Answers() []Answer {
	var all []Answer
	for _, list := range c.Server {
		all = append(all, list...)
	}
	return all
}

// Load reads the cases of one topic from the folder dir.
func Load(dir, topic string) ([]*Case, error) {
	data, err := os.ReadFile(filepath.Join(dir, topic+".json"))
	if err != nil {
		return nil, err
	}
	var file struct {
		Cases []json.RawMessage `json:"cases"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", topic, err)
	}
	cases := make([]*Case, 0, len(file.Cases))
	for i, raw := range file.Cases {
		c, err := decodeCase(topic, raw)
		if err != nil {
			return nil, fmt.Errorf("%s: case %d: %w", topic, i, err)
		}
		cases = append(cases, c)
	}
	return cases, nil
}

func decodeCase(topic string, raw []byte) (*Case, error) {
	var in struct {
		ID       string                     `json:"id"`
		Note     string                     `json:"note"`
		Client   Client                     `json:"client"`
		Request  *Call                      `json:"request"`
		Requests []Call                     `json:"requests"`
		Server   map[string]json.RawMessage `json:"server"`
		Special  map[string]string          `json:"special"`
		Env      map[string]string          `json:"env"`
		Files    map[string]string          `json:"files_on_disk"`
		CNonce   string                     `json:"cnonce"`
		Want     []string                   `json:"want"`
		Seen     map[string]seenResult      `json:"seen"`
		Agree    bool                       `json:"agree"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, err
	}
	c := &Case{
		Topic: topic, ID: in.ID, Note: in.Note, Client: in.Client, Calls: in.Requests, Special: in.Special,
		Env: in.Env, Files: in.Files, CNonce: in.CNonce, Want: in.Want, Agree: in.Agree,
		Server: make(map[string][]Answer, len(in.Server)), Seen: make(map[string]Outcome, len(in.Seen)),
	}
	if in.Request != nil {
		c.Calls = append(c.Calls, *in.Request)
	}
	if c.ID == "" || len(c.Calls) == 0 || len(in.Seen) == 0 {
		return nil, errors.New("a case needs an id, a request and what was seen")
	}
	for key, value := range in.Server {
		answers, err := decodeAnswers(value)
		if err != nil {
			return nil, fmt.Errorf("%s: server %s: %w", c.ID, key, err)
		}
		c.Server[key] = answers
	}
	for system, result := range in.Seen {
		outcome, err := result.outcome()
		if err != nil {
			return nil, fmt.Errorf("%s: seen %s: %w", c.ID, system, err)
		}
		c.Seen[system] = outcome
	}
	return c, nil
}

// UnmarshalJSON reads one request of a case.
func (c *Call) UnmarshalJSON(data []byte) error {
	var in struct {
		Method  string          `json:"method"`
		URL     string          `json:"url"`
		Headers Fields          `json:"headers"`
		Params  Fields          `json:"params"`
		Cookies Cookies         `json:"cookies"`
		Auth    json.RawMessage `json:"auth"`
		Timeout Timeout         `json:"timeout"`
		Follow  any             `json:"follow"`
		Pause   float64         `json:"pause"`
		Raise   bool            `json:"raise_for_status"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*c = Call{
		Method: in.Method, URL: in.URL, Headers: in.Headers, Params: in.Params, Cookies: in.Cookies, Auth: in.Auth,
		Timeout: in.Timeout, Pause: seconds(in.Pause), Raise: in.Raise,
	}
	if follow, ok := in.Follow.(bool); ok {
		c.Follow = &follow
	}
	return json.Unmarshal(data, &c.Body)
}

// UnmarshalJSON reads the body fields of a request.
func (b *Body) UnmarshalJSON(data []byte) error {
	call, err := decodeValue(data)
	if err != nil {
		return err
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(data, &given); err != nil {
		return err
	}
	var encoded string
	var repeat json.RawMessage
	var value json.RawMessage
	var content string
	targets := map[string]any{
		"json": &value, "json_special": &b.Special, "form": &b.Form, "content": &content, "content_b64": &encoded,
		"content_repeat": &repeat, "text": &b.Text, "chunks": &b.Chunks, "file": &b.File, "files": &b.Files,
	}
	fields, ok := call.(Object)
	if !ok {
		return errors.New("a request is an object")
	}
	for _, field := range fields {
		target, ok := targets[field.Name]
		if !ok {
			continue
		}
		b.Kinds = append(b.Kinds, field.Name)
		if err := json.Unmarshal(given[field.Name], target); err != nil {
			return fmt.Errorf("%s: %w", field.Name, err)
		}
	}
	switch {
	case b.Is("json"):
		b.JSON, err = decodeValue(given["json"])
	case b.Is("content"):
		b.Content = []byte(content)
	case b.Is("content_b64"):
		b.Content, err = base64.StdEncoding.DecodeString(encoded)
	case b.Is("content_repeat"):
		content, err = decodeRepeat(repeat)
		b.Content = []byte(content)
	}
	return err
}

// UnmarshalJSON reads a pair of a field's name and what is said of its file.
func (f *File) UnmarshalJSON(data []byte) error {
	var spec struct {
		FileName    string  `json:"filename"`
		ContentType string  `json:"content_type"`
		Headers     Fields  `json:"headers"`
		Bare        bool    `json:"bare"`
		Content     *string `json:"content"`
		Encoded     []byte  `json:"content_b64"`
	}
	var field string
	if err := json.Unmarshal(data, &[]any{&field, &spec}); err != nil {
		return err
	}
	*f = File{field, spec.FileName, spec.ContentType, spec.Headers, spec.Bare, spec.Encoded}
	if spec.Content != nil {
		f.Content = []byte(*spec.Content)
	}
	return nil
}

// UnmarshalJSON reads a number of seconds for every phase, an object of them, or null.
func (t *Timeout) UnmarshalJSON(data []byte) error {
	t.Given = true
	var all *float64
	if err := json.Unmarshal(data, &all); err == nil {
		if all != nil {
			d := seconds(*all)
			t.Connect, t.Read, t.Write, t.Pool = &d, &d, &d, &d
		}
		return nil
	}
	var each map[string]*float64
	if err := json.Unmarshal(data, &each); err != nil {
		return err
	}
	for name, target := range map[string]**time.Duration{
		"connect": &t.Connect, "read": &t.Read, "write": &t.Write, "pool": &t.Pool,
	} {
		if n := each[name]; n != nil {
			d := seconds(*n)
			*target = &d
		}
	}
	return nil
}

func decodeAnswers(raw json.RawMessage) ([]Answer, error) {
	if !strings.HasPrefix(strings.TrimSpace(string(raw)), "[") {
		raw = slices.Concat([]byte("["), raw, []byte("]"))
	}
	var list []Answer
	err := json.Unmarshal(raw, &list)
	if err == nil && len(list) == 0 {
		err = errors.New("no answer")
	}
	return list, err
}

// UnmarshalJSON reads one answer of the server.
func (a *Answer) UnmarshalJSON(data []byte) error {
	var in struct {
		Raw     *string              `json:"raw"`
		RawB64  []byte               `json:"raw_b64"`
		Steps   *[]Step              `json:"steps"`
		Status  int                  `json:"status"`
		Reason  string               `json:"reason"`
		Headers [][2]json.RawMessage `json:"headers"`
		Body    *string              `json:"body"`
		BodyB64 []byte               `json:"body_b64"`
		Close   *bool                `json:"close"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*a = Answer{Status: in.Status, Reason: in.Reason, Close: in.Close, Raw: in.RawB64, Body: in.BodyB64}
	a.IsRaw, a.HasBody = in.RawB64 != nil, in.BodyB64 != nil
	if in.Raw != nil {
		a.Raw, a.IsRaw = []byte(*in.Raw), true
	}
	if in.Body != nil {
		a.Body, a.HasBody = []byte(*in.Body), true
	}
	if in.Steps != nil {
		a.Steps, a.IsSet = *in.Steps, true
	}
	for _, pair := range in.Headers {
		var name, value string
		if err := json.Unmarshal(pair[0], &name); err != nil {
			return err
		}
		if err := json.Unmarshal(pair[1], &value); err != nil {
			var repeated struct {
				Repeat json.RawMessage `json:"repeat"`
			}
			if err := json.Unmarshal(pair[1], &repeated); err != nil {
				return err
			}
			if value, err = decodeRepeat(repeated.Repeat); err != nil {
				return err
			}
		}
		a.Headers = append(a.Headers, [2]string{name, value})
	}
	return nil
}

func decodeRepeat(raw json.RawMessage) (string, error) {
	var text string
	var times int
	if err := json.Unmarshal(raw, &[2]any{&text, &times}); err != nil {
		return "", err
	}
	if times < 0 || times*len(text) > 64<<20 {
		return "", fmt.Errorf("repeat of %d is out of bounds", times)
	}
	return strings.Repeat(text, times), nil
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
