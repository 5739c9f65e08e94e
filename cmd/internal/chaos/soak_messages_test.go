package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"backhaul/publisher"
	"backhaul/schemas"
)

// hostileSources publish hostile requests. None of them may get a job.
var hostileSources = []string{"mallory", "eve", "häcker", "UPPER", "a-very-" + strings.Repeat("long-", 20) + "source"}

// harass publishes hostile messages of random kinds.
func (s *soak) harass(ctx context.Context) {
	random := s.random(11)
	kinds := []struct {
		name string
		send func(*rand.Rand) *nats.Msg
	}{
		{"random bytes", randomBytes}, {"broken JSON", brokenJSON}, {"deep JSON", deepJSON}, {"unknown members", unknownMembers},
		{"wrong member", wrongMember}, {"hostile headers", hostileHeaders}, {"hostile CloudEvent", hostileCloudEvent},
		{"id in use", s.idInUse}, {"reply on an event's subject", s.replyOnEvent}, {"foreign event", s.foreignEvent},
		{"API answer as a notification", apiAnswer}, {"hostile notification", hostileNotification}, {"literal wildcard", literalWildcard},
	}
	paced(ctx, *soakFlags.hostile, func(int) {
		kind := kinds[random.IntN(len(kinds))]
		msg := kind.send(random)
		if msg == nil {
			return
		}
		s.note("message: " + kind.name)
		if msg.Reply != "" { // the answer goes to another client
			_ = s.nc.PublishMsg(msg)
			return
		}
		try, cancel := context.WithTimeout(ctx, publishTimeout)
		defer cancel()
		if _, err := s.chaos.js.PublishMsg(try, msg); err == nil && strings.HasPrefix(msg.Subject, "backup.request.") {
			s.accepted++
		}
	})
}

func hostile(random *rand.Rand, data []byte) *nats.Msg {
	return &nats.Msg{Subject: publisher.RequestSubject(hostileSources[random.IntN(len(hostileSources))], publisher.Normal), Data: data, Header: nats.Header{}}
}

const soundRequest = `{"clientName":"s-adhoc-object-storage","subclientName":"load-1","storagePolicyName":"default-plan"}`

func randomBytes(random *rand.Rand) *nats.Msg {
	data := make([]byte, random.IntN(64<<10))
	for i := range data {
		data[i] = byte(random.UintN(256))
	}
	return hostile(random, data)
}

func brokenJSON(random *rand.Rand) *nats.Msg {
	return hostile(random, []byte(soundRequest[:random.IntN(len(soundRequest)-1)]))
}

func deepJSON(random *rand.Rand) *nats.Msg {
	n := 1 + random.IntN(20_000)
	opening, closing := "[", "]"
	if random.IntN(2) == 0 {
		opening, closing = `{"a":`, "}"
	}
	data := strings.Repeat(opening, n) + "1"
	if random.IntN(3) > 0 {
		data += strings.Repeat(closing, n)
	}
	return hostile(random, []byte(data))
}

func unknownMembers(random *rand.Rand) *nats.Msg {
	var b bytes.Buffer
	b.WriteString(soundRequest[:len(soundRequest)-1])
	for i := range 1 + random.IntN(12_000) {
		fmt.Fprintf(&b, `,"clientNam%d":%d`, i, i)
	}
	b.WriteString("}")
	return hostile(random, b.Bytes())
}

// wrongMember returns a request with one invalid member.
func wrongMember(random *rand.Rand) *nats.Msg {
	members := []string{
		`"clientName":1`, `"clientName":"x"`, `"subclientname":"x"`, `"backupLevel":"full"`, `"labels":{"a":1}`, `"notAfter":"yesterday"`,
		`"requestId":""`, `"requestId":"a\u0000b"`, `"requestId":"` + strings.Repeat("x", 5000) + `"`, `"onDemandInputFile":"\n"`, `"adHocBackup":"yes"`,
		`"labels":{"\u009b31m":"` + "\u202e" + `"},"typo":1`,
	}
	return hostile(random, []byte(soundRequest[:len(soundRequest)-1]+","+members[random.IntN(len(members))]+`,"typo":1}`))
}

