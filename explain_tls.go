package parley

import (
	"crypto/tls"
	"strconv"
)

// explainTLS tells how the server is verified and what it is shown. The source is that
// of the last word.
func (c *Client) explainTLS(req *Request) Setting {
	s := Setting{Name: "TLS", Source: SourceDefault}
	var said security
	if req.security != nil {
		said = *req.security
	}
	s.Value = said.trust(req.TLSConfig) + said.shown(req.TLSConfig) + said.limits()
	if said.system != nil && said.verify != no && said.roots == nil && (req.TLSConfig == nil || req.TLSConfig.RootCAs == nil) {
		s.Source = SourceEnvironment
	}
	if req.TLSConfig != nil {
		s.Value += ", a tls.Config"
	}
	said.system, said.anonymous, said.proxy = nil, false, nil
	if req.TLSConfig == nil && said == (security{}) {
		return s
	}
	s.Source = SourceRequest
	same := func(p *clientConfig) bool {
		of := p.security
		of.system, of.anonymous, of.proxy = nil, false, nil
		if req.foreign {
			if said.cert == nil {
				of.cert = nil
			}
			if said.name == "" {
				of.name = ""
			}
		}
		return p.tls == req.TLSConfig && of == said
	}
	if same(c.cfg) {
		s.Source = c.cfg.source(same)
	}
	return s
}

// trust tells how the server is verified.
func (s *security) trust(cfg *tls.Config) string {
	switch {
	case s.verify == no, s.verify == unsaid && cfg != nil && cfg.InsecureSkipVerify:
		return "not verified"
	case s.roots != nil:
		return "verified by the roots of " + quoteBad(s.roots.path, 256) + staleText(s.roots.stale())
	case cfg != nil && cfg.RootCAs != nil:
		return "verified by roots of a tls.Config"
	case s.system != nil:
		return "verified by the roots of " + quoteBad(s.system.path, 256) + staleText(s.system.stale())
	}
	return "verified by the system's roots"
}

// shown tells which certificate the server sees.
func (s *security) shown(cfg *tls.Config) string {
	switch {
	case s.cert != nil:
		return ", client certificate of " + quoteBad(s.cert.path, 256) + staleText(s.cert.stale())
	case identifies(cfg) && !s.anonymous:
		return ", client certificate of a tls.Config"
	}
	return ""
}

// limits tells of the settings that are rarely made.
func (s *security) limits() string {
	out := ""
	if s.least != 0 {
		out += ", at least " + tls.VersionName(s.least)
	}
	if s.name != "" {
		out += ", server name " + quoteBad(s.name, 256)
	}
	if s.pins != nil && len(s.pins.pins) > 0 {
		out += ", pinned public keys: " + strconv.Itoa(len(s.pins.pins))
	}
	if s.keyLog != nil && s.keyLog.path != "" {
		out += ", secrets go to " + quoteBad(s.keyLog.path, 256)
	}
	return out
}
