package protection

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"backhaul/consumer/trigger"
	"backhaul/schemas"
)

// backup returns the events of a request with a window from 10 to 20, whose job starts at 22 and
// ends well at 30.
func backup(request string, change func(*fact)) []fact {
	e := fact{request: request, group: one, since: 10, requested: 20, job: 7, jobs: []int{7}, outcome: schemas.OutcomeCompleted}
	if change != nil {
		change(&e)
	}
	claim, started, finished := e, e, e
	claim.kind, claim.stored = schemas.KindJobSubmitting, 22
	started.kind, started.stored = schemas.KindJobStarted, 24
	finished.kind, finished.stored = schemas.KindJobFinished, 30
	return []fact{claim, started, finished}
}

// later moves events by some seconds.
func later(seconds int, facts []fact) []fact {
	for i := range facts {
		facts[i].stored += seconds
		facts[i].requested += seconds
		if facts[i].since != 0 {
			facts[i].since += seconds
		}
	}
	return facts
}

func foldOf(facts []fact) *Fold {
	f := New()
	for i := range facts {
		f.Add(facts[i].message(i + 1))
	}
	return f
}

func stateOf(t *testing.T, facts []fact, o Objective, now int) State {
	t.Helper()
	s, ok := foldOf(facts).State(one, o, at(now))
	if !ok {
		t.Fatalf("nothing is known of %s at %d", one, now)
	}
	return s
}