// hostileHeaders are what JetStream's clients and servers give a meaning to.
func hostileHeaders(random *rand.Rand) *nats.Msg {
	m := hostile(random, []byte(`{"typo":1}`))
	headers := [][2]string{
		{"Status", "503"}, {"Status", "100"}, {"Status", "409"}, {"Description", "Consumer Deleted"}, {"Nats-Pin-Id", "x"}, {"Nats-Msg-Id", "chaos/x"},
		{"Nats-Last-Consumer", "1"}, {"Nats-Consumer-Stalled", "$JS.ACK.x"}, {"Nats-Pending-Messages", "-1"}, {"Backhaul-Replay-Of", "x\x7f"},
		{"traceparent", "00-" + strings.Repeat("0", 32) + "-x-01"}, {"X-\xff", "\xfe"}, {"Content-Type", "text/xml; charset=utf-16"},
	}
	for range 1 + random.IntN(4) {
		h := headers[random.IntN(len(headers))]
		m.Header.Add(h[0], h[1])
	}
	return m
}

func hostileCloudEvent(random *rand.Rand) *nats.Msg {
	m := hostile(random, []byte(`{"clientName":"s-adhoc-object-storage","subclientName":"load-1","typo":1}`))
	values := []string{"1.0", "0.3", "50%-done", "ü", strings.Repeat("%", 1000), "\"quoted\"", "2026-11-28T10:00Z", ""}
	for _, name := range []string{"ce-specversion", "ce-id", "ce-source", "ce-type", "ce-time", "ce-subject", "ce-datacontenttype"} {
		if random.IntN(4) > 0 {
			m.Header.Set(name, values[random.IntN(len(values))])
		}
	}
	return m
}

// idInUse uses the id of a request that has its outcome, with other content.
func (s *soak) idInUse(random *rand.Rand) *nats.Msg {
	data := fmt.Sprintf(`{"requestId":%q,"clientName":"s-adhoc-object-storage","subclientName":"load-%d","labels":{"other":"%d"}}`,
		s.reused[random.IntN(len(s.reused))], random.IntN(chaosGroups), random.IntN(1_000_000))
	return &nats.Msg{Subject: publisher.RequestSubject(chaosSource, publisher.Normal), Data: []byte(data)}
}

// victim is a key that a valid request has or will have soon.
func (s *soak) victim(random *rand.Rand) publisher.Key {
	n := int(time.Since(s.chaos.began).Seconds()**soakFlags.rate) + random.IntN(40)
	return publisher.NewKey(chaosSource, fmt.Sprintf("soak-%d-%06d", *soakFlags.seed, n))
}

// replyOnEvent lets the server store its acknowledgement on the subject of an event.
func (s *soak) replyOnEvent(random *rand.Rand) *nats.Msg {
	m := brokenJSON(random)
	m.Reply = s.victim(random).Subject(schemas.KindJobStarted)
	return m
}

// foreignEvent is a message on a key's filter that is not one of our events.
func (s *soak) foreignEvent(random *rand.Rand) *nats.Msg {
	key := s.victim(random)
	subjects := []string{"backup.event.operator." + key.String(), "backup.event.job-started." + key.String(), "backup.event.job-imagined." + key.String()}
	subject := strings.ReplaceAll(subjects[random.IntN(len(subjects))], "/", ".")
	m := &nats.Msg{Subject: subject, Data: []byte(`{"jobId":"1","requestId":"x"}`), Header: nats.Header{}}
	if kind, _, _, _ := publisher.ParseEventSubject(subject); kind != schemas.KindJobStarted { // with the id of one it is an event
		m.Header.Set("ce-id", key.EventID(kind))
	}
	return m
}

// apiAnswer lets the server answer a reader of dead letters on another subject.
func apiAnswer(random *rand.Rand) *nats.Msg {
	replies := []string{"storage.event.mallory", "backup.request.mallory", "backup.event.job-failed.mallory.x"}
	body, _ := json.Marshal(map[string]any{"seq": 1 + random.IntN(50)})
	return &nats.Msg{Subject: "$JS.API.STREAM.MSG.GET." + publisher.DeadLetterStream, Reply: replies[random.IntN(len(replies))], Data: body}
}

func hostileNotification(random *rand.Rand) *nats.Msg {
	m := []func(*rand.Rand) *nats.Msg{randomBytes, deepJSON, unknownMembers, hostileCloudEvent}[random.IntN(4)](random)
	m.Subject = "storage.event.mallory"
	return m
}

// literalWildcard publishes on a subject that looks like a filter; the server stores it.
func literalWildcard(random *rand.Rand) *nats.Msg {
	m := brokenJSON(random)
	m.Subject = []string{"backup.request.*", "backup.request.>"}[random.IntN(2)]
	return m
}
