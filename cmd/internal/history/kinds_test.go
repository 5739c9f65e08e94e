package history

import (
	"strings"
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
			h.foldJobs()
			h.Status = h.status()
			if h.Status != s.At(now) || h.Summary(Replicas{}) == "" || h.Summary(Replicas{}) == h.Status.Word() {
				t.Errorf("%s is summed up as %q, with the status %s", kind, h.Summary(Replicas{}), h.Status)
			}
		}
	}
}

// The value of a doubt without an event is shown in words.
func TestLine_aClaimThatTheLedgerHasLost(t *testing.T) {
	t.Parallel()
	const lost = ": a call under an earlier claim that the ledger has lost may have started a job"
	e := claim(schemas.Message{}, "recover", 1, 0, schemas.LostClaim)
	if got := Line(e); !strings.HasSuffix(got, lost) {
		t.Errorf("got %q, want it to end with %q", got, lost)
	}
	if got := (Step{Event: e}).Text(); !strings.HasSuffix(got, lost) {
		t.Errorf("got %q, want it to end with %q", got, lost)
	}
}

// A failure before any call, such as that of an invalid request, has no attempts to tell of.
func TestText_failedBeforeAnyAttempt(t *testing.T) {
	t.Parallel()
	e := &schemas.JobFailed{ErrorCode: schemas.CodeInvalidRequest, ErrorMessage: "clientName is missing", ErrorSource: schemas.ErrorSourceBackhaul}
	if text := textOf(e, time.Time{}); text != "INVALID_REQUEST: clientName is missing; reported by backhaul" {
		t.Error(text)
	}
	e.Attempts = 2
	if text := textOf(e, time.Time{}); !strings.HasSuffix(text, "; reported by backhaul after 2 attempts") {
		t.Error(text)
	}
}
