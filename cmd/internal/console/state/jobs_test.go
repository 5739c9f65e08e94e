package state

import (
	"maps"
	"testing"
	"time"

	"backhaul/cmd/internal/history"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
)

func (b *bench) appendJob(id string, e schemas.JobEvent) {
	b.t.Helper()
	if _, err := b.pub.AppendJob(b.t.Context(), publisher.NewKey("billing", id), 0, e, ""); err != nil {
		b.t.Fatal(err)
	}
}

func endOf(c *schemas.JobSubmitting, job string, outcome schemas.Outcome, reasons ...schemas.Reason) *schemas.JobFinished {
	return &schemas.JobFinished{
		Naming: c.Names(), Message: c.Message, JobRef: schemas.JobRef{JobID: job}, Outcome: outcome, VendorStatus: string(outcome), Reasons: reasons,
		JobTimes: schemas.JobTimes{EndedAt: time.Now().UTC(), ObservedAt: time.Now().UTC()},
	}
}

// What becomes of jobs is folded into their requests, which keep their status and their
// place; one whose own events lie too far back is shown as well.
func TestState_jobs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	claims := map[string]*schemas.JobSubmitting{}
	for _, id := range []string{"open", "pending", "kept", "lost", "left"} {
		claims[id] = claimOf(id)
		b.append(id, b.append(id, 0, claims[id]), startedOf(claims[id], "7"))
	}
	s := b.follow(few)
	waittest.Eventually(t, "five jobs", func() bool { return s.all().Counts[history.Started] == 5 })
	took := s.Look(Filter{Text: "kept"}, 0, 1).Requests[0].Took(time.Now())
	b.appendJob("pending", &schemas.JobChanged{
		Naming: claims["pending"].Names(), Message: claims["pending"].Message, JobRef: schemas.JobRef{JobID: "7"}, State: schemas.StatePending, VendorStatus: "Pending",
		Reasons: []schemas.Reason{{Code: "13:30", Text: "no MediaAgent", From: "pending"}}, ChangedAt: time.Now(),
	})
	b.appendJob("kept", endOf(claims["kept"], "7", schemas.OutcomeCompleted))
	b.appendJob("lost", endOf(claims["lost"], "7", schemas.OutcomeFailed, schemas.Reason{Text: "disk is full", From: "event"}))
	b.appendJob("left", &schemas.JobUnfollowed{Naming: claims["left"].Names(), Message: claims["left"].Message, JobRef: schemas.JobRef{JobID: "7"}, Reason: "no end", UnfollowedAt: time.Now()})
	old := claimOf("old") // its own events are not in the stream
	old.RequestedAt = time.Now().Add(-24 * time.Hour)
	b.appendJob("old", endOf(old, "99", schemas.OutcomeKilled))
	waittest.Eventually(t, "the last end", func() bool { return s.all().Held == 6 })
	v := s.all()
	if want := map[schemas.Outcome]int{"completed": 1, "failed": 1, "killed": 1}; !maps.Equal(v.Ends, want) || v.Running != 2 {
		t.Errorf("ends %v, running %d", v.Ends, v.Running)
	}
	if !maps.Equal(v.Counts, Counts{history.Started: 5}) {
		t.Errorf("counts %v: an end is no start", v.Counts)
	}
	if first, last := v.Requests[0].RequestID, v.Requests[5]; first != "left" || last.RequestID != "old" || last.JobID != "99" || last.Status != history.Started {
		t.Errorf("the first is %s, the last %+v", first, last)
	}
	for _, test := range []struct {
		f    Filter
		want string
	}{
		{Filter{Backup: BackupOpen}, "pending started, open started"},
		{Filter{Backup: BackupFinished}, "lost started, kept started, old started"},
		{Filter{Backup: BackupNotKept}, "lost started, old started"},
		{Filter{Backup: BackupUnfollowed}, "left started"},
		{Filter{Backup: "completed"}, "kept started"},
		{Filter{Text: "mediaagent"}, "pending started"},
		{Filter{Text: "13:30"}, "pending started"},
		{Filter{Text: "DISK"}, "lost started"},
		{Filter{Backup: BackupFinished, Status: history.Failed}, ""},
	} {
		if got := ids(s.Look(test.f, 0, 10)); got != test.want {
			t.Errorf("%+v: got %q, want %q", test.f, got, test.want)
		}
	}
	if got := s.Look(Filter{Text: "kept"}, 0, 1).Requests[0].Took(time.Now()); got != took {
		t.Errorf("the request took %s, and %s after the end of its job", took, got)
	}
	r, found, err := s.Find(t.Context(), "billing", "lost")
	if err != nil || !found || r.Backup != (history.Backup{State: history.JobFinished, Outcome: schemas.OutcomeFailed}) {
		t.Errorf("from the stream: %+v, found %t, %v", r.Backup, found, err)
	}
}

// Every outcome behind many claims is among the events that are shown.
func TestStateEvents_keepsEveryEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c, at := claimOf("r1"), uint64(0)
	for range maxEvents + 3 {
		at = b.append("r1", at, c)
	}
	b.append("r1", at, startedOf(c, "7"))
	b.appendJob("r1", endOf(c, "7", schemas.OutcomeCompleted))
	events, more, err := b.follow(few).Events(t.Context(), publisher.NewKey("billing", "r1"))
	if err != nil || !more || len(events) != maxEvents+1 || events[maxEvents-1].Kind != schemas.KindJobStarted || events[maxEvents].Kind != schemas.KindJobFinished {
		t.Errorf("got %d events, more %t, %v", len(events), more, err)
	}
}
