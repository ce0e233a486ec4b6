package parley

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed-0474a412/parley/internal/disposition"
	"github.com/seed-0474a412/parley/internal/partial"
)

// The size of the parts of a parallel download.
const (
	DefaultPartSize = 8 << 20
	MinPartSize     = 64 << 10
)

// maxParallel bounds the requests of one download at the same time.
const maxParallel = 64

// DownloadConfig says how [Client.Download] works: see [WithDownload]. The zero value is
// the default.
type DownloadConfig struct {
	// Parallel is how many requests at once fetch parts of the file, at most 64, where the
	// server allows it and the file is larger than one part. 0 and 1 mean one request.
	Parallel int
	// PartSize is how many bytes a part has. Zero means DefaultPartSize; less than
	// MinPartSize is an error.
	PartSize int64
	// NoReplace makes a file that stands at the path already an error that matches
	// [fs.ErrExist]. In a directory, where the server chooses the name, it always is.
	NoReplace bool
	// Fresh fetches all of the file, whatever an earlier try has left, and leaves nothing
	// for a later one.
	Fresh bool
}

// WithDownload says how a download works. It is for [Client.Download]; other calls refuse
// it.
func WithDownload(cfg DownloadConfig) RequestOption {
	return requestOption(func(r *requestConfig) error {
		switch {
		case cfg.Parallel < 0 || cfg.Parallel > maxParallel:
			return failed("WithDownload: Parallel is %d, and has to be from 0 to %d", cfg.Parallel, maxParallel)
		case cfg.PartSize != 0 && cfg.PartSize < MinPartSize:
			return failed("WithDownload: PartSize is %d, and has to be 0 or at least %d", cfg.PartSize, MinPartSize)
		}
		r.download = &cfg
		return nil
	})
}

// DownloadResult tells what came of a download.
type DownloadResult struct {
	// Path is where the file is.
	Path string
	// Size is its length in bytes.
	Size int64
	// Resumed is how many of them an earlier try had fetched.
	Resumed int64
	// Verified names the algorithms by which the content was found to be what digests say:
	// that of [WithIntegrity], and that of the server's Repr-Digest (RFC 9530) or
	// Content-MD5. It is empty if there was none.
	Verified []string
	// Response is the answer to the first request that gave content. Its body has been
	// read.
	Response *Response
}

// Download fetches a file with GET. The file stands at path only once it is complete: with
// the length that was announced and the digest that is expected ([WithIntegrity]) or that
// the server names, and after it has reached the disk. Until then it is a hidden file
// beside the path that nobody else may read. What stood at path before is replaced in one
// step; a symbolic link is replaced, not followed.
//
// If path is a directory, the name is the one that the server suggests by
// Content-Disposition (RFC 6266), else the last element of the URL that gave the content,
// after redirects, made safe: never a path, a hidden file or a device. No file is replaced
// there.
//
// A download that fails leaves what it has beside the path, and the next one of the same
// URL to the same path goes on from there, also in another process, if the server has
// given an entity tag or a date by which it can tell that the file has not changed
// (If-Range; RFC 9110, section 13.1.5). If it has changed, and if the server does not
// know ranges, the file is fetched from its beginning. Nothing is taken up in a directory
// that everybody may write to. See [WithDownload] for several requests at once, and for
// other choices.
//
// [WithDownloadProgress] reports on the file as a whole, with what an earlier try had
// fetched. The content is stored as it comes, without decoding. [Timeouts].Total bounds the whole
// download. An answer that is no success is a *[StatusError], a digest that does not match
// ErrIntegrity, more than [WithMaxBodyBytes] allows ErrBodyTooLarge; the errors of the
// file system stay reachable. Several downloads to one path do not disturb each other:
// the one that ends last stands there.
func (c *Client) Download(ctx context.Context, url, path string, opts ...RequestOption) (*DownloadResult, error) {
	d, err := c.newDownload(url, path, opts)
	if err != nil {
		return nil, err
	}
	defer d.dir.Close() // nothing was written through it
	defer discardBody(d.req.Body)
	if ctx == nil {
		return nil, buildError(d.req.Method, d.req.URL, errNoContext)
	}
	if total := d.req.Timeouts.Total; total > 0 {
		limited, _, release := limitTotal(ctx, total)
		defer release()
		ctx, d.req.Timeouts.Total = limited, NoTimeout
	}
	if err := d.run(ctx); err != nil {
		return nil, d.giveUp(err)
	}
	return &d.result, nil
}

// download is one call of Download.
type download struct {
	c      *Client
	req    *Request
	cfg    DownloadConfig
	want   *integrity // what the caller demands
	dir    *partial.Dir
	path   string // of dir
	name   string // of the file in it; "": not known yet
	part   *partial.File
	result DownloadResult

	began time.Time
	wants []*digesting // what the content has to be
	tell  func(Progress)
	meter fileMeter
}

