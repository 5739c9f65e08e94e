package publisher_test

import (
	"testing"

	"backhaul/publisher"
)

// The priority is a token of the subject of a request. The source is one token with any.
func TestRequestSubject_priorities(t *testing.T) {
	t.Parallel()
	for p, want := range map[publisher.Priority]string{
		publisher.High: "backup.request.billing.high", publisher.Normal: "backup.request.billing", publisher.Low: "backup.request.billing.low",
	} {
		if got := publisher.RequestSubject("billing", p); got != want {
			t.Errorf("RequestSubject of %s is %q, want %q", p.Name(), got, want)
		}
		if source, got, err := publisher.ParseRequestSubject(want); err != nil || source != "billing" || got != p {
			t.Errorf("ParseRequestSubject(%q) = %q, %q, %v", want, source, got, err)
		}
		if got, err := publisher.ParsePriority(p.Name()); err != nil || got != p {
			t.Errorf("ParsePriority(%q) = %q, %v", p.Name(), got, err)
		}
	}
	for _, subject := range []string{
		"backup.request.billing.normal", "backup.request.billing.HIGH", "backup.request.billing.", "backup.request.billing.high.low",
		"backup.request..high", "backup.request.*.high", "backup.request.billing.*", "backup.request.>",
	} {
		if source, p, err := publisher.ParseRequestSubject(subject); err == nil {
			t.Errorf("ParseRequestSubject(%q) = %q, %q, want an error", subject, source, p)
		}
	}
	for _, name := range []string{"", "urgent", "High"} {
		if p, err := publisher.ParsePriority(name); err == nil {
			t.Errorf("ParsePriority(%q) = %q, want an error", name, p)
		}
	}
}
