package consumer

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// lastClaim returns the last event of a request, which must be a claim.
func (l *ledger) lastClaim(t *testing.T, req *request) (record, schemas.Claim) {
	t.Helper()
	last, err := l.last(t.Context(), req.key)
	if err != nil {
		t.Fatal(err)
	}
	submitting, ok := last.event.(*schemas.JobSubmitting)
	if !ok {
		t.Fatalf("the last event is %s, want a claim", last.event.Kind())
	}
	return last, submitting.Claim
}

// The job of a former owner's call is looked up since the claim of that call. It may appear
// until the lease and the visibility window have passed since the claim of the call, or since the
// last claim if that is earlier.
func TestLedgerDoubtOf_coversTheFormerOwnersCall(t *testing.T) {
	t.Parallel()
	l := newLedger(t, time.Minute)
	l.visibility = time.Hour
	ctx, req := t.Context(), testRequest("r")
	c := l.claimed(t, req)
	call := l.stored(t, c.sequence).Time
	c.doubt = doubt{under: c.sequence, task: "4038"}
	for range 20 { // so that the last claim is somewhat later
		if err := l.renew(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		name     string
		write    func() error
		unlikely bool
		since    time.Time // at the latest
		covers   time.Duration
	}{
		{"in force", func() error { return l.renew(ctx, c) }, false, call, l.lease + l.visibility},
		{"released", func() error { return l.release(ctx, c) }, false, call, l.visibility},
		{"released, and the vendor said that there is none", func() error { c.unlikely = true; return l.release(ctx, c) }, true, call, 0},
		{"its call is gone", func() error { c.under = noEvent; return l.release(ctx, c) }, true, req.message.RequestedAt, 0},
	} {
		if err := step.write(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		last, _ := l.lastClaim(t, req)
		d, err := l.doubtOf(ctx, last)
		if err != nil || d.under != c.under || d.task != "4038" || d.unlikely != step.unlikely {
			t.Errorf("%s: %+v, %v", step.name, d, err)
		}
		if d.since.After(step.since) {
			t.Errorf("%s: looked for since %s, %s after the call", step.name, d.since, d.since.Sub(step.since))
		}
		if until := earlier(last.stored.Add(step.covers), call.Add(l.lease+l.visibility)); d.until.Before(until) || d.until.After(until.Add(time.Minute)) {
			t.Errorf("%s: until %s, want %s", step.name, d.until, until)
		}
	}
	last, _ := l.lastClaim(t, req)
	if _, err := l.of("two").takeOver(ctx, req, last, c.doubt); err != nil {
		t.Fatal(err)
	}
	if _, got := l.lastClaim(t, req); got.Owner != "two" || got.Epoch != c.epoch+1 || got.DoubtSequence != c.under || got.DoubtTaskID != "4038" || !got.DoubtUnlikely {
		t.Errorf("after the take-over the claim is %+v", got)
	}
}

// A request that is put in doubt keeps the lease of another owner, which may still work on it,
// and the known task. An outcome is not overwritten.
func TestLedgerRedoubt_keepsWhatIsKnown(t *testing.T) {
	t.Parallel()
	l := newLedger(t, time.Minute)
	ctx := t.Context()
	for id, owner := range map[string]string{"own": "one", "other": "two"} {
		req := testRequest(id)
		l.of(owner).claimed(t, req)
		want := schemas.Claim{Owner: "one", Epoch: 2, DoubtSequence: noEvent, DoubtTaskID: "4038"}
		if owner != "one" {
			want.LeaseMillis = l.lease.Milliseconds()
		}
		var first uint64
		for range 2 { // the second time it is in doubt already
			if err := l.redoubt(ctx, &claim{req: req, epoch: 1, doubt: doubt{task: "4038"}}); err != nil {
				t.Fatal(err)
			}
			last, got := l.lastClaim(t, req)
			if got.Nonce = ""; got != want || first != 0 && last.sequence != first {
				t.Errorf("%s: the claim %d is %+v, want %+v", id, last.sequence, got, want)
			}
			first = last.sequence
		}
		if err := l.record(ctx, req, first, started(id)); err != nil {
			t.Fatal(err)
		}
		if err := l.redoubt(ctx, &claim{req: req, epoch: 1}); err != nil {
			t.Fatal(err)
		}
		if last, err := l.last(ctx, req.key); err != nil || last.event.Kind() != schemas.KindJobStarted {
			t.Errorf("%s: behind the outcome is %v, %v", id, last.event, err)
		}
	}
}

// testDelivery returns a delivery of a request. Without a client the request is invalid.
func testDelivery(sequence uint64, data string) *delivery {
	return newDelivery(&nats.Msg{Subject: "backup.request.test", Data: []byte(data)}, sequence, time.Now().Add(-time.Minute), 1)
}

// Recover keeps the lease of a claim that was written after a loss, and finds the claim of an
// earlier version.
func TestLedgerDoubt_keepsWhatIsKnown(t *testing.T) {
	t.Parallel()
	l := newLedger(t, time.Minute)
	withID := testDelivery(1, `{"requestId":"r","clientName":"c","subclientName":"s"}`)
	without := testDelivery(2, `{"clientName":"c","subclientName":"s"}`)
	for d, earlier := range map[*delivery]bool{withID: false, without: true} {
		req, err := decode(d)
		if err != nil {
			t.Fatal(err)
		}
		if earlier {
			req.key = publisher.EarlierSequenceKey(d.source, d.sequence)
		}
		l.of("two").claimed(t, req)
		recovered := Recovered{Forgot: "it was made again"}
		if err := l.doubt(t.Context(), d, doubt{under: noEvent}, nil, &recovered); err != nil || recovered.Doubted != 1 {
			t.Errorf("%s: %+v, %v", req.key, recovered, err)
		}
		if _, c := l.lastClaim(t, req); c.LeaseMillis != l.lease.Milliseconds() || c.Epoch != 2 || c.DoubtSequence != noEvent {
			t.Errorf("%s: the claim is %+v", req.key, c)
		}
	}
}

// A claim that was released without a doubt may have been claimed again, unknown to the ledger.
// A claim in force leads to a lookup by itself.
func TestLedgerDoubt_ofAReleasedClaim(t *testing.T) {
	t.Parallel()
	l := newLedger(t, time.Minute)
	for id, released := range map[string]bool{"released": true, "held": false} {
		d := testDelivery(1, `{"requestId":"`+id+`","clientName":"c","subclientName":"s"}`)
		req, err := decode(d)
		if err != nil {
			t.Fatal(err)
		}
		c := l.of("two").claimed(t, req)
		if released {
			if err := l.of("two").release(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		var recovered Recovered
		if err := l.doubt(t.Context(), d, doubt{under: c.sequence}, nil, &recovered); err != nil || recovered.Doubted == 1 != released || recovered.Known == 0 != released {
			t.Errorf("%s: %+v, %v", id, recovered, err)
		}
		if _, got := l.lastClaim(t, req); (got.DoubtSequence == c.sequence) != released {
			t.Errorf("%s: the claim is %+v", id, got)
		}
	}
}

// uncalled is a vendor that has capacity and must not be called.
type uncalled struct{ t *testing.T }

func (uncalled) Capacity(n int) (int, vendorapi.Cooldown) { return n, vendorapi.Cooldown{} }

func (u uncalled) Submit(context.Context, context.Context, vendorapi.Task, vendorapi.Permit) (vendorapi.Job, int, error) {
	u.t.Error("the request is sent")
	return vendorapi.Job{ID: "1"}, 1, nil
}

func (u uncalled) Find(context.Context, vendorapi.Task, time.Time) (vendorapi.Found, error) {
	u.t.Error("the request's job is looked for")
	return vendorapi.Found{}, nil
}

// A claim whose sequence is not higher than an earlier one proves that the ledger has lost
// events: the request is not sent and is put in doubt. Nothing more is claimed.
func TestHandle_aLedgerThatGoesBack(t *testing.T) {
	t.Parallel()
	l, g := newGuarded(t)
	if g.compare(t.Context()); g.err() != nil {
		t.Fatal(g.err())
	}
	g.high.Store(100)
	h := &handler{
		cfg: Config{}.withDefaults(), ledger: l, vendor: uncalled{t}, pub: l.publisher, inFlight: newInFlight(),
		ahead: &ahead{atVendor: make(chan struct{}, 1), most: 1},
	}
	d := testDelivery(1, `{"requestId":"r","clientName":"c","subclientName":"s"}`)
	if s := h.handle(t.Context(), t.Context(), d); s.verb != nak {
		t.Errorf("the delivery is settled as %+v", s)
	}
	if _, c := l.lastClaim(t, &request{key: publisher.NewKey("test", "r")}); c.DoubtSequence != noEvent || c.LeaseMillis != 0 {
		t.Errorf("the claim is %+v, want it in doubt and released", c)
	}
	for id, rest := range map[string]string{"valid": `,"clientName":"c","subclientName":"s"}`, "invalid": "}"} {
		next := testDelivery(2, `{"requestId":"`+id+`"`+rest)
		if s := h.handle(t.Context(), t.Context(), next); s.verb != nak {
			t.Errorf("the next delivery, %s, is settled as %+v", id, s)
		}
		if last, err := l.last(t.Context(), publisher.NewKey("test", id)); !errors.Is(err, jetstream.ErrMsgNotFound) {
			t.Errorf("the next request, %s, has the event %+v, %v", id, last.event, err)
		}
	}
	if n, cooldown := h.capacity(5); n != 0 || cooldown.For <= 0 {
		t.Errorf("%d requests are pulled with a ledger that goes back", n)
	}
}

// full is a vendor without capacity for an hour.
type full struct{ uncalled }

func (full) Capacity(int) (int, vendorapi.Cooldown) {
	return 0, vendorapi.Cooldown{For: time.Hour, Reason: vendorapi.CooldownOutage}
}

// A request that is too old is not sent, so it does not wait for the vendor.
func TestAdmit_keepsNothingThatIsTooLate(t *testing.T) {
	t.Parallel()
	h := &handler{cfg: Config{}.withDefaults(), ledger: &ledger{}, vendor: full{}}
	expired, old := testRequest("expired"), testRequest("old")
	expired.NotAfter = time.Now().Add(-time.Second)
	old.message.RequestedAt = time.Now().Add(-h.cfg.GiveUpAfter)
	for _, req := range []*request{expired, old} {
		if s, admitted := h.admit(t.Context(), nil, req, nil); !admitted {
			t.Errorf("%s: %+v", req.RequestID, s)
		}
	}
	if s, admitted := h.admit(t.Context(), &delivery{}, testRequest("fresh"), nil); admitted || !s.waits || !errors.Is(s.err, errNoCapacity) {
		t.Errorf("a fresh request: %+v, want that it waits", s)
	}
}
