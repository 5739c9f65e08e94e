package writes

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/publisher"
)

// A stream is in trouble from the first failed attempt until a successful one, or until no
// attempt was made for a while. The log has a line for each change.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		w := Watch{Log: zerolog.New(&log)}
		full := errors.New("it is full")
		failed := func(stream string) { w.Note(publisher.Try{Stream: stream, Err: full}) }
		trouble := func(step string, want ...bool) {
			t.Helper()
			for i, stream := range []string{"one", "two"} {
				if got := w.Trouble(stream); (got != nil) != want[i] || got != nil && !errors.Is(got, full) {
					t.Errorf("%s: stream %s: %v, want trouble: %t", step, stream, got, want[i])
				}
			}
			if got := w.Trouble("one", "two") != nil; got != (want[0] || want[1]) {
				t.Errorf("%s: trouble in one of them: %t", step, got)
			}
		}
		w.Note(publisher.Try{Stream: "one"})
		trouble("at first", false, false)
		failed("one")
		failed("one")
		failed("two")
		trouble("both are full", true, true)
		w.Note(publisher.Try{Stream: "one"})
		trouble("one takes messages again", false, true)
		<-time.After(lasts - time.Second)
		trouble("a while later", false, true)
		<-time.After(time.Second)
		trouble("nothing was tried for a minute", false, false)
		w.Note(publisher.Try{Stream: "two"})
		w.Note(publisher.Try{Stream: "two"})
		for text, want := range map[string]int{"does not take": 2, "takes what is written to it again": 2, `"stream":"one"`: 2, `"stream":"two"`: 2} {
			if got := strings.Count(log.String(), text); got != want {
				t.Errorf("%q is in the log %d times, want %d:\n%s", text, got, want, log.String())
			}
		}
	})
}

// A failure that does not say what to do about it says so with a hint.
func TestWatch_saysTheWayOut(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"storage":       {&publisher.UnconfirmedError{Subject: "backup.mark", Last: &jetstream.APIError{ErrorCode: 10023}, End: context.DeadlineExceeded}, "written to it: " + publisher.StorageHint + " ("},
		"no answer":     {jetstream.ErrAsyncPublishTimeout, "written to it: " + publisher.SilenceHint + " (nats: timeout"},
		"no answer yet": {&publisher.UnconfirmedError{Subject: "backup.mark", End: context.DeadlineExceeded}, "written to it: " + publisher.SilenceHint + " ("},
		"the stream":    {&jetstream.APIError{ErrorCode: 10077, Description: "maximum messages exceeded"}, "written to it: nats: API error"},
		"another":       {errors.New("refused"), "written to it: refused"},
	} {
		w := Watch{Log: zerolog.Nop()}
		w.Note(publisher.Try{Stream: "one", Err: tt.err})
		if got := w.Trouble("one"); got == nil || !strings.Contains(got.Error(), tt.want) || !errors.Is(got, tt.err) {
			t.Errorf("%s: %v, want %q", name, got, tt.want)
		}
	}
}
