//go:build race

package parley_test

// raceEnabled: the race detector makes everything several times slower.
const raceEnabled = true

// slowness is by how much limits that tests let pass are longer for that.
const slowness = 2
