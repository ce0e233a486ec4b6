package parley

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/seed-0474a412/parley/internal/sock"
	"github.com/seed-0474a412/parley/internal/urls"
)

// WithHTTPClient sends through hc's Transport ([FromRoundTripper]) in place of the
// session's own pool. hc's Timeout, if it has one, becomes [Timeouts].Total. Its Jar and
// its CheckRedirect are not used: cookies and redirects are the session's business.
func WithHTTPClient(hc *http.Client) ClientOption {
	return clientOption(func(c *clientConfig) error {
		if hc == nil {
			return failed("WithHTTPClient needs an *http.Client")
		}
		c.transport = FromRoundTripper(hc.Transport)
		if hc.Timeout > 0 {
			c.timeouts.Total = hc.Timeout
		}
		return nil
	})
}

// RoundTripper gives the session's lower half as an [http.RoundTripper]: auth,
// decoding, network middleware and the network with its pool, proxies and TLS settings,
// see [AsRoundTripper]. There are no redirects, cookies, hooks, nor base URL, and the
// session's headers and parameters are not added, but for its User-Agent and
// Accept-Encoding where a request has none, as net/http does.
//
// The session's credentials go where they go otherwise: to the origin of its base URL
// and those of [WithTrustedOrigins], without a base URL to all; a request's own
// Authorization header wins. A request that follows a redirect of an [http.Client] to
// another origin gets none, nor do those that follow it.
//
// Pool, connect and write timeouts are the session's, those for response and
// reading where the session has set them; Total is the caller's business. After
// [Client.Close] calls fail with ErrClientClosed.
func (c *Client) RoundTripper() http.RoundTripper { return c.roundTripper() }

func (c *Client) roundTripper() *roundTripper {
	return &roundTripper{next: TransportFunc(c.sendLower), adapt: c.adapt, idle: func() {
		if c.pool != nil {
			c.pool.CloseIdle()
		}
	}}
}

func (c *Client) sendLower(ctx context.Context, req *Request) (*Response, error) {
	if c.closed.Load() {
		return nil, buildError(req.Method, req.URL, ErrClientClosed)
	}
	k := &call{req: *req}
	k.rec.began = sock.Now()
	k.req.call = &k.rec
	if how := k.req.sight(); how != nil {
		return how.watch(ctx, k, c.carryLower)
	}
	return c.carryLower(ctx, k)
}

func (c *Client) carryLower(ctx context.Context, k *call) (*Response, error) {
	resp, err := c.lower.Send(ctx, &k.req)
	if resp, err = complete(&k.req, resp, err); err != nil {
		return nil, k.wrap(ctx, err)
	}
	return resp, nil
}

// adapt gives a request of net/http the session's settings.
func (c *Client) adapt(hr *http.Request, req *Request) error {
	own := defaultTimeouts
	own.Response, own.Read = NoTimeout, NoTimeout
	req.Timeouts = c.cfg.timeouts.over(own)
	req.Timeouts.Total = NoTimeout
	origins, err := c.leftOrigins(hr)
	if err != nil {
		return err
	}
	req.foreign = len(origins) > 0 || c.base != nil && !urls.SameOrigin(c.base.URL(), req.URL) && !c.trusts(req.URL)
	c.inherit(req)
	c.askAs(hr, req)
	req.settled = true
	switch {
	case req.Header["Authorization"] != nil:
		return nil
	case len(origins) > 0: // once left behind, left behind for good
		req.Auth = leftBehind{origins}
		return nil
	}
	return c.settleAuth(req, false, nil)
}

// askAs adds what net/http adds by itself where a request has none.
func (c *Client) askAs(hr *http.Request, req *Request) {
	session := c.own.block.header
	if _, said := hr.Header["User-Agent"]; !said && session["User-Agent"] != nil {
		req.Header["User-Agent"] = session["User-Agent"]
	}
	if c.own.decode && req.Header["Accept-Encoding"] == nil && req.Header["Range"] == nil && req.Method != http.MethodHead {
		req.askCoding(session["Accept-Encoding"])
	}
}