func TestState_EachRule(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	plain := func(e *fact) { e.since = 0 } // a request of another publisher
	for name, test := range map[string]struct {
		facts   []fact
		now     int
		exposed int
		why     Why
		covered int
		good    int
	}{
		"a window that is requested":    {backup("r", nil)[:1], 21, 0, "", 0, 0}, // a claim alone names no group
		"before its job ends":           {backup("r", nil), 29, 10, WhyRunning, 0, 0},
		"before its job starts":         {backup("r", nil), 23, 10, WhyWaiting, 0, 0},
		"in the middle of the window":   {backup("r", nil), 15, 10, WhyWaiting, 0, 0},
		"a good end":                    {backup("r", nil), 30, 0, "", 20, 22},
		"killed":                        {backup("r", func(e *fact) { e.outcome = schemas.OutcomeKilled }), 30, 10, WhyOutcome, 0, 0},
		"partly kept":                   {backup("r", func(e *fact) { e.outcome = schemas.OutcomeCommitted }), 30, 10, WhyOutcome, 0, 0},
		"warnings":                      {backup("r", func(e *fact) { e.outcome = schemas.OutcomeCompletedWithWarnings }), 30, 0, "", 20, 22},
		"an outcome of another version": {backup("r", func(e *fact) { e.outcome = "later" }), 30, 10, WhyOutcome, 0, 0},
		"moved nothing":                 {backup("r", func(e *fact) { e.empty = &yes }), 30, 10, WhyEmpty, 0, 0},
		"moved something":               {backup("r", func(e *fact) { e.empty = &no }), 30, 0, "", 20, 22},
		"moved nothing, none exposed":   {slices.Concat(backup("r", nil), later(30, backup("s", func(e *fact) { e.since, e.empty = 0, &yes }))), 60, 0, "", 20, 52},
		"a list of the window":          {backup("r", func(e *fact) { e.directive = "listed" }), 30, 0, "", 20, 0},
		"a list that moved nothing":     {backup("r", func(e *fact) { e.directive, e.empty = "listed", &yes }), 30, 10, WhyEmpty, 0, 0},
		"a list of other paths":         {backup("r", func(e *fact) { e.directive = "file" }), 30, 10, WhyNotListed, 0, 0},
		"another request's list":        {slices.Concat(backup("r", nil)[:2], later(10, backup("s", func(e *fact) { e.since, e.directive = 0, "listed" }))), 40, 10, WhyRunning, 0, 0},
		"another request's backup":      {slices.Concat(backup("r", nil)[:2], later(10, backup("s", plain))), 40, 0, "", 20, 32},
		"one that started meanwhile":    {slices.Concat(backup("s", plain), later(15, backup("r", nil))[1:2]), 41, 25, WhyRunning, 0, 22},
		"one that started in it":        {slices.Concat(backup("s", plain), later(8, backup("r", nil))[1:2]), 41, 22, WhyRunning, 18, 22},
		"found after a lost answer": {slices.Concat(backup("s", func(e *fact) { e.since, e.adopted = 0, true })[:1],
			later(10, backup("s", func(e *fact) { e.since, e.adopted = 0, true })), later(13, backup("r", nil))[1:2]), 41, 23, WhyRunning, 0, 22},
		"one of two jobs":  {backup("r", func(e *fact) { e.jobs = []int{7, 8} }), 30, 10, WhyRunning, 0, 0},
		"the same job":     {slices.Concat(backup("r", func(e *fact) { e.jobs = []int{7, 8} }), backup("r", nil)[2:]), 30, 10, WhyRunning, 0, 0},
		"both of two jobs": {slices.Concat(backup("r", func(e *fact) { e.jobs = []int{7, 8} }), backup("r", func(e *fact) { e.job = 8 })[2:]), 30, 0, "", 20, 22},
		"only the end":     {backup("r", nil)[2:], 30, 0, "", 20, 20},
		"no job": {slices.Concat(backup("r", nil)[:1], []fact{{kind: schemas.KindJobFailed, request: "r", group: one, since: 10, requested: 20, stored: 25}}),
			30, 10, WhyNotStarted, 0, 0},
		"no longer followed": {slices.Concat(backup("r", nil)[:2], []fact{{kind: schemas.KindJobUnfollowed, request: "r", group: one, since: 10, requested: 20, stored: 25, job: 7}}),
			30, 10, WhyUnfollowed, 0, 0},
		"an end after all": {slices.Concat(backup("r", nil)[:2], []fact{{kind: schemas.KindJobUnfollowed, request: "r", group: one, since: 10, requested: 20, stored: 25, job: 7}}, backup("r", nil)[2:]),
			30, 0, "", 20, 22},
		"a window's last change": {slices.Concat(backup("r", func(e *fact) { e.until = 15 })[:2], backup("s", func(e *fact) { e.since, e.directive = 0, "" })), 30, 0, "", 15, 22},
		// The clock of one stream's leader is ahead of another's.
		"a window that seems to begin later, exposed": {backup("r", func(e *fact) { e.since = 40 }), 25, 20, WhyRunning, 0, 0},
		"a change at its start":                       {slices.Concat(backup("s", plain), backup("r", func(e *fact) { e.until, e.requested = 22, 23 })[1:2]), 41, 22, WhyRunning, 10, 22},
		"a window that seems to end later":            {slices.Concat(backup("r", func(e *fact) { e.until = 90 })[:2], later(10, backup("s", plain))), 40, 0, "", 20, 32},
		"a window that seems to begin later":          {backup("r", func(e *fact) { e.since = 40 }), 50, 0, "", 20, 22},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _ := foldOf(test.facts).State(one, Objective{}, at(test.now))
			if seconds(got.ExposedSince) != test.exposed || got.Why != test.why || seconds(got.LastCovered) != test.covered || seconds(got.LastGoodStart) != test.good {
				t.Errorf("exposed since %d (%s), covered %d, good start %d; want %d (%s), %d, %d", seconds(got.ExposedSince), got.Why,
					seconds(got.LastCovered), seconds(got.LastGoodStart), test.exposed, test.why, test.covered, test.good)
			}
		})
	}
}

