package consumer

import (
	"testing"
	"time"

	"backhaul/vendorapi"
)

// limited is a vendor with capacity for some jobs.
type limited struct {
	uncalled
	capacity int
	cooldown vendorapi.Cooldown
}

func (l limited) Capacity(n int) (int, vendorapi.Cooldown) { return min(n, l.capacity), l.cooldown }

// Starts are scarce while a limit holds, not while the vendor is in trouble.
func TestScarce(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		capacity int
		cooldown vendorapi.Cooldown
		scarce   bool
	}{
		{64, vendorapi.Cooldown{}, false},
		{2, vendorapi.Cooldown{Reason: vendorapi.CooldownRate}, true},
		{0, vendorapi.Cooldown{For: time.Minute, Reason: vendorapi.CooldownRate}, true},
		{1, vendorapi.Cooldown{Reason: vendorapi.CooldownBudget}, true},
		{0, vendorapi.Cooldown{For: time.Minute, Reason: vendorapi.CooldownBudget}, true},
		{0, vendorapi.Cooldown{For: time.Minute, Reason: vendorapi.CooldownThrottled}, true},
		{0, vendorapi.Cooldown{For: time.Minute, Reason: vendorapi.CooldownOutage}, false},
		{0, vendorapi.Cooldown{For: time.Minute, Reason: vendorapi.CooldownLogin}, false},
		{1, vendorapi.Cooldown{}, false},
	} {
		h := &handler{cfg: Config{}.withDefaults(), vendor: limited{capacity: test.capacity, cooldown: test.cooldown}}
		if got := h.scarce(); got != test.scarce {
			t.Errorf("with capacity for %d and %+v, scarce is %t", test.capacity, test.cooldown, got)
		}
	}
}
