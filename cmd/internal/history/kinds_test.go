package history

import (
	"testing"
	"time"

	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/schemas/schemastest"
)

// An event of any kind has a status, a name and a text. An outcome has what there is
// to say of it.
func TestKinds_everyKindIsToldInWords(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, kind := range schemas.Kinds {
		for _, e := range schemastest.Events(t, kind) {
			s := After(e, now)
			if kind.Terminal() && s.Open() {
				t.Errorf("%s is an outcome and leaves its request %s", kind, s.At(now))
			}
			if !s.Open() && ResultOf(e) == (Result{}) {
				t.Errorf("%s settles its request with no result", kind)
			}
			key := publisher.NewKey("billing", "r-1")
			steps := Timeline([]eventlog.Event{{Kind: kind, Key: key, Data: e, Sequence: 1, Stored: now}})
			if len(steps) != 1 || steps[0].What == "" || steps[0].Text() == "" || Line(e) == "" {
				t.Errorf("%s is the step %+v with the text %q, in a line %q", kind, steps, steps[0].Text(), Line(e))
			}
			h := History{Source: key.Source, Key: key.Name, Steps: steps, AsOf: now}
			h.Status = h.status()
			if h.Status != s.At(now) || h.Summary(Replicas{}) == "" || h.Summary(Replicas{}) == h.Status.Word() {
				t.Errorf("%s is summed up as %q, with the status %s", kind, h.Summary(Replicas{}), h.Status)
			}
		}
	}
}
