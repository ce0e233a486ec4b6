//go:build race

package parley_test

// raceEnabled: the race detector makes everything several times slower.
const raceEnabled = true
