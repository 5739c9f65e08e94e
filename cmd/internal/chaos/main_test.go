package chaos

import (
	"os"
	"testing"

	"backhaul/cmd/internal/programtest"
)

func TestMain(m *testing.M) {
	if os.Getenv(yardstickEnv) != "" {
		os.Exit(yardstickMain())
	}
	programtest.Main(m)
}
