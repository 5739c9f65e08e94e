package consumer_test

import (
	"strings"
	"testing"

	"backhaul/vendorapi/simulator"
)

// A CloudEvent with unencoded headers and a fault in an attribute that requests do not use
// starts its job. The log names the fault.
func TestACloudEventWithFaultsThatDoNotMatter(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	w := b.start()
	b.publish("billing", body(""), "ce-specversion", "1.0", "ce-id", "50%-done", "ce-source", "größe", "ce-type", "100%", "ce-time", "2026-11-23T10:00Z")
	b.settled()
	key := billing("50%-done")
	if got := kinds(b.history(key)); !strings.HasSuffix(got, "job-started") {
		t.Errorf("the history is %q", got)
	}
	if said := w.log.String(); !strings.Contains(said, `"notes":["header ce-time: is \"2026-11-23T10:00Z\", no RFC 3339 time; it is not used"]`) {
		t.Errorf("the log says\n%s", said)
	}
}
