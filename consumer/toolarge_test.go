package consumer_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

// maxMsgSize limits the messages of a stream.
func maxMsgSize(stream string, size int32) natstest.Change {
	return func(cfg *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) {
		if cfg != nil && cfg.Name == stream {
			cfg.MaxMsgSize = size
		}
	}
}

// An event that is too large for the stream is recorded with shortened lists and texts.
func TestAnEventThatIsTooLarge(t *testing.T) {
	t.Parallel()
	many := strings.Repeat(`"5976",`, 5000)
	long := strings.Repeat("ü", 5000)
	labels := make([]string, 32)
	for i := range labels {
		labels[i] = fmt.Sprintf(`"label-%02d":%q`, i, strings.Repeat("x", 256))
	}
	for name, c := range map[string]struct {
		answer  string
		members []string
		size    int32
		want    func(*testing.T, *rig)
	}{
		"job ids": {`{"taskId":77,"jobIds":[` + many + `"5976"]}`, nil, 8192, func(t *testing.T, b *rig) {
			e := b.lastEvent(billing("id")).(*schemas.JobStarted)
			if e.JobID != "5976" || len(e.JobIDs) == 0 || e.Omitted["jobIds"]+len(e.JobIDs) != 5001 {
				t.Errorf("job %s, %d ids, omitted %v", e.JobID, len(e.JobIDs), e.Omitted)
			}
		}},
		"error message": {`{"errorCode":587207178,"errorMessage":"` + long + `"}`, nil, 8192, func(t *testing.T, b *rig) {
			e := b.lastEvent(billing("id")).(*schemas.JobFailed)
			if e.ErrorCode != "587207178" || !strings.HasPrefix(e.ErrorMessage, "üü") || !strings.HasSuffix(e.ErrorMessage, "ü…") || e.Omitted["errorMessage"] == 0 {
				t.Errorf("%s %.20q (%d), omitted %v", e.ErrorCode, e.ErrorMessage, len(e.ErrorMessage), e.Omitted)
			}
		}},
		"labels": {"", []string{`"labels":{` + strings.Join(labels, ",") + `}`}, 4096, func(t *testing.T, b *rig) {
			e := b.started(billing("id"))
			if len(e.Labels)+e.Omitted["labels"] != 32 || e.Omitted["labels"] == 0 {
				t.Errorf("%d labels, omitted %v", len(e.Labels), e.Omitted)
			}
			claim := b.history(billing("id"))[0].data.(*schemas.JobSubmitting)
			if claim.Omitted["labels"] == 0 || claim.Request.SubclientName != "stestgroup" {
				t.Errorf("claim %+v", claim)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{}, maxMsgSize(publisher.EventsStream, c.size))
			if c.answer != "" {
				b.sim.Script(simulator.Fault{Kind: simulator.Status, Status: http.StatusOK, Body: c.answer, Header: map[string]string{"Content-Type": "application/json"}})
			}
			w := b.start()
			b.publish("billing", body("id", c.members...))
			b.settled()
			c.want(t, b)
			if said := w.log.String(); !strings.Contains(said, "recorded without a part") {
				t.Errorf("the log does not say what was left out:\n%s", said)
			}
		})
	}
}

// lastEvent returns the last event of a request.
func (b *rig) lastEvent(key publisher.Key) schemas.Event {
	b.t.Helper()
	history := b.history(key)
	if len(history) == 0 {
		b.t.Fatalf("%s has no events", key)
	}
	return history[len(history)-1].data
}

// A dead letter that is too large for the stream is kept without the end of its payload.
func TestADeadLetterThatIsTooLarge(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{}, maxMsgSize(publisher.DeadLetterStream, 16<<10))
	payload := body("id", `"typo":"`+strings.Repeat("x", 200<<10)+`"`)
	b.publish("billing", payload, "X-Theirs", "kept only where it fits")
	b.start()
	b.settled()
	if e := b.failed(billing("id")); e.ErrorCode != schemas.CodeInvalidRequest {
		t.Errorf("job-failed is %+v", e)
	}
	deadLetters := b.deadLetters()
	if len(deadLetters) != 1 {
		t.Fatalf("%d dead letters, want 1", len(deadLetters))
	}
	deadLetter := publisher.ReadDeadLetter(deadLetters[0].Subject, deadLetters[0].Header, deadLetters[0].Data)
	if deadLetter.Size != len(payload) || len(deadLetter.Data) != 4<<10 || !strings.HasPrefix(payload, string(deadLetter.Data)) {
		t.Errorf("%d of %d bytes are kept, %d are said", len(deadLetter.Data), len(payload), deadLetter.Size)
	}
	pub, err := publisher.New(b.js.Conn())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pub.Replay(b.within(patience), deadLetter, "again"); err == nil || !strings.Contains(err.Error(), "only the first 4096") {
		t.Errorf("replay of a part: %v, want an error", err)
	}
}
