// Package h1 is the HTTP/1.1 wire codec of RFC 9110 and RFC 9112, as a client
// needs it: it writes request heads and chunks, and reads response heads and
// bodies.
//
// It works on byte slices and on a *bufio.Reader and knows nothing of sockets,
// goroutines or clocks. Whatever blocks, blocks in the reader underneath; its
// errors come back unchanged.
//
// # What is written
//
// Every byte that leaves is checked: a method is a token, a request-target is
// one of the four forms of RFC 9112 section 3.2, a Host is a host with an
// optional port, a header name is a token and a header value has no control
// byte but tab. A refusal is a *FieldError, and then nothing has been
// appended. The framing lines (Content-Length, Transfer-Encoding, Trailer) and
// Host are written by this package alone.
//
// # What is read
//
// The parser is strict where peers could come to disagree about where a
// message ends:
//
//   - a line of a head ends with CRLF; a lone LF is taken too (RFC 9112 section
//     2.2), but the connection is then not kept. Within chunked framing and
//     trailers only CRLF ends a line. A lone CR is an error everywhere.
//   - folded lines, spaces before the colon, NUL and other control bytes are
//     errors.
//   - Content-Length is digits only, at most 19, and fits an int64; leading
//     zeros are taken as decimal zeros ("005" is 5). Equal repetitions count as
//     one, different ones are an error.
//   - Transfer-Encoding is exactly one coding, chunked; anything else, and any
//     Transfer-Encoding in an HTTP/1.0 response, is an error.
//   - with both, chunked wins, Content-Length is removed from the header, and
//     the connection is not kept.
//   - a chunk size is at most 16 hexadecimal digits that fit an int64, followed
//     by CRLF or by a semicolon and extensions, which are ignored.
//
// A violation is a *ParseError.
package h1
