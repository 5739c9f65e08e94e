package chaos

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"backhaul/publisher"
)

// chaosSettings say how much goes wrong.
type chaosSettings struct {
	Requests, Replicas   int
	Rate                 float64 // requests per second
	Seed                 int64
	Kill, Freeze, Broker time.Duration // about how often, 0 never
	Tail                 time.Duration // how long faults go on after the last publication
	Faults               string        // the vendor's
	VisibleAfter         time.Duration // how long a job is not visible
	HideDescriptions     bool
	AckWait              time.Duration // of the requests' consumer, 0 as shipped
	Scarce               int           // starts of each replica in a second, so that requests are picked; 0 for no limit
	Cancel               float64       // share of requests that an operator tries to cancel
	Env                  []string      // further settings of the replicas
	Admin                []string      // the replicas' admin addresses, by default a free one each
}

// chaosPlan is all that happens in a run and does not depend on how the service
// answers. The same settings make the same plan.
type chaosPlan struct {
	chaosSettings
	requests     []chaosRequest
	publications []chaosPublication // by time
	faults       []chaosFault       // by time
	length       time.Duration      // until the last of them
}

// chaosRequest is one request, published once or more often.
type chaosRequest struct {
	id    string
	group string // the content group
	// refused: the vendor does not know the content group.
	refused bool
	// cancelled: an operator tries to cancel it, so long after its publication.
	cancelled   bool
	cancelAfter time.Duration
	cancelTwice bool               // two operators try it
	priority    publisher.Priority // of a publication
}

type chaosPublication struct {
	at       time.Duration
	request  int
	priority publisher.Priority
}

type chaosFault struct {
	at      time.Duration
	kind    chaosFaultKind
	replica int           // for kills and freezes
	length  time.Duration // of a freeze
}

type chaosFaultKind string

const (
	killReplica   chaosFaultKind = "kill replica"
	freezeReplica chaosFaultKind = "freeze replica"
	killBroker    chaosFaultKind = "kill broker"
	endSession    chaosFaultKind = "end session"
)

const (
	// chaosGroups is how many content groups the requests are for: few enough
	// that a job has others of its shape around it.
	chaosGroups = 100
	// chaosDuplicates is the share of requests that are published again, half of
	// them at once and half of them up to chaosLatest later.
	chaosDuplicates = 0.05
	chaosLatest     = 5 * time.Second
	// chaosRefused is the share of requests that the vendor refuses.
	chaosRefused = 0.01
	// chaosSession is how often a session ends at the vendor. By plan and not by
	// chance, because a token that is refused right after the login that gave it
	// means something else: no permission.
	chaosSession = 3 * time.Second
	// Freezes last longer or shorter than lease and visibility window (7 s).
	shortestFreeze = 2 * time.Second
	longestFreeze  = 10 * time.Second
)

func newChaosPlan(s chaosSettings) chaosPlan {
	p := chaosPlan{chaosSettings: s}
	p.planRequests()
	if s.Scarce > 0 {
		p.planPriorities()
	}
	p.planCancels()
	p.length = p.publications[len(p.publications)-1].at + s.Tail
	p.planReplicaFaults()
	for _, regular := range []struct {
		kind  chaosFaultKind
		every time.Duration
	}{{killBroker, s.Broker}, {endSession, chaosSession}} {
		if regular.every == 0 {
			continue
		}
		// A run that is shorter has one, in the middle.
		for at := min(regular.every, p.length/2); at < p.length; at += regular.every {
			p.faults = append(p.faults, chaosFault{at: at, kind: regular.kind})
		}
	}
	slices.SortStableFunc(p.faults, func(a, b chaosFault) int { return cmp.Compare(a.at, b.at) })
	return p
}

// random is a source of its own for each purpose, so that more of one thing does
// not change another.
func (p *chaosPlan) random(purpose uint64) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(p.Seed), purpose))
}

