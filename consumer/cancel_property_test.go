package consumer

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// modelReplica is a replica in the model: it knows its own claim, which may be out of date.
type modelReplica struct {
	ledger *ledger
	claim  *claim
	// calls is a call of the vendor that is not answered.
	calls bool
}

// cancelModel interleaves operators, replicas and the vendor, with a real ledger. Operators and
// replicas act on what they saw earlier.
type cancelModel struct {
	t         *rapid.T
	js        jetstream.JetStream
	canceller *Canceller
	key       publisher.Key
	req       *request
	message   *jetstream.RawStreamMsg
	replicas  []*modelReplica
	seen      []Cancellable // what operators have looked at
	jobs      int
	cancelled bool // an operator was told so
}

// TestCancel_property: whatever the order of claims, calls, answers, releases, take-overs,
// outcomes and cancellations: no job for a cancelled request, and one terminal event at most.
func TestCancel_property(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	nc := server.Connect(t)
	js := natstest.JetStream(t, nc)
	events := natstest.Stream(t, js, publisher.EventsStream)
	pub, err := publisher.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	canceller, err := NewCanceller(t.Context(), nc)
	if err != nil {
		t.Fatal(err)
	}
	run := 0
	terminal := make(map[string]int)
	rapid.Check(t, func(rt *rapid.T) {
		run++
		m := newCancelModel(rt, run)
		m.js, m.canceller = js, canceller
		for i := range 2 {
			m.replicas = append(m.replicas, &modelReplica{ledger: &ledger{
				events: events, reader: publisher.NewLastReader(events), publisher: pub, owner: fmt.Sprint("replica-", i), lease: time.Minute,
			}})
		}
		replica := rapid.SampledFrom(m.replicas)
		rt.Repeat(map[string]func(*rapid.T){
			"claim":   func(rt *rapid.T) { m.claims(replica.Draw(rt, "replica")) },
			"call":    func(rt *rapid.T) { m.call(replica.Draw(rt, "replica"), rapid.Bool().Draw(rt, "starts")) },
			"answer":  func(rt *rapid.T) { m.answer(replica.Draw(rt, "replica")) },
			"release": func(rt *rapid.T) { m.release(replica.Draw(rt, "replica")) },
			"renew":   func(rt *rapid.T) { m.renew(replica.Draw(rt, "replica")) },
			"look":    func(*rapid.T) { m.look() },
			"cancel": func(rt *rapid.T) {
				if len(m.seen) > 0 {
					m.cancel(rapid.SampledFrom(m.seen).Draw(rt, "seen"))
				}
			},
			"": func(*rapid.T) { m.check() },
		})
		terminal[m.outcome()]++
	})
	for _, outcome := range []string{"", "cancelled", "started"} {
		if terminal[outcome] == 0 {
			t.Errorf("no interleaving ended as %q: %v", outcome, terminal)
		}
	}
}

func newCancelModel(t *rapid.T, run int) *cancelModel {
	id := fmt.Sprint("model-", run, "-", time.Now().UnixNano())
	msg := &jetstream.RawStreamMsg{
		Subject: "backup.request.billing", Sequence: uint64(run), Time: time.Now().UTC(),
		Data: fmt.Appendf(nil, `{"requestId":%q,"clientName":"c","subclientName":"g"}`, id),
	}
	d := newDelivery(&nats.Msg{Subject: msg.Subject, Data: msg.Data}, msg.Sequence, msg.Time, 1)
	req, err := decode(d)
	if err != nil {
		t.Fatal(err)
	}
	return &cancelModel{t: t, key: req.key, req: req, message: msg}
}

// claims claims a request that nobody has, or whose claim was released, and takes over one that
// has ended. The model has no time: every claim of the other replica may have ended.
func (m *cancelModel) claims(r *modelReplica) {
	got, err := r.ledger.claim(m.t.Context(), m.req)
	if err == nil && got.result == claimHeld {
		submitting := got.last.event.(*schemas.JobSubmitting)
		left := doubt{under: submitting.DoubtSequence}
		if left.under == 0 {
			left.under = got.last.sequence
		}
		// The lookup, which finds the job of a call that has arrived.
		if m.jobs > 0 {
			m.record(r, got.last.sequence)
			return
		}
		got, err = r.ledger.takeOver(m.t.Context(), m.req, got.last, left)
	}
	if err != nil {
		m.fenced(err)
		return
	}
	if got.claim != nil {
		r.claim, r.calls = got.claim, false
	}
}

