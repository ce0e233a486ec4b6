package parley

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// WithClientCert shows servers that ask for it a certificate, from files of PEM: cert
// has the certificate and those that lead to an authority, key its private key. An
// empty key means that it is in the file of the certificate. Encrypted keys are refused.
// [WithClientCertPEM], [WithClientCertificate] and [WithClientCertFunc] take it from
// elsewhere; the last of them all counts.
//
// A session's certificate, also one of its tls.Config, is for the origin of its base
// URL and for trusted origins ([WithTrustedOrigins]); without a base URL it is for
// whatever is asked for. A request's is for the origin of its URL. Where a redirect
// leaves the origin no certificate goes along.
//
// The files are read here and now: keep the option where many requests need it. When
// they change, which is looked for at most once a second, requests use the new
// certificate and no more the connections made with the old one. While the new files
// are missing, broken or do not belong together the old certificate stays in use; a
// failing handshake and [Client.Explain] then say what is wrong with them.
func WithClientCert(cert, key string) Option {
	loaded, err := followClientCert(cert, key)
	return withClientCert("WithClientCert", loaded, err)
}

// WithClientCertPEM is [WithClientCert] with what would be in the files. An empty key
// means that it is beside the certificate.
func WithClientCertPEM(cert, key []byte) Option {
	if len(key) == 0 {
		key = cert
	}
	pair, err := pairOf("the PEM given", cert, "the PEM given", key)
	return withClientCert("WithClientCertPEM", &clientCert{fixed: pair, path: "PEM in memory"}, err)
}

// WithClientCertificate is [WithClientCert] with a certificate in memory. Its key may be
// any [crypto.Signer], such as one in hardware, and is what signs for as long as the
// option is in use; it must be safe for concurrent use.
func WithClientCertificate(cert tls.Certificate) Option {
	pair, err := checkCertificate(cert)
	return withClientCert("WithClientCertificate", &clientCert{fixed: pair, path: "memory"}, err)
}

// WithClientCertFunc asks f for the certificate in each handshake with a server that
// wants one: see tls.Config.GetClientCertificate. Nil, or one without content, shows
// none; an error fails the handshake. Connections are made for one option each, and TLS
// sessions are not resumed, as that would leave f unasked. A connection is used for as
// long as the pool keeps it, whatever f would say by then. f must be safe for
// concurrent use; the origins that its certificates are shown to are those of
// [WithClientCert].
func WithClientCertFunc(f func(*tls.CertificateRequestInfo) (*tls.Certificate, error)) Option {
	var err error
	cert := &clientCert{fixed: &keyPair{}, path: "a function"}
	if f == nil {
		err = errors.New("it needs a function")
	} else {
		cert.get = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			c, err := f(info)
			if c == nil && err == nil {
				c = new(tls.Certificate)
			}
			return c, err
		}
		rand.Read(cert.fixed.content[:])
	}
	return withClientCert("WithClientCertFunc", cert, err)
}

func withClientCert(name string, cert *clientCert, err error) Option {
	return option(func(s *settings) error {
		if err != nil {
			return failed("%s: %w", name, err)
		}
		s.security.cert = cert
		return nil
	})
}

// clientCert is where a certificate with its key comes from.
type clientCert struct {
	path  string               // for people
	files *followed[*keyPair]  // nil: it does not change
	fixed *keyPair             // if so
	get   getClientCertificate // in place of the pair; nil: none
}

type getClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error)

// keyPair is a certificate with its key.
type keyPair struct {
	pair    tls.Certificate
	content fingerprint
}

// Format keeps the key out.
func (c clientCert) Format(s fmt.State, verb rune) {
	printSafe(s, verb, "<client certificate of "+c.path+">")
}

// Format keeps the key out.
func (k keyPair) Format(s fmt.State, verb rune) { printSafe(s, verb, "<client certificate>") }

// current gives what is shown now.
func (c *clientCert) current() *keyPair {
	if c.files != nil {
		return c.files.current()
	}
	return c.fixed
}

// stale says why the files say something else; nil if they do not.
func (c *clientCert) stale() error {
	if c == nil || c.files == nil {
		return nil
	}
	return c.files.stale()
}

// show makes the certificate that of a configuration.
func (c *clientCert) show(cfg *tls.Config, now *keyPair) {
	if cfg.GetClientCertificate = c.get; c.get == nil {
		cfg.Certificates = []tls.Certificate{now.pair}
	}
}

// followClientCert reads a certificate and its key from one file or two.
func followClientCert(certPath, keyPath string) (*clientCert, error) {
	paths := []string{certPath, keyPath}
	if keyPath == "" {
		keyPath, paths = certPath, paths[:1]
	}
	files, err := follow(paths, func() (*keyPair, error) {
		certs, err := readPEM(certPath)
		if err != nil {
			return nil, err
		}
		keys, err := readPEM(keyPath)
		if err != nil {
			return nil, err
		}
		return pairOf(fmt.Sprintf("%q", certPath), certs, fmt.Sprintf("%q", keyPath), keys)
	})
	return &clientCert{files: files, path: certPath}, err
}

// pairOf makes a pair of PEM; the names are for errors.
func pairOf(certName string, certs []byte, keyName string, keys []byte) (*keyPair, error) {
	if err := checkKey(keyName, keys); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certs, keys)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", certName, keyName, err)
	}
	return newKeyPair(pair), nil
}

// checkCertificate makes a pair of a certificate that came ready-made.
func checkCertificate(cert tls.Certificate) (*keyPair, error) {
	if len(cert.Certificate) == 0 {
		return nil, errors.New("there is no certificate in it")
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("the certificate is broken: %w", err)
	}
	signer, ok := cert.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("its PrivateKey is no crypto.Signer, so that nothing can be proved with it")
	}
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(leaf.PublicKey) {
		return nil, errors.New("its PrivateKey is that of another certificate")
	}
	return newKeyPair(cert), nil
}

// newKeyPair tells a pair by all that it shows. What the key is follows from the
// certificate; but a key outside this process is held by a handle, and one handle may
// fail where another does not.
func newKeyPair(pair tls.Certificate) *keyPair {
	hash := sha256.New()
	for _, der := range pair.Certificate {
		hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(der))))
		hash.Write(der)
	}
	for _, scheme := range pair.SupportedSignatureAlgorithms {
		hash.Write(binary.BigEndian.AppendUint16(nil, uint16(scheme)))
	}
	switch pair.PrivateKey.(type) {
	case *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
	default:
		hash.Write([]byte(rand.Text()))
	}
	k := &keyPair{pair: pair}
	hash.Sum(k.content[:0])
	return k
}

// checkKey says what is wrong with PEM that should have a private key.
func checkKey(name string, data []byte) error {
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return fmt.Errorf("%s holds no private key in PEM", name)
		}
		switch {
		case !strings.HasSuffix(block.Type, "PRIVATE KEY"):
		case block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
			return fmt.Errorf("the key in %s: %w", name, errEncryptedKey)
		default:
			return nil
		}
	}
}

var errEncryptedKey = errors.New("it is encrypted: store it decrypted where only this program can read it " +
	"(openssl pkey -in key.pem -out plain.pem), or decrypt it in the program and give it WithClientCertificate")
