package archiver

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
)

// stored is a message of the stream without headers and payload.
type stored struct {
	Subject  string    `json:"subject"`
	Sequence uint64    `json:"seq"`
	Time     time.Time `json:"time"`
}

// lookUp asks the stream's leader for a message: the one of this sequence, or with next the first
// one from it on. The error is [jetstream.ErrMsgNotFound] if there is none. The client's own GetMsg
// fails for a message whose headers are none, which must not stop the archiver.
func lookUp(ctx context.Context, nc *nats.Conn, sequence uint64, next bool) (stored, error) {
	request := struct {
		Sequence uint64 `json:"seq"`
		Next     string `json:"next_by_subj,omitempty"`
	}{Sequence: sequence}
	if next {
		request.Next = ">"
	}
	data, err := json.Marshal(request)
	if err != nil {
		return stored{}, err
	}
	subject := "$JS.API.STREAM.MSG.GET." + publisher.EventsStream
	msg, err := nc.RequestWithContext(ctx, subject, data)
	if err != nil {
		return stored{}, fmt.Errorf("no answer on %s: %w", subject, err)
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message *stored             `json:"message"`
	}
	switch err := json.Unmarshal(msg.Data, &answer); {
	case err != nil:
		return stored{}, err
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return stored{}, jetstream.ErrMsgNotFound
	case answer.Error != nil:
		return stored{}, answer.Error
	case answer.Message == nil:
		return stored{}, jetstream.ErrInvalidJetStreamResponse
	}
	return *answer.Message, nil
}
