package parley

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxPEM is how many bytes of a file of certificates are read. The systems' bundles have
// about 200 KiB.
const maxPEM = 16 << 20

// fingerprint tells contents apart.
type fingerprint [sha256.Size]byte

// rootSet is a set of trusted certificates.
type rootSet struct {
	pool    *x509.CertPool
	content fingerprint
	path    string // where it comes from, for people
}

// loadRoots reads the certificates of a file or directory.
func loadRoots(path string) (*rootSet, error) {
	set := &rootSet{pool: x509.NewCertPool(), path: path}
	if err := set.add(path); err != nil {
		return nil, err
	}
	return set, nil
}

// add adds the certificates at path.
func (set *rootSet) add(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	n := 0
	if info.IsDir() {
		n, err = set.addDir(path)
	} else {
		n, err = set.addFile(path)
	}
	if err == nil && n == 0 {
		err = fmt.Errorf("%q holds no certificate in PEM", path)
	}
	return err
}

// addDir adds those of all files in a directory, and not of what is below it. Files
// without certificates may be there.
func (set *rootSet) addDir(path string) (n int, err error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return 0, err
	}
	for _, entry := range entries {
		file := filepath.Join(path, entry.Name())
		info, err := os.Stat(file) // of what a link leads to
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		added, err := set.addFile(file)
		if err != nil {
			return 0, err
		}
		n += added
	}
	return n, nil
}

// addFile adds those of a file and counts them.
func (set *rootSet) addFile(path string) (n int, err error) {
	data, err := readPEM(path)
	if err != nil {
		return 0, err
	}
	hash := sha256.New()
	hash.Write(set.content[:])
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		n++
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return 0, fmt.Errorf("certificate %d in %q: %w", n, path, err)
		}
		set.pool.AddCert(cert)
		hash.Write(cert.Raw)
	}
	if begun := strings.Count(string(data), "-----BEGIN CERTIFICATE-----"); begun > n {
		return 0, fmt.Errorf("%q is broken: it has only %d of %d certificates whole", path, n, begun)
	}
	hash.Sum(set.content[:0])
	return n, nil
}

// readPEM reads a file, unless it is far too large.
func readPEM(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err == nil && len(data) > maxPEM {
		err = fmt.Errorf("%q is larger than %d bytes", path, maxPEM)
	}
	return data, err
}

// environmentRoots reads what the variables of the environment name, nil if there are
// none.
func environmentRoots(getenv func(string) string) (*rootSet, error) {
	if name, path := firstSet(getenv, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"); name != "" {
		set, err := loadRoots(path)
		return set, environmentFailed(name, err)
	}
	file, dirs := strings.TrimSpace(getenv("SSL_CERT_FILE")), strings.TrimSpace(getenv("SSL_CERT_DIR"))
	if file == "" && dirs == "" {
		return nil, nil
	}
	// Package x509 reads these too, where the system has no store of its own.
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("the system's roots: %w", err)
	}
	set := &rootSet{pool: pool, path: "the system and " + strings.Trim(file+", "+dirs, ", ")}
	if file != "" {
		if err := set.add(file); err != nil {
			return nil, environmentFailed("SSL_CERT_FILE", err)
		}
	}
	for _, dir := range filepath.SplitList(dirs) {
		if err := set.add(dir); err != nil {
			return nil, environmentFailed("SSL_CERT_DIR", err)
		}
	}
	return set, nil
}

func environmentFailed(name string, err error) error {
	if err == nil {
		return nil
	}
	return failed("the environment's %s: %w; correct or unset it, or make the session WithEnv(false)", name, err)
}

// clientCert is a certificate with its key.
type clientCert struct {
	pair    tls.Certificate
	content fingerprint
	path    string
}

// Format keeps the key out.
func (c clientCert) Format(s fmt.State, verb rune) {
	printSafe(s, verb, "<client certificate of "+c.path+">")
}

// loadClientCert reads a certificate and its key from one file or two.
func loadClientCert(certPath, keyPath string) (*clientCert, error) {
	certs, err := readPEM(certPath)
	if err != nil {
		return nil, err
	}
	if keyPath == "" {
		keyPath = certPath
	}
	keys, err := readPEM(keyPath)
	if err != nil {
		return nil, err
	}
	if err := checkKey(keyPath, keys); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certs, keys)
	if err != nil {
		return nil, fmt.Errorf("certificate %q with key %q: %w", certPath, keyPath, err)
	}
	hash := sha256.New()
	for _, der := range pair.Certificate {
		hash.Write(der)
	}
	hash.Write(keys)
	c := &clientCert{pair: pair, path: certPath}
	hash.Sum(c.content[:0])
	return c, nil
}

// checkKey says what is wrong with a file that should have a private key.
func checkKey(path string, data []byte) error {
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return fmt.Errorf("%q holds no private key in PEM", path)
		}
		switch {
		case !strings.HasSuffix(block.Type, "PRIVATE KEY"):
		case block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
			return fmt.Errorf("the key in %q: %w", path, errEncryptedKey)
		default:
			return nil
		}
	}
}

var errEncryptedKey = errors.New("it is encrypted: store it decrypted where only this program can read it " +
	"(openssl pkey -in key.pem -out plain.pem), or decrypt it in the program and give it WithTLSConfig")
