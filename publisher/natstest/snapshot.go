package natstest

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// snapshotTimeout bounds each step of a snapshot.
const snapshotTimeout = 30 * time.Second

// Snapshot holds what `nats stream backup` writes to a directory. It is created by the
// same calls of JetStream's API.
type Snapshot struct {
	stream string
	config json.RawMessage
	state  json.RawMessage
	chunks [][]byte
}

// TakeSnapshot returns a snapshot of a stream and its consumers.
func TakeSnapshot(t testing.TB, nc *nats.Conn, stream string) *Snapshot {
	t.Helper()
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatalf("natstest: %v", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	var head struct {
		Config json.RawMessage `json:"config"`
		State  json.RawMessage `json:"state"`
	}
	call(t, nc, "$JS.API.STREAM.SNAPSHOT."+stream, fmt.Appendf(nil, `{"deliver_subject":%q,"chunk_size":%d}`, inbox, 128<<10), &head)
	s := &Snapshot{stream: stream, config: head.Config, state: head.State}
	for {
		chunk, err := sub.NextMsg(snapshotTimeout)
		if err != nil {
			t.Fatalf("natstest: snapshot of %s: %v", stream, err)
		}
		if len(chunk.Data) == 0 {
			if status := chunk.Header.Get("Status"); status != "" && status != "204" {
				t.Fatalf("natstest: snapshot of %s: %s %s", stream, status, chunk.Header.Get("Description"))
			}
			return s
		}
		s.chunks = append(s.chunks, chunk.Data)
		if chunk.Reply != "" {
			if err := nc.Publish(chunk.Reply, nil); err != nil {
				t.Fatalf("natstest: %v", err)
			}
		}
	}
}

// Restore creates the stream and its consumers as they were. The stream must not exist.
func (s *Snapshot) Restore(t testing.TB, nc *nats.Conn) {
	t.Helper()
	var head struct {
		DeliverSubject string `json:"deliver_subject"`
	}
	call(t, nc, "$JS.API.STREAM.RESTORE."+s.stream, fmt.Appendf(nil, `{"config":%s,"state":%s}`, s.config, s.state), &head)
	for _, chunk := range s.chunks {
		if _, err := nc.Request(head.DeliverSubject, chunk, snapshotTimeout); err != nil {
			t.Fatalf("natstest: restore %s: %v", s.stream, err)
		}
	}
	call(t, nc, head.DeliverSubject, nil, &struct{}{})
}

// call sends a request to JetStream's API and decodes the answer.
func call(t testing.TB, nc *nats.Conn, subject string, request []byte, answer any) {
	t.Helper()
	msg, err := nc.Request(subject, request, snapshotTimeout)
	if err != nil {
		t.Fatalf("natstest: %s: %v", subject, err)
	}
	var failed struct {
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	unmarshal(t, subject, msg.Data, &failed)
	if failed.Error != nil {
		t.Fatalf("natstest: %s: %s", subject, failed.Error.Description)
	}
	unmarshal(t, subject, msg.Data, answer)
}
