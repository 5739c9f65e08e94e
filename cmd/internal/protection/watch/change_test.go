package watch

import (
	"testing"
	"time"

	"backhaul/cmd/internal/protection"
	"backhaul/publisher"
	"backhaul/schemas"
)

var one = protection.Group{Client: "c", Instance: "c", Backupset: schemas.DefaultBackupsetName, Subclient: "g"}

// The hash of a group is the token of its subject.
func TestContentGroup(t *testing.T) {
	t.Parallel()
	for _, g := range []protection.Group{one, {Client: "größe", Instance: "i", Backupset: `b"<`, Subclient: "a.b"}} {
		if got := publisher.ProtectionGroup(contentGroup(g)); got != g.Hash() || groupOf(contentGroup(g)) != g {
			t.Errorf("%v: %s, want %s", g, got, g.Hash())
		}
	}
}

// Old events expire. That a breach is no longer known from what is left restores nothing: only
// an event that proves a backup does, or a change of the objective.
func TestWatch_expiredEventsRestoreNothing(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := func(hours int) time.Time { return now.Add(time.Duration(hours) * time.Hour) }
	objective := protection.Objective{RPO: time.Hour, MaxAge: 24 * time.Hour}
	byRPO := &schemas.ProtectionEvent{State: schemas.ProtectionBreached, Cause: schemas.CauseRPO, Objective: promiseOf(objective), ExposedSince: at(-10)}
	byAge := &schemas.ProtectionEvent{State: schemas.ProtectionBreached, Cause: schemas.CauseMaxAge, Objective: promiseOf(objective), LastGoodStart: at(-40)}
	for name, test := range map[string]struct {
		last  *schemas.ProtectionEvent
		times protection.Times
		now   protection.Objective
		cause schemas.ProtectionCause // "": no event
	}{
		"nothing is left":            {byRPO, protection.Times{}, objective, ""},
		"an older backup":            {byRPO, protection.Times{LastGoodStart: at(-11), LastCovered: at(-12)}, objective, ""},
		"a later backup":             {byRPO, protection.Times{LastGoodStart: at(-9)}, objective, schemas.CauseCovered},
		"a backup of the paths":      {byRPO, protection.Times{LastCovered: at(-10)}, objective, schemas.CauseCovered},
		"another objective":          {byRPO, protection.Times{}, protection.Objective{RPO: 20 * time.Hour}, schemas.CauseObjective},
		"other outcomes":             {byRPO, protection.Times{}, protection.Objective{RPO: time.Hour, MaxAge: 24 * time.Hour, Accept: protection.NewOutcomes(schemas.OutcomeCommitted)}, schemas.CauseObjective},
		"another name":               {byRPO, protection.Times{}, protection.Objective{Name: "silver", RPO: time.Hour, MaxAge: 24 * time.Hour}, ""},
		"the same backup":            {byAge, protection.Times{LastGoodStart: at(-40)}, objective, ""},
		"the first event is younger": {byAge, protection.Times{FirstSeen: at(-1)}, objective, ""},
		"a new backup":               {byAge, protection.Times{LastGoodStart: at(-1)}, objective, schemas.CauseCovered},
	} {
		t.Run(name, func(t *testing.T) {
			w := &Watch{known: empty()}
			s := &Standing{State: protection.State{Group: one, Times: test.times}, Objective: test.now, Promised: true}
			e, ok := w.next(s, test.last, now)
			if ok != (test.cause != "") || e.Cause != test.cause || ok && e.State != schemas.ProtectionRestored {
				t.Errorf("got %+v, %v, want the cause %q", e, ok, test.cause)
			}
		})
	}
}

// A group whose events have all expired stays breached while something is promised for it.
func TestWatch_groupWithoutEvents(t *testing.T) {
	t.Parallel()
	subject := publisher.ProtectionSubject(contentGroup(one))
	last := schemas.ProtectionEvent{State: schemas.ProtectionBreached, Cause: schemas.CauseRPO, ContentGroup: contentGroup(one)}
	for name, test := range map[string]struct {
		state     schemas.ProtectionState
		objective promise
		want      int
	}{
		"promised":          {schemas.ProtectionBreached, rpo(time.Hour), 0},
		"no longer":         {schemas.ProtectionBreached, promise{}, 1},
		"not breached then": {schemas.ProtectionRestored, promise{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := &Watch{known: empty(), cfg: Config{Objectives: func() Objectives { return test.objective }}}
			e := last
			e.State = test.state
			w.said[subject] = said{7, &e}
			all := w.changes(time.Now())
			if len(all) != test.want {
				t.Fatalf("changes %+v, want %d", all, test.want)
			}
			if test.want == 1 && (all[0].after != 7 || all[0].event.Cause != schemas.CauseObjective || all[0].event.State != schemas.ProtectionRestored) {
				t.Errorf("got %+v", all[0])
			}
		})
	}
}

// The worst come first: breached ones by their limit, then those whose limit comes next.
func TestCompare(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := func(hours int) time.Time { return now.Add(time.Duration(hours) * time.Hour) }
	standing := func(status Status, broken, limit, exposed int, name string) Standing {
		s := Standing{Status: status, State: protection.State{Group: protection.Group{Client: name}}}
		if broken != 0 {
			s.Broken = []protection.Broken{{Since: at(broken)}}
		}
		if limit != 0 {
			s.Limit = at(limit)
		}
		if exposed != 0 {
			s.ExposedSince = at(exposed)
		}
		return s
	}
	inOrder := []Standing{
		standing(Breached, -5, 0, -9, "a"), standing(Breached, -2, 3, -3, "b"),
		standing(Exposed, 0, 1, -1, "c"), standing(Exposed, 0, 2, -9, "d"), standing(Exposed, 0, 0, -9, "e"), standing(Exposed, 0, 0, -1, "f"),
		standing(Unproven, 0, 1, 0, "g"), standing(Unproven, 0, 0, 0, "h"),
		standing(Covered, 0, 1, 0, "i"), standing(Covered, 0, 0, 0, "j"), standing(Covered, 0, 0, 0, "k"),
	}
	for i := range inOrder {
		for j := range inOrder {
			want := 0
			switch {
			case i < j:
				want = -1
			case i > j:
				want = 1
			}
			if got := compare(&inOrder[i], &inOrder[j]); got != want {
				t.Errorf("%s and %s: %d, want %d", inOrder[i].Client, inOrder[j].Client, got, want)
			}
		}
	}
}

// Between the answer of the leader and the judgement the reader may have read what another
// replica published as of a later time. An older judgement does not contradict it.
func TestWatch_olderJudgementSaysNothing(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := &Standing{State: protection.State{Group: one}, Objective: protection.Objective{RPO: time.Hour}, Promised: true, Broken: []protection.Broken{{Promise: protection.PromiseRPO, Since: now}}}
	w := &Watch{known: empty()}
	for offset, want := range map[time.Duration]bool{-time.Second: true, 0: false, time.Second: false} {
		last := &schemas.ProtectionEvent{State: schemas.ProtectionRestored, Cause: schemas.CauseCovered, At: now.Add(offset)}
		if e, ok := w.next(s, last, now); ok != want {
			t.Errorf("after an event of %s later: %+v, %v", offset, e, ok)
		}
	}
}
