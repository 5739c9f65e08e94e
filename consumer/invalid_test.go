package consumer_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

func TestInvalidRequests(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.start()
	for name, test := range map[string]struct {
		data    string
		headers []string
		id      string // "" stands for the message's place in the stream
		says    string
	}{
		"unknown member":           {body("u", `"subclientname":"x"`), nil, "u", "/subclientname"},
		"member given twice":       {body("m", `"clientName":"x"`), nil, "m", "/clientName"},
		"wrong level":              {body("l", `"backupLevel":"full"`), nil, "l", "/backupLevel"},
		"missing member":           {`{"requestId":"c","clientName":"x"}`, nil, "c", "/subclientName"},
		"null":                     {body("n", `"storagePolicyName":null`), nil, "n", "/storagePolicyName"},
		"label":                    {body("la", `"labels":{"a":1}`), nil, "la", "/labels/a"},
		"CloudEvent":               {`{"specversion":"1.0","id":"ce","source":"s","type":"t","data":{"clientName":1}}`, nil, "ce", "/data/clientName"},
		"binary CloudEvent":        {body(""), []string{"ce-specversion", "0.3", "ce-id", "bce", "ce-source", "s", "ce-type", "t"}, "bce", "header ce-specversion"},
		"batch":                    {"[]", []string{"Content-Type", "application/cloudevents-batch+json"}, "", "batch"},
		"id of control characters": {body("", `"requestId":"a\u0000b"`), nil, "", "/requestId"},
		"no JSON":                  {`{"requestId":"x"`, nil, "x", "not valid JSON"},
		"two documents":            {body("two") + body("two"), nil, "two", "more than one JSON document"},
		"array":                    {"[]", nil, "", "must be a JSON object"},
		"empty":                    {"", nil, "", "is empty"},
		"text":                     {"please back up", nil, "", "not valid JSON"},
		"large":                    {body("", `"labels":{"a":"`+strings.Repeat("x", 512<<10)+`"}`), []string{"Nats-Msg-Id", "large"}, "large", "limit is 262144"},
		"binary garbage":           {string([]byte{0, 1, 2, 0xff, 0xfe, '\r', '\n', 0x80}), []string{"X-Theirs", "kept"}, "", "not valid JSON"},
		"deep":                     {strings.Repeat("[", 100_000), nil, "", "must be a JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(b.deadLetters())
			sequence := b.publish("billing", test.data, test.headers...)
			b.settled()
			key := billing(test.id)
			if test.id == "" {
				key = b.place("billing", sequence)
			}
			if got := kinds(b.history(key)); got != "job-failed" {
				t.Fatalf("the history is %q", got)
			}
			e := b.failed(key)
			if e.ErrorCode != schemas.CodeInvalidRequest || e.ErrorSource != schemas.ErrorSourceBackhaul || e.Retryable ||
				e.Attempts != 0 || !strings.Contains(e.ErrorMessage, test.says) || e.PayloadHash != schemas.HashBytes([]byte(test.data)) {
				t.Errorf("job-failed is %+v, want a message with %q", e, test.says)
			}
			deadLetters := b.deadLetters()[before:]
			if len(deadLetters) != 1 {
				t.Fatalf("%d dead letters, want 1", len(deadLetters))
			}
			deadLetter := deadLetters[0]
			if string(deadLetter.Data) != test.data || deadLetter.Header.Get(publisher.HeaderDeadLetterCode) != schemas.CodeInvalidRequest ||
				deadLetter.Header.Get(publisher.HeaderDeadLetterKey) != key.Name ||
				deadLetter.Header.Get(publisher.HeaderDeadLetterSequence) != fmt.Sprint(sequence) {
				t.Errorf("the dead letter is %.100q %v", deadLetter.Data, deadLetter.Header)
			}
			for i := 0; i < len(test.headers); i += 2 {
				name, value := test.headers[i], test.headers[i+1]
				if strings.HasPrefix(name, "Nats-") {
					name = publisher.HeaderOriginalPrefix + name
				}
				if got := deadLetter.Header[name]; len(got) != 1 || got[0] != value {
					t.Errorf("header %s is %q, want %q", name, got, value)
				}
			}
		})
	}
	b.publish("billing", body("sound"))
	b.settled()
	b.started(billing("sound"))
	b.checkPromise(1)
	b.checkCalls(1)
}

// An invalid message with an id that is in use says nothing about the request with that id,
// and the reverse.
func TestInvalidRequestWithAnIDInUse(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.start()
	b.publish("billing", body("id"))
	b.settled()
	broken := b.publish("billing", body("id", `"typo":1`))
	b.settled()
	b.started(billing("id"))
	if got := kinds(b.history(b.place("billing", broken))); got != "request-rejected" {
		t.Errorf("the invalid message's history is %q", got)
	}

	b.publish("billing", body("other", `"typo":1`))
	b.publish("billing", body("other", `"typo":1`))
	b.settled()
	fixed := b.publish("billing", body("other"))
	b.settled()
	if got := kinds(b.history(billing("other"))); got != "job-failed" {
		t.Errorf("the history is %q", got)
	}
	if got := kinds(b.history(b.place("billing", fixed))); got != "request-rejected" {
		t.Errorf("the history of the fixed request under the same id is %q", got)
	}
	b.checkPromise(1)
}