// A job that started before the last good one, and ended after it, makes nothing older.
func TestState_AfterAnEarlierStart(t *testing.T) {
	t.Parallel()
	long := backup("long", func(e *fact) { e.job, e.jobs = 8, []int{8} })
	long[2].stored = 60
	s := stateOf(t, append(later(10, backup("short", nil)), long...), Objective{}, 100)
	if !s.LastGoodStart.Equal(at(32)) || s.GoodEnd != 3 {
		t.Errorf("the last good start is %s, proven by event %d", s.LastGoodStart, s.GoodEnd)
	}
}

// The changes of a request that an operator cancelled stay exposed, and the state says why.
func TestState_ACancelledRequest(t *testing.T) {
	t.Parallel()
	failed := fact{kind: schemas.KindJobFailed, request: "r", group: one, since: 10, requested: 20, stored: 25}
	m := failed.message(1)
	m.Data = []byte(strings.Replace(string(m.Data), schemas.CodeExpired, schemas.CodeCancelled, 1))
	f := New()
	f.Add(m)
	s, ok := f.State(one, Objective{}, at(30))
	if !ok || seconds(s.ExposedSince) != 10 || s.Why != WhyNotStarted || s.Exposed[0].ErrorCode != schemas.CodeCancelled {
		t.Errorf("the state is %+v, want changes that are exposed since 10 because of %s", s, schemas.CodeCancelled)
	}
	for i, e := range later(20, backup("s", nil)) { // the next backup covers them
		f.Add(e.message(i + 2))
	}
	if s, _ = f.State(one, Objective{}, at(60)); !s.ExposedSince.IsZero() {
		t.Errorf("after the next backup they are exposed since %s", s.ExposedSince)
	}
}

// The first outcome in the stream counts, in whatever order the events are added.
func TestState_OfTwoOutcomes(t *testing.T) {
	t.Parallel()
	all := backup("r", nil)[:2]
	all = append(all, all[1])
	all[2].kind, all[2].stored = schemas.KindJobFailed, 25
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}} {
		f := New()
		for _, i := range order {
			f.Add(all[i].message(i + 1))
		}
		if s, _ := f.State(one, Objective{}, at(28)); s.Why != WhyRunning || len(s.Running) != 1 {
			t.Errorf("added as %v: %+v", order, s)
		}
	}
}

// A claim that is added after the state was looked at counts.
func TestState_AfterALateClaim(t *testing.T) {
	t.Parallel()
	all := backup("r", nil)
	f := New()
	f.Add(all[1].message(2))
	f.Add(all[2].message(3))
	for _, want := range []int{20, 22} {
		if s, _ := f.State(one, Objective{}, at(40)); seconds(s.LastGoodStart) != want {
			t.Errorf("the last good start is %d, want %d", seconds(s.LastGoodStart), want)
		}
		f.Add(all[0].message(1))
	}
}

// A backup covers its own window also if all has the same time, as with a coarse clock.
func TestState_AtOneTime(t *testing.T) {
	t.Parallel()
	all := backup("r", func(e *fact) { e.since, e.requested = 30, 30 })
	for i := range all {
		all[i].stored = 30
	}
	if s := stateOf(t, all, Objective{}, 30); len(s.Exposed) > 0 || s.NeverBackedUp {
		t.Errorf("got %+v", s)
	}
}

func TestState_AcceptsWhatTheObjectiveDoes(t *testing.T) {
	t.Parallel()
	f := foldOf(backup("r", func(e *fact) { e.outcome = schemas.OutcomeCommitted }))
	for _, test := range []struct {
		accept Outcomes
		why    Why
	}{
		{0, WhyOutcome},
		{NewOutcomes(schemas.OutcomeCompleted, schemas.OutcomeCommitted), ""},
		{NewOutcomes(schemas.OutcomeCompleted), WhyOutcome}, // what was remembered is of other outcomes
	} {
		if got, _ := f.State(one, Objective{Accept: test.accept}, at(40)); got.Why != test.why {
			t.Errorf("accepting %b: exposed because %q, want %q", test.accept, got.Why, test.why)
		}
	}
}

