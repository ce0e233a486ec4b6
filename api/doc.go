// Package api wraps APIs over HTTP in the manner that each of them asks for: resources,
// remote procedures, JSON-RPC, GraphQL, several servers that give the same answers, and
// clients that are declared as a struct of functions.
//
// Everything here stands on a [github.com/seed-0474a412/parley.Client] and uses nothing
// of parley but what any program can use.
package api
