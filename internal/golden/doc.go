// Package golden runs recorded cases against an HTTP client: what the client is told to do, what a scripted server
// answers, and what other clients sent and returned in that situation.
//
// A case is read with [Load]. A [Lab] plays its server side on loopback and records every request. The caller drives
// its client with the case and hands what happened, as an [Outcome], to [Judge], which compares it with what the
// recorded systems did, as amended by the rules of departure. The package knows nothing of the client under test:
// kinds of errors are plain names (see [Failure]).
//
// It is support for tests, and not meant for anything else.
package golden
