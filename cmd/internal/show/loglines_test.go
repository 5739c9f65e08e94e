package show_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"backhaul/cmd/internal/show"
	"backhaul/publisher/natstest/waittest"
)

func TestLogLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out waittest.Log
		lines := show.NewLogLines(&out)
		log := zerolog.New(lines)
		want := func(messages ...string) {
			t.Helper()
			synctest.Wait()
			var text strings.Builder
			for _, m := range messages {
				text.WriteString(m)
			}
			if got := strings.NewReplacer(`{"level":"info","message":"`, "", `{"level":"warn","message":"`, "", "\"}\n", "").Replace(out.String()); got != text.String() {
				t.Errorf("written: %s, want %s", got, &text)
			}
		}
		log.Info().Msg("a")
		want("a") // after a pause
		log.Info().Msg("b")
		log.Info().Msg("c")
		want("a")
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // the bubble's time
		want("a", "b", "c")
		log.Info().Msg("d")
		log.Warn().Msg("e")
		want("a", "b", "c", "d", "e")
		log.Warn().Msg("f")
		want("a", "b", "c", "d", "e", "f")
		log.Info().Msg("g")
		lines.Flush()
		want("a", "b", "c", "d", "e", "f", "g")
		log.Info().Msg("h")
		log.Info().Msg(strings.Repeat("i", 32<<10))
		want("a", "b", "c", "d", "e", "f", "g", "h", strings.Repeat("i", 32<<10))
	})
}
