package golden

import (
	"encoding/json"
	"net/http"
	"strings"
)

// An Outcome is what came of a case: recorded, or done by the client under test.
type Outcome struct {
	Replies []Reply // one for each call
	Sent    []Sent  // every request that reached a server, in order of arrival
	Count   int     // how many these were where only the first two and the last are in Sent; 0: all are
}

// A Reply is what one call returned. Fields that were not recorded are their zero value.
type Reply struct {
	Failure *Failure // the call failed; the rest is empty then
	Status  int
	URL     string // of the request that was answered
	History []Hop  // the redirects before
	Next    *Hop   // where a redirect that was not followed leads; its Status is 0
	Text    *string
	Reason  *string
	Headers http.Header
	Raised  *Failure // what asking for an error gave, when the call says raise_for_status
	JSON    any      // decoded with encoding/json into an any, when the case wants json
	JSONErr bool
	Guess   string // the charset that the system guesses the body is in
	// Links are those of the Link header by their relation type or, without one, their URL: the URL as "url", and the
	// parameters.
	Links map[string]map[string]string
}

// A Hop is one request of a chain of redirects, and the status of its answer.
type Hop struct {
	Status      int
	Method, URL string
}

// A Failure is why a call did not give a response.
//
// Kinds are names: of the errors that the client's own error matches, or, when recorded, of those of which it should
// match one. The kind [Unsent] stands for a refusal of the input before anything is sent, whatever its class.
type Failure struct {
	Kinds []string
	Text  string // for the report
}

// Unsent is the kind of a failure whose class does not matter, as long as nothing has left the client.
const Unsent = "nothing sent"

// Sent is one request as it arrived.
type Sent struct {
	Origin     string // "http://a.test"
	Method     string
	Target     string
	Headers    [][2]string // in order, names as written; every byte of a value is one character
	Framing    string      // none, content-length or chunked
	Body       []byte
	Chunks     []string
	Incomplete bool // the body did not come to its promised end
}

// seenResult is one system's entry as it stands in a file.
type seenResult struct {
	seenReply
	Response  *seenReply  `json:"response"`
	Responses []seenReply `json:"responses"`
	Sent      []struct {
		Origin     string      `json:"origin"`
		Method     string      `json:"method"`
		Target     string      `json:"target"`
		Headers    [][2]string `json:"headers"`
		Framing    string      `json:"framing"`
		Body       string      `json:"body"`
		BodyB64    []byte      `json:"body_b64"`
		Chunks     []string    `json:"chunks"`
		Incomplete bool        `json:"incomplete"`
	} `json:"sent"`
	Count int `json:"sent_count"`
}

type seenReply struct {
	Error     *seenError        `json:"error"`
	Status    int               `json:"status"`
	URL       string            `json:"url"`
	History   []Hop             `json:"history"`
	Next      *Hop              `json:"next"`
	Text      *string           `json:"text"`
	Reason    *string           `json:"reason"`
	Headers   map[string]string `json:"headers"`
	Raised    *seenError        `json:"raised"`
	JSON      json.RawMessage   `json:"json"`
	JSONError *seenError        `json:"json_error"`
	Guess     *string           `json:"apparent_encoding"`

	Links map[string]map[string]string `json:"links"`
}

type seenError struct {
	Class   string   `json:"class"`
	Message string   `json:"message"`
	Causes  []string `json:"causes"`
}

func (r seenResult) outcome() (Outcome, error) {
	replies := r.Responses
	switch {
	case replies != nil:
	case r.Response != nil:
		replies = []seenReply{*r.Response}
	default:
		replies = []seenReply{r.seenReply}
	}
	o := Outcome{Count: r.Count}
	for _, reply := range replies {
		converted, err := reply.reply()
		if err != nil {
			return Outcome{}, err
		}
		o.Replies = append(o.Replies, converted)
	}
	for _, s := range r.Sent {
		sent := Sent{
			Origin: s.Origin, Method: s.Method, Target: s.Target, Headers: s.Headers, Framing: s.Framing,
			Body: s.BodyB64, Chunks: s.Chunks, Incomplete: s.Incomplete,
		}
		if sent.Body == nil {
			sent.Body = []byte(s.Body)
		}
		o.Sent = append(o.Sent, sent)
	}
	return o, nil
}

// UnmarshalJSON reads [status, method, url], as the history is written, or an object, as a single step is.
func (h *Hop) UnmarshalJSON(data []byte) error {
	if strings.HasPrefix(string(data), "[") {
		return json.Unmarshal(data, &[3]any{&h.Status, &h.Method, &h.URL})
	}
	var step struct{ Method, URL string }
	err := json.Unmarshal(data, &step)
	h.Method, h.URL = step.Method, step.URL
	return err
}

