package trigger

import (
	"fmt"
	"testing"
	"time"
)

// collector gives messages to one group, at times of its own.
type collector struct {
	t        *testing.T
	g        *group
	sequence uint64
	at       time.Time
	late     time.Duration // from when a message is stored to when it is read
}

func newCollector(t *testing.T, limits Window) *collector {
	return &collector{t: t, g: &group{route: &Route{Window: limits, Directive: &Directive{}}}, at: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}
}

// says is a message with these changes, some seconds after the last one. It tells
// whether the window holds it.
func (c *collector) says(after time.Duration, changes ...held) bool {
	c.sequence++
	c.at = c.at.Add(after)
	return c.g.add(&message{sequence: c.sequence, stored: c.at, read: c.at.Add(c.late)}, &concern{route: c.g.route, changes: changes})
}

func created(key, sequencer string) held {
	return held{Change: Change{Format: FormatMinIO, Kind: KindCreated, Container: "a", Key: key, Sequencer: sequencer}, counts: true}
}

func deleted(key, sequencer string, counts bool) held {
	return held{Change: Change{Format: FormatMinIO, Kind: KindDeleted, Container: "a", Key: key, Sequencer: sequencer}, counts: counts}
}

// of is the change of one version of an object.
func (h held) of(version string) held {
	h.Version = version
	return h
}

// from is a change of a system that others may be called like.
func (h held) from(system, subject string) held {
	h.System, h.Subject = system, subject
	return h
}

// in is a change in another container.
func (h held) in(account, container string) held {
	h.Account, h.Container = account, container
	return h
}

// only is a change of a system that has its name alone.
func (h held) only(system, subject string) held {
	h.sole = true
	return h.from(system, subject)
}

// marked is a delete marker that was created or removed.
func marked(key, sequencer, version string) held {
	h := deleted(key, sequencer, false)
	h.Marker = version
	return h
}

// at is a change at some second.
func (h held) at(second int) held {
	h.Time = time.Date(2026, 11, 23, 10, 0, second, 0, time.UTC)
	return h
}

func treeDeleted(key string) held {
	return held{Change: Change{Format: FormatEventGrid, Kind: KindDeleted, Container: "a", Key: key, Tree: true}}
}

func TestWindow_due(t *testing.T) {
	limits := Window{Quiet: 30 * time.Second, Max: time.Minute, MaxPaths: 100}
	c := newCollector(t, limits)
	c.late = time.Hour
	began := c.at
	for n, want := range []time.Duration{30, 50, 60, 60} { // s after the first change
		c.says(time.Duration(min(n, 1))*20*time.Second, created(fmt.Sprint(n), "1"))
		if got := c.g.open.due(limits, false).Sub(began); got != want*time.Second {
			t.Errorf("after change %d the window ends at %s, want %d s", n, got, want)
		}
	}
	for longest, want := range map[time.Duration]time.Duration{time.Second: backlogMax, 8 * time.Minute: 8 * time.Minute} {
		if got := c.g.open.due(Window{Max: longest}, true).Sub(began); got != time.Hour+want {
			t.Errorf("while there is more to read it ends at %s, want its longest time from the reading, and at least %s", got, backlogMax)
		}
	}
	// A duplicate, or what came late, does not make it longer.
	before := c.g.open.due(limits, false)
	if c.says(time.Second, created("0", "1")) || c.says(time.Second, created("0", "0")) || !c.g.open.due(limits, false).Equal(before) {
		t.Error("a duplicate is held, or makes the window longer")
	}
	if !c.says(time.Second, created("new", "1"), created("0", "1")) {
		t.Error("a message with something new and a duplicate is not held")
	}
}