func TestState_NamesJobsAndEvents(t *testing.T) {
	t.Parallel()
	s := stateOf(t, backup("r", nil), Objective{}, 25)
	if len(s.Running) != 1 || s.Running[0] != (Job{ID: "7", Started: at(24), Event: 2}) {
		t.Errorf("running: %+v", s.Running)
	}
	if len(s.Exposed) != 1 || s.Exposed[0] != (Window{Since: at(10), Last: at(20), Why: WhyRunning, Event: 2, Outcome: 2}) {
		t.Errorf("exposed: %+v", s.Exposed)
	}
	s = stateOf(t, backup("r", nil), Objective{}, 30)
	want := End{Job: Job{ID: "7", Started: at(24), Event: 2}, Outcome: schemas.OutcomeCompleted, Ended: at(30), End: 3, Moved: true}
	if s.Last == nil || *s.Last != want || s.GoodEnd != 3 || s.NeverBackedUp || len(s.Running) > 0 {
		t.Errorf("got %+v, last %+v", s, s.Last)
	}
	failed := fact{kind: schemas.KindJobFailed, request: "r", group: one, since: 10, requested: 20, stored: 25}
	if s = stateOf(t, []fact{failed}, Objective{}, 30); s.Exposed[0].ErrorCode != "EXPIRED" || !s.NeverBackedUp {
		t.Errorf("got %+v", s)
	}
}

func TestAdd_IgnoresForeignMessages(t *testing.T) {
	t.Parallel()
	good := backup("r", nil)[1]
	f := New()
	for name, change := range map[string]func(*Message){
		"another id":    func(m *Message) { m.Header = map[string][]string{"ce-id": {"storage/other/job-started"}} },
		"no id":         func(m *Message) { m.Header = nil },
		"no JSON":       func(m *Message) { m.Data = []byte("{") },
		"other members": func(m *Message) { m.Data = []byte(`{"jobIds":7}`) },
		"an operator's": func(m *Message) { m.Subject = "backup.event.operator.pause" },
	} {
		m := good.message(1)
		change(&m)
		if f.Add(m); len(f.Groups()) > 0 {
			t.Fatalf("%s: the fold has %v", name, f.Groups())
		}
	}
	if f.Add(good.message(1)); len(f.Groups()) != 1 {
		t.Errorf("the fold has %v", f.Groups())
	}
}

func TestDue(t *testing.T) {
	t.Parallel()
	o := Objective{RPO: 20 * time.Second, MaxAge: 60 * time.Second}
	s := stateOf(t, backup("r", nil), o, 25)
	want := []Broken{{PromiseRPO, at(30)}, {PromiseMaxAge, at(70)}}
	if got := s.Due(o); !slices.Equal(got, want) {
		t.Errorf("due %v, want %v", got, want)
	}
	if got := s.Broken(o, at(30)); len(got) > 0 {
		t.Errorf("broken at the limit: %v", got)
	}
	if got := s.Broken(o, at(31)); !slices.Equal(got, want[:1]) {
		t.Errorf("broken %v", got)
	}
	s = stateOf(t, backup("r", nil), o, 40)
	if got := s.Due(o); !slices.Equal(got, []Broken{{PromiseMaxAge, at(82)}}) {
		t.Errorf("due %v", got)
	}
	if got := s.Due(Objective{}); len(got) > 0 {
		t.Errorf("nothing is promised, and due is %v", got)
	}
}

