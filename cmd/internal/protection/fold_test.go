package protection

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"backhaul/schemas"
)

var one = Group{Client: "c", Instance: "c", Backupset: "defaultBackupSet", Subclient: "g"}

// histories draws the events of some requests, in the order of the stream. Some events are
// missing, as if they had expired or were never written.
func histories(t *rapid.T) []fact {
	groups := []Group{one, {Client: "c", Instance: "c", Backupset: "defaultBackupSet", Subclient: "other"}}
	var all []fact
	clock := 1
	for i := range rapid.IntRange(1, 7).Draw(t, "requests") {
		e := fact{request: fmt.Sprint("r-", i), group: rapid.SampledFrom(groups).Draw(t, "group")}
		clock += rapid.IntRange(1, 6).Draw(t, "pause")
		if rapid.Bool().Draw(t, "window") {
			e.since = clock
		}
		length := rapid.IntRange(1, 8).Draw(t, "window's length")
		e.requested = clock + length
		if e.since != 0 && rapid.Bool().Draw(t, "until") {
			e.until = clock + rapid.IntRange(0, length+3).Draw(t, "last change") // by a clock that is ahead, too
		}
		e.directive = rapid.SampledFrom([]string{"", "", "file", "listed"}).Draw(t, "directive")
		all = append(all, e.events(t)...)
	}
	// What two requests did is mixed.
	slices.SortStableFunc(all, func(a, b fact) int { return a.stored - b.stored })
	for i := range all { // no two events have the same time
		if i > 0 && all[i].stored <= all[i-1].stored {
			all[i].stored = all[i-1].stored + 1
		}
	}
	return slices.DeleteFunc(all, func(e fact) bool { return rapid.IntRange(0, 9).Draw(t, "missing") == 0 })
}

// events draws what came of one request.
func (e fact) events(t *rapid.T) (all []fact) {
	now := e.requested
	add := func(kind schemas.Kind, change func(*fact)) {
		now += rapid.IntRange(1, 8).Draw(t, "wait")
		next := e
		next.kind, next.stored = kind, now
		if change != nil {
			change(&next)
		}
		all = append(all, next)
	}
	for range rapid.IntRange(0, 2).Draw(t, "claims") {
		add(schemas.KindJobSubmitting, nil)
	}
	switch rapid.IntRange(0, 6).Draw(t, "outcome") {
	case 0:
		return all
	case 1:
		add(schemas.KindJobFailed, nil)
		return all
	}
	jobs := make([]int, rapid.SampledFrom([]int{1, 1, 1, 2}).Draw(t, "jobs"))
	for i := range jobs {
		jobs[i] = e.requested*10 + i + 1
	}
	add(schemas.KindJobStarted, func(e *fact) {
		e.jobs, e.adopted = jobs, rapid.IntRange(0, 4).Draw(t, "adopted") == 0
	})
	for _, job := range jobs {
		if rapid.IntRange(0, 7).Draw(t, "unfollowed") == 0 {
			add(schemas.KindJobUnfollowed, func(e *fact) { e.job = job })
		}
		if rapid.IntRange(0, 5).Draw(t, "no end") == 0 {
			continue
		}
		add(schemas.KindJobFinished, func(e *fact) {
			e.job, e.outcome = job, rapid.SampledFrom(schemas.Outcomes).Draw(t, "outcome")
			if rapid.Bool().Draw(t, "kept") {
				e.outcome = schemas.OutcomeCompleted
			}
			if rapid.Bool().Draw(t, "sizes") {
				e.empty = new(rapid.Bool().Draw(t, "empty"))
			}
		})
	}
	return all
}

// acceptances are outcomes that an objective may accept.
var acceptances = [][]schemas.Outcome{
	{schemas.OutcomeCompleted, schemas.OutcomeCompletedWithWarnings},
	{schemas.OutcomeCompleted, schemas.OutcomeCompletedWithWarnings, schemas.OutcomeCompletedWithErrors, schemas.OutcomeCommitted},
	{schemas.OutcomeCompleted},
}