func TestWindow_add(t *testing.T) {
	for name, test := range map[string]struct {
		changes []held
		holds   []bool
		paths   int
	}{
		"a creation":                             {[]held{created("x", "1")}, []bool{true}, 1},
		"the same object again":                  {[]held{created("x", "1"), created("x", "2")}, []bool{true, true}, 1},
		"a duplicate":                            {[]held{created("x", "1"), created("x", "1")}, []bool{true, false}, 1},
		"an older one, late":                     {[]held{created("x", "2"), created("x", "1")}, []bool{true, false}, 1},
		"a deletion that starts nothing":         {[]held{deleted("x", "1", false)}, []bool{false}, 0},
		"it cancels a creation":                  {[]held{created("x", "1"), deleted("x", "2", false)}, []bool{true, true}, 0},
		"and the creation after it counts":       {[]held{created("x", "1"), deleted("x", "2", false), created("x", "3")}, []bool{true, true, true}, 1},
		"and what it removed, told twice, not":   {[]held{created("x", "1"), deleted("x", "2", false), created("x", "1")}, []bool{true, true, false}, 0},
		"another one before it, late, counts":    {[]held{created("x", "1"), deleted("x", "3", false), created("x", "2")}, []bool{true, true, true}, 1},
		"which its deletion, again, leaves":      {[]held{created("x", "1"), deleted("x", "3", false), created("x", "2"), deleted("x", "3", false)}, []bool{true, true, true, false}, 1},
		"a counter without padding":              {[]held{created("x", "9"), deleted("x", "A", false), created("x", "10")}, []bool{true, true, true}, 1},
		"the same, its deletion late":            {[]held{created("x", "9"), created("x", "10"), deleted("x", "A", false)}, []bool{true, true, false}, 1},
		"a counter that overflows":               {[]held{created("x", "8FFF"), deleted("x", "9000", false), created("x", "12")}, []bool{true, true, true}, 1},
		"the same, its deletion at the end":      {[]held{created("x", "8FFF"), created("x", "12"), deleted("x", "9000", false)}, []bool{true, true, false}, 1},
		"what no order is known of":              {[]held{created("x", ""), deleted("x", "", false)}, []bool{true, false}, 1},
		"the group's own removal, unordered":     {[]held{created("x", "9"), deleted("x", "10", true)}, []bool{true, true}, 1},
		"the group's own removal, earlier":       {[]held{created("x", "2"), deleted("x", "1", true)}, []bool{true, false}, 1},
		"another system":                         {[]held{created("x", "1").from("site", "a"), deleted("x", "2", false).from("site", "b")}, []bool{true, false}, 1},
		"one system on two subjects":             {[]held{created("x", "1").only("m", "a"), deleted("x", "2", false).only("m", "b")}, []bool{true, true}, 0},
		"two systems on one subject":             {[]held{created("x", "1").only("m", "a"), deleted("x", "2", false).only("n", "a")}, []bool{true, false}, 1},
		"another account":                        {[]held{created("x", "1").in("1", "c"), deleted("x", "2", false).in("2", "c")}, []bool{true, false}, 1},
		"another container":                      {[]held{created("x", "1").in("1", "c"), deleted("x", "2", false).in("1", "d")}, []bool{true, false}, 1},
		"the object of a directory's name":       {[]held{created("d/", "1").at(0), treeDeleted("d/").at(1)}, []bool{true, false}, 1},
		"a delete marker is removed":             {[]held{created("x", "1").of("v1"), marked("x", "2", "m"), marked("x", "3", "m")}, []bool{true, false, false}, 1},
		"one of an object of earlier":            {[]held{marked("x", "2", "m"), marked("x", "3", "m")}, []bool{true, true}, 1},
		"a delete marker, told twice":            {[]held{created("x", "1").of("v1"), marked("x", "2", "m"), marked("x", "2", "m")}, []bool{true, false, false}, 1},
		"two delete markers":                     {[]held{created("x", "1").of("v1"), marked("x", "2", "m"), marked("x", "3", "n")}, []bool{true, false, false}, 1},
		"a marker is deleted as a version":       {[]held{created("x", "1").of("v1"), marked("x", "2", "m"), deleted("x", "3", false).of("m")}, []bool{true, false, false}, 1},
		"a lone marker is deleted as a version":  {[]held{marked("x", "2", "m"), deleted("x", "3", false).of("m")}, []bool{true, true}, 1},
		"a lone marker, told twice":              {[]held{marked("x", "2", "m"), marked("x", "2", "m")}, []bool{true, false}, 0},
		"a marker on the null version":           {[]held{created("x", "1").of("null"), marked("x", "2", "null")}, []bool{true, true}, 0},
		"a marker removed in a later window":     {[]held{created("x", "1").of("v1"), marked("x", "2", "m")}, []bool{true, false}, 1},
		"a marker is removed, then told twice":   {[]held{marked("x", "2", "m"), marked("x", "3", "m"), marked("x", "2", "m")}, []bool{true, true, false}, 1},
		"a deletion that starts a backup":        {[]held{deleted("x", "1", true)}, []bool{true}, 1},
		"a directory takes what is below it":     {[]held{created("d/x", "1").at(0), created("d/y", "1").at(0), created("dx", "1").at(0), treeDeleted("d/").at(1)}, []bool{true, true, true, true}, 1},
		"a directory at no time takes nothing":   {[]held{created("d/x", "1").at(0), treeDeleted("d/")}, []bool{true, false}, 1},
		"what may have been made in it later":    {[]held{created("d/x", "9").at(0), created("d/x", "10").at(0), treeDeleted("d/").at(1)}, []bool{true, true, false}, 1},
		"a directory of another system":          {[]held{created("d/x", "1").at(0).from("a", "a"), treeDeleted("d/").at(1).from("b", "b")}, []bool{true, false}, 1},
		"what was made in it later, told before": {[]held{created("d/x", "1").at(2), created("d/y", "1").at(0), treeDeleted("d/").at(1)}, []bool{true, true, true}, 1},
		"a directory with nothing of it":         {[]held{created("x", "1").at(0), treeDeleted("d/").at(1)}, []bool{true, false}, 1},
		"what a directory took, deleted again":   {[]held{created("d/x", "1").at(0), treeDeleted("d/").at(1), deleted("d/x", "2", false)}, []bool{true, true, false}, 0},
		"what is made below a directory, anew":   {[]held{created("d/x", "1").at(0), treeDeleted("d/").at(1), created("d/x", "2").at(0)}, []bool{true, true, true}, 1},
		"its only version is deleted":            {[]held{created("x", "1").of("v1"), deleted("x", "2", false).of("v1")}, []bool{true, true}, 0},
		"the later of two is deleted":            {[]held{created("x", "1").of("v1"), created("x", "2").of("v2"), deleted("x", "3", false).of("v2")}, []bool{true, true, false}, 1},
		"the earlier of two is deleted":          {[]held{created("x", "1").of("v1"), created("x", "2").of("v2"), deleted("x", "3", false).of("v1")}, []bool{true, true, false}, 1},
		"the later of two, which came first":     {[]held{created("x", "2").of("v2"), created("x", "1").of("v1"), deleted("x", "3", false).of("v2")}, []bool{true, true, false}, 1},
		"the earlier one comes last":             {[]held{created("x", "2").of("v2"), deleted("x", "3", false).of("v2"), created("x", "1").of("v1")}, []bool{true, true, true}, 1},
		"two versions, and a duplicate":          {[]held{created("x", "1").of("v1"), created("x", "2").of("v2"), created("x", "1").of("v1")}, []bool{true, true, false}, 1},
		"the same, without an order":             {[]held{created("x", "").of("v1"), created("x", "").of("v2"), created("x", "").of("v2"), deleted("x", "", false).of("v2")}, []bool{true, true, true, false}, 1},
		"the later of two, written twice":        {[]held{created("x", "1").of("v1"), created("x", "2").of("v2"), created("x", "3").of("v2"), deleted("x", "4", false).of("v2")}, []bool{true, true, true, false}, 1},
		"two versions, and the name deleted":     {[]held{created("x", "1").of("v1"), created("x", "2").of("v2"), deleted("x", "3", false)}, []bool{true, true, true}, 0},
		"a version, and the group's own removal": {[]held{created("x", "1").of("v1"), created("x", "2").of("v2"), deleted("x", "3", true).of("v2")}, []bool{true, true, true}, 1},
		"a creation and the group's own removal": {[]held{created("x", "1"), deleted("x", "2", true)}, []bool{true, true}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCollector(t, Window{MaxPaths: 100})
			for n, h := range test.changes {
				if got := c.says(time.Second, h); got != test.holds[n] {
					t.Errorf("change %d: held %t, want %t", n, got, test.holds[n])
				}
			}
			paths := 0
			if w := c.g.open; w != nil {
				if paths = w.paths; len(w.messages) == 0 {
					t.Error("a window without a message is open")
				}
				counting := 0
				for _, h := range w.objects {
					if h.counts {
						counting++
					}
				}
				if counting != paths {
					t.Errorf("%d paths are counted, the window has %d", paths, counting)
				}
			}
			if paths != test.paths {
				t.Errorf("%d paths, want %d", paths, test.paths)
			}
		})
	}
}

