// Package parley is an HTTP client built around the session.
package parley
