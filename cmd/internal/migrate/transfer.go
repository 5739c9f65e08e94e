package migrate

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// chunkSize is the size of a chunk of a snapshot. It is below every max_payload that
	// the program supports.
	chunkSize = 512 << 10
	// chunkWindow bounds the unacknowledged bytes that the embedded server sends.
	chunkWindow = 4 << 20
	// answerTimeout bounds the wait for the next answer of either server.
	answerTimeout = 30 * time.Second
	// restoreTimeout bounds how long the target may take to create the stream after the
	// last chunk.
	restoreTimeout = 10 * time.Minute
)

const (
	snapshotSubject = "$JS.API.STREAM.SNAPSHOT."
	restoreSubject  = "$JS.API.STREAM.RESTORE."
)

// transfer sends a snapshot of a stream and its consumers from one server to the other.
// The target creates the stream only after it has received the whole snapshot.
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
		if chunk.Reply != "" { // the last chunk needs no acknowledgement
			if err := from.Publish(chunk.Reply, nil); err != nil {
				return err
			}
		}
	}
}

// next returns the next chunk of a snapshot.
func next(ctx context.Context, chunks <-chan *nats.Msg) (*nats.Msg, error) {
	timeout := time.NewTimer(answerTimeout)
	defer timeout.Stop()
	select {
	case chunk := <-chunks:
		return chunk, nil
	case <-timeout.C:
		return nil, fmt.Errorf("snapshot: the embedded server sent nothing for %s", answerTimeout)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// send sends a chunk. It returns the error in the server's answer, if any.
func send(ctx context.Context, to *nats.Conn, subject string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
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

// finish marks the snapshot as complete, and waits for the stream.
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

// ask sends a request to JetStream's API and decodes the answer.
func ask(ctx context.Context, nc *nats.Conn, subject string, question, answer any) error {
	data, err := json.Marshal(question)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
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
