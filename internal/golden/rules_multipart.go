package golden

import (
	"bytes"
	"cmp"
	"mime"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
)

// recordedBoundary stands in the cases for whatever boundary a multipart body had.
const recordedBoundary = "0123456789abcdef0123456789abcdef"

var randomBoundary = regexp.MustCompile(`^multipart/form-data; boundary=([0-9a-f]{32})$`)

// LevelBoundaries puts the boundary of the cases into the place of random ones, in headers and bodies.
func LevelBoundaries(sent []Sent) []Sent {
	for i := range sent {
		s := &sent[i]
		for k, field := range s.Headers {
			if m := randomBoundary.FindStringSubmatch(field[1]); m != nil && strings.EqualFold(field[0], "Content-Type") {
				s.Headers = slices.Clone(s.Headers)
				s.Headers[k][1] = strings.Replace(field[1], m[1], recordedBoundary, 1)
				s.Body = bytes.ReplaceAll(s.Body, []byte("--"+m[1]), []byte("--"+recordedBoundary))
			}
		}
	}
	return sent
}

// multipartRules say how forms with files are written.
func multipartRules() []Rule {
	return []Rule{
		{
			Name: "a file in a form has the type of its extension, or else the one that it looks like",
			Reason: "as httpx, which calls what it does not know application/octet-stream, and x.tar.gz a tar; its first bytes tell more. " +
				"requests sends no type",
			When: anyFile(func(f File) bool { return f.FileName != "" && f.ContentType == "" && len(f.Headers.List) == 0 }),
			Then: expectMultipart,
		}, {
			Name: "content without a file name is a field",
			Reason: "RFC 7578 section 4.2: a file name makes a part a file, and the sender knows it; requests makes one of the " +
				"field's name, and httpx calls it upload",
			When: anyFile(func(f File) bool { return f.Bare }),
			Then: expectMultipart,
		},
	}
}

func anyFile(when func(File) bool) func(*Case) bool {
	return func(c *Case) bool {
		return slices.ContainsFunc(c.Calls, func(call Call) bool { return slices.ContainsFunc(call.Body.Files, when) })
	}
}

// expectMultipart expects the fields of the form and the files in their order, wherever the systems sent them.
func expectMultipart(c *Case, e *Expected) {
	var b strings.Builder
	part := func(disposition, typ, content string) {
		b.WriteString("--" + recordedBoundary + "\r\nContent-Disposition: form-data" + disposition + "\r\n")
		if typ != "" {
			b.WriteString("Content-Type: " + typ + "\r\n")
		}
		b.WriteString("\r\n" + content + "\r\n")
	}
	body := c.Calls[len(c.Calls)-1].Body
	for _, f := range flatten(body.Form.List) {
		part(`; name="`+f.Name+`"`, "", f.Value.(string))
	}
	for _, f := range body.Files {
		disposition, typ := `; name="`+f.Field+`"`, f.ContentType
		if f.FileName != "" {
			disposition += `; filename="` + f.FileName + `"`
			known := mime.TypeByExtension(path.Ext(f.FileName)) // which this machine may know from a table of its own
			typ, _, _ = strings.Cut(cmp.Or(typ, known, http.DetectContentType(f.Content)), "; charset=")
		}
		part(disposition, typ, string(f.Content))
	}
	b.WriteString("--" + recordedBoundary + "--\r\n")
	e.edit(func(o *Outcome) {
		for i := range o.Sent {
			if len(o.Sent[i].Body) > 0 {
				o.Sent[i].Body = []byte(b.String())
			}
		}
	})
}
