package consumer

import (
	"testing"
	"time"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// The last instants of a lease are for the way of the last byte to the vendor: an attempt
// has ended before them, and before that there is time for a whole attempt.
func TestPermit_endsBeforeTheLease(t *testing.T) {
	t.Parallel()
	cfg := Config{AttemptTimeout: 10 * time.Second}
	h := &handler{cfg: cfg, stop: t.Context()}
	c := &claim{req: &request{}, taken: time.Now()}
	until, err := h.permit(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	beyond := cfg.lease() - cfg.AttemptTimeout
	if allowed := until.Sub(c.taken); allowed != cfg.AttemptTimeout+beyond/2 {
		t.Errorf("an attempt is permitted for %s of a lease of %s, want half of the %s beyond an attempt to be left", allowed, cfg.lease(), beyond)
	}
}

// Our lease begins before the claim is sent. The server's begins when it is stored, so
// it never ends before ours.
func TestLedgerClaim_leaseBeginsBeforeTheWrite(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	nc := s.Connect(t)
	pub, err := publisher.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	events, err := natstest.JetStream(t, nc).Stream(t.Context(), publisher.EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	l := &ledger{events: events, reader: publisher.NewLastReader(events), publisher: pub, owner: "one", lease: time.Minute}
	req := &request{BackupRequest: schemas.BackupRequest{RequestID: "r"}, key: publisher.NewKey("test", "r")}
	c, err := l.claim(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := events.GetMsg(t.Context(), c.sequence)
	if err != nil {
		t.Fatal(err)
	}
	if !c.taken.Before(msg.Time) {
		t.Errorf("the lease begins at %s, the claim was stored at %s", c.taken, msg.Time)
	}
}
