package budget_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/vendorapi"
	"backhaul/vendorapi/simulator"
)

// starts has the markers of the started jobs, in their order.
type starts struct {
	mu      sync.Mutex
	markers []string
}

func (s *starts) add(marker string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.markers = append(s.markers, strings.TrimPrefix(marker, "backhaul:"))
}

// all returns the sources and ids.
func (s *starts) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.markers)
}

// Attempt implements [vendorapi.Observer].
func (r *replica) Attempt(ctx context.Context, t vendorapi.Task, _ int) (context.Context, func(vendorapi.Job, error)) {
	return ctx, func(job vendorapi.Job, err error) {
		if job.ID != "" {
			r.f.started.add(t.Marker)
		}
	}
}

// TestSoak_fairness: three replicas share the starts. A source that sends one request now and then
// waits for two of them at most while another one has thousands, and one of high for one. The
// requests of a source are started in their order, and no claim is written for nothing.
func TestSoak_fairness(t *testing.T) {
	hours := *soakHours
	for name, backlogs := range map[string][]string{"one backlog": {"a"}, "a backlog of each lower priority": {"a", "l.low"}} {
		if hours == 1 && len(backlogs) == 1 {
			continue // the other says more
		}
		t.Run(name, func(t *testing.T) {
			natstest.Synctest(t, func(t *testing.T) {
				f := newFleet(t, simulator.Config{}, 100)
				f.fail("slow=2s")
				for i := range 3 {
					r := f.start(i)
					defer r.kill()
				}
				for range f.perHour { // so that the starts of all later hours are spread
					f.ask("first", 1)
					<-time.After(time.Hour / time.Duration(f.perHour))
				}
				for _, source := range backlogs {
					f.ask(source, 120*(hours+3))
				}
				waits := map[string][]int{}
				wait := func(subject string, allowed int) {
					before := len(f.started.all())
					f.ask(subject, 1)
					id := fmt.Sprintf("%s/r-%d", strings.TrimSuffix(subject, ".high"), f.made)
					var all []string
					for range 3600 {
						if all = f.started.all(); slices.Contains(all, id) {
							break
						}
						<-time.After(time.Second)
					}
					n := slices.Index(all, id) - before
					waits[subject] = append(waits[subject], n)
					if n < 0 || n > allowed {
						t.Errorf("%s was started after %d others: %s", id, n, all[before:])
					}
				}
				for range hours * 4 {
					<-time.After(3*time.Minute + 7*time.Second)
					wait("b", 2)
					<-time.After(4*time.Minute + 11*time.Second)
					wait("c.high", 1)
				}
				all := f.started.all()
				info, err := natstest.Stream(t, natstest.JetStream(t, f.nc), publisher.EventsStream).Info(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("waits %v, %d starts, %d events", waits, len(all), info.State.Msgs)
				if most := 2*len(all) + 3; int(info.State.Msgs) > most { // up to one claim of each replica is on its way
					t.Errorf("%d events of %d starts, want %d at most", info.State.Msgs, len(all), most)
				}
				last := make(map[string]int)
				for _, id := range all {
					var number int
					source, name, _ := strings.Cut(id, "/")
					if _, err := fmt.Sscanf(name, "r-%d", &number); err != nil || number <= last[source] {
						t.Errorf("%s was started after r-%d, %v", id, last[source], err)
					}
					last[source] = number
				}
			})
		})
	}
}

// TestCopiesCostNoCalls: requests that have their outcome are settled, and their calls are left for
// others. An invalid one has its outcome.
func TestCopiesCostNoCalls(t *testing.T) {
	natstest.Synctest(t, func(t *testing.T) {
		f := newFleet(t, simulator.Config{}, 20)
		replicas := []*replica{f.start(0), f.start(1)}
		queued := func() uint64 {
			info, err := natstest.Stream(t, natstest.JetStream(t, f.nc), publisher.RequestsStream).Info(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return info.State.Msgs
		}
		f.ask("a", 3)
		for range 3 * 30 { // each is sent again 30 times
			f.made = f.made % 3
			f.ask("a", 1)
		}
		f.made = 100
		f.ask("b", 2)
		if _, err := natstest.JetStream(t, f.nc).Publish(t.Context(), "backup.request.b", []byte(`{"typo":1}`)); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		if n, left := f.sim.Account().JobsStarted, queued(); n != 5 || left != 0 {
			t.Errorf("%d jobs were started, %d requests are left", n, left)
		}
		<-time.After(10 * time.Second) // until the record has the last end
		if v, err := replicas[0].budget.View(); err != nil || v.Spent != 5 {
			t.Errorf("spent are %+v, %v", v, err)
		}
		for _, r := range replicas {
			r.kill()
		}
	})
}

// TestTheLastCallIsTheLogins: with a single call left, a replica without a token logs in with it, and
// starts the job with the next one.
func TestTheLastCallIsTheLogins(t *testing.T) {
	natstest.Synctest(t, func(t *testing.T) {
		f := newFleet(t, simulator.Config{}, 2)
		f.auth = vendorapi.Auth{
			Mode: vendorapi.AuthLogin, Username: "backhaul",
			Password: func() (vendorapi.Secret, error) { return "simulator", nil },
		}
		other := f.start(0)
		grant, err := other.budget.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		grant.End(true)
		<-time.After(50 * time.Minute)
		other.kill()
		f.ask("a", 1) // before: a replica waits for the first of an empty queue as ever
		r := f.start(1)
		<-time.After(9 * time.Minute)
		if a := f.sim.Account(); a.Logins != 1 || a.JobsStarted != 0 {
			t.Errorf("%d logins and %d jobs with the one call that is left", a.Logins, a.JobsStarted)
		}
		<-time.After(3 * time.Minute)
		if a := f.sim.Account(); a.Logins != 1 || a.JobsStarted != 1 {
			t.Errorf("%d logins and %d jobs with the next call", a.Logins, a.JobsStarted)
		}
		r.kill()
	})
}
