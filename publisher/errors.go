package publisher

import (
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrConflict says that the last event of a key is not the one the writer
// expected: there was an earlier write, possibly by the writer itself in an attempt
// whose acknowledgement was lost.
var ErrConflict = errors.New("another event of this request was written first")

// ErrTooLarge says that a message is larger than the server's max_payload or the
// stream's max_msg_size allows. The same write never succeeds.
var ErrTooLarge = errors.New("the message is larger than the server or the stream allows")

// The server's codes for a message that a stream does not take, whenever it comes.
const (
	codeMessageTooLarge jetstream.ErrorCode = 10054 // the stream's max_msg_size
	codeHeaderTooLarge  jetstream.ErrorCode = 10097 // more than 64 KiB of headers
)

// tooLarge reports whether a write failed because of its size.
func tooLarge(err error) bool {
	return errors.Is(err, nats.ErrMaxPayload) || hasCode(err, codeMessageTooLarge) || hasCode(err, codeHeaderTooLarge)
}

// permanent reports whether repeating the same write is of no use. Every write of
// this package asks it. What is not permanent, such as a full stream, a missing
// stream or silence, may succeed later.
func permanent(err error) bool {
	return tooLarge(err) || errors.Is(err, nats.ErrConnectionClosed) ||
		errors.Is(err, nats.ErrBadSubject) || errors.Is(err, nats.ErrHeadersNotSupported)
}

func hasCode(err error, code jetstream.ErrorCode) bool {
	apiErr, ok := errors.AsType[*jetstream.APIError](err)
	return ok && apiErr.ErrorCode == code
}
