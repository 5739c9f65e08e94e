package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// chunkSize is the size of what is sent at once, below every max_payload that
	// the program works with.
	chunkSize = 512 << 10
	// chunkWindow bounds what the embedded server sends ahead.
	chunkWindow = 4 << 20
	// silence is how long either server may say nothing.
	silence = 30 * time.Second
	// restoreTimeout is how long the other server may take to make a stream of what
	// it was sent.
	restoreTimeout = 10 * time.Minute
)

const (
	snapshotSubject = "$JS.API.STREAM.SNAPSHOT."
	restoreSubject  = "$JS.API.STREAM.RESTORE."
)

// transfer sends a snapshot of a stream and its consumers from one server to the
// other, which makes the stream only when it has all of it.
func transfer(ctx context.Context, from, to *nats.Conn, stream string, replicas int) error {
	chunks := make(chan *nats.Msg, chunkWindow/chunkSize+2)
	inbox := from.NewInbox()
	sub, err := from.ChanSubscribe(inbox, chunks)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	var snapshot struct {
		Config map[string]json.RawMessage `json:"config"`
		State  json.RawMessage            `json:"state"`
	}
	err = ask(ctx, from, snapshotSubject+stream, map[string]any{
		"deliver_subject": inbox, "chunk_size": chunkSize, "window_size": chunkWindow, "jsck": true,
	}, &snapshot)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	snapshot.Config["num_replicas"] = fmt.Append(nil, replicas)
	var restore struct {
		DeliverSubject string `json:"deliver_subject"`
	}
	err = ask(ctx, to, restoreSubject+stream, map[string]any{"config": snapshot.Config, "state": snapshot.State}, &restore)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	for {
		chunk, err := next(ctx, chunks)
		if err != nil {
			return err
		}
		if len(chunk.Data) == 0 {
			if status := chunk.Header.Get("Status"); status != "" && status != "204" {
				return fmt.Errorf("snapshot: %s %s", status, chunk.Header.Get("Description"))
			}
			return finish(ctx, to, restore.DeliverSubject)
		}
		if err := send(ctx, to, restore.DeliverSubject, chunk.Data); err != nil {
			return err
		}
		if chunk.Reply != "" { // the last one wants no answer
			if err := from.Publish(chunk.Reply, nil); err != nil {
				return err
			}
		}
	}
}

func next(ctx context.Context, chunks <-chan *nats.Msg) (*nats.Msg, error) {
	quiet := time.NewTimer(silence)
	defer quiet.Stop()
	select {
	case chunk := <-chunks:
		return chunk, nil
	case <-quiet.C:
		return nil, errors.New("snapshot: the embedded server has gone silent")
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// send hands a chunk over. A server that cannot take it says so in its answer.
func send(ctx context.Context, to *nats.Conn, subject string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	answer, err := to.RequestWithContext(ctx, subject, data)
	if err == nil && len(answer.Data) > 0 {
		err = apiError(answer.Data)
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

// finish says that this was all.
func finish(ctx context.Context, to *nats.Conn, subject string) error {
	ctx, cancel := context.WithTimeout(ctx, restoreTimeout)
	defer cancel()
	answer, err := to.RequestWithContext(ctx, subject, nil)
	if err == nil {
		err = apiError(answer.Data)
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

// ask asks JetStream's API.
func ask(ctx context.Context, nc *nats.Conn, subject string, question, answer any) error {
	data, err := json.Marshal(question)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	msg, err := nc.RequestWithContext(ctx, subject, data)
	if err != nil {
		return err
	}
	if err := apiError(msg.Data); err != nil {
		return err
	}
	return json.Unmarshal(msg.Data, answer)
}
