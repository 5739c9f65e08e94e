package roles_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// snapshot is what `nats stream backup` keeps in a directory, made by the same
// calls of JetStream's API.
type snapshot struct {
	stream string
	config json.RawMessage
	state  json.RawMessage
	chunks [][]byte
}

func takeSnapshot(ctx context.Context, nc *nats.Conn, stream string) (*snapshot, error) {
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	var head struct {
		Config json.RawMessage `json:"config"`
		State  json.RawMessage `json:"state"`
	}
	request := fmt.Appendf(nil, `{"deliver_subject":%q,"chunk_size":%d}`, inbox, 128<<10)
	if err := callAPI(ctx, nc, "$JS.API.STREAM.SNAPSHOT."+stream, request, &head); err != nil {
		return nil, err
	}
	s := &snapshot{stream: stream, config: head.Config, state: head.State}
	for {
		chunk, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, err
		}
		if len(chunk.Data) == 0 {
			if status := chunk.Header.Get("Status"); status != "" && status != "204" {
				return nil, errors.New(chunk.Header.Get("Description"))
			}
			return s, nil
		}
		s.chunks = append(s.chunks, chunk.Data)
		if chunk.Reply != "" {
			if err := nc.Publish(chunk.Reply, nil); err != nil {
				return nil, err
			}
		}
	}
}

// restore makes the stream and its consumers as they were.
func (s *snapshot) restore(ctx context.Context, nc *nats.Conn) error {
	var head struct {
		DeliverSubject string `json:"deliver_subject"`
	}
	request := fmt.Appendf(nil, `{"config":%s,"state":%s}`, s.config, s.state)
	if err := callAPI(ctx, nc, "$JS.API.STREAM.RESTORE."+s.stream, request, &head); err != nil {
		return err
	}
	for _, chunk := range s.chunks {
		if _, err := nc.RequestWithContext(ctx, head.DeliverSubject, chunk); err != nil {
			return err
		}
	}
	return callAPI(ctx, nc, head.DeliverSubject, nil, &struct{}{})
}

func callAPI(ctx context.Context, nc *nats.Conn, subject string, request []byte, answer any) error {
	msg, err := nc.RequestWithContext(ctx, subject, request)
	if err != nil {
		return fmt.Errorf("%s: %w", subject, err)
	}
	var failed struct {
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &failed); err != nil {
		return fmt.Errorf("%s: %w", subject, err)
	}
	if failed.Error != nil {
		return fmt.Errorf("%s: %s", subject, failed.Error.Description)
	}
	return json.Unmarshal(msg.Data, answer)
}
