package parley

import (
	"errors"
	"os"
)

// WithKeyLogFile appends the secrets of TLS connections to a file, in the format that
// Wireshark and its kin read, so that recorded traffic can be decrypted. Whoever reads
// the file reads what was sent: it is for debugging alone. Nothing else makes this
// package write one. WithKeyLogFile(os.Getenv("SSLKEYLOGFILE")) does what browsers do;
// an empty path takes back what was said before.
//
// The file is made with permissions for its owner alone; one that is there keeps its
// own and its content. A path that cannot be written to is an error of what the option
// is given to, and a handshake whose secrets cannot be written fails. Connections
// with https proxies are logged too. Any number of sessions and processes may share a
// file.
func WithKeyLogFile(path string) Option {
	log := &keyLog{path: path}
	err := log.write(nil)
	return option(func(s *settings) error {
		if err != nil {
			return failed("WithKeyLogFile: %w", err)
		}
		s.security.keyLog = log
		return nil
	})
}

// keyLog is a file for secrets. It is open only while it is written to, so that
// nothing has to close it.
type keyLog struct{ path string }

// Write appends a line by one call of the system, which keeps lines of others whole.
func (l *keyLog) Write(line []byte) (int, error) {
	if err := l.write(line); err != nil {
		return 0, err
	}
	return len(line), nil
}

func (l *keyLog) write(line []byte) error {
	if l.path == "" {
		return nil
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if len(line) > 0 {
		_, err = f.Write(line)
	}
	return errors.Join(err, f.Close())
}