// In any history, in any order and with repeated events, the fold says what the reference does.
func TestFold_AgreesWithTheReference(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		facts := histories(t)
		order := rapid.Permutation(indices(len(facts))).Draw(t, "order")
		order = append(order, order[:rapid.IntRange(0, len(order)).Draw(t, "repeated")]...)
		f := New()
		ask := func() {
			for _, group := range f.Groups() {
				accept := rapid.SampledFrom(acceptances).Draw(t, "accept")
				compareStates(t, f, &reference{facts: facts, group: group, accept: accept}, rapid.IntRange(1, 120).Draw(t, "at"))
			}
		}
		digested := rapid.IntRange(0, len(facts)).Draw(t, "in a digest")
		f.AddDigest(digestOf(t, facts[:digested]), 0)
		for i, n := range order {
			if n >= digested || rapid.IntRange(0, 3).Draw(t, "in both") == 0 {
				f.Add(facts[n].message(n + 1))
			}
			if i == len(order)/2 && rapid.Bool().Draw(t, "asked early") {
				for _, group := range f.Groups() { // what is remembered must not be kept too long
					f.State(group, Objective{}, at(1000))
				}
			}
		}
		ask()
		ask()
	})
}

func indices(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func compareStates(t *rapid.T, f *Fold, r *reference, now int) {
	t.Helper()
	o := Objective{Accept: NewOutcomes(r.accept...)}
	got, ok := f.State(r.group, o, at(now))
	if !ok {
		return // nothing of the group was stored yet
	}
	want := r.state(now)
	is := refState{
		change: seconds(got.LastChange), covered: seconds(got.LastCovered), good: seconds(got.LastGoodStart), exposed: seconds(got.ExposedSince),
		never: got.NeverBackedUp, finding: got.Empty, running: len(got.Running),
	}
	if is != want {
		t.Fatalf("%s at %d accepting %v: got %+v, want %+v\n%s", r.group, now, r.accept, is, want, list(r.facts))
	}
	compareHistories(t, f, r, o, now)
}

// compareHistories compares every second of a history with the state at that second.
func compareHistories(t *rapid.T, f *Fold, r *reference, o Objective, now int) {
	t.Helper()
	spans := f.History(r.group, o, at(0), at(now))
	for i, s := range spans {
		if i > 0 && !s.From.Equal(spans[i-1].Until) || !s.From.Before(s.Until) {
			t.Fatalf("span %d is %+v, the one before %+v", i, s, spans[max(i-1, 0)])
		}
		for second := seconds(s.From); second < seconds(s.Until); second++ {
			if want := r.state(second); seconds(s.ExposedSince) != want.exposed || seconds(s.LastGoodStart) != want.good {
				t.Fatalf("%s at %d: got %+v, want %+v\n%s", r.group, second, s, want, list(r.facts))
			}
		}
	}
}

func seconds(t time.Time) int {
	if t.IsZero() {
		return 0
	}
	return int(t.Sub(origin) / time.Second)
}

func list(facts []fact) (text string) {
	for i, e := range facts {
		empty := "?"
		if e.empty != nil {
			empty = fmt.Sprint(*e.empty)
		}
		text += fmt.Sprintf("%d: %s %s of %s stored %d, since %d, until %d, requested %d, directive %q, adopted %t, job %d of %v, %s, empty %s\n",
			i+1, e.kind, e.request, e.group.Subclient, e.stored, e.since, e.until, e.requested, e.directive, e.adopted, e.job, e.jobs, e.outcome, empty)
	}
	return text
}

// rapidCheck calls check with folds of random histories and random objectives.
func rapidCheck(t *testing.T, check func(f *Fold, o Objective)) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		facts := histories(t)
		f := New()
		for i := range facts {
			f.Add(facts[i].message(i + 1))
		}
		check(f, Objective{
			RPO:    time.Duration(rapid.IntRange(0, 40).Draw(t, "rpo")) * time.Second,
			MaxAge: time.Duration(rapid.IntRange(0, 40).Draw(t, "maxAge")) * time.Second,
			Accept: NewOutcomes(rapid.SampledFrom(acceptances).Draw(t, "accept")...),
		})
	})
}