func TestGroup_addEndsAFullWindow(t *testing.T) {
	c := newCollector(t, Window{MaxPaths: 3})
	c.says(time.Second, created("1", ""), created("2", ""))
	c.says(time.Second, created("3", ""), created("4", ""))
	if len(c.g.queue) != 1 || c.g.queue[0].paths != 2 || c.g.open == nil || c.g.open.first != 2 || c.g.last() != 2 || c.g.size() != 4 {
		t.Errorf("the queue is %+v, the open window %+v", c.g.queue, c.g.open)
	}
	c.says(time.Second, created("5", ""))
	if len(c.g.queue) != 2 || c.g.open != nil {
		t.Errorf("%d windows are over, want 2 and none open", len(c.g.queue))
	}
}

// Without a directive file, no number of paths ends a window: the request lists none.
func TestGroup_addListsNothing(t *testing.T) {
	c := newCollector(t, Window{MaxPaths: 3})
	c.g.route.Directive = nil
	for n := range 10 {
		c.says(time.Second, created(fmt.Sprint(n), ""))
	}
	if len(c.g.queue) != 0 || c.g.open.paths != 10 {
		t.Errorf("%d windows are over, want none, and one with 10 paths", len(c.g.queue))
	}
}

// One that is too large by itself goes into a window in which nothing is left to ask for.
func TestGroup_addTakesALargeMessage(t *testing.T) {
	c := newCollector(t, Window{MaxPaths: 3})
	c.says(time.Second, created("1", "1"))
	c.says(time.Second, deleted("1", "2", false))
	c.says(time.Second, created("1", "3"), created("2", ""), created("3", ""), created("4", ""))
	if len(c.g.queue) != 1 || c.g.queue[0].paths != 4 || c.g.queue[0].first != 1 || c.g.open != nil {
		t.Errorf("the queue is %+v, the open window %+v", c.g.queue, c.g.open)
	}
}

func TestRequestID(t *testing.T) {
	at := time.Unix(1, 0)
	id := requestID("g", 1, 2, at)
	if id != requestID("g", 1, 2, at) {
		t.Error("the same window has two ids")
	}
	for _, other := range []string{requestID("h", 1, 2, at), requestID("g", 1, 3, at), requestID("g", 2, 2, at), requestID("g", 1, 2, at.Add(1))} {
		if other == id {
			t.Error("two windows have one id")
		}
	}
}

// Groups without a window are forgotten when there are too many; the others are not.
func TestCollection_forgetsIdleGroups(t *testing.T) {
	c := newCollection()
	busy := map[Group]*group{{Client: "open"}: {open: &window{}}, {Client: "queued"}: {queue: []*window{{}}}}
	for name, g := range busy {
		c.keepGroup(name, g)
	}
	for i := range mostIdle {
		c.keepGroup(Group{Subclient: fmt.Sprint(i)}, &group{})
	}
	if n := len(c.groups); n != 4 {
		t.Errorf("%d groups are kept, want the two with windows and the last two", n)
	}
	for name, g := range busy {
		if c.groups[name] != g {
			t.Errorf("%s is forgotten", name.Client)
		}
	}
}
