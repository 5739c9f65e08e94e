package replica

import (
	"testing"

	"backhaul/cmd/internal/doctor"
)

// What makes a replica unready is an error of `check`, a condition is a warning.
func TestReplica_FindingsHaveTheLevelOfTheCheck(t *testing.T) {
	t.Parallel()
	r := &Replica{Answered: true, Checks: []Check{
		{Name: "requests", OK: true}, {Name: "ledger writes", Error: "full"}, {Name: "vendor", Condition: true, Error: "away"},
	}}
	got := r.Findings()
	if len(got) != 2 || got[0].Level != doctor.Error || got[0].Check != "replica ledger writes" || got[1].Level != doctor.Warning {
		t.Errorf("findings %+v", got)
	}
}
