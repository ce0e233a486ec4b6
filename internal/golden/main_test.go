package golden

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// folder holds the recorded cases of this module.
const folder = "../../testdata/golden"
