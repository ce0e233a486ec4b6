//go:build !race

package parley_test

const (
	raceEnabled = false
	slowness    = 1
)
