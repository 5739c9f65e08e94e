package replica

import (
	"testing"
	"time"

	"backhaul/cmd/internal/doctor"
)

// A replica of another ledger says nothing about this one.
func TestOn(t *testing.T) {
	t.Parallel()
	made := time.Date(2026, 11, 28, 12, 0, 0, 1, time.UTC)
	says := func(ledger time.Time) *Replica {
		return &Replica{Address: "a", Answered: true, Ready: true, Checks: []Check{{Name: "vendor", Error: "away"}}, ledger: ledger}
	}
	for _, same := range []time.Time{made, made.Local(), {}} {
		if r := says(same).On(made); r.Other || !r.Ready || len(r.Findings()) != 1 {
			t.Errorf("made at %s: %+v", same, r)
		}
	}
	if r := says(made.Add(1)).On(made); !r.Other || r.Ready || len(r.Checks) != 0 || len(r.Findings()) != 0 || r.Error == "" {
		t.Errorf("of another ledger: %+v", r)
	}
	if r := (*Replica)(nil).On(made); r != nil {
		t.Errorf("without one: %+v", r)
	}
}

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
