package history

import (
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
	"backhaul/schemas"
)

// claims returns events of one request, a second apart.
func claims(data ...schemas.Event) []eventlog.Event {
	var events []eventlog.Event
	for i, e := range data {
		events = append(events, eventlog.Event{
			Kind: e.Kind(), Key: publisher.NewKey("billing", "r"), Data: e,
			Sequence: uint64(i + 1), Stored: time.Unix(int64(i), 0).UTC(),
		})
	}
	return events
}

func claimOf(c schemas.Claim) *schemas.JobSubmitting {
	c.Owner = "one"
	return &schemas.JobSubmitting{RequestID: "r", Source: "billing", Claim: c}
}

func TestFolded_foldsWhatOnlyRenews(t *testing.T) {
	t.Parallel()
	held := schemas.Claim{Epoch: 1, LeaseMillis: 1000}
	doubt := schemas.Claim{Epoch: 1, LeaseMillis: 1000, DoubtSequence: 1}
	failed, released, next := doubt, schemas.Claim{Epoch: 1, DoubtSequence: 1}, schemas.Claim{Epoch: 2, LeaseMillis: 1000}
	failed.LastError = "no answer"
	folds := Folded(Timeline(claims(claimOf(held), claimOf(held), claimOf(held), claimOf(failed), claimOf(doubt), claimOf(released), claimOf(next), &schemas.JobStarted{JobIDs: []string{"7"}, Attempts: 1})))
	var got []string
	for _, f := range folds {
		got = append(got, string(f.What))
	}
	if text := strings.Join(got, " "); text != "claimed renewed released claimed started" {
		t.Fatalf("%s", text)
	}
	if f := folds[0]; f.Renewals != 2 || !f.End().Equal(time.Unix(2, 0)) || !strings.HasSuffix(f.Text(), "; renewed 2 times until 1970-01-01T00:00:02Z") {
		t.Errorf("%d renewals until %s: %s", f.Renewals, f.End(), f.Text())
	}
	if f := folds[1]; f.Renewals != 1 || !strings.Contains(f.Text(), "no answer; renewed once") {
		t.Errorf("%d renewals: %s", f.Renewals, f.Text())
	}
}

func TestLastError_After(t *testing.T) {
	t.Parallel()
	next := time.Unix(31, 0).UTC()
	var last *LastError
	at := func(second int64, e schemas.Event) { last = last.After(e, time.Unix(second, 0)) }
	at(0, claimOf(schemas.Claim{Epoch: 1, LeaseMillis: 1000}))
	if last != nil || last.Line(next) != "" {
		t.Fatalf("without an error: %+v", last)
	}
	at(1, claimOf(schemas.Claim{Epoch: 1, LastError: "HTTP 503", NextAttemptAt: next}))
	if text := last.Line(time.Unix(2, 0)); text != "HTTP 503; at 1970-01-01T00:00:01Z; the next try is at 1970-01-01T00:00:31Z" {
		t.Error(text)
	}
	if text := last.Line(time.Unix(40, 0)); !strings.HasSuffix(text, "; the next try was planned for 1970-01-01T00:00:31Z") {
		t.Error(text)
	}
	at(41, claimOf(schemas.Claim{Epoch: 2, LeaseMillis: 1000}))
	if text := last.Line(time.Unix(42, 0)); strings.Contains(text, "next try") {
		t.Errorf("while it is tried: %s", text)
	}
	at(43, claimOf(schemas.Claim{Epoch: 2, LastError: "HTTP 502"}))
	if text := last.Line(time.Unix(44, 0)); text != "HTTP 502; 2 errors since 1970-01-01T00:00:01Z" {
		t.Error(text)
	}
	at(45, &schemas.JobStarted{})
	if last != nil {
		t.Errorf("after its outcome: %+v", last)
	}
}

// What a vendor says often ends with a full stop, which another part of the line follows.
func TestText_fullStop(t *testing.T) {
	t.Parallel()
	e := &schemas.JobFailed{ErrorCode: "5", ErrorMessage: "No subclients were found.", ErrorSource: schemas.ErrorSourceVendor, Attempts: 1, Candidates: []string{"7"}}
	for _, text := range []string{textOf(e, time.Time{}), (&LastError{Text: "Try later.", Errors: 1}).Line(time.Time{}), (&LastError{Text: "Try later.", Errors: 2}).Line(time.Time{})} {
		if strings.Contains(text, ".;") || !strings.Contains(text, ";") {
			t.Error(text)
		}
	}
}

// While an error says when the next try is, the summary does not say that it is now.
func TestSummary_releasedAfterAnError(t *testing.T) {
	t.Parallel()
	key := publisher.NewKey("billing", "r-1")
	c := claim(schemas.Message{}, "a/1", 1, 0, 0)
	h := &History{Status: Waiting, Queued: &Queued{}, Steps: []Step{{Event: c, key: key}}, LastError: &LastError{Text: "HTTP 503"}}
	h.Source, h.Key = key.Source, key.Name
	if text := h.Summary(Replicas{}); strings.Contains(text, "next delivery") || !strings.Contains(text, "released by a/1") {
		t.Error(text)
	}
}