func (r seenReply) reply() (Reply, error) {
	if r.Error != nil {
		return Reply{Failure: r.Error.failure()}, nil
	}
	reply := Reply{
		Status: r.Status, URL: r.URL, History: r.History, Next: r.Next, Text: r.Text, Reason: r.Reason, JSONErr: r.JSONError != nil, Links: r.Links,
		Raised: r.Raised.failure(),
	}
	if r.Guess != nil {
		reply.Guess = *r.Guess
	}
	if r.Headers != nil {
		reply.Headers = http.Header{}
		for name, value := range r.Headers {
			reply.Headers.Set(name, value)
		}
	}
	if r.JSON != nil {
		if err := json.Unmarshal(r.JSON, &reply.JSON); err != nil {
			return Reply{}, err
		}
	}
	return reply, nil
}

// failure translates a Python exception into the kinds of error that say the same.
func (e *seenError) failure() *Failure {
	if e == nil {
		return nil
	}
	text := e.Class + ": " + e.Message
	if kinds, ok := kindsOfClass[e.Class]; ok {
		return &Failure{Kinds: kinds, Text: text}
	}
	for _, cause := range e.Causes {
		if kinds, ok := kindsOfCause[cause]; ok {
			return &Failure{Kinds: kinds, Text: text}
		}
	}
	if strings.HasPrefix(e.Class, "requests.") {
		return &Failure{Kinds: []string{"ErrNetwork", "ErrProtocol", "ErrTimeout"}, Text: text}
	}
	return &Failure{Kinds: []string{Unsent}, Text: text}
}

// What the exceptions mean where their class alone says it. A ConnectError is also what httpx raises when TLS fails,
// and a RemoteProtocolError when the server closes early; for a client that tells these apart either will do.
var kindsOfClass = map[string][]string{
	"httpx.ConnectTimeout":       {"ErrConnectTimeout"},
	"httpx.ReadTimeout":          {"ErrResponseTimeout", "ErrReadTimeout"},
	"httpx.WriteTimeout":         {"ErrWriteTimeout"},
	"httpx.PoolTimeout":          {"ErrPoolTimeout"},
	"httpx.ConnectError":         {"ErrConnect", "ErrTLS", "ErrInvalidURL"},
	"httpx.ReadError":            {"ErrRead", "ErrPeerClosed"},
	"httpx.WriteError":           {"ErrWrite", "ErrPeerClosed"},
	"httpx.RemoteProtocolError":  {"ErrRemoteProtocol", "ErrPeerClosed", "ErrRead"},
	"httpx.LocalProtocolError":   {Unsent},
	"httpx.ProxyError":           {"ErrProxy"},
	"httpx.UnsupportedProtocol":  {"ErrUnsupportedProtocol", "ErrInvalidURL"},
	"httpx.InvalidURL":           {"ErrInvalidURL"},
	"httpx.TooManyRedirects":     {"ErrTooManyRedirects"},
	"httpx.DecodingError":        {"ErrDecoding"},
	"httpx.HTTPStatusError":      {"StatusError"},
	"requests.HTTPError":         {"StatusError"},
	"requests.ConnectTimeout":    {"ErrConnectTimeout"},
	"requests.ReadTimeout":       {"ErrResponseTimeout", "ErrReadTimeout"},
	"requests.SSLError":          {"ErrTLS"},
	"requests.ProxyError":        {"ErrProxy"},
	"requests.InvalidURL":        {"ErrInvalidURL"},
	"requests.InvalidSchema":     {"ErrUnsupportedProtocol", "ErrInvalidURL"},
	"requests.MissingSchema":     {"ErrUnsupportedProtocol", "ErrInvalidURL"},
	"requests.TooManyRedirects":  {"ErrTooManyRedirects"},
	"requests.InvalidJSONError":  {Unsent},
	"urllib3.LocationParseError": {"ErrInvalidURL"},
}

// What the rest means, by the first cause that is known. requests names most things ConnectionError.
var kindsOfCause = map[string][]string{
	"urllib3.NewConnectionError":   {"ErrConnect"},
	"urllib3.NameResolutionError":  {"ErrConnect", "ErrInvalidURL"},
	"urllib3.ReadTimeoutError":     {"ErrReadTimeout", "ErrResponseTimeout"},
	"urllib3.DecodeError":          {"ErrDecoding"},
	"urllib3.InvalidHeader":        {"ErrRemoteProtocol"},
	"urllib3.InvalidChunkLength":   {"ErrRemoteProtocol", "ErrRead"},
	"http.BadStatusLine":           {"ErrRemoteProtocol", "ErrPeerClosed", "ErrRead"},
	"http.UnknownProtocol":         {"ErrRemoteProtocol"},
	"http.RemoteDisconnected":      {"ErrPeerClosed", "ErrRead"},
	"http.IncompleteRead":          {"ErrPeerClosed", "ErrRead"},
	"http.HTTPException":           {"ErrRemoteProtocol"},
	"http.LineTooLong":             {"ErrRemoteProtocol"},
	"ConnectionResetError":         {"ErrRead", "ErrWrite", "ErrPeerClosed"},
	"BrokenPipeError":              {"ErrWrite", "ErrPeerClosed"},
	"TimeoutError":                 {"ErrWriteTimeout", "ErrReadTimeout"},
	"ssl.SSLError":                 {"ErrTLS"},
	"ssl.SSLCertVerificationError": {"ErrTLS"},
}
