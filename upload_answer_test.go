package parley_test

import "time"

// waitLong is how long a server waits for what must not come.
const waitLong = 50 * time.Millisecond
