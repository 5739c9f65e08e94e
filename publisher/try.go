package publisher

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/schemas"
)

// Try is one try of a write. A write is tried until the server has decided about it.
type Try struct {
	Stream string
	// Kind is that of an event that was not stored.
	Kind schemas.Kind
	// Err is nil if the message was stored, and else why the stream did not take it: it
	// is full, cannot write, or did not answer.
	Err error
}

// OnTry sets a function to call after each try, from many goroutines. It must be set before
// anything is written. A message that no stream would take and a condition that was not
// met do not concern the stream, and it is not called; nor is it without a connection.
func (p *Publisher) OnTry(told func(Try)) { p.told = told }

func (p *Publisher) tell(subject string, err error) {
	if p.told == nil || err != nil && !p.ofStream(err) {
		return
	}
	try := Try{Err: err}
	switch {
	case strings.HasPrefix(subject, eventPrefix):
		try.Stream = EventsStream
		if err != nil {
			try.Kind, _, _, _ = ParseEventSubject(subject)
		}
	case strings.HasPrefix(subject, deadLetterPrefix):
		try.Stream = DeadLetterStream
	case strings.HasPrefix(subject, requestPrefix):
		try.Stream = RequestsStream
	case strings.HasPrefix(subject, windowPrefix):
		try.Stream = WindowsStream
	default:
		return
	}
	p.told(try)
}

// ofStream reports whether an error says that the stream does not take what is written.
func (p *Publisher) ofStream(err error) bool {
	if tooLarge(err) || permanent(err) || hasCode(err, jetstream.JSErrCodeStreamWrongLastSequence) ||
		hasCode(err, jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
		return false
	}
	return p.js.Conn().Status() == nats.CONNECTED
}

// StorageHint is the way out when [StorageUsedUp] reports true.
const StorageHint = "the storage of the server or account is used up: raise max_file_store or the account's limit"

// StorageUsedUp reports whether an answer says that the server or the account, and not a
// stream, has reached a limit. No stream takes messages then.
func StorageUsedUp(err error) bool {
	refusal, ok := errors.AsType[*jetstream.APIError](err)
	if !ok {
		return false
	}
	switch refusal.ErrorCode {
	case 10002, 10023, 10047: // resources of the account, of the server, and its storage
		return true
	case 10077: // a message that could not be stored: the text says why
		return strings.Contains(refusal.Description, "resource")
	}
	return false
}

// SilenceHint is the way out when a server answers, but not to what is written to a stream.
const SilenceHint = "the NATS server does not store it: look into its log and at its disk, because a stream whose disk was full stays closed until nats-server is restarted; " +
	"in a cluster the stream may have no leader (`nats stream report`)"

// WayOut returns what to do about a write that a stream does not take, "" if the error itself says it.
func WayOut(err error) string {
	_, answered := errors.AsType[*jetstream.APIError](err)
	switch {
	case StorageUsedUp(err):
		return StorageHint
	case answered:
		return ""
	case errors.Is(err, nats.ErrTimeout), errors.Is(err, jetstream.ErrAsyncPublishTimeout), errors.Is(err, context.DeadlineExceeded):
		return SilenceHint
	}
	return ""
}

// UnconfirmedError says that it is not known whether a message was stored.
type UnconfirmedError struct {
	Subject string
	// Last is what the last try came to, nil if there was none.
	Last error
	// End is why there was no further try.
	End error
}

func (e *UnconfirmedError) Error() string {
	if e.Last == nil || errors.Is(e.Last, e.End) {
		return fmt.Sprintf("append %s: not confirmed: %v", e.Subject, e.End)
	}
	return fmt.Sprintf("append %s: not confirmed: %v; %v", e.Subject, e.Last, e.End)
}

func (e *UnconfirmedError) Unwrap() []error {
	if e.Last == nil {
		return []error{e.End}
	}
	return []error{e.Last, e.End}
}

// Fullness returns what share of its limits a stream has used that refuses messages
// beyond them, and the limit in words. It is 0 for a stream without such limits.
func Fullness(info *jetstream.StreamInfo) (share float64, limit string) {
	if info.Config.Discard != jetstream.DiscardNew {
		return 0, ""
	}
	take := func(used, most uint64, what string) {
		if most > 0 && float64(used)/float64(most) > share {
			share = float64(used) / float64(most)
			limit = fmt.Sprintf("%d of %s %d", used, what, most)
		}
	}
	take(info.State.Msgs, uint64(max(info.Config.MaxMsgs, 0)), "max_msgs")
	take(info.State.Bytes, uint64(max(info.Config.MaxBytes, 0)), "max_bytes")
	return share, limit
}