func (c *Client) newDownload(ref, path string, opts []RequestOption) (*download, error) {
	d := &download{c: c, began: time.Now()}
	last := requestOption(func(r *requestConfig) error {
		if r.download != nil {
			d.cfg, r.download = *r.download, nil
		}
		if r.header["Range"] != nil || r.header["If-Range"] != nil {
			return failed("Download asks for ranges by itself: leave Range and If-Range out")
		}
		return nil
	})
	req, err := c.NewRequest(http.MethodGet, ref, append(opts[:len(opts):len(opts)], last)...)
	if err != nil {
		return nil, err
	}
	d.req, d.cfg.PartSize = req, cmp.Or(d.cfg.PartSize, DefaultPartSize)
	if req.decode { // what is stored is the file, and of that are the ranges
		req.decode = false
		req.Header["Accept-Encoding"] = []string{"identity"}
	}
	d.takeOver()
	if err := d.locate(path); err != nil {
		return nil, d.failed(PhaseRequest, err)
	}
	return d, nil
}

// takeOver takes from the request what is about the file and not about each of its parts.
func (d *download) takeOver() {
	if d.req.conduct == nil {
		return
	}
	how := *d.req.conduct
	d.want, how.integrity = how.integrity, nil
	if f := how.sending.download; f != nil {
		d.tell, how.sending.download = *f, nil
	}
	d.req.conduct = &how
}

// locate finds out where the file is to be.
func (d *download) locate(path string) error {
	info, err := os.Stat(path)
	switch {
	case path == "":
		return failed("Download needs the path of a file or a directory")
	case err == nil && info.IsDir():
		d.path, d.cfg.NoReplace = path, true
	case os.IsPathSeparator(path[len(path)-1]):
		return &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	default:
		d.path, d.name = filepath.Split(path)
		d.path = cmp.Or(d.path, ".")
	}
	d.dir, err = partial.OpenDir(d.path)
	if err == nil {
		err = d.refuseExisting()
	}
	return err
}

// refuseExisting spares fetching what could not be stored.
func (d *download) refuseExisting() error {
	if d.name == "" || !d.cfg.NoReplace {
		return nil
	}
	there, err := d.dir.Exists(d.name)
	if there {
		err = &fs.PathError{Op: "create", Path: filepath.Join(d.path, d.name), Err: fs.ErrExist}
	}
	return err
}

// key names what is fetched and for which file, without showing the URL.
func (d *download) key() string {
	sum := sha256.Sum256([]byte(withoutUser(d.req.URL).String() + "\n" + d.name))
	return hex.EncodeToString(sum[:])
}

// nameBy chooses a name by what the server says.
func nameBy(resp *Response, asked *url.URL) string {
	if name := resp.Filename(); name != "" {
		return name
	}
	return cmp.Or(nameOf(asked), "download")
}

// Filename gives the name that the server suggests for the content to be stored under: by
// Content-Disposition (RFC 6266), else the last element of the URL that gave the response,
// which is the last one of the redirects. It is safe to be used in a directory: it is never
// a path, a hidden file or a device, has no control characters and at most 200 bytes. "" if
// there is none.
func (r *Response) Filename() string {
	if v := r.Header["Content-Disposition"]; len(v) > 0 {
		if name := disposition.Safe(disposition.Filename(v[0])); name != "" {
			return name
		}
	}
	if r.Request == nil {
		return ""
	}
	return nameOf(r.Request.URL)
}

func nameOf(u *url.URL) string {
	path := u.EscapedPath()
	last := path[strings.LastIndexByte(path, '/')+1:]
	name, err := url.PathUnescape(last)
	if err != nil {
		return ""
	}
	return disposition.Safe(name)
}

// failed makes an error of what has to do with the file.
func (d *download) failed(phase Phase, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	e = &Error{
		Op: "download", Method: d.req.Method, URL: withoutUser(d.req.URL), Phase: phase,
		Elapsed: time.Since(d.began), Limit: totalOf(err), Err: err,
	}
	if e.Sent = Answering; phase == PhaseRequest {
		e.Sent = NotSent
	}
	return e
}

// giveUp ends a download that failed, and keeps what can be of use.
func (d *download) giveUp(err error) error {
	if d.part == nil {
		return d.failed(PhaseRead, err)
	}
	end := d.part.Keep
	if d.cfg.Fresh || errors.Is(err, ErrIntegrity) || errors.Is(err, ErrBodyTooLarge) || d.cfg.NoReplace && errors.Is(err, fs.ErrExist) {
		end = d.part.Discard
	}
	if left := end(); left != nil {
		err = fmt.Errorf("%w; and what was fetched could not be put away: %w", err, left)
	}
	return d.failed(PhaseRead, err)
}