func (p *chaosPlan) planRequests() {
	random := p.random(1)
	for i := range p.Requests {
		r := chaosRequest{
			id:      fmt.Sprintf("chaos-%d-%05d", p.Seed, i),
			group:   fmt.Sprintf("load-%d", random.IntN(chaosGroups)),
			refused: random.Float64() < chaosRefused,
		}
		if r.refused {
			r.group = "no-such-group"
		}
		at := time.Duration(float64(i) / p.Rate * float64(time.Second))
		p.requests = append(p.requests, r)
		p.publications = append(p.publications, chaosPublication{at: at, request: i})
		if random.Float64() < chaosDuplicates {
			again := at
			if random.IntN(2) == 0 {
				again += time.Duration(random.Int64N(int64(chaosLatest)))
			}
			p.publications = append(p.publications, chaosPublication{at: again, request: i})
		}
	}
	slices.SortStableFunc(p.publications, func(a, b chaosPublication) int { return cmp.Compare(a.at, b.at) })
}

// planPriorities gives each publication one, so that a request has several at times.
func (p *chaosPlan) planPriorities() {
	random := p.random(4)
	for i := range p.publications {
		p.publications[i].priority = publisher.Priorities[random.IntN(len(publisher.Priorities))]
	}
}

// planReplicaFaults kills replicas that are not frozen: a frozen one is to wake
// up in a world that has gone on.
func (p *chaosPlan) planReplicaFaults() {
	random := p.random(2)
	frozenUntil := make([]time.Duration, p.Replicas)
	if p.Freeze > 0 {
		for at := about(p.Freeze, random); at < p.length; at += about(p.Freeze, random) {
			length := shortestFreeze + time.Duration(random.Int64N(int64(longestFreeze-shortestFreeze)))
			victim := random.IntN(p.Replicas)
			if frozenUntil[victim] > at {
				continue
			}
			frozenUntil[victim] = at + length
			p.faults = append(p.faults, chaosFault{at: at, kind: freezeReplica, replica: victim, length: length})
		}
	}
	if p.Kill == 0 {
		return
	}
	random = p.random(3)
	freezes := slices.Clone(p.faults)
	for at := about(p.Kill, random); at < p.length; at += about(p.Kill, random) {
		victim := random.IntN(p.Replicas)
		frozen := slices.ContainsFunc(freezes, func(f chaosFault) bool {
			return f.replica == victim && f.at <= at && at < f.at+f.length
		})
		if !frozen {
			p.faults = append(p.faults, chaosFault{at: at, kind: killReplica, replica: victim})
		}
	}
}

// about is d, give or take half of it.
func about(d time.Duration, random *rand.Rand) time.Duration {
	return d/2 + time.Duration(random.Int64N(int64(d)))
}

func (p *chaosPlan) count(kind chaosFaultKind) int {
	n := 0
	for _, f := range p.faults {
		if f.kind == kind {
			n++
		}
	}
	return n
}

func TestChaosPlanFollowsFromTheSeed(t *testing.T) {
	t.Parallel()
	settings := chaosSettings{
		Requests: 3000, Replicas: 3, Rate: 100, Seed: 7,
		Kill: time.Second, Freeze: 4 * time.Second, Broker: 10 * time.Second,
	}
	plan := newChaosPlan(settings)
	if again := newChaosPlan(settings); !reflect.DeepEqual(plan, again) {
		t.Error("the same settings made two plans")
	}
	settings.Seed = 8
	if other := newChaosPlan(settings); reflect.DeepEqual(plan.faults, other.faults) {
		t.Error("another seed made the same faults")
	}
	for kind, want := range map[chaosFaultKind][2]int{
		killReplica: {15, 40}, freezeReplica: {3, 12}, killBroker: {2, 3}, endSession: {9, 11},
	} {
		if n := plan.count(kind); n < want[0] || n > want[1] {
			t.Errorf("%s: %d times in %s, want %d to %d", kind, n, plan.length, want[0], want[1])
		}
	}
	if n := len(plan.publications) - len(plan.requests); n < 100 || n > 200 {
		t.Errorf("%d duplicates of 3000 requests, want about 150", n)
	}
	short := newChaosPlan(chaosSettings{Requests: 300, Replicas: 2, Rate: 100, Seed: 1, Kill: time.Second, Broker: 10 * time.Second})
	if n := short.count(killBroker); n != 1 {
		t.Errorf("%d broker kills in a short run, want one", n)
	}
	if n := short.count(killReplica); n < 1 {
		t.Error("no replica is killed in a short run")
	}
}
