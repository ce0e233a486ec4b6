// Package parley is an HTTP client built around the session.
//
// A [Client] is a session: it owns a pool of connections, a cookie jar, a base
// URL, default headers and parameters, and timeouts. Make one for a program, or
// one for each API it talks to, keep it, and use it from any number of goroutines.
//
//	client, err := parley.New(
//		parley.WithBaseURL("https://api.example.com/v1"),
//		parley.WithHeader("X-Api-Key", key),
//	)
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//
//	user, err := parley.As[User](client.Get(ctx, "users/{id}", parley.WithPath("id", id)))
//
// # Requests
//
// [Client.Get], [Client.Post] and their sisters send a request and read the whole
// answer, so that its connection is free again when they return. [Client.Stream]
// returns as soon as the head of the answer has come and leaves the body to be read:
// see "Streams". What a request needs beyond method and URL is said by options:
// [WithQuery], [WithHeader], [WithJSON], [WithForm], [WithMultipart], [WithReader],
// [WithTimeout]. Most of them may be given to [New] as well, for every request of the
// session; the request's word wins, and the options that begin with Without take a
// session's value away again.
//
// A relative URL is joined to the base URL, whose path is a prefix: with the base
// above, "users", "/users" and "./users" all mean https://api.example.com/v1/users.
// An absolute URL is used as it is; to another origin the session's parameters,
// cookies and headers do not go along, but for a few that are harmless
// ([WithTrustedOrigins]).
//
// A body comes from a value, bytes, a reader, a file or an iterator ([WithChunks],
// [WithJSONLines]) and is streamed where it is large; [WithCompression] codes it,
// [WithUploadProgress] follows it. One that can be opened again is sent again where a
// redirect, a challenge or a lost connection asks for that; one that cannot fails the
// call then with [ErrBodyNotRewindable].
//
// [Client.NewRequest] makes a [Request] to look at, change and send later, once or
// many times, with [Client.Send] or, many at once, [Client.Gather].
//
// # Responses
//
// A [Response] of any status is a response and not an error; [Response.Err] turns a
// 4xx or 5xx into a *[StatusError], and [As] does so by itself. After Get and its
// sisters [Response.Bytes], [Response.Text], [Response.JSON] and [Response.Decode]
// can be called in any order and again. Text is UTF-8 whatever charset the server
// wrote it in. [Response.Links] reads the Link header, and [Client.Pages] follows it
// from page to page. What a server says of an error is in the StatusError: its body,
// problem details (RFC 9457) as a [Problem], and an error type of the program's own
// ([WithErrorType]).
//
// Bodies in gzip, deflate, br and zstd are asked for and decoded ([WithDecompression]
// switches that off); [WithContentCoding] adds a coding, and [WithDecoder] a media type
// for Decode and As. [WithMaxBodyBytes] bounds what comes out of a body, however small it
// was on the wire.
//
// # Streams
//
// What [Client.Stream] leaves unread can be looped over as it arrives, in memory that
// does not grow: [Response.Lines], [Response.Chunks], [JSONLines] and [JSONArray] for
// JSON values, [Response.Events] for server-sent events, [Response.Parts] for multipart
// answers; [WithMaxItemBytes] bounds a single item. Leaving a loop closes the response.
// [Response.Peek] looks at the beginning without consuming it. [Client.Events] follows an
// event stream for ever and connects again where it was cut. [WithMinThroughput] ends what
// crawls.
//
// # Redirects and cookies
//
// Redirects are followed, 20 at most ([WithMaxRedirects]); [Response].History holds
// them. One that leads to another origin takes only harmless headers along, and what
// stayed behind is not sent again in that chain: [WithRedirectHeaders] and
// [WithTrustedOrigins] say what else may go where, a [RedirectPolicy] decides about
// each, and [Response.Next] takes one step by hand.
//
// Every session keeps cookies in a [Jar] of its own, which can be listed, edited, saved
// and loaded; [WithJar] shares one, replaces it by any other, or does without.
//
// # Files
//
// [Client.Download] fetches a file to a path, where it stands only once it is complete; a
// download that failed goes on where it ended. [WithIntegrity] says by its digest what
// the content of any answer has to be.
//
// # Credentials
//
// [WithBasicAuth], [WithBearerToken] and [WithAuth] with [DigestAuth], [TokenAuth],
// [APIKeyHeader], [OAuth2Auth] or an [AuthFunc] prove who asks, for a session or one
// request. They go to the origin that they were given for and to no other. Where
// nothing is said, user information in the URL counts, then netrc: see [WithEnv] for
// all that comes from the environment.
//
// # The network
//
// [WithProxy], [WithProxyFor], [WithProxyFunc] and [WithoutProxy] say by which way requests
// go, else the variables of the environment ([WithEnv]). [WithRootCAs], [WithClientCert], [WithVerify]
// and [WithTLSConfig] say who is trusted and what is shown, [WithPublicKeyPins],
// [WithMinTLSVersion] and [WithServerName] whom else to refuse or expect. All of them may
// be said of a session or of one request; connections never serve a request that asked
// for others. Files of certificates are read again when they change.
//
// [WithUnixSocket], [WithResolver], [WithResolve], [WithLocalAddr] and [WithDialer] say how
// connections are made. A program that fetches URLs which others supply says where it may
// be led with [WithDialGuard], for example [PublicAddressesOnly].
//
// HTTP/2 is spoken with https servers that know it ([WithHTTP2]). Where another protocol
// takes a connection over, by a 101 or a CONNECT, [Response.Conn] gives it.
//
// # Hooks
//
// [WithRequestHook] and [WithResponseHook] look at a call as a whole and
// [WithHopRequestHook] and [WithHopResponseHook] at each hop of it; all may change what
// they see. [Client.Explain] tells beforehand what would be sent, and why.
//
// [Client.Warm] opens connections ahead of need, [Client.CloseIdle] closes those that
// nobody uses, and [Client.Open] gives one as a [Conn], for requests that belong on one.
//
// # Errors
//
// Every failed call returns an *[Error] that names the method, the URL without its
// secrets, the [Phase] in which it failed and, where a timeout passed, its limit. Its
// kind is found with errors.Is: [ErrTimeout] and the others listed there. Its field
// Sent says whether the server can have seen the request, which is what decides
// whether it may be sent again.
//
// # Trying again
//
// [WithRetry] tries again what failed on the way or was answered with a 503 and its like,
// where that is safe, with growing, random waits, within the deadline and a budget that
// keeps an outage from being multiplied; [Response].Tries tells what was decided, and why.
// [WithIdempotencyKey] makes requests of any method safe to repeat for servers that know
// the header. A policy can also hedge: send a second request beside one that is slow.
//
// # Limits
//
// Everything has a bound by default: see [Timeouts] for time, [PoolLimits] for
// connections, and [WithMaxBodyBytes] for memory, which has none unless it is set.
// [Client.Stats] shows what the pool is doing, [Client.Doctor] says in sentences what its
// figures point to, and [PoolHandler] is a page of both for a browser.
//
// How fast requests go out is said by [WithRateLimit] with any limiter, such as that of
// golang.org/x/time/rate, learnt from what servers say of their limits by
// [WithServerLimits], and bounded in number, origin by origin, by what they turn out to
// bear with [WithAdaptiveConcurrency]. [WithMergedGets] sends one request for calls that
// ask for the same at the same time. All of these work below [WithRetry] and within the
// deadline of the call: what could not go out in time fails at once with [ErrLimited].
// [Response.Holds] tells what held a call back.
//
// # What happened
//
// [Response.Timing] tells how long each part of a call took, on which connection, and
// whether that had served before. Single events, such as a dial, a handshake or the
// first byte, are told to a [net/http/httptrace.ClientTrace] in the context: see
// [Pool.Send].
//
// # Underneath
//
// A session is a stack of [Transport] values, each around the next, with a [Pool] at
// the bottom. [Middleware] can be put around the whole ([WithMiddleware]) or next to
// the network ([WithNetworkMiddleware]), and the bottom can be another transport
// ([WithTransport]): an [http.Handler] in the same process ([WithHandler]), an
// [http.Client] ([WithHTTPClient]), any [http.RoundTripper] ([FromRoundTripper]), or a
// different one for some URLs ([WithMount]). What package parleytest has checks that a
// transport of one's own keeps the contract. The layers are there by themselves too, from
// [Redirects] to [Decoding], for a stack made by hand.
//
// The other way round, [Client.HTTPClient] and [Client.RoundTripper] give a session to
// whatever takes those of net/http, and [AsRoundTripper] any transport.
package parley
