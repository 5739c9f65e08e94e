package protection

import (
	"slices"
	"testing"
	"time"

	"backhaul/schemas"
)

func TestStand(t *testing.T) {
	t.Parallel()
	facts := slices.Concat(
		backup("covered", func(e *fact) { e.group.Subclient = "covered" }),
		backup("exposed", func(e *fact) { e.group.Subclient = "exposed" })[:2],
		backup("longer", func(e *fact) { e.group.Subclient, e.since = "longer", 5 })[:2],
		backup("killed", func(e *fact) { e.group.Subclient, e.since, e.outcome = "unproven", 0, schemas.OutcomeKilled }),
		backup("late", func(e *fact) { e.group.Subclient = "late" })[:2],
	)
	f := foldOf(facts)
	var all []Standing
	for _, g := range f.Groups() {
		o := Objective{RPO: time.Hour, MaxAge: 2 * time.Hour}
		if g.Subclient == "late" {
			o = Objective{MaxAge: 25 * time.Second, RPO: 20 * time.Second}
		}
		s, ok := f.Stand(g, o, true, at(40))
		if !ok {
			t.Fatalf("nothing is known of %s", g)
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Standing) int { return CompareStandings(&a, &b) })
	want := []struct {
		group  string
		status Status
		limit  int
	}{
		{"late", Breached, 0}, {"longer", Exposed, 3605}, {"exposed", Exposed, 3610}, {"unproven", Unproven, 7224}, {"covered", Covered, 7222},
	}
	for i, s := range all {
		if w := want[i]; s.Subclient != w.group || s.Status != w.status || seconds(s.Limit) != w.limit {
			t.Errorf("%d: %s is %s until %d, want %+v", i, s.Subclient, s.Status, seconds(s.Limit), w)
		}
	}
	if late := all[0].Broken; len(late) != 2 || late[0] != (Broken{PromiseRPO, at(30)}) || late[1] != (Broken{PromiseMaxAge, at(35)}) {
		t.Errorf("broken: %+v", late)
	}
	if s, _ := f.Stand(all[1].Group, Objective{}, false, at(40)); s.Promised || s.Status != Exposed || !s.Limit.IsZero() {
		t.Errorf("without a promise: %+v", s)
	}
	if _, ok := f.Stand(one, Objective{}, false, at(40)); ok {
		t.Error("a group that no event names stands somewhere")
	}
}

func TestWhy_HasWords(t *testing.T) {
	t.Parallel()
	for _, why := range Whys {
		if why.Text() == "" {
			t.Errorf("%s has no words", why)
		}
	}
}
