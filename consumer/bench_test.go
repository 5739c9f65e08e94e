package consumer_test

import (
	"fmt"
	"testing"

	"backhaul/vendorapi/simulator"
)

// BenchmarkRequests measures a request from the queue to its outcome, with everything in this
// process: a server that does not sync, and a vendor that answers at once.
func BenchmarkRequests(b *testing.B) {
	r := newRig(b, simulator.Config{})
	for n := range b.N {
		r.publish("billing", body(fmt.Sprintf("bench-%d", n)))
	}
	b.ReportAllocs()
	b.ResetTimer()
	r.start()
	r.settled()
	b.StopTimer()
}
