package consumer

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"backhaul/consumer/internal/journal"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// newInheriting returns a consumer without its loops that keeps a journal, and the ledger of a process
// that has one in the same directory.
func newInheriting(t *testing.T, nc *nats.Conn, slots int) (c *Consumer, dead *ledger) {
	t.Helper()
	l := newLedgerOn(t, nc, time.Minute)
	l.guard = guardOf(t, l, nc)
	if l.guard.compare(t.Context()); l.guard.err() != nil {
		t.Fatal(l.guard.err())
	}
	c = &Consumer{nc: nc, cfg: Config{ClaimsDir: t.TempDir()}.withDefaults(), handler: &handler{ledger: l}, log: zerolog.Nop()}
	dead = l.of("dead")
	var err error
	if dead.journal, err = journal.Open(c.cfg.ClaimsDir, c.ledgerName(), slots); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dead.journal.Close(false) })
	return c, dead
}

// dies ends a process. Its journal is left.
func (l *ledger) dies(t *testing.T) {
	t.Helper()
	if err := l.journal.Close(true); err != nil {
		t.Fatal(err)
	}
}

func journalsIn(t *testing.T, c *Consumer) int {
	t.Helper()
	all, err := os.ReadDir(c.cfg.ClaimsDir)
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// The journal has the last claim of each request, whichever step has written it, and a slot is free
// again when its claim has ended, was renewed or could not be written.
func TestInherit_everyStep(t *testing.T) {
	t.Parallel()
	c, dead := newInheriting(t, natstest.Start(t).Connect(t), 4)
	l := c.handler.ledger
	for i := range 6 {
		req := testRequest("ended-" + string(rune('a'+i)))
		dead.claimed(t, req).end()
		if got, err := dead.claim(t.Context(), req); err != nil || got.result != claimHeld { // the write is refused
			t.Fatalf("got %+v, %v", got, err)
		}
	}
	claimed, renewed, taken := testRequest("claimed"), testRequest("renewed"), testRequest("taken")
	dead.claimed(t, claimed)
	r := dead.claimed(t, renewed)
	for range 5 {
		if err := dead.renew(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	l.claimed(t, taken)
	last, _ := l.lastClaim(t, taken)
	if _, err := dead.takeOver(t.Context(), taken, last, doubt{}); err != nil {
		t.Fatal(err)
	}
	dead.dies(t)
	c.inherit(t.Context())
	for _, req := range []*request{claimed, renewed, taken} {
		if _, got := l.lastClaim(t, req); got.LeaseMillis != 0 || got.Owner != l.owner {
			t.Errorf("%s: the claim is %+v, want a release", req.RequestID, got)
		}
	}
	if n := journalsIn(t, c); n != 0 {
		t.Errorf("%d journals are left", n)
	}
}

// A release says of the request what its claim said.
func TestInherit_keepsTheRequest(t *testing.T) {
	t.Parallel()
	c, dead := newInheriting(t, natstest.Start(t).Connect(t), 4)
	l := c.handler.ledger
	req := testRequest("request-7")
	req.key = publisher.NewKey("test", "another-key")
	req.ClientName, req.replayOf, req.message.PayloadHash = "a-client", "dead-letter-3", "hash"
	dead.claimed(t, req)
	last, _ := l.lastClaim(t, req)
	if _, err := dead.takeOver(t.Context(), req, last, doubt{}); err != nil {
		t.Fatal(err)
	}
	event := func() schemas.JobSubmitting {
		last, err := l.last(t.Context(), req.key)
		if err != nil {
			t.Fatal(err)
		}
		return *last.event.(*schemas.JobSubmitting)
	}
	before := event()
	dead.dies(t)
	c.inherit(t.Context())
	got := event()
	if got.LeaseMillis != 0 || before.Epoch != 2 {
		t.Fatalf("the claim %+v became %+v", before, got)
	}
	if got.RequestID != before.RequestID || got.ReplayOf != before.ReplayOf || got.Epoch != before.Epoch ||
		got.Request.ClientName != before.Request.ClientName || got.Message.PayloadHash != before.Message.PayloadHash {
		t.Errorf("the claim %+v became %+v", before, got)
	}
}

// A claim whose event cannot be read now is tried again by the next process, and one journal that
// cannot be read does not hide another.
func TestInherit_fails(t *testing.T) {
	t.Parallel()
	c, dead := newInheriting(t, natstest.Start(t).Connect(t), 4)
	l := c.handler.ledger
	req := testRequest("r")
	dead.claimed(t, req)
	dead.dies(t)
	if err := os.Symlink(os.DevNull, filepath.Join(c.cfg.ClaimsDir, c.ledgerName()+"-0.claims")); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	c.inherit(ended)
	if n := journalsIn(t, c); n != 2 {
		t.Fatalf("%d files are left after a failure, want the journal and the link", n)
	}
	c.inherit(t.Context())
	if _, got := l.lastClaim(t, req); got.LeaseMillis != 0 {
		t.Errorf("the claim is %+v, want a release", got)
	}
	if n := journalsIn(t, c); n != 1 {
		t.Errorf("%d files are left, want the link", n)
	}
}

// An owner that was faster and an event that cannot be read are not tried again.
func TestLedgerInherit_leavesOthers(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	nc := server.Connect(t)
	proxy := natstest.StartProxy(t, server)
	l, two := newLedgerOn(t, proxy.Connect(t), time.Minute), newLedgerOn(t, nc, time.Minute).of("two")
	left := func(req *request, nonce string) journal.Claim {
		return journal.Claim{Text: nonce + " " + req.key.Source + " " + req.key.Name}
	}

	req := testRequest("taken")
	c := two.claimed(t, req)
	_, claim := two.lastClaim(t, req)
	var once atomic.Bool
	proxy.On(func(op string) natstest.Action {
		if strings.HasPrefix(op, "HPUB backup.event") && once.CompareAndSwap(false, true) {
			if err := two.renew(context.Background(), c); err != nil {
				t.Error(err)
			}
		}
		return natstest.Forward
	})
	if ended, err := l.inherit(t.Context(), left(req, claim.Nonce)); ended || err != nil || !once.Load() {
		t.Errorf("with another owner: %t, %v", ended, err)
	}

	bad := testRequest("unreadable")
	event := *two.claimed(t, bad)
	msg := two.stored(t, event.sequence)
	header := nats.Header{}
	for name, values := range msg.Header {
		if strings.HasPrefix(strings.ToLower(name), "ce-") { // without what the server compares
			header[name] = values
		}
	}
	if _, err := natstest.JetStream(t, nc).PublishMsg(t.Context(), &nats.Msg{Subject: msg.Subject, Header: header, Data: []byte(`{"leaseMillis":"long"}`)}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.last(t.Context(), bad.key); err == nil {
		t.Fatal("the event can be read")
	}
	if ended, err := l.inherit(t.Context(), left(bad, "x")); ended || err != nil {
		t.Errorf("with an event that cannot be read: %t, %v", ended, err)
	}
}

func TestKeyOfEntry(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{"nonce source key": true, "nonce source": false, "nonce source key more": false, "": false} {
		key, nonce, ok := keyOfEntry(text)
		if ok != want || ok && (nonce != "nonce" || key != publisher.Key{Source: "source", Name: "key"}) {
			t.Errorf("%q: %v %q %t", text, key, nonce, ok)
		}
	}
}

// The journal has two slots for each request in flight: a renewal writes its claim before the one
// before it ends. It is removed at the end of the process, unless claims may be left.
func TestConsumer_itsJournal(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	nc := server.Connect(t)
	c, _ := newInheriting(t, nc, 1)
	for closed, want := range map[bool]int{false: 1, true: 2} { // with the journal of newInheriting
		c.handler.ledger.journal = nil
		c.openJournal()
		for range 2 * c.cfg.slots() {
			if c.handler.ledger.journal.Begin("a") == nil {
				t.Fatal("too few slots")
			}
		}
		if c.handler.ledger.journal.Begin("a") != nil {
			t.Error("too many slots")
		}
		if c.nc = nc; closed {
			c.nc = server.Connect(t)
			c.nc.Close()
		}
		c.closeJournal()
		if n := journalsIn(t, c); n != want {
			t.Errorf("without a connection %t: %d journals are left, want %d", closed, n, want)
		}
		all, err := journal.FindDead(c.cfg.ClaimsDir, c.ledgerName())
		if err != nil {
			t.Fatal(err)
		}
		for _, dead := range all {
			_ = dead.Close(true)
		}
	}
	other, _ := newInheriting(t, natstest.Start(t).Connect(t), 1)
	if c.ledgerName() == other.ledgerName() {
		t.Error("two ledgers have the same name")
	}
}
