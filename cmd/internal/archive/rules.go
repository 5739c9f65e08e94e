package archive

import (
	"crypto/sha256"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer"
	"backhaul/publisher"
	"backhaul/schemas"
)

// fact is what the ledger's rules need of an event, so that events can be read by many goroutines
// and be compared by one.
type fact struct {
	kind  schemas.Kind // "" for a message that is no event about a request
	key   [16]byte     // a hash of it
	name  string       // of the key
	at    time.Time    // when it was stored
	epoch int
	owner uint64
	jobs  []uint64 // hashes of ids: that an event is about, or that were started
	// partly reports that the event does not have all of its jobs.
	partly bool
	// checkpoint is set for one that was published.
	checkpoint *schemas.Checkpoint
}

var seed = maphash.MakeSeed()

func hashOf(text string) uint64 { return maphash.String(seed, text) }

// factOf returns what is to be compared of a leaf that has all of a message.
func factOf(l leaf) fact {
	if l.kind != kindEvent || l.rest() != 0 {
		return fact{}
	}
	m, err := l.message(l.body)
	if err != nil {
		return fact{}
	}
	return factOfMessage(m)
}

func factOfMessage(m *jetstream.RawStreamMsg) fact {
	f := fact{at: m.Time}
	if m.Subject == publisher.OperatorSubject(schemas.ActionSealed) {
		if e, err := schemas.DecodeOperatorEvent(m.Data); err == nil {
			f.checkpoint = &e.Checkpoint
		}
		return f
	}
	key, event, err := publisher.ReadEvent(m.Subject, m.Header, m.Data)
	if err != nil {
		return f // foreign, or of a later version
	}
	sum := sha256.Sum256([]byte(key.String()))
	f.kind, f.name = event.Kind(), key.String()
	copy(f.key[:], sum[:])
	switch e := event.(type) {
	case *schemas.JobSubmitting:
		f.epoch, f.owner = e.Epoch, hashOf(e.Owner)
	case *schemas.JobStarted:
		for _, id := range append([]string{e.JobID}, e.JobIDs...) {
			f.jobs = append(f.jobs, hashOf(id))
		}
		f.partly = e.Omitted["jobIds"] > 0
	case schemas.JobEvent:
		f.jobs = []uint64{hashOf(e.Job())}
	case *schemas.JobFailed, *schemas.RequestRejected:
	}
	return f
}

// rules are those of the ledger: one outcome for a request, epochs that rise, and an end only of a
// job that was started.
type rules struct {
	stories map[[16]byte]*story
	// lossy is until when something may refer to what is in a gap.
	lossy   time.Time
	gapped  bool  // a gap was the last leaf
	unknown int64 // events that refer to something that is in a gap
	taken   int
}

// story is what is known of a request.
type story struct {
	epoch   int
	owner   uint64
	outcome schemas.Kind
	last    time.Time
	jobs    []job
	partly  bool
}

type job struct {
	id    uint64
	ended bool
}

const (
	// again is how soon an id may come again after its outcome: when the ledger may have
	// forgotten it.
	again = consumer.ShortestAge
	// longest is how long a job or a claim may stay without an end.
	longest = 400 * 24 * time.Hour
	// sweepEvery is after how many events stories are forgotten that nothing can follow.
	sweepEvery = 200_000
)

func newRules() *rules { return &rules{stories: make(map[[16]byte]*story)} }

// restart begins with another stream, which has all events of its requests.
func (r *rules) restart() { *r = rules{stories: make(map[[16]byte]*story), unknown: r.unknown} }

func (r *rules) gap() { r.gapped = true }

// take returns which rules an event breaks.
func (r *rules) take(f fact) (broken []string) {
	if r.gapped {
		r.gapped, r.lossy = false, f.at.Add(longest)
	}
	if r.taken++; r.taken%sweepEvery == 0 {
		r.sweep(f.at)
	}
	if f.kind == "" || f.kind == schemas.KindRequestRejected { // a rejection has a key of its own
		return nil
	}
	s := r.stories[f.key]
	if f.kind.PerJob() {
		return r.ofJob(s, f)
	}
	if s != nil && s.outcome != "" {
		if f.at.Sub(s.last) < again {
			return []string{fmt.Sprintf("%s has its outcome already: %s", f.name, s.outcome)}
		}
		s = nil // the ledger had forgotten it, and the id came again
	}
	missing := s == nil && (f.kind == schemas.KindJobStarted || f.kind == schemas.KindJobSubmitting && f.epoch > 1)
	if s == nil {
		s = &story{epoch: f.epoch, owner: f.owner}
		r.stories[f.key] = s
	}
	switch {
	case missing && f.at.Before(r.lossy):
		r.unknown++
	case missing && f.kind == schemas.KindJobStarted:
		broken = append(broken, f.name+" was never claimed")
	case missing:
		broken = append(broken, fmt.Sprintf("%s is claimed with epoch %d, and no claim was before it", f.name, f.epoch))
	}
	switch {
	case f.kind.Terminal():
		s.outcome, s.partly = f.kind, f.partly
		for _, id := range f.jobs {
			if s.job(id) == nil {
				s.jobs = append(s.jobs, job{id: id})
			}
		}
	case f.epoch < s.epoch:
		broken = append(broken, fmt.Sprintf("%s is claimed with epoch %d after epoch %d", f.name, f.epoch, s.epoch))
	case f.epoch == s.epoch && f.owner != s.owner:
		broken = append(broken, fmt.Sprintf("%s is claimed by two owners with epoch %d", f.name, f.epoch))
	default:
		s.epoch, s.owner = f.epoch, f.owner
	}
	s.last = f.at
	return broken
}

func (s *story) job(id uint64) *job {
	if i := slices.IndexFunc(s.jobs, func(j job) bool { return j.id == id }); i >= 0 {
		return &s.jobs[i]
	}
	return nil
}

// ofJob takes an event about a job.
func (r *rules) ofJob(s *story, f fact) []string {
	var j *job
	if s != nil {
		j = s.job(f.jobs[0])
	}
	switch {
	case j == nil && (f.at.Before(r.lossy) || s != nil && s.partly):
		r.unknown++
		return nil
	case j == nil:
		return []string{fmt.Sprintf("%s about a job of %s that was never started", f.kind, f.name)}
	case j.ended:
		return []string{fmt.Sprintf("%s about a job of %s that has ended already", f.kind, f.name)}
	}
	j.ended = f.kind == schemas.KindJobFinished
	s.last = f.at
	return nil
}

// sweep forgets the requests about which no rule can be broken any more.
func (r *rules) sweep(now time.Time) {
	for key, s := range r.stories {
		ended := s.outcome != "" && !slices.ContainsFunc(s.jobs, func(j job) bool { return !j.ended })
		if age := now.Sub(s.last); ended && age > again || age > longest {
			delete(r.stories, key)
		}
	}
}
