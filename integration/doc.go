// Package integration tests parley against servers that others wrote: go-httpbin and
// graph-gophers' graphql-go in the same process, nginx, Apache httpd, HAProxy, Caddy and
// h2o as Debian packages them; through Squid, httpd, Dante and go-socks5; beneath libraries
// that take an *http.Client: a WebSocket library, x/oauth2, and the clients of GitHub and
// S3; beside curl, which goes the same ways and whose cookies.txt it shares; and what it
// shows in Chromium.
//
// An outage drill (TestOutage) sends requests through a proxy of its own that does what bad
// networks do, and compares what the calls say with what the server did. What the proxy does
// follows from a seed, which it prints; PARLEY_DRILL_SEED repeats one.
//
// The package holds tests only. A server that is not installed is a reason to skip
// its tests, unless PARLEY_INTEGRATION is set: then it is a failure. In Debian,
//
//	apt-get install --no-install-recommends nginx apache2-bin curl squid dante-server \
//		haproxy caddy h2o chromium
//
// brings them all; no service needs to run. Each test starts its own server on ports of
// its own, with a configuration from testdata.
package integration