// call sends the request during the claim. A claim that was taken over has ended by then, and
// one in doubt is looked up first.
func (m *cancelModel) call(r *modelReplica, starts bool) {
	if r.claim == nil || r.calls || r.claim.inDoubt() || m.last().sequence != r.claim.sequence {
		return
	}
	if m.last().event.Kind().Terminal() {
		m.t.Fatalf("a call is made after %s", m.outcome())
	}
	r.calls = true
	if starts && m.jobs == 0 {
		m.jobs++
	}
}

// answer is lost, or says whether there is a job.
func (m *cancelModel) answer(r *modelReplica) {
	if r.claim == nil || !r.calls {
		return
	}
	r.calls = false
	if m.jobs > 0 {
		m.record(r, r.claim.sequence)
	}
}

func (m *cancelModel) record(r *modelReplica, after uint64) {
	m.fenced(r.ledger.record(m.t.Context(), m.req, after, &schemas.JobStarted{
		Naming: m.req.Naming("billing"), Message: m.req.message, JobID: "7", JobIDs: []string{"7"}, StartedAt: time.Now(),
	}))
	r.claim = nil
}

// release ends the claim, with a doubt if a call is not answered.
func (m *cancelModel) release(r *modelReplica) {
	if r.claim == nil {
		return
	}
	if r.calls {
		r.claim.doubt = doubt{under: r.claim.sequence}
	}
	m.fenced(r.ledger.release(m.t.Context(), r.claim))
	r.claim, r.calls = nil, false
}

func (m *cancelModel) renew(r *modelReplica) {
	if r.claim != nil {
		m.fenced(r.ledger.renew(m.t.Context(), r.claim))
	}
}

// fenced fails for an error other than that another event was first.
func (m *cancelModel) fenced(err error) {
	if err != nil && !errors.Is(err, errTakenOver) {
		m.t.Fatal(err)
	}
}

func (m *cancelModel) look() {
	found, err := m.canceller.Look(m.t.Context(), m.message)
	if m.refused(err) {
		return
	}
	m.seen = append(m.seen, found)
}

func (m *cancelModel) cancel(found Cancellable) {
	now, ours, err := m.canceller.Cancel(m.t.Context(), found, "ann", "by mistake")
	if m.refused(err) {
		return
	}
	if now.By == nil || ours && m.cancelled {
		m.t.Fatalf("cancelled: %+v, ours %t, before %t", now, ours, m.cancelled)
	}
	m.cancelled = true
}

// refused reports whether an operator was refused; any other error fails.
func (m *cancelModel) refused(err error) bool {
	if err == nil {
		return false
	}
	if _, ok := errors.AsType[*NotCancellableError](err); !ok {
		m.t.Fatal(err)
	}
	return true
}

func (m *cancelModel) last() record {
	last, err := m.replicas[0].ledger.last(m.t.Context(), m.key)
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		m.t.Fatal(err)
	}
	return last
}

// outcome names the outcome on record, "" for none.
func (m *cancelModel) outcome() string {
	switch e := m.last().event.(type) {
	case *schemas.JobFailed:
		return "cancelled"
	case *schemas.JobStarted:
		return "started"
	case nil, *schemas.JobSubmitting:
		return ""
	default:
		return string(e.Kind())
	}
}

func (m *cancelModel) check() {
	outcomes := 0
	for _, kind := range schemas.Kinds {
		info, err := m.replicas[0].ledger.events.Info(m.t.Context(), jetstream.WithSubjectFilter(m.key.Subject(kind)))
		if err != nil {
			m.t.Fatal(err)
		}
		if kind.Terminal() {
			outcomes += int(info.State.Subjects[m.key.Subject(kind)])
		}
	}
	outcome := m.outcome()
	switch {
	case outcomes > 1 || outcomes == 1 && outcome == "":
		m.t.Fatalf("%d terminal events, the last event is %q", outcomes, outcome)
	case outcome == "cancelled" && m.jobs > 0:
		m.t.Fatal("a cancelled request has a job")
	case m.cancelled && outcome != "cancelled":
		m.t.Fatalf("an operator was told that it is cancelled, and it is %q", outcome)
	}
	for _, r := range m.replicas {
		if outcome == "cancelled" && r.calls && r.claim != nil && m.last().sequence == r.claim.sequence {
			m.t.Fatal("a call is under way for a cancelled request")
		}
	}
}
