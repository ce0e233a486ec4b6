package parley

import (
	"crypto/tls"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every TLS setting is a part of what tells configurations, and so connections, apart. A
// field that this test does not know fails it, so that a new one is not forgotten.
func TestS022_EveryTLSOptionIsPartOfTheIdentity(t *testing.T) {
	t.Parallel()
	rootsOf := func(content byte) *rootFiles {
		f := &followed[*rootSet]{}
		f.now.Store(&reading[*rootSet]{value: &rootSet{content: fingerprint{content}}})
		return &rootFiles{followed: f}
	}
	certOf := func(content byte) *clientCert { return &clientCert{fixed: &keyPair{content: fingerprint{content}}} }
	pinsOf := func(content byte) *pinSet {
		return &pinSet{pins: []fingerprint{{content}}, content: fingerprint{content}}
	}
	values := map[string][]security{
		"verify":    {{}, {verify: yes}, {verify: no}},
		"anonymous": {{}, {anonymous: true}},
		"roots":     {{}, {roots: rootsOf(1)}, {roots: rootsOf(2)}},
		"system":    {{}, {system: rootsOf(1)}, {system: rootsOf(2)}},
		"cert":      {{}, {cert: certOf(1)}, {cert: certOf(2)}},
		"least":     {{}, {least: tls.VersionTLS12}, {least: tls.VersionTLS13}},
		"name":      {{}, {name: "a.test"}, {name: "b.test"}},
		"pins":      {{}, {pins: pinsOf(1)}, {pins: pinsOf(2)}},
		"keyLog":    {{}, {keyLog: &keyLog{"a"}}, {keyLog: &keyLog{"b"}}},
		"proxy":     nil, // for the way to a proxy, which has a configuration of its own
	}
	fields := reflect.TypeFor[security]()
	for i := range fields.NumField() {
		name := fields.Field(i).Name
		list, known := values[name]
		require.True(t, known, "no values known for the field %s: add some here, and fill it in identity", name)
		configs := newTLSConfigs()
		seen := map[*tls.Config]bool{}
		for _, said := range list {
			first := configs.of(nil, &said, protoALPN)
			require.Same(t, first, configs.of(nil, &said, protoALPN), name)
			require.False(t, seen[first], name)
			seen[first] = true
		}
	}
	require.Len(t, values, fields.NumField())
	id, _ := (&security{}).identity(nil)
	require.Equal(t, tlsIdentity{}, id)
}

// What is said of servers and of proxies has a configuration for each, with caches of
// sessions of their own.
func TestS031_CachesOfSessionsAreNotShared(t *testing.T) {
	t.Parallel()
	configs, others := newTLSConfigs(), newTLSConfigs()
	base := &tls.Config{ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	seen := map[tls.ClientSessionCache]bool{}
	for _, cfg := range []*tls.Config{
		configs.of(nil, nil, protoALPN), others.of(nil, nil, protoALPN), configs.of(nil, &security{verify: no}, protoALPN), configs.of(&tls.Config{}, nil, protoALPN),
		configs.of(&tls.Config{}, nil, protoALPN), configs.of(base, nil, protoALPN), configs.of(base, &security{verify: no}, protoALPN), others.of(base, nil, protoALPN),
	} {
		require.NotNil(t, cfg.ClientSessionCache)
		require.False(t, seen[cfg.ClientSessionCache])
		seen[cfg.ClientSessionCache] = true
	}
}