func TestComply(t *testing.T) {
	t.Parallel()
	// Exposed from 10 on, killed at 30, covered at 60 by another's backup. Good from 52 on.
	facts := slices.Concat(backup("r", func(e *fact) { e.outcome = schemas.OutcomeKilled }), later(30, backup("s", func(e *fact) { e.since = 0 })))
	o := Objective{RPO: 15 * time.Second, MaxAge: 40 * time.Second}
	c := foldOf(facts).Comply(one, o, at(0), at(110))
	want := []Breach{
		{Promise: PromiseRPO, From: at(25), Until: at(60), Base: at(10), Why: WhyOutcome, Events: []uint64{2, 3, 6}},
		{Promise: PromiseMaxAge, From: at(50), Until: at(60), Base: at(10), Events: []uint64{6}},
		{Promise: PromiseMaxAge, From: at(92), Until: at(110), Lasts: true, Base: at(52), Events: []uint64{6}},
	}
	if !slices.EqualFunc(c.Breaches, want, func(a, b Breach) bool {
		events := slices.Equal(a.Events, b.Events)
		a.Events, b.Events = nil, nil
		return events && a.Promise == b.Promise && a.From.Equal(b.From) && a.Until.Equal(b.Until) && a.Base.Equal(b.Base) && a.Why == b.Why && a.Lasts == b.Lasts && !a.Begun
	}) {
		t.Errorf("breaches\n%+v, want\n%+v", c.Breaches, want)
	}
	if c.Known != 100*time.Second || c.Kept != (15+32)*time.Second || c.Share() != 0.47 {
		t.Errorf("known %s, kept %s, share %v", c.Known, c.Kept, c.Share())
	}
	if c = foldOf(facts).Comply(one, o, at(30), at(50)); c.Known != 20*time.Second || c.Kept != 0 || len(c.Breaches) != 1 || !c.Breaches[0].Begun || !c.Breaches[0].Lasts {
		t.Errorf("got %+v", c)
	}
	if c = New().Comply(one, o, at(0), at(10)); c.Share() != 1 || c.Known != 0 {
		t.Errorf("got %+v", c)
	}
}

// Every second of a breach is one in which the state has the promise broken, and no other is.
func TestComply_AgreesWithTheState(t *testing.T) {
	t.Parallel()
	rapidCheck(t, func(f *Fold, o Objective) {
		for _, group := range f.Groups() {
			c := f.Comply(group, o, at(0), at(130))
			for i, b := range c.Breaches {
				if slices.ContainsFunc(c.Breaches[i+1:], func(next Breach) bool { return next.Promise == b.Promise && !next.From.After(b.Until) }) {
					t.Fatalf("%s: the breach %+v is followed by another one at once", group, b)
				}
			}
			kept := 0
			for second := 1; second < 130; second++ {
				s, ok := f.State(group, o, at(second))
				if !ok {
					continue
				}
				broken := s.Broken(o, at(second).Add(time.Millisecond))
				if len(broken) == 0 {
					kept++
				}
				for _, promise := range Promises {
					is := slices.ContainsFunc(broken, func(b Broken) bool { return b.Promise == promise })
					within := slices.ContainsFunc(c.Breaches, func(b Breach) bool {
						return b.Promise == promise && !at(second).Before(b.From) && at(second).Before(b.Until)
					})
					if is != within {
						t.Fatalf("%s at %d: %s is broken: %t, breaches %+v", group, second, promise, is, c.Breaches)
					}
				}
			}
			if c.Kept != time.Duration(kept)*time.Second {
				t.Fatalf("%s: kept %s, want %d s", group, c.Kept, kept)
			}
		}
	})
}

func TestGroup(t *testing.T) {
	t.Parallel()
	for want, g := range map[string]Group{
		"c/g":     one,
		"c/i/g":   {"c", "i", schemas.DefaultBackupsetName, "g"},
		"c/s/g":   {"c", "c", "s", "g"},
		"c/i/s/g": {"c", "i", "s", "g"},
	} {
		if g.String() != want {
			t.Errorf("got %s, want %s", g, want)
		}
		if h := g.Hash(); len(h) != 32 || strings.ContainsAny(h, ".*>") || (h == one.Hash()) != (g == one) {
			t.Errorf("the hash of %s is %s", g, h)
		}
	}
}

