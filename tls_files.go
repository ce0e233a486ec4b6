package parley

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
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
}

// rootFiles is where a set comes from.
type rootFiles struct {
	*followed[*rootSet]
	path string // for people
}

// stale says why the files say something else than what is in use; nil if they do not.
func (r *rootFiles) stale() error {
	if r == nil {
		return nil
	}
	return r.followed.stale()
}

// loadRoots reads the certificates of a file or directory.
func loadRoots(path string) (*rootFiles, error) {
	return followRoots(path, []string{path}, func() (*x509.CertPool, error) { return x509.NewCertPool(), nil })
}

// followRoots reads the certificates at paths, beside those that start gives. Errors are
// of the path that they are about.
func followRoots(name string, paths []string, start func() (*x509.CertPool, error)) (*rootFiles, error) {
	files, err := follow(paths, func() (*rootSet, error) {
		pool, err := start()
		if err != nil {
			return nil, err
		}
		set := &rootSet{pool: pool}
		for _, path := range paths {
			if err := set.add(path); err != nil {
				return nil, err
			}
		}
		return set, nil
	})
	if err != nil {
		return nil, err
	}
	return &rootFiles{files, name}, nil
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
func environmentRoots(getenv func(string) string) (*rootFiles, error) {
	if name, path := firstSet(getenv, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"); name != "" {
		roots, err := loadRoots(path)
		return roots, environmentFailed(name, err)
	}
	file, dirs := strings.TrimSpace(getenv("SSL_CERT_FILE")), strings.TrimSpace(getenv("SSL_CERT_DIR"))
	var paths, names []string
	if file != "" {
		paths, names = append(paths, file), append(names, "SSL_CERT_FILE")
	}
	if dirs != "" {
		paths, names = append(paths, filepath.SplitList(dirs)...), append(names, "SSL_CERT_DIR")
	}
	if len(paths) == 0 {
		return nil, nil
	}
	// Package x509 reads these too, where the system has no store of its own.
	name := "the system and " + strings.Trim(file+", "+dirs, ", ")
	roots, err := followRoots(name, paths, func() (*x509.CertPool, error) {
		pool, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("the system's roots: %w", err)
		}
		return pool, nil
	})
	return roots, environmentFailed(strings.Join(names, " and "), err)
}

func environmentFailed(name string, err error) error {
	if err == nil {
		return nil
	}
	return failed("the environment's %s: %w; correct or unset it, or make the session WithEnv(false)", name, err)
}
