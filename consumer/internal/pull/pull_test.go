package pull

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
)

// The open pulls are counted, whatever the server answers. The headers of a message are not
// the server's.
func TestPulls_Heard(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reply, status, text, left string
		answer                    Answer
		asked                     int    // of 400
		want                      string // in the error, "" for none
	}{
		"a message":                 {AckPrefix + "x", "", "", "", Message, 399, ""},
		"a message with a status":   {AckPrefix + "x", "409", "Consumer Deleted", "400", Message, 399, ""},
		"a heartbeat":               {"", "100", "Idle Heartbeat", "", Heartbeat, 400, ""},
		"an expired pull":           {"", "408", "Request Timeout", "300", Ended, 100, ""},
		"no message is left":        {"", "404", "No Messages", "300", Ended, 100, ""},
		"the bytes are used up":     {"", "409", "Message Size Exceeds MaxBytes", "300", Ended, 100, ""},
		"all messages have arrived": {"", "409", "Batch Completed", "", Ended, 0, ""},
		"a deleted consumer":        {"", "409", "Consumer Deleted", "300", Ended, 100, "Consumer Deleted"},
		"a new leader":              {"", "409", "Leadership Change", "300", Ended, 100, "Leadership Change"},
		"too many pulls":            {"", "409", "Exceeded MaxWaiting", "", Ended, 0, "MaxWaiting"},
		"without JetStream":         {"", "503", "", "", Ended, 250, "no responders"},
	} {
		p := New(&nats.Conn{}, "S", "c", 1)
		p.Asked = 400
		msg := &nats.Msg{Subject: "inbox.150", Reply: c.reply, Header: nats.Header{"Status": {c.status}, "Description": {c.text}}}
		if c.left != "" {
			msg.Header.Set("Nats-Pending-Messages", c.left)
		}
		answer, err := p.Heard(msg)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if answer != c.answer || p.Asked != c.asked || p.HeardAt.IsZero() {
			t.Errorf("%s: answer %d, asked %d, heard at %s; want %d and %d", name, answer, p.Asked, p.HeardAt, c.answer, c.asked)
		}
	}
}

// A pull brings messages and ends when it expires. Each changes the count.
func TestPulls_Ask(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect(t)
	asked, err := nc.SubscribeSync("$JS.API.CONSUMER.MSG.NEXT.>")
	if err != nil {
		t.Fatal(err)
	}
	p := New(nc, publisher.RequestsStream, publisher.RequestsConsumer, 16)
	sub, err := p.Subscribe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if _, err := natstest.JetStream(t, nc).Publish(t.Context(), "backup.request.billing", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if err := p.Ask(3, `"expires":100000000`); err != nil || p.Asked != 3 {
		t.Fatalf("%v, and %d are asked for", err, p.Asked)
	}
	if msg, err := asked.NextMsg(time.Minute); err != nil || !json.Valid(msg.Data) || !strings.HasSuffix(msg.Reply, ".3") {
		t.Errorf("the pull is %+v, %v", msg, err)
	}
	for _, want := range []struct {
		answer Answer
		asked  int
	}{{Message, 2}, {Ended, 0}} {
		if answer, err := p.Heard(<-p.Incoming); err != nil || answer != want.answer || p.Asked != want.asked {
			t.Errorf("answer %d, %v, and %d are asked for; want %+v", answer, err, p.Asked, want)
		}
	}
}

// Only an open pull can be silent.
func TestPulls_Silent(t *testing.T) {
	t.Parallel()
	p := New(&nats.Conn{}, "S", "c", 1)
	p.Asked, p.HeardAt = 1, time.Now()
	if p.Silent(time.Minute) {
		t.Error("the server is silent at once")
	}
	p.HeardAt = p.HeardAt.Add(-time.Minute)
	if !p.Silent(time.Minute) {
		t.Error("the server is not silent after a minute")
	}
	p.Asked = 0
	if p.Silent(time.Minute) {
		t.Error("the server is silent without an open pull")
	}
}
