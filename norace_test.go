//go:build !race

package parley_test

const raceEnabled = false
