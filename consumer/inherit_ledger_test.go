package consumer

import (
	"testing"
	"time"

	"github.com/rs/zerolog"

	"backhaul/consumer/internal/journal"
	"backhaul/schemas"
)

// What a journal says counts for the claim that it is about, and for nothing else.
func TestLedgerInherit_onlyThatClaim(t *testing.T) {
	t.Parallel()
	l := newLedger(t, time.Minute)
	two := l.of("two")
	for name, test := range map[string]struct {
		before   func(*testing.T, *claim) // what the dead process has written behind the claim
		sent     bool
		released bool
		lease    time.Duration
		doubt    func(*claim) schemas.Claim
	}{
		"not sent": {released: true, doubt: func(*claim) schemas.Claim { return schemas.Claim{} }},
		"sent":     {sent: true, released: true, lease: overLease, doubt: func(c *claim) schemas.Claim { return schemas.Claim{DoubtSequence: c.sequence} }},
		"in doubt": {before: func(t *testing.T, c *claim) {
			c.doubt = doubt{under: 7, task: "4038"}
			if err := two.renew(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}, released: true, lease: overLease, doubt: func(*claim) schemas.Claim {
			return schemas.Claim{DoubtSequence: 7, DoubtTaskID: "4038"}
		}},
		"in a doubt that is over": {before: func(t *testing.T, c *claim) {
			c.doubt = doubt{under: 7}
			if err := two.write(t.Context(), c, StepRenew, c.sequence, overLease); err != nil {
				t.Fatal(err)
			}
		}},
		"unlikely": {before: func(t *testing.T, c *claim) {
			c.doubt = doubt{under: 7, task: "4038", unlikely: true}
			if err := two.renew(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}, released: true, doubt: func(*claim) schemas.Claim {
			return schemas.Claim{DoubtSequence: 7, DoubtTaskID: "4038", DoubtUnlikely: true}
		}},
		"in doubt and sent": {before: func(t *testing.T, c *claim) {
			c.doubt = doubt{under: 7}
			if err := two.renew(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}, sent: true},
		"released before": {before: func(t *testing.T, c *claim) {
			if err := two.release(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}},
		"with its outcome": {before: func(t *testing.T, c *claim) {
			if err := two.record(t.Context(), c.req, c.sequence, started(c.req.RequestID)); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			req := testRequest("id-" + name[:4])
			req.key.Name, req.RequestID = "k"+hexOf(name), "k"+hexOf(name)
			c := two.claimed(t, req)
			if test.before != nil {
				test.before(t, c)
			}
			last, err := l.last(t.Context(), req.key)
			if err != nil {
				t.Fatal(err)
			}
			nonce := "another"
			if claim, is := last.event.(*schemas.JobSubmitting); is {
				nonce = claim.Nonce
			}
			text := func(nonce string) journal.Claim {
				return journal.Claim{Text: nonce + " " + req.key.Source + " " + req.key.Name, Sent: test.sent}
			}
			for _, other := range []journal.Claim{text("another"), {Text: "nonsense"}, {Text: nonce + " test no-such-request"}} {
				if released, err := l.inherit(t.Context(), other); released || err != nil {
					t.Errorf("by %q: released %t, %v", other.Text, released, err)
				}
			}
			released, err := l.inherit(t.Context(), text(nonce))
			if released != test.released || err != nil {
				t.Fatalf("released %t, %v, want %t", released, err, test.released)
			}
			if !released {
				return
			}
			_, got := l.lastClaim(t, req)
			want := test.doubt(c)
			if got.LeaseMillis != test.lease.Milliseconds() || got.DoubtSequence != want.DoubtSequence || got.DoubtTaskID != want.DoubtTaskID || got.DoubtUnlikely != want.DoubtUnlikely {
				t.Errorf("the claim is %+v, want the doubt %+v", got, want)
			}
			if test.lease > 0 { // nobody claims it before the end of the window
				if next, err := l.claim(t.Context(), req); err != nil || next.result != claimHeld {
					t.Errorf("the next claim is %+v, %v", next, err)
				}
				return
			}
			if next, err := l.claim(t.Context(), req); err != nil || next.result != claimMine || next.claim.epoch != c.epoch+1 {
				t.Errorf("the next claim is %+v, %v", next, err)
			}
		})
	}
}

// hexOf makes a token of a test's name.
func hexOf(name string) string {
	token := []byte(name)
	for i, b := range token {
		if b == ' ' {
			token[i] = '-'
		}
	}
	return string(token)
}

// While the ledger is not known nothing is released, and the journal stays.
func TestInherit_aLedgerThatIsNotKnown(t *testing.T) {
	t.Parallel()
	l, g := newGuarded(t)
	if g.compare(t.Context()); g.err() != nil {
		t.Fatal(g.err())
	}
	c := &Consumer{cfg: Config{ClaimsDir: t.TempDir()}.withDefaults(), handler: &handler{ledger: l}, log: zerolog.Nop()}
	dead := l.of("dead")
	var err error
	if dead.journal, err = journal.Open(c.cfg.ClaimsDir, c.ledgerName(), 4); err != nil {
		t.Fatal(err)
	}
	req := testRequest("id")
	dead.claimed(t, req)
	if err := dead.journal.Close(true); err != nil {
		t.Fatal(err)
	}
	lease := func() int64 {
		_, claim := l.lastClaim(t, req)
		return claim.LeaseMillis
	}
	g.lost.Store(&LedgerError{errForgotten})
	if c.inherit(t.Context()); lease() == 0 {
		t.Error("the claim is released although the ledger is not known")
	}
	g.lost.Store(nil)
	if c.inherit(t.Context()); lease() != 0 {
		t.Error("the claim is not released")
	}
}
