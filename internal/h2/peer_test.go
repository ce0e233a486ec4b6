package h2

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/seed-0474a412/parley/internal/wiretest"
)

// guardTime is how long one test may take.
const guardTime = 10 * time.Second

// peer is a server of HTTP/2 that says frame by frame what a test wants.
type peer struct {
	*http2.Framer
	conn *wiretest.Conn
	enc  *hpack.Encoder
	buf  bytes.Buffer
}

// servePeer starts a server. The preface has been read, and nothing said, when script runs.
func servePeer(t *testing.T, script func(*peer)) *wiretest.Server {
	t.Helper()
	return wiretest.Serve(t, func(c *wiretest.Conn) {
		if _, err := io.ReadFull(c.Reader, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		p := &peer{Framer: http2.NewFramer(c, c.Reader), conn: c}
		p.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		p.AllowIllegalWrites = true
		p.enc = hpack.NewEncoder(&p.buf)
		script(p)
	})
}

// request waits for the next request. It answers pings, and settings if ack is set.
func (p *peer) request() uint32 {
	for {
		f, err := p.ReadFrame()
		if err != nil {
			return 0
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			return f.StreamID
		case *http2.SettingsFrame:
			if !f.IsAck() {
				p.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				p.WritePing(true, f.Data)
			}
		}
	}
}

// rest reads until the connection ends.
func (p *peer) rest() {
	for p.request() != 0 {
	}
}

func (p *peer) head(stream uint32, end bool, fields ...string) {
	p.buf.Reset()
	for i := 0; i < len(fields); i += 2 {
		p.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	p.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: bytes.Clone(p.buf.Bytes()), EndHeaders: true, EndStream: end})
}

// ok answers requests with status 200 and no body.
func (p *peer) ok(stream uint32) { p.head(stream, true, ":status", "200") }

// most is the settings of a peer that takes so many streams.
func (p *peer) most(streams uint32) {
	p.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: streams})
}

// open opens a connection to the server, which ends with the test.
func open(t *testing.T, s *wiretest.Server, cfg Config, changed func()) *Conn {
	t.Helper()
	wiretest.Guard(t, guardTime)
	nc, err := net.Dial("tcp", s.Addr())
	require.NoError(t, err)
	if changed == nil {
		changed = func() {}
	}
	c, err := New(cfg).Open(t.Context(), nc, func() { nc.Close() }, changed)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func newRequest(ctx context.Context, t *testing.T, method string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, "http://a.test/", body)
	require.NoError(t, err)
	return req
}

// exchange sends a request and reads all of the answer.
func exchange(t *testing.T, c *Conn, req *http.Request) error {
	t.Helper()
	resp, err := c.RoundTrip(req)
	defer c.Done()
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
