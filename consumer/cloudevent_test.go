package consumer_test

import (
	"strings"
	"testing"

	"backhaul/vendorapi/simulator"
)

// A CloudEvent whose sender does not encode headers, and has a fault in an attribute that
// means nothing for a request, starts its job, and the log says what was found.
func TestACloudEventWithFaultsThatDoNotMatter(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	w := b.start()
	b.publish("billing", body(""), "ce-specversion", "1.0", "ce-id", "50%-done", "ce-source", "größe", "ce-type", "100%", "ce-time", "2026-11-23T10:00Z")
	b.settled()
	key := billing("50%-done")
	if got := kinds(b.story(key)); !strings.HasSuffix(got, "job-started") {
		t.Errorf("the story is %q", got)
	}
	if said := w.log.String(); !strings.Contains(said, `"notes":["header ce-time: is \"2026-11-23T10:00Z\", no RFC 3339 time; it is not used"]`) {
		t.Errorf("the log says\n%s", said)
	}
}
