package parley_test

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// sideBySide is how many tests run at once. Most of them wait, so that there may be
// more than processors; but those with time limits must not wait for a processor.
const sideBySide = "4"

func TestMain(m *testing.M) {
	flag.Parse()
	// No test depends on the logins of whoever runs it.
	if err := os.Setenv("NETRC", os.DevNull); err != nil {
		panic(err)
	}
	if f := flag.Lookup("test.parallel"); !raceEnabled && f.Value.String() == f.DefValue {
		if err := f.Value.Set(sideBySide); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}
