package consumer

import (
	"testing"

	"pgregory.net/rapid"
)

// TestCancel_property: whatever the order of claims, calls, answers, lookups, releases, take-overs,
// ends of a wait, outcomes and cancellations: no job for a cancelled request, and one terminal event
// at most.
func TestCancel_property(t *testing.T) {
	t.Parallel()
	model := cancelModels(t)
	terminal := make(map[string]int)
	rapid.Check(t, func(rt *rapid.T) {
		m := model(rt)
		replica := rapid.SampledFrom(m.replicas)
		rt.Repeat(map[string]func(*rapid.T){
			"claim":     func(rt *rapid.T) { m.claims(replica.Draw(rt, "replica"), rapid.Bool().Draw(rt, "proven")) },
			"call":      func(rt *rapid.T) { m.call(replica.Draw(rt, "replica"), rapid.Bool().Draw(rt, "starts")) },
			"answer":    func(rt *rapid.T) { m.answer(replica.Draw(rt, "replica"), rapid.Bool().Draw(rt, "refused")) },
			"reconcile": func(rt *rapid.T) { m.reconcile(replica.Draw(rt, "replica")) },
			"release":   func(rt *rapid.T) { m.release(replica.Draw(rt, "replica")) },
			"renew":     func(rt *rapid.T) { m.renew(replica.Draw(rt, "replica")) },
			"die":       func(rt *rapid.T) { m.die(replica.Draw(rt, "replica")) },
			"inherit":   func(rt *rapid.T) { m.inherit(replica.Draw(rt, "replica")) },
			"recover":   func(rt *rapid.T) { m.doubtAll(replica.Draw(rt, "replica")) },
			"wait":      func(*rapid.T) { m.expire = m.wait() },
			"expire": func(*rapid.T) {
				if m.expire != nil {
					m.expire()
				}
			},
			"look": func(*rapid.T) {
				if found, ok := m.look(m.message); ok {
					m.seen = append(m.seen, found)
				}
			},
			"cancel": func(rt *rapid.T) {
				if len(m.seen) > 0 {
					m.cancel(rapid.SampledFrom(m.seen).Draw(rt, "seen"))
				}
			},
			"": func(*rapid.T) { m.check() },
		})
		terminal[m.outcome()]++
	})
	for _, outcome := range []string{"", "cancelled", "started", "failed"} {
		if terminal[outcome] == 0 {
			t.Errorf("no interleaving ended as %q: %v", outcome, terminal)
		}
	}
}
