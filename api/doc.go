// Package api wraps APIs over HTTP in the manner that each of them asks for.
//
//   - [Resource] is a URL under a session, with [Get] and its sisters, [Items], [Edit] and
//     [Await]
//   - [Bind] makes a client of a struct of functions with tags
//   - [Remote] calls procedures by POST of JSON, [JSONRPC] by JSON-RPC 2.0, both with [Call]
//   - [Graph] executes GraphQL, with [Execute] and [Subscribe]
//   - [Balancer] is one origin in front of several servers
//
// Everything here stands on a [github.com/seed-0474a412/parley.Client] and uses nothing
// of parley but what any program can use.
package api
