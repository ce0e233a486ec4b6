// Package parleytest is support for tests of programs that use parley.
//
// # Five minutes
//
// Code that calls an API through parley takes a *[parley.Client]. In a test give it one that
// talks to a [Mock]:
//
//	func TestUsers_add(t *testing.T) {
//		mock := parleytest.NewMock(t)
//		mock.On("POST", "https://api.example.com/users").
//			WithHeader("Idempotency-Key").
//			WithJSON(map[string]any{"name": "Ann"}).
//			Reply(parleytest.JSON(201, User{ID: 7, Name: "Ann"}))
//
//		users := NewUsers(mock.Client(parley.WithBaseURL("https://api.example.com")))
//		user, err := users.Add(t.Context(), "Ann")
//		require.NoError(t, err)
//		require.Equal(t, 7, user.ID)
//	}
//
// That is the whole test. No socket is opened, and nothing can go to the network. If the code
// does not call the API, or sends something else, the test fails, and says which route came
// nearest and in what the request differed:
//
//	unexpected request: POST https://api.example.com/users: the nearest route is POST
//	https://api.example.com/users (users_test.go:12), but in the JSON .name is "Bob", should be "Ann"
//
// What was sent can be looked at afterwards ([Route.Calls], [Mock.Calls]).
//
// # Recorded traffic
//
// A [Cassette] answers with what a real server has said once. The first run of the test goes
// to the network and writes a file without secrets, to be committed; from then on, and
// always in CI, the file answers:
//
//	cassette := parleytest.NewCassette(t, "testdata/users.har", parleytest.CassetteConfig{})
//	users := NewUsers(cassette.Client(parley.WithBaseURL("https://api.example.com")))
//
// PARLEY_CASSETTE=record go test ./... records anew.
//
// # When it goes wrong
//
// Answers may fail as networks do. Each of these is an answer for [Route.Reply], and with
// several answers each request gets the next one:
//
//	Reply(parleytest.Fail(parley.ErrConnect), parleytest.Status(503), parleytest.JSON(200, user))
//	Reply(parleytest.Timeout(parley.PhaseResponse))
//	Reply(parleytest.After(time.Second, parleytest.Status(200)))
//	Reply(parleytest.Cut(100, parleytest.File("testdata/large.json")))
//	Reply(parleytest.WithHeader("Retry-After", "3", parleytest.Status(429)))
//
// # Time
//
// Tests of waiting need not wait. In a bubble of [testing/synctest] every timer of parley is
// one of the bubble: timeouts, delays, waits before another try or another connection, expiry
// of connections, cookies and names. The rule is that everything belongs to the bubble and
// nothing in it waits for a socket: make clients and mocks within, and take a Mock, a
// [parley.HandlerTransport], or [InMemory] for the pool itself, in place of a server.
//
//	synctest.Test(t, func(t *testing.T) {
//		mock := parleytest.NewMock(t)
//		mock.On("GET", "*").Reply(parleytest.Timeout(parley.PhaseConnect))
//		began := time.Now()
//		_, err := mock.Client().Get(t.Context(), "https://api.example.com/")
//		require.ErrorIs(t, err, parley.ErrConnectTimeout)
//		require.Equal(t, 5*time.Second, time.Since(began)) // none of which have passed outside
//	})
//
// # Real connections
//
// [NewServer] runs a handler on loopback with a session on its URL, and [FaultServer] plays
// scripts of bytes: peers that are slow, silent, cut off, hostile, or wrong in their TLS.
// The answers of a Mock are handlers, so that they serve [NewServer] and net/http/httptest
// too.
//
// [NoLeaks] fails a test that leaves responses open, connections in use or goroutines
// running.
//
// # Transports
//
// [TransportSuite] checks that a [parley.Transport] of one's own keeps the contract.
//
// Everything in this package ends with the test that it was made for, reports what went
// wrong through [testing.TB], and may be used by tests that run at the same time.
package parleytest
