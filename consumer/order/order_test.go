package order

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"backhaul/publisher"
)

// queue is requests that wait, by subject, as a picker sees them.
type queue map[string]uint64

// start takes the request whose turn it is and returns its subject without the prefix.
func (q queue) start(t *Order) string {
	lines := Lines(q)
	t.Sort(lines)
	subject := lines[0].Subject
	t.Take(subject)
	if q[subject]--; q[subject] == 0 {
		delete(q, subject)
	}
	return strings.TrimPrefix(subject, "backup.request.")
}

func queueOf(waiting map[string]uint64) queue {
	q := make(queue)
	for subject, n := range waiting {
		q["backup.request."+subject] = n
	}
	return q
}

func (q queue) starts(t *Order, n int) []string {
	var all []string
	for range n {
		all = append(all, q.start(t))
	}
	return all
}

// One source after the other, whatever each has; a priority before the next; the others
// have a turn of ten each.
func TestOrder(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		waiting map[string]uint64
		want    string
	}{
		"one source after the other": {map[string]uint64{"a": 100, "b": 2, "c": 3}, "a b c a b c a c a a"},
		"high first":                 {map[string]uint64{"a": 9, "b.high": 2, "c.high": 1}, "b.high c.high b.high a a"},
		"low last":                   {map[string]uint64{"a": 3, "b.low": 2}, "a a a b.low b.low"},
		"low does not starve":        {map[string]uint64{"a": 100, "b.low": 9}, "a a a a a a a a a b.low a"},
		"normal does not starve":     {map[string]uint64{"a.high": 100, "b": 9, "c.low": 9}, "a.high a.high a.high a.high b a.high a.high a.high a.high c.low a.high"},
		"one source, all priorities": {map[string]uint64{"a": 2, "a.low": 1, "a.high": 2}, "a.high a.high a a a.low"},
		"a subject without a source": {map[string]uint64{"*": 1, "a": 2}, "* a a"},
	} {
		turns := new(Order)
		want := strings.Fields(test.want)
		if got := queueOf(test.waiting).starts(turns, len(want)); !slices.Equal(got, want) {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// A source that was not served for a while does not gain by it: it is next, once.
func TestOrder_aSourceThatComesBack(t *testing.T) {
	t.Parallel()
	turns, q := new(Order), queueOf(map[string]uint64{"a": 5000})
	for range 20 {
		q.starts(turns, 7)
		q["backup.request.b"] = 3
		if got := fmt.Sprint(q.starts(turns, 6)); got != "[b a b a b a]" {
			t.Fatalf("started %s", got)
		}
	}
}

// A source with 5,000 requests, one with a request now and then, one that sends high: the
// second waits for two starts at most, the third for one, at every turn.
func TestOrder_theWaitOfTheOthers(t *testing.T) {
	t.Parallel()
	turns, q := new(Order), queueOf(map[string]uint64{"a": 5000})
	for i := range 100 {
		q.starts(turns, i%13)
		q["backup.request.b"], q["backup.request.c.high"] = 1, 1
		got := q.starts(turns, 3)
		if b, c := slices.Index(got, "b"), slices.Index(got, "c.high"); b < 0 || c < 0 || c > 1 {
			t.Fatalf("round %d: started %s", i, got)
		}
	}
}

// Replicas that are replaced every few starts give low its share, too: their turns begin
// anywhere.
func TestNew_beginsAnywhere(t *testing.T) {
	t.Parallel()
	found := make(map[uint64]bool)
	for range 1000 {
		found[New().Number] = true
	}
	if len(found) != period || !found[lowTurn] {
		t.Errorf("turns began at %v", found)
	}
}

// More sources than are remembered: each of 700 has its turn, whatever its name, in about as many.
func TestOrder_moreSourcesThanAreRemembered(t *testing.T) {
	t.Parallel()
	turns, subjects := new(Order), make(map[string]uint64)
	for i := range 700 {
		subjects[fmt.Sprintf("backup.request.%x", i*7919)] = 1000
	}
	lines := Lines(subjects)
	started := make(map[string]int)
	next := func() {
		turns.Sort(lines)
		started[lines[0].Subject]++
		turns.Take(lines[0].Subject)
	}
	for range 2 * len(lines) {
		next()
	}
	for subject := range subjects {
		if n := started[subject]; n < 1 || n > 3 {
			t.Errorf("%s was started %d times in two rounds of all", subject, n)
		}
	}
}

// An order that is read again goes on as the one that was written.
func TestOrder_isKept(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 3, 2 * maxServed} {
		o := new(Order)
		for i := range n {
			o.Take(fmt.Sprintf("backup.request.%d.low", i*37%n))
		}
		data, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		var again Order
		if err := json.Unmarshal(data, &again); err != nil {
			t.Fatal(err)
		}
		copied := o.Clone()
		if !reflect.DeepEqual(again, *o) || !reflect.DeepEqual(copied, *o) {
			t.Errorf("after %d turns: %s became %+v, copied %+v", n, data, again, copied)
		}
		copied.Take("backup.request.x.low")
		copied.Take("backup.request.y.low")
		if reflect.DeepEqual(copied, *o) || !reflect.DeepEqual(again, *o) {
			t.Errorf("a turn of the copy is one of the original")
		}
	}
}

// What is remembered is bounded, however many sources come and go.
func TestOrder_manySources(t *testing.T) {
	t.Parallel()
	turns := New()
	for i := range 10 * maxServed {
		turns.Take(fmt.Sprint("backup.request.", i))
	}
	if len(turns.Served) > maxServed {
		t.Errorf("%d subjects are remembered", len(turns.Served))
	}
}

// The estimate is what really happens, within the turns that are not known.
func TestAhead(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		waiting map[string]uint64
		subject string
		before  uint64
	}{
		"alone":                     {map[string]uint64{"a": 1}, "a", 0},
		"the last of one source":    {map[string]uint64{"a": 40}, "a", 39},
		"beside many":               {map[string]uint64{"a": 5000, "b": 3}, "b", 2},
		"many beside few":           {map[string]uint64{"a": 50, "b": 3}, "a", 49},
		"high":                      {map[string]uint64{"a": 5000, "b.high": 1}, "b.high", 0},
		"behind high":               {map[string]uint64{"a.high": 7, "b": 3}, "b", 1},
		"behind many high":          {map[string]uint64{"a.high": 500, "b": 3}, "b", 2},
		"low":                       {map[string]uint64{"a": 4, "b.low": 1}, "b.low", 0},
		"low behind many":           {map[string]uint64{"a": 500, "b.low": 4, "c.low": 1}, "b.low", 3},
		"normal with low":           {map[string]uint64{"a": 50, "b.low": 40}, "a", 49},
		"low behind high, normal":   {map[string]uint64{"a": 30, "b.high": 30, "c.low": 9}, "c.low", 5},
		"normal between the others": {map[string]uint64{"a": 30, "b.high": 30, "c.low": 9, "d": 2}, "a", 20},
	} {
		subject := "backup.request." + test.subject
		ahead := Ahead(Lines(queueOf(test.waiting)), subject, test.before)
		for begin := range uint64(period) {
			q, turns, real, left := queueOf(test.waiting), &Order{Number: begin}, uint64(0), test.before
			for ; ; real++ {
				if q.start(turns) != test.subject {
					continue
				}
				if left == 0 {
					break
				}
				left--
			}
			// The turn of each priority is up to a period away.
			if real > ahead+period || ahead > real+real/4+period {
				t.Errorf("%s: %d are estimated, %d were started before it with turns from %d", name, ahead, real, begin)
			}
		}
	}
	if got := Ahead(nil, publisher.RequestSubject("a", publisher.Normal), 0); got != 0 {
		t.Errorf("in an empty queue %d are ahead", got)
	}
}

func TestUntil(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		ahead   uint64
		perHour int
		want    time.Duration
	}{{0, 80, 0}, {40, 80, 30 * time.Minute}, {5000, 100, 50 * time.Hour}, {math.MaxUint64, 1, 10 * 365 * 24 * time.Hour}} {
		if got := Until(test.ahead, test.perHour); got != test.want {
			t.Errorf("%d at %d an hour take %s, want %s", test.ahead, test.perHour, got, test.want)
		}
	}
}

// The lines have the order of priorities and sources.
func TestLines(t *testing.T) {
	t.Parallel()
	var got []string
	for _, l := range Lines(map[string]uint64{"backup.request.b": 1, "backup.request.a": 1, "backup.request.c.high": 1, "backup.request.a.low": 1}) {
		got = append(got, l.Subject)
	}
	if want := "backup.request.c.high backup.request.a backup.request.b backup.request.a.low"; strings.Join(got, " ") != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
