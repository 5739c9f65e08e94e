package publisher

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// What the trigger reads, and where it remembers what it has asked for.
const (
	StorageStream   = "STORAGE_EVENTS"
	StorageConsumer = "trigger"
	WindowsStream   = "STORAGE_WINDOWS"
)

const (
	storagePrefix = "storage.event."
	windowPrefix  = "storage.window."
)

// StateSubject is where the trigger that reads says twice a second what it is doing.
// No stream keeps it; without a listener it is dropped.
const StateSubject = "storage.state"

// TellState says it.
func (p *Publisher) TellState(state []byte) error { return p.js.Conn().Publish(StateSubject, state) }

// WindowSubject is where the last window of a content group is kept. The group
// may have any name.
func WindowSubject(group string) string {
	sum := sha256.Sum256([]byte(group))
	return windowPrefix + hex.EncodeToString(sum[:16])
}

// RecordWindow writes the record of a content group's window if the group's last
// record has the sequence after, 0 for none, and returns the sequence of the new
// one. It repeats the same write until the server has decided about it, as
// [Publisher.Append] does, with the same errors.
func (p *Publisher) RecordWindow(ctx context.Context, group string, after uint64, record []byte) (uint64, error) {
	return p.record(ctx, WindowSubject(group), after, record)
}

// NewestWindow returns the last record of any content group, nil if there is none.
func NewestWindow(ctx context.Context, windows jetstream.Stream) (*jetstream.RawStreamMsg, error) {
	msg, err := windows.GetLastMsgForSubject(ctx, windowPrefix+"*")
	if hasCode(err, jetstream.JSErrCodeMessageNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s*: %w", windowPrefix, err)
	}
	return msg, nil
}

// LastWindow is the group's last record, from the stream's leader, and its
// sequence: nil and 0 if there is none.
func LastWindow(ctx context.Context, windows jetstream.Stream, group string) (record []byte, sequence uint64, err error) {
	return lastRecord(ctx, windows, WindowSubject(group))
}

// IsStorageSubject reports whether a storage notification may be published on a subject.
func IsStorageSubject(subject string) bool {
	rest, ok := strings.CutPrefix(subject, storagePrefix)
	return ok && rest != "" && !strings.ContainsAny(rest, "*> \t\r\n") && !strings.HasPrefix(rest, ".") && !strings.HasSuffix(rest, ".") && !strings.Contains(rest, "..")
}

// SubjectMatches reports whether a subject matches a pattern, in which * and > are as in NATS.
func SubjectMatches(pattern, subject string) bool {
	for {
		want, wants, more := strings.Cut(pattern, ".")
		have, rest, another := strings.Cut(subject, ".")
		switch {
		case want == ">" && !more:
			return true
		case want != "*" && want != have:
			return false
		case !more || !another:
			return more == another
		}
		pattern, subject = wants, rest
	}
}
