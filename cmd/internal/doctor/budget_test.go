package doctor

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer/budget"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
)

// TestBudget: the stream is missed only if a budget is set, because Budget is called only then.
func TestBudget(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect(t)
	js := natstest.JetStream(t, nc)
	want(t, Budget(t.Context(), nc, js),
		"error | stream BACKUP_BUDGET | does not exist: nothing is started with BACKHAUL_WRITES_PER_HOUR")
	natstest.ProvisionBudget(t, nc)
	want(t, Budget(t.Context(), nc, js), "ok | stream BACKUP_BUDGET | as shipped", "ok | budget | not used yet")

	one := budget.New(budget.Config{Owner: "a", PerHour: 100, Timeout: time.Second})
	if err := one.Use(nc); err != nil {
		t.Fatal(err)
	}
	grant, err := one.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	grant.End(true)
	want(t, Budget(t.Context(), nc, js), "ok | stream BACKUP_BUDGET | as shipped", "ok | budget | 1 of 100 writing calls spent in the last hour, 99 left")

	if _, err := js.Publish(t.Context(), publisher.BudgetSubject, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	want(t, only(Budget(t.Context(), nc, js), "budget"),
		"warning | budget | stream BACKUP_BUDGET: its record was not written by Backhaul: the calls before are taken for a whole budget")
	if err := js.DeleteStream(t.Context(), publisher.BudgetStream); err != nil {
		t.Fatal(err)
	}
	natstest.ProvisionBudget(t, nc, func(stream *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { stream.AllowDirect = true })
	want(t, only(Budget(t.Context(), nc, js), "stream BACKUP_BUDGET"), "error | stream BACKUP_BUDGET | allow_direct is true, must be false")
}
