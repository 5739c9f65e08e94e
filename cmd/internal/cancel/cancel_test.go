package cancel

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/operator"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

var ann = operator.By{Actor: "ann@ops", Reason: "by mistake"}

func newDesk(t *testing.T) (*Desk, jetstream.JetStream) {
	t.Helper()
	nc := natstest.Start(t).Connect(t)
	return New(nc), natstest.JetStream(t, nc)
}

func publish(t *testing.T, js jetstream.JetStream, subject, data string) {
	t.Helper()
	if _, err := js.Publish(t.Context(), subject, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

// Requests of all priorities are selected, in the order of the queue.
func TestDesk_Select(t *testing.T) {
	t.Parallel()
	d, js := newDesk(t)
	for i, subject := range []string{"billing", "billing.high", "crm", "billing.low", "billing"} {
		publish(t, js, "backup.request."+subject, fmt.Sprintf(`{"requestId":"r-%d","clientName":"c-%d","subclientName":"g","labels":{"n":"%d","all":"x"}}`, i, i%2, i))
	}
	publish(t, js, "backup.request.crm", `{"clientName":"c-1","subclientName":"other"}`)
	publish(t, js, "backup.request.crm", `not JSON`)
	all, err := d.Select(t.Context(), Filter{})
	if err != nil || len(all) != 7 {
		t.Fatalf("%+v, %v", all, err)
	}
	nameless := all[5].Key.Name
	for name, test := range map[string]struct {
		filter Filter
		want   string
	}{
		"all":            {Filter{}, "1 2 3 4 5 6 7"},
		"a source":       {Filter{Source: "billing"}, "1 2 4 5"},
		"a client":       {Filter{Client: "C-1"}, "2 4 6"},
		"a group":        {Filter{Source: "crm", Subclient: "g"}, "3"},
		"a label":        {Filter{Labels: map[string]string{"n": "3"}}, "4"},
		"two labels":     {Filter{Labels: map[string]string{"n": "3", "all": "x"}}, "4"},
		"a missing one":  {Filter{Labels: map[string]string{"none": ""}}, ""},
		"ids":            {Filter{IDs: map[string]bool{"r-0": true, "r-2": true, "x": true}}, "1 3"},
		"no id":          {Filter{IDs: map[string]bool{}}, ""},
		"a key":          {Filter{IDs: map[string]bool{nameless: true}}, "6"},
		"another source": {Filter{Source: "none"}, ""},
	} {
		found, err := d.Select(t.Context(), test.filter)
		var sequences []string
		for _, r := range found {
			sequences = append(sequences, fmt.Sprint(r.Sequence))
		}
		if got := strings.Join(sequences, " "); err != nil || got != test.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, test.want)
		}
	}
	if got := Counts(all); got != "4 of billing, 3 of crm" {
		t.Errorf("counts: %q", got)
	}
}

// A message that has left the queue since, or another one in its place, is not touched.
func TestDesk_Cancel(t *testing.T) {
	t.Parallel()
	d, js := newDesk(t)
	publish(t, js, "backup.request.billing", `{"requestId":"a","clientName":"c","subclientName":"g"}`)
	all, err := d.Select(t.Context(), Filter{})
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	other := all[0]
	other.Stored = other.Stored.Add(1)
	for name, r := range map[string]Request{"gone": {Key: all[0].Key, Sequence: 9}, "another": other} {
		for what, act := range map[string]func() (Outcome, error){
			"check":  func() (Outcome, error) { return d.Check(t.Context(), r) },
			"cancel": func() (Outcome, error) { return d.Cancel(t.Context(), r, ann) },
		} {
			if o, err := act(); err != nil || o.Result != Refused || o.Why != "it has left the queue; `backhaul status billing/a` shows what became of it" {
				t.Errorf("%s, %s: %+v, %v", name, what, o, err)
			}
		}
	}
	for _, by := range []operator.By{{Actor: "ann"}, {Reason: "x"}, {Actor: "ann", Reason: "a\nb"}} {
		if o, err := d.Cancel(t.Context(), all[0], by); err == nil {
			t.Errorf("by %+v: %+v", by, o)
		}
	}
	if n := natstest.Stream(t, js, publisher.EventsStream).CachedInfo().State.Msgs; n != 0 {
		t.Errorf("%d events of what was not done", n)
	}
	for i, want := range []Outcome{{Result: Would}, {Result: Cancelled}, {Before, "cancelled by ann@ops: by mistake"}} {
		var o Outcome
		if i == 0 {
			o, err = d.Check(t.Context(), all[0])
		} else {
			o, err = d.Cancel(t.Context(), all[0], ann)
		}
		if err != nil || o != want {
			t.Errorf("%+v, %v, want %+v", o, err, want)
		}
	}
	kept := natstest.Stored(t, js, publisher.EventsStream, all[0].Key.Subject(schemas.KindJobFailed))
	if len(kept) != 1 || natstest.Stream(t, js, publisher.RequestsStream).CachedInfo().State.Msgs != 1 {
		t.Errorf("%d outcomes; the message must stay for a replica", len(kept))
	}
}
