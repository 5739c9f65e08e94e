package consumer

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/consumer/scope"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
)

// pausedPicker is a picker whose handler knows of the pauses on record.
type pausedPicker struct {
	*testing.T
	*Consumer
	js  jetstream.JetStream
	pub *publisher.Publisher
}

func newPausedPicker(t *testing.T) *pausedPicker {
	t.Helper()
	c, js := newPicking(t)
	pub, err := publisher.New(c.nc)
	if err != nil {
		t.Fatal(err)
	}
	events := natstest.Stream(t, js, publisher.EventsStream)
	p := &pausedPicker{T: t, Consumer: c, js: js, pub: pub}
	p.handler = &handler{cfg: Config{}.withDefaults(), ledger: &ledger{events: events, reader: publisher.NewLastReader(events), publisher: pub}, inFlight: c.inFlight}
	p.knows()
	return p
}

// knows makes the picker know of the pauses on record.
func (p *pausedPicker) knows() {
	p.Helper()
	w, err := scope.NewWatch(p.Context(), natstest.Stream(p.T, p.js, publisher.EventsStream), zerolog.Nop())
	if err != nil {
		p.Fatal(err)
	}
	p.scopes, p.handler.scopes = w, w
}

func (p *pausedPicker) pause(s scope.Scope) {
	p.Helper()
	now := time.Now()
	_, err := scope.Add(p.Context(), natstest.Stream(p.T, p.js, publisher.EventsStream), p.pub,
		scope.Pause{Scope: s, Since: now, Until: now.Add(time.Hour), Actor: "ann", OperationID: s.String()})
	if err != nil {
		p.Fatal(err)
	}
}

func (p *pausedPicker) request(subject, id, group, members string) {
	p.Helper()
	data := fmt.Sprintf(`{"requestId":%q,"clientName":"c","subclientName":%q%s}`, id, group, members)
	if _, err := p.js.Publish(p.Context(), subject, []byte(data)); err != nil {
		p.Fatal(err)
	}
}

// sequences picks until nothing is left to read, and returns what was picked.
func (p *pausedPicker) sequences() (all []uint64) {
	p.Helper()
	for more := true; more; {
		p.picker.seenAt = time.Time{}
		d, err := p.picker.pick(p.Context(), 64)
		switch {
		case d != nil:
			all = append(all, d.sequence)
		case err == nil, err == errEmpty: //nolint:errorlint // as it is returned
			more = false
		case err != errMore: //nolint:errorlint // as it is returned
			p.Fatal(err)
		}
	}
	return all
}

// Requests of a paused scope are read past and not kept. One that has a claim in force, and one that
// is too old, are handed over.
func TestPicker_skips(t *testing.T) {
	t.Parallel()
	p := newPausedPicker(t)
	p.pause(scope.Scope{Group: "paused"})
	p.knows()
	const many = 100
	began := time.Now()
	for i := range many {
		p.request("backup.request.a", fmt.Sprint("id-", i), "paused", "")
	}
	p.request("backup.request.a", "old", "paused", `,"notAfter":"2020-01-01T00:00:00Z"`)
	p.request("backup.request.a", "other", "other", "")
	d, err := p.picker.pick(t.Context(), 1)
	if read := p.picker.lines["backup.request.a"].skipped.number; d != nil || err != errMore || read != maxSkipped { //nolint:errorlint // as it is returned
		t.Errorf("%d were read past before the other lines have their turn, %v; want %d", read, err, maxSkipped)
	}
	if got := p.sequences(); fmt.Sprint(got) != "[101 102]" {
		t.Errorf("%v were picked", got)
	}
	line := p.picker.lines["backup.request.a"]
	if len(line.kept) != 2 || line.skipped.number != many {
		t.Errorf("%d are kept and %d skipped", len(line.kept), line.skipped.number)
	}
	if got := p.sequences(); got != nil {
		t.Errorf("%v were picked again", got)
	}
	if !line.skipped.first && time.Since(began) < pausedAgain {
		t.Error("after a change of the pauses the line is not read again soon")
	}
	// Another pause instead of the first: those that were skipped are picked, in their order.
	if err := scope.Remove(t.Context(), natstest.Stream(t, p.js, publisher.EventsStream), p.pub, scope.Scope{Group: "paused"}); err != nil {
		t.Fatal(err)
	}
	p.pause(scope.Scope{Source: "b"})
	p.scopes.Refresh(t.Context())
	if got := p.sequences(); len(got) != many || got[0] != 1 || got[many-1] != many {
		t.Errorf("after the pause %v were picked", got)
	}
	if line.skipped.number != 0 {
		t.Errorf("%d are skipped", line.skipped.number)
	}
}

// When a line is read again from its beginning.
func TestSkipped_again(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for name, test := range map[string]struct {
			s    skipped
			want time.Duration
		}{
			"after a change":            {skipped{number: 1, first: true}, pausedAgain},
			"few":                       {skipped{number: 1}, skippedAgain},
			"many":                      {skipped{number: 5000}, 100 * time.Second},
			"one expires":               {skipped{number: 1, expires: now.Add(12 * time.Second)}, 12 * time.Second},
			"one expires at once":       {skipped{number: 1, expires: now}, pausedAgain},
			"one of many expires":       {skipped{number: 5000, expires: now.Add(time.Second)}, 25 * time.Second},
			"one expires in the future": {skipped{number: 1, expires: now.Add(time.Hour)}, skippedAgain},
		} {
			test.s.since = now
			if got := test.s.again().Sub(now); got != test.want {
				t.Errorf("%s: after %s, want %s", name, got, test.want)
			}
		}
	})
}

// A request of a paused scope that is delivered, as to a replica that may not pick, is not admitted:
// it waits, and no claim of it is written.
func TestAdmit_keepsAPausedScopeOut(t *testing.T) {
	t.Parallel()
	p := newPausedPicker(t)
	p.handler.vendor = full{}
	p.pause(scope.Scope{Source: "test"})
	p.knows()
	s, admitted := p.handler.admit(t.Context(), &delivery{stored: time.Now()}, testRequest("id"), nil)
	if admitted || s.verb != nak || !s.waits || !isPaused(s.err) || s.delay <= 0 {
		t.Errorf("admitted %t: %+v, want that it waits for the end of the pause", admitted, s)
	}
}