// A time that cannot be one is not known.
func TestLabels_OfNoTime(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		labels labels
		want   window
	}{
		{labels{Since: "2026-11-23T12:00:10Z", Until: "2026-11-23T12:00:15Z"}, window{instantOf(at(10)), instantOf(at(15))}},
		{labels{Since: "2026-11-23T12:00:10Z", Until: "2026-11-23T12:00:05Z"}, window{instantOf(at(10)), 0}},
		{labels{Since: "2026-11-23T12:00:10Z", Until: "9999-12-31T23:59:59Z"}, window{instantOf(at(10)), 0}},
		{labels{Since: "0999-11-23T12:00:10Z", Until: "2026-11-23T12:00:15Z"}, window{}},
		{labels{Since: "0999-11-23T12:00:10Z", Until: "1000-11-23T12:00:15Z"}, window{}},
		{labels{Since: "9999-12-31T23:59:59Z"}, window{}},
		{labels{Since: "yesterday", Until: "2026-11-23T12:00:15Z"}, window{}},
		{labels{}, window{}},
	} {
		if got := test.labels.window(); got != test.want {
			t.Errorf("%+v: got %+v, want %+v", test.labels, got, test.want)
		}
	}
}

// The fold reads the labels of the trigger by name.
func TestLabels(t *testing.T) {
	t.Parallel()
	var l labels
	err := json.Unmarshal([]byte(`{"`+trigger.LabelSince+`":"s","`+trigger.LabelUntil+`":"u","`+trigger.LabelDirective+`":"`+trigger.DirectiveListed+`"}`), &l)
	if err != nil || l != (labels{Since: "s", Until: "u", Directive: directiveListed}) {
		t.Errorf("got %+v, %v", l, err)
	}
	if labelSince != trigger.LabelSince || labelUntil != trigger.LabelUntil || labelDirective != trigger.LabelDirective {
		t.Error("the trigger's labels have other names")
	}
}

// What waits in the queue is exposed, and its own events do not change what is known of it.
func TestAddRequest(t *testing.T) {
	t.Parallel()
	const request = `{"requestId":"r","clientName":"c","subclientName":"g","labels":{"trigger.since":"2026-11-23T12:00:10Z","trigger.until":"2026-11-23T12:00:15Z"}}`
	waiting := Message{Subject: "backup.request.storage.low", Data: []byte(request), Sequence: 7, Stored: at(20)}
	for name, m := range map[string]Message{
		"another subject": {Subject: "backup.event.x.y", Data: []byte(request), Stored: at(20)},
		"no request":      {Subject: "backup.request.storage", Data: []byte(`{"requestId":"r"}`), Stored: at(20)},
		"no window":       {Subject: "backup.request.storage", Data: []byte(`{"requestId":"r","clientName":"c","subclientName":"g"}`), Stored: at(20)},
		"no id":           {Subject: "backup.request.storage", Data: []byte(strings.Replace(request, `"requestId":"r",`, "", 1)), Stored: at(20)},
	} {
		f := New()
		if f.AddRequest(m); len(f.Groups()) > 0 {
			t.Errorf("%s: the fold has %v", name, f.Groups())
		}
	}
	for _, early := range []bool{true, false} {
		f := New()
		if early {
			f.AddRequest(waiting)
			s, _ := f.State(one, Objective{}, at(21))
			if want := (Window{Since: at(10), Last: at(15), Why: WhyWaiting}); len(s.Exposed) != 1 || s.Exposed[0] != want {
				t.Errorf("exposed %+v, want %+v", s.Exposed, want)
			}
		}
		for i, e := range backup("r", func(e *fact) { e.until = 15 }) {
			f.Add(e.message(i + 1))
		}
		if !early {
			f.AddRequest(waiting)
		}
		s, _ := f.State(one, Objective{}, at(25))
		if want := (Window{Since: at(10), Last: at(15), Why: WhyRunning, Event: 2, Outcome: 2}); len(s.Exposed) != 1 || s.Exposed[0] != want {
			t.Errorf("exposed %+v, want %+v", s.Exposed, want)
		}
		if _, n := f.Size(); n != 1 {
			t.Errorf("%d requests", n)
		}
	}
}
