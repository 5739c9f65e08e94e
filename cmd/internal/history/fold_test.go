package history

import (
	"fmt"
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

// Tries that end with the same error are one step, whatever times and numbers the error has.
func TestFolded_foldsTheSameError(t *testing.T) {
	t.Parallel()
	claimed := func(epoch int) *schemas.JobSubmitting {
		return claimOf(schemas.Claim{Epoch: epoch, LeaseMillis: 1000})
	}
	renewed := func(epoch int, text string) *schemas.JobSubmitting {
		return claimOf(schemas.Claim{Epoch: epoch, LeaseMillis: 1000, LastError: text})
	}
	released := func(epoch int, text string) *schemas.JobSubmitting {
		return claimOf(schemas.Claim{Epoch: epoch, LastError: text})
	}
	const text = "QCreateTask: HTTP 503: code 35:4618: try again in 1m30s, at 2026-11-29T09:00:00Z, 3 in the queue"
	later := strings.NewReplacer("1m30s", "12s", "09:00:00Z", "09:01:30Z", "3 in", "41 in").Replace(text)
	doubt := released(7, text)
	doubt.DoubtSequence = 1
	for name, test := range map[string]struct {
		events []schemas.Event
		want   string
	}{
		"the same":           {[]schemas.Event{claimed(1), released(1, text), claimed(2), released(2, text), claimed(3), released(3, later)}, "claimed released+2"},
		"renewed with it":    {[]schemas.Event{claimed(1), released(1, text), claimed(2), renewed(2, later), renewed(2, text), released(2, text), claimed(3)}, "claimed released+1 claimed"},
		"the renewal's":      {[]schemas.Event{claimed(1), renewed(1, text), renewed(1, later), renewed(1, "HTTP 502")}, "claimed renewed renewed"},
		"another status":     {[]schemas.Event{claimed(1), released(1, text), claimed(2), released(2, strings.Replace(text, "503", "502", 1))}, "claimed released claimed released"},
		"another code":       {[]schemas.Event{claimed(1), released(1, text), claimed(2), released(2, strings.Replace(text, "4618", "4619", 1))}, "claimed released claimed released"},
		"another in between": {[]schemas.Event{claimed(1), released(1, text), claimed(2), renewed(2, "away"), released(2, text)}, "claimed released claimed renewed released"},
		"without an error":   {[]schemas.Event{claimed(1), released(1, ""), claimed(2), released(2, "")}, "claimed released claimed released"},
		"in doubt":           {[]schemas.Event{claimed(1), released(1, text), claimed(7), doubt}, "claimed released claimed released"},
		"taken over":         {[]schemas.Event{claimed(1), claimed(2), released(2, text), claimed(3), released(3, text)}, "claimed taken-over released+1"},
	} {
		var got []string
		for _, f := range Folded(Timeline(claims(test.events...))) {
			what := string(f.What)
			if f.Tries > 0 {
				what += fmt.Sprintf("+%d", f.Tries)
			}
			got = append(got, what)
		}
		if all := strings.Join(got, " "); all != test.want {
			t.Errorf("%s: %s, want %s", name, all, test.want)
		}
	}
	folds := Folded(Timeline(claims(claimed(1), released(1, text), claimed(2), released(2, later))))
	if f := folds[1]; !f.End().Equal(time.Unix(3, 0)) || f.Text() != "by one, epoch 1: "+text+"; the same error once more until 1970-01-01T00:00:03Z, the last by one, epoch 2" {
		t.Errorf("until %s: %s", f.End(), f.Text())
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

// A claim in force says since when a call may be under way, until an error of one is on record.
func TestSummary_aCallUnderWay(t *testing.T) {
	t.Parallel()
	held := schemas.Claim{Epoch: 2, LeaseMillis: 1000}
	failed := held
	failed.LastError = "HTTP 503"
	before := []schemas.Event{claimOf(schemas.Claim{Epoch: 1, LeaseMillis: 1000}), claimOf(schemas.Claim{Epoch: 1, LastError: "HTTP 503"})}
	for _, test := range []struct {
		events []schemas.Event
		want   string
	}{
		{append(before, claimOf(held), claimOf(held)), "; a call to the vendor may be under way since 1970-01-01T00:00:02Z, of which no answer is recorded"},
		{append(before, claimOf(held), claimOf(failed)), ""},
	} {
		key := publisher.NewKey("billing", "r")
		h := &History{Source: key.Source, Key: key.Name, Status: Claimed, Queued: &Queued{}, Steps: Timeline(claims(test.events...))}
		if got := h.Summary(Replicas{}); !strings.HasSuffix(got, "unless it renews the claim"+test.want) {
			t.Errorf("%s, want %q", got, test.want)
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
