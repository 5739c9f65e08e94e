package consumer

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer/internal/journal"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// modelT is a test, or one run of a property.
type modelT interface {
	Context() context.Context
	Fatal(arguments ...any)
	Fatalf(format string, arguments ...any)
}

// modelReplica is a replica in the model: it knows its own claim, which may be out of date.
type modelReplica struct {
	ledger *ledger
	claim  *claim
	// calls is a call of the vendor that is not answered.
	calls bool
	// left is the claim in the journal of a process that died, nil before.
	left *journal.Claim
}

// cancelModel interleaves operators, replicas and the vendor, with a real ledger. Operators and
// replicas act on what they saw earlier.
type cancelModel struct {
	t         modelT
	canceller *Canceller
	key       publisher.Key
	req       *request
	message   *jetstream.RawStreamMsg
	replicas  []*modelReplica
	seen      []Cancellable // what operators have looked at
	expire    func()        // what a replica decided about a request that waits, nil before
	jobs      int
	cancelled bool // an operator was told so
}

func newCancelModel(t modelT, run int) *cancelModel {
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
// has ended. The model has no time: every claim of the other replica may have ended, and a job that
// is not shown does not exist.
// Unless proven, the lookup fails, and the new claim has the doubt.
func (m *cancelModel) claims(r *modelReplica, proven bool) {
	got, err := r.ledger.claim(m.t.Context(), m.req)
	if err == nil && got.result == claimHeld {
		submitting := got.last.event.(*schemas.JobSubmitting)
		left := doubt{under: submitting.DoubtSequence}
		if left.under == 0 && !proven {
			left.under = got.last.sequence
		}
		// The lookup, which finds the job of a call that has arrived.
		if m.jobs > 0 {
			m.start(r, got.last.sequence)
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
	if starts {
		m.jobs++
	}
}

// answer is lost, says whether there is a job, or is a refusal.
func (m *cancelModel) answer(r *modelReplica, refused bool) {
	if r.claim == nil || !r.calls {
		return
	}
	r.calls = false
	switch {
	case m.jobs > 0:
		m.start(r, r.claim.sequence)
	case refused:
		m.fail(r.claim.sequence, "2")
		r.claim = nil
	default:
		r.claim.doubt = doubt{under: r.claim.sequence}
	}
}

// reconcile looks up the job of a claim in doubt. If there is none, the claim loses its doubt.
func (m *cancelModel) reconcile(r *modelReplica) {
	if r.claim == nil || r.calls || !r.claim.inDoubt() {
		return
	}
	if m.jobs > 0 {
		m.start(r, r.claim.sequence)
		return
	}
	r.claim.doubt = doubt{}
	err := r.ledger.renew(m.t.Context(), r.claim)
	if m.fenced(err); err != nil {
		r.claim = nil
	}
}

func (m *cancelModel) start(r *modelReplica, after uint64) {
	m.fenced(r.ledger.record(m.t.Context(), m.req, after, &schemas.JobStarted{
		Naming: m.req.Naming("billing"), Message: m.req.message, JobID: "7", JobIDs: []string{"7"}, StartedAt: time.Now(),
	}))
	r.claim = nil
}

// fail records a failure that is no cancellation.
func (m *cancelModel) fail(after uint64, code string) {
	m.fenced(m.replicas[0].ledger.record(m.t.Context(), m.req, after, &schemas.JobFailed{
		Naming: m.req.Naming("billing"), Message: m.req.message, ErrorCode: code, ErrorMessage: "no", ErrorSource: schemas.ErrorSourceBackhaul, FailedAt: time.Now(),
	}))
}

// wait looks whether a request of a paused scope waits, and returns how it ends when it is too old.
func (m *cancelModel) wait() (expire func()) {
	after, unsent, err := m.replicas[0].ledger.unsent(m.t.Context(), m.req)
	switch {
	case err != nil:
		m.t.Fatal(err)
	case !unsent:
		return func() {}
	}
	return func() { m.fail(after, schemas.CodeExpired) }
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

// die ends the process of a replica. Its journal has the claim, and whether a call was made under it.
func (m *cancelModel) die(r *modelReplica) {
	if r.claim == nil {
		return
	}
	if last := m.last(); last.sequence == r.claim.sequence {
		nonce := last.event.(*schemas.JobSubmitting).Nonce
		r.left = &journal.Claim{Text: nonce + " " + m.key.Source + " " + m.key.Name, Sent: r.calls}
	}
	r.claim, r.calls = nil, false
}

// inherit ends the claim of a process that died.
func (m *cancelModel) inherit(r *modelReplica) {
	if r.left != nil {
		_, err := r.ledger.inherit(m.t.Context(), *r.left)
		m.fenced(err)
	}
}

// doubtAll puts the request in doubt, as Recover does with all that wait.
func (m *cancelModel) doubtAll(r *modelReplica) {
	d := newDelivery(&nats.Msg{Subject: m.message.Subject, Data: m.message.Data}, m.message.Sequence, m.message.Time, 1)
	m.fenced(r.ledger.doubt(m.t.Context(), d, doubt{under: noEvent}, nil, &Recovered{}))
}

// fenced fails for an error other than that another event was first.
func (m *cancelModel) fenced(err error) {
	if err != nil && !errors.Is(err, errTakenOver) {
		m.t.Fatal(err)
	}
}

// look is what an operator sees of a message of the request; ok is false if it cannot be cancelled.
func (m *cancelModel) look(message *jetstream.RawStreamMsg) (found Cancellable, ok bool) {
	found, err := m.canceller.Look(m.t.Context(), message)
	return found, !m.refused(err)
}

func (m *cancelModel) cancel(found Cancellable) {
	before := m.last().sequence
	now, ours, err := m.canceller.Cancel(m.t.Context(), found, "ann", "by mistake")
	if m.refused(err) {
		return
	}
	if now.By == nil || ours && m.cancelled {
		m.t.Fatalf("cancelled: %+v, ours %t, before %t", now, ours, m.cancelled)
	}
	m.cancelled = true
	for _, r := range m.replicas {
		if ours && r.calls && r.claim != nil && r.claim.sequence == before {
			m.t.Fatal("a request is cancelled while it is sent")
		}
	}
	m.check()
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
		if e.Cancelled() {
			return "cancelled"
		}
		return "failed"
	case *schemas.JobStarted:
		return "started"
	case nil, *schemas.JobSubmitting:
		return ""
	default:
		return string(e.Kind())
	}
}

// check fails if what an operator was told, the ledger and the vendor contradict each other.
func (m *cancelModel) check() {
	info, err := m.replicas[0].ledger.events.Info(m.t.Context(), jetstream.WithSubjectFilter(m.key.Filter()))
	if err != nil {
		m.t.Fatal(err)
	}
	outcomes := 0
	for _, kind := range schemas.Kinds {
		if kind.Terminal() {
			outcomes += int(info.State.Subjects[m.key.Subject(kind)])
		}
	}
	outcome := m.outcome()
	switch {
	case outcomes > 1 || outcomes == 1 && outcome == "":
		m.t.Fatalf("%d terminal events, the last event is %q", outcomes, outcome)
	case m.jobs > 1:
		m.t.Fatalf("%d jobs", m.jobs)
	case outcome != "started" && outcome != "" && m.jobs > 0:
		m.t.Fatalf("a request that is %s has a job", outcome)
	case m.cancelled && outcome != "cancelled":
		m.t.Fatalf("an operator was told that it is cancelled, and it is %q", outcome)
	}
}

// cancelModels returns models of requests in one ledger, each with two replicas.
func cancelModels(t *testing.T) func(modelT) *cancelModel {
	t.Helper()
	nc := natstest.Start(t).Connect(t)
	events := natstest.Stream(t, natstest.JetStream(t, nc), publisher.EventsStream)
	pub, err := publisher.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	canceller, err := NewCanceller(t.Context(), nc)
	if err != nil {
		t.Fatal(err)
	}
	run := 0
	return func(one modelT) *cancelModel {
		run++
		m := newCancelModel(one, run)
		m.canceller = canceller
		for i := range 2 {
			m.replicas = append(m.replicas, &modelReplica{ledger: &ledger{
				events: events, reader: publisher.NewLastReader(events), publisher: pub, owner: fmt.Sprint("replica-", i), lease: time.Minute,
			}})
		}
		m.replicas[0].ledger.released = newReleases() // the other one finds its releases in the ledger
		return m
	}
}
