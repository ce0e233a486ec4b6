package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
)

// netHTTPClient is net/http with its default transport's settings and enough
// idle connections that none is dialled twice.
type netHTTPClient struct {
	hc        *http.Client
	transport *http.Transport
}

func newNetHTTPClient(s setup) (client, error) {
	std, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, fmt.Errorf("http.DefaultTransport is a %T", http.DefaultTransport)
	}
	t := std.Clone()
	t.MaxIdleConns = s.conns
	t.MaxIdleConnsPerHost = s.conns
	t.IdleConnTimeout = idleLimit
	if s.dial != nil {
		t.DialContext = s.dial
	}
	t.DisableKeepAlives = s.fresh
	t.TLSClientConfig = &tls.Config{RootCAs: s.roots}
	if s.resume {
		t.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	if s.proxy != "" {
		u, err := url.Parse(s.proxy)
		if err != nil {
			return nil, err
		}
		t.Proxy = http.ProxyURL(u)
	}
	return &netHTTPClient{hc: &http.Client{Transport: t}, transport: t}, nil
}

// do sends the request and reads the answer's body into memory.
func (c *netHTTPClient) do(req *http.Request, want int64) error {
	resp, err := c.hc.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return checkAnswer(resp.StatusCode, int64(len(body)), want)
}

func (c *netHTTPClient) get(ctx context.Context, t target) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url, nil)
	if err != nil {
		return err
	}
	return c.do(req, bodySize)
}

func (c *netHTTPClient) post(ctx context.Context, t target, json []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(json))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	return c.do(req, int64(len(okBody)))
}

func (c *netHTTPClient) download(ctx context.Context, t target, size int64, buf []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url, nil)
	if err != nil {
		return err
	}
	resp, err := c.hc.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := readChunks(resp.Body, buf)
	if err != nil {
		return err
	}
	return checkAnswer(resp.StatusCode, n, size)
}

func (c *netHTTPClient) upload(ctx context.Context, t target, r io.Reader, size int64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, t.url, r)
	if err != nil {
		return err
	}
	req.ContentLength = size
	return c.do(req, int64(len(okBody)))
}

func (c *netHTTPClient) save(ctx context.Context, t target, path string, size int64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url, nil)
	if err != nil {
		return err
	}
	resp, err := c.hc.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := saveBody(path, resp.Body)
	if err != nil {
		return err
	}
	return checkAnswer(resp.StatusCode, n, size)
}

func (c *netHTTPClient) send(ctx context.Context, t target, path string, size int64) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return c.upload(ctx, t, file, size) // which closes it
}

func (c *netHTTPClient) close() error {
	c.transport.CloseIdleConnections()
	return nil
}
