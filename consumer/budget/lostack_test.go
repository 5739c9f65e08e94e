package budget

import (
	"testing"
	"time"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
)

// TestALostAcknowledgement: the write of a lease is stored and its acknowledgement is lost. It is
// repeated, finds itself, and is the one grant.
func TestALostAcknowledgement(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	nc := s.Connect(t)
	natstest.ProvisionBudget(t, nc)
	proxy := natstest.StartProxy(t, s)
	one := New(Config{Owner: "a", PerHour: 20, Timeout: 30 * time.Second})
	if err := one.Use(proxy.Connect(t)); err != nil {
		t.Fatal(err)
	}
	take(t, one)
	met := proxy.Once(publisher.BudgetSubject, natstest.Deafen)
	go func() {
		<-met
		proxy.Cut(false) // the connection is made again
	}()
	grant, err := one.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-met:
	default:
		t.Fatal("no acknowledgement was lost")
	}
	grant.End(true)
	one.Settle(t.Context())
	v, err := Read(t.Context(), natstest.JetStream(t, nc))
	if err != nil || v.Spent != 2 || len(v.By) != 1 || v.By[0].Open != 0 {
		t.Errorf("%+v, %v, want 2 calls", v, err)
	}
}