// HTTPClient gives the session as an *[http.Client], which any SDK accepts: over
// [Client.RoundTripper], with the session's jar, and with a CheckRedirect that follows
// as the session would: as many, where [WithFollowRedirects] and the
// [RedirectPolicy] let it, and without a body from https to http. A redirect that is
// not followed is the response itself.
//
// An http.Client takes custom headers along to every origin. This CheckRedirect leaves
// everything but harmless ones behind once the chain has left its first origin; who
// replaces it does without.
//
// Timeout is left open, since it would cut off long responses too. Fields may be
// changed before use.
func (c *Client) HTTPClient() *http.Client {
	return &http.Client{Transport: c.roundTripper(), Jar: c.cfg.jar, CheckRedirect: c.checkRedirect}
}

// checkRedirect is the CheckRedirect of HTTPClient.
func (c *Client) checkRedirect(hr *http.Request, via []*http.Request) error {
	how := c.conduct
	if how == nil {
		how = new(conduct)
	}
	limit := DefaultMaxRedirects
	if how.maxRedirects != 0 {
		limit = how.maxRedirects
	}
	switch {
	case how.follow == no || limit < 0:
		return http.ErrUseLastResponse
	case len(via) > limit:
		return tooManyRedirects(limit)
	}
	from := via[len(via)-1]
	if from.URL.Scheme == "https" && hr.URL.Scheme == "http" && hr.Body != nil && hr.Body != http.NoBody {
		return errBodyInClear
	}
	if err := c.leaveBehind(hr); err != nil {
		return err
	}
	if how.policy == nil {
		return nil
	}
	return c.askPolicy(how.policy, hr, via)
}

// leaveBehind takes out of a request that has left the origin of its chain what was
// meant for that.
func (c *Client) leaveBehind(hr *http.Request) error {
	origins, err := c.leftOrigins(hr)
	if err != nil || len(origins) == 0 {
		return err
	}
	view := &Request{URL: hr.URL, Header: hr.Header, conduct: c.conduct}
	if hr.Body != nil && hr.Body != http.NoBody {
		view.Body = &httpBody{}
	}
	view.leaveOrigin(origins[0])
	hr.Host = ""
	return nil
}

// askPolicy lets the session's policy decide, and takes over what it changes of URL and
// header.
func (c *Client) askPolicy(policy RedirectPolicy, hr *http.Request, via []*http.Request) error {
	var history []*Response
	var last *Response
	for _, r := range append(slices.Clip(via[1:]), hr) {
		if r.Response == nil || r.Response.Request == nil {
			continue
		}
		req, err := requestOf(r.Response.Request)
		if err != nil {
			return err
		}
		if last != nil {
			history = append(history, last)
		}
		last = &Response{
			StatusCode: r.Response.StatusCode, Status: r.Response.Status, Proto: r.Response.Proto,
			Header: r.Response.Header, ContentLength: r.Response.ContentLength, Body: r.Response.Body,
			Request: req, TLS: r.Response.TLS,
		}
	}
	if last == nil {
		return nil
	}
	next, err := requestOf(hr)
	if err != nil {
		return err
	}
	if hr.Body != nil && hr.Body != http.NoBody {
		next.Body = &httpBody{again: hr.GetBody, size: hr.ContentLength}
	}
	next.conduct = c.conduct
	chosen := next.URL.String()
	last.History = history
	err = policy(hr.Context(), &Redirect{Request: last.Request, Response: last, Next: next, History: history})
	switch {
	case errors.Is(err, ErrStopRedirect):
		return http.ErrUseLastResponse
	case err != nil:
		return err
	case next.URL == nil:
		return errNoURL
	}
	hr.Header, hr.Host = next.Header, next.Host
	if next.URL.String() == chosen {
		return nil
	}
	hr.URL = next.URL
	return c.leaveBehind(hr)
}

// leftOrigins gives the origins that a chain of redirects of an http.Client has left on
// its way to hr.
func (c *Client) leftOrigins(hr *http.Request) ([]*url.URL, error) {
	var left []*url.URL
	for r := hr; r.Response != nil && r.Response.Request != nil; r = r.Response.Request {
		from, err := requestOf(r.Response.Request)
		if err != nil {
			return nil, err
		}
		to, err := requestOf(r)
		if err != nil {
			return nil, err
		}
		if !urls.SameOrigin(from.URL, to.URL) && !c.conduct.trusts(from.URL, to.URL) {
			left = append(left, from.URL)
		}
	}
	return left, nil
}
