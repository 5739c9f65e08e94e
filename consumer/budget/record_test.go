package budget

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"backhaul/vendorapi"
)

// slow is an obvious, slow reference: it remembers every call.
type slow struct {
	// counted has when each call ended that was not proven unsent, or ends at the latest, by the
	// server's clock. recorded has the same as the processes have put it on record so far.
	counted, recorded map[int]time.Time
	// arrived has when each call reached the vendor.
	arrived []time.Time
}

// spent returns how many calls count at a time if they count for so long after they ended.
func spent(ends map[int]time.Time, now time.Time, long time.Duration) (n int) {
	for _, end := range ends {
		if end.Add(long).After(now) {
			n++
		}
	}
	return n
}

// most returns the largest number of calls that arrived in any hour.
func (s *slow) most() (most int) {
	for _, end := range s.arrived {
		n := 0
		for _, at := range s.arrived {
			if !at.After(end) && at.After(end.Add(-time.Hour)) {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// process is a replica in the property test. Its clock is off by skew.
type process struct {
	Config
	mine
	skew  time.Duration
	calls map[int]*sentCall
	// untold are the calls that ended since the last write, zero for one that was not sent.
	untold map[int]time.Time
}

type sentCall struct {
	until time.Time // by the process's clock
}

// TestSlidingHour lets processes with wrong clocks take, make, drop and lose calls at random, and
// compares what is granted with a reference. No hour ever has more calls than the budget, and none
// is withheld for longer than the rounding and the margin explain.
func TestSlidingHour(t *testing.T) {
	t.Parallel()
	rounds := 100
	if testing.Short() {
		rounds = 50
	}
	for seed := range rounds {
		if err := slidingHour(uint64(seed)); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func slidingHour(seed uint64) error {
	random := rand.New(rand.NewPCG(seed, 0))
	below := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d))) }
	limit := 1 + random.IntN(60)
	server := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	reference := &slow{counted: make(map[int]time.Time), recorded: make(map[int]time.Time)}
	var stored record
	start := func(n int) *process {
		return &process{
			Config: Config{Owner: fmt.Sprint("p", n), PerHour: limit, Timeout: 30 * time.Second},
			mine:   mine{lease: fmt.Sprint("lease", n)},
			skew:   below(48*time.Hour) - 24*time.Hour, calls: make(map[int]*sentCall), untold: make(map[int]time.Time),
		}
	}
	processes := []*process{start(0), start(1), start(2)}
	next, made := 3, 0
	// arrive notes that a call reached the vendor.
	arrive := func(at time.Time) { reference.arrived = append(reference.arrived, at) }
	for range 800 {
		server = server.Add(below(2 * time.Minute / time.Duration(1+seed%6)))
		p := processes[random.IntN(len(processes))]
		local := func(at time.Time) time.Time { return at.Add(p.skew) }
		switch random.IntN(10) {
		case 0: // it dies, and its calls may still arrive
			for id, c := range p.calls {
				end := c.until.Add(-p.skew)
				if random.IntN(2) == 0 && end.After(server) {
					arrive(server.Add(below(end.Sub(server))))
				}
				reference.counted[id] = end
			}
			*p = *start(next)
			next++
		case 1, 2, 3: // its calls end
			for id, c := range p.calls {
				p.open--
				delete(p.calls, id)
				if end := c.until.Add(-p.skew); end.Before(server) {
					// The deadline ended it, before now.
					arrive(end)
					reference.counted[id], p.untold[id] = end, end
					p.ended = append(p.ended, local(end))
					continue
				}
				if random.IntN(4) == 0 { // certainly not sent
					delete(reference.counted, id)
					p.untold[id] = time.Time{}
					continue
				}
				arrive(server)
				reference.counted[id], p.untold[id] = server, server
				p.ended = append(p.ended, local(server))
			}
		default:
			asked := local(server)
			server = server.Add(below(2 * time.Second))
			seen := snapshot{record: stored.clone(), at: server, asked: asked, answered: local(server.Add(below(2 * time.Second)))}
			server = server.Add(below(3 * time.Second))
			want := random.IntN(5)
			plan := p.plan(seen, p.mine, slices.Repeat([]*task{{}}, want), local(server))
			// The write takes a while; nobody else writes meanwhile.
			server = server.Add(below(2 * time.Second))
			free := limit - spent(reference.counted, seen.at, hour)
			if plan.granted > max(0, free) {
				return fmt.Errorf("%d calls were granted, and %d are free", plan.granted, free)
			}
			sure := limit - spent(reference.recorded, seen.at, hour+margin+step+10*time.Second)
			if least := min(want, sure, p.most()-p.open); plan.granted < least {
				return fmt.Errorf("%d calls were granted, and at least %d are free", plan.granted, least)
			}
			if plan.write {
				stored = plan.record
				p.ended = nil
			} else if plan.granted > 0 {
				return fmt.Errorf("%d calls were granted without a write", plan.granted)
			}
			for range plan.granted {
				made++
				p.open++
				p.calls[made] = &sentCall{until: plan.until}
			}
			for id, c := range p.calls {
				reference.counted[id] = c.until.Add(-p.skew)
				if plan.write { // which extends the lease of all
					reference.recorded[id] = plan.until.Add(-p.skew)
				}
			}
			for id, end := range p.untold {
				if plan.write {
					reference.recorded[id] = end
					delete(p.untold, id)
				}
			}
		}
	}
	if most := reference.most(); most > limit {
		return fmt.Errorf("%d calls arrived in an hour, the limit is %d", most, limit)
	}
	return nil
}

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// filled returns a record with a call in each step of the last hour before noon.
func filled(n int) (r record) {
	for i := range n {
		r.end("p", 1, noon.Add(-time.Duration(i)*step))
	}
	return r
}

// TestRecord_next: the time is that at which the first call is free, however many more count than
// are allowed.
func TestRecord_next(t *testing.T) {
	t.Parallel()
	r := filled(100) // ends from 11:43:30 to 12:00:00
	for limit, want := range map[int]time.Duration{100: -99 * step, 99: -98 * step, 50: -49 * step, 1: 0} {
		if left, next := r.left(limit, noon); left != 0 || !next.Equal(noon.Add(want).Add(hour+margin)) {
			t.Errorf("of %d: %d left, the next at %s", limit, left, next)
		}
	}
	if left, next := r.left(103, noon); left != 3 || !next.IsZero() {
		t.Errorf("%d left, the next at %s, want 3 now", left, next)
	}
}

// TestRecord_correct: the vendor's word only ever makes the budget smaller than the setting, and
// for as long as it holds.
func TestRecord_correct(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		said vendorapi.Allowance
		left int
		next time.Duration
	}{
		"nothing":                  {vendorapi.Allowance{Left: -1}, 10, 0},
		"refused":                  {vendorapi.Allowance{Refused: true, Wait: 20 * time.Minute, Left: -1}, 0, 20 * time.Minute},
		"a lower limit":            {vendorapi.Allowance{PerHour: 94, Left: -1}, 4, 0},
		"a higher limit":           {vendorapi.Allowance{PerHour: 1000, Left: -1}, 10, 0},
		"others have used some":    {vendorapi.Allowance{PerHour: 100, Left: 3}, 3, 0},
		"the vendor counts less":   {vendorapi.Allowance{PerHour: 100, Left: 60}, 10, 0},
		"others have used it up":   {vendorapi.Allowance{PerHour: 100, Left: 0}, 0, hour + margin - 89*step},
		"a limit that is exceeded": {vendorapi.Allowance{PerHour: 50, Left: -1}, 0, hour + margin - 49*step},
	} {
		r := filled(90)
		r.correct(tt.said, noon, 100, 0)
		left, next := r.left(100, noon)
		if left != tt.left || tt.next > 0 && !next.Equal(noon.Add(tt.next)) {
			t.Errorf("%s: %d left, the next at %s, want %d, at %s", name, left, next, tt.left, noon.Add(tt.next))
		}
		later := noon.Add(vendorSays + time.Minute)
		r.forget(later)
		if left, _ := r.left(100, later); left != 100 {
			t.Errorf("%s: %d left a day later", name, left)
		}
	}
}

// TestRecord_join: however many processes there are, the record stays small, and no call counts
// for less than it did.
func TestRecord_join(t *testing.T) {
	t.Parallel()
	for _, processes := range []int{1, 10, 500} {
		var r record
		for i := range 5000 {
			r.end(fmt.Sprint("process-", i%processes), 1, noon.Add(-time.Duration(i)*hour/5000))
		}
		before := r.clone()
		r.join()
		if len(r.Calls) > maxCalls {
			t.Errorf("with %d processes there are %d entries", processes, len(r.Calls))
		}
		for at := noon; at.Before(noon.Add(3 * hour)); at = at.Add(time.Minute) {
			if was, is := before.spent(at), r.spent(at); is < was {
				t.Fatalf("with %d processes %d calls count at %s, and %d did", processes, is, at, was)
			}
		}
	}
}

// TestDecodeRecord: a record that cannot be right is not used.
func TestDecodeRecord(t *testing.T) {
	t.Parallel()
	for _, data := range []string{``, `{`, `[]`, `{"calls":[{"at":1,"by":"p","n":-5}]}`, `{"calls":5}`} {
		if r, err := decodeRecord([]byte(data)); err == nil {
			t.Errorf("%q is read as %+v", data, r)
		}
	}
}