// Messages that no client library would send, but a server delivers. Each must end, and none
// may block the others.
func TestStrangeMessages(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		op   string
		want int // job-failed events
	}{
		"wildcard as its source":        {pub("backup.request.*", body("x")), 1},
		"tail as its source":            {pub("backup.request.>", body("x")), 1},
		"control character in it":       {pub("backup.request.a\x01b", body("x")), 1},
		"source that is not UTF-8":      {pub("backup.request.a\xffb", body("x")), 1},
		"source as long as it gets":     {pub("backup.request."+strings.Repeat("s", 4000), body("x")), 1},
		"headers that nobody may write": {hpub("backup.request.billing", "foo bar: 1\r\n\x01: 2\r\n: 3\r\n", "{}"), 1},
		"header without a colon":        {hpub("backup.request.billing", "foo bar\r\n", "{}"), 1}, // nats.go complains on standard error, and delivers it
		"thousands of headers":          {hpub("backup.request.billing", strings.Repeat("Nats-X:\r\n", 7000), "{}"), 1},
		// nats.go's Fetch takes these headers for the server's: the first ends the pull and
		// loses its other messages; after the second no pull succeeds.
		"status header":         {hpub("backup.request.billing", "Status: 409\r\nDescription: Consumer Deleted\r\n", ""), 1},
		"timeout status header": {hpub("backup.request.billing", "Status: 408\r\n", ""), 1},
		"inline status":         {hpubLine("backup.request.billing", "NATS/1.0 503", "", ""), 1},
		"pin header":            {hpub("backup.request.billing", "Nats-Pin-Id: x\r\n", "{}"), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{}, natstest.AckWait(300*time.Millisecond))
			const requests = 20
			for i := range requests {
				if i == requests/2 {
					b.raw(test.op)
				}
				b.publish("billing", body(fmt.Sprint("early-", i)))
			}
			b.start(func(s *setup) { s.cfg.MaxInFlight = 8 })
			b.settled()
			for i := range requests {
				b.publish("billing", body(fmt.Sprint("late-", i)))
			}
			b.settled()
			b.checkPromise(2 * requests)
			failed := b.events("backup.event.job-failed.>")
			if len(failed) != test.want || len(b.deadLetters()) != test.want {
				t.Fatalf("%d job-failed events and %d dead letters, want %d of both", len(failed), len(b.deadLetters()), test.want)
			}
			if e := failed[0].data.(*schemas.JobFailed); e.ErrorCode != schemas.CodeInvalidRequest {
				t.Errorf("job-failed is %+v", e)
			}
			subject := strings.Fields(test.op)[1]
			if got := failed[0].key.Name; !strings.HasPrefix(got, "seq-") { // two of them may have the same id
				t.Errorf("the key is %s, want the message's place", got)
			}
			if got := schemas.DecodeHeader(b.deadLetters()[0].Header.Get(publisher.HeaderDeadLetterSubject)); strings.ToValidUTF8(subject, "\uFFFD") != got && !strings.Contains(subject, "\x01") {
				t.Errorf("the dead letter was published on %.60q, want %.60q", got, subject)
			}
		})
	}
}

func pub(subject, data string) string {
	return fmt.Sprintf("PUB %s %d\r\n%s\r\n", subject, len(data), data)
}

func hpub(subject, headers, data string) string { return hpubLine(subject, "NATS/1.0", headers, data) }

func hpubLine(subject, line, headers, data string) string {
	block := line + "\r\n" + headers + "\r\n"
	return fmt.Sprintf("HPUB %s %d %d\r\n%s%s\r\n", subject, len(block), len(block)+len(data), block, data)
}

// raw sends protocol messages unchanged and waits until the server has them.
func (b *rig) raw(op string) {
	b.t.Helper()
	before := b.queued()
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.nats.URL, "nats://"))
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	var script bytes.Buffer
	script.WriteString("CONNECT {\"verbose\":false,\"headers\":true}\r\n" + op + "PING\r\n")
	if _, err := conn.Write(script.Bytes()); err != nil {
		b.t.Fatal(err)
	}
	answers := bufio.NewScanner(conn)
	for answers.Scan() && answers.Text() != "PONG" {
	}
	b.eventually("the strange message is stored", func() bool { return b.queued() > before })
}

// The message of a dead letter is sent again under a new id: it is a request of its own, and
// its events name the replayed one.
func TestAReplayedRequest(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.start()
	replay := []string{"Backhaul-Request-Id", "id-replay-1", "Backhaul-Replay-Of", "billing/id"}
	b.publish("billing", body("id", refused))
	b.publish("billing", body("id", refused), replay...)
	b.publish("billing", body("id", refused), replay...) // sent twice
	b.publish("billing", `{"requestId":"bad"}`, "Backhaul-Request-Id", "bad-replay-2", "Backhaul-Replay-Of", "billing/bad")
	b.publish("billing", body("ok"), "Backhaul-Request-Id", "ok-replay-3", "Backhaul-Replay-Of", "billing/ok")
	b.settled()
	b.checkPromise(1)
	if e := b.failed(billing("id")); e.ReplayOf != "" {
		t.Errorf("the first is a replay of %q", e.ReplayOf)
	}
	if e := b.failed(billing("id-replay-1")); e.ReplayOf != "billing/id" || e.RequestID != "id-replay-1" || e.ErrorSource != schemas.ErrorSourceVendor {
		t.Errorf("job-failed is %+v", e)
	}
	if e := b.failed(billing("bad-replay-2")); e.ReplayOf != "billing/bad" || e.ErrorCode != schemas.CodeInvalidRequest {
		t.Errorf("job-failed is %+v", e)
	}
	if e := b.started(billing("ok-replay-3")); e.ReplayOf != "billing/ok" {
		t.Errorf("job-started is %+v", e)
	}
	claim := b.history(billing("ok-replay-3"))[0].data.(*schemas.JobSubmitting)
	if claim.ReplayOf != "billing/ok" || claim.Request.RequestID != "ok-replay-3" {
		t.Errorf("the claim is %+v", claim)
	}
	if got := len(b.deadLetters()); got != 3 {
		t.Errorf("%d dead letters, want 3", got)
	}
}
