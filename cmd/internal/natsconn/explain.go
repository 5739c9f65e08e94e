package natsconn

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
)

// hintedError is an error with the way out.
type hintedError struct {
	err error
	way string
}

func (e *hintedError) Error() string { return e.err.Error() + e.way }
func (e *hintedError) Unwrap() error { return e.err }

// Explained adds the way out to an error of a question to JetStream, or of what is
// published, where the client says only what it saw.
func Explained(err error) error {
	if _, already := errors.AsType[*hintedError](err); already {
		return err
	}
	switch {
	case errors.Is(err, nats.ErrPermissionViolation):
		return &hintedError{fmt.Errorf("not permitted to this NATS user: %w", err), "; grant " + grantFor(err.Error())}
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return &hintedError{err, "; enable it for the account of this user (`jetstream: enabled`), or connect as a user of another account"}
	case publisher.StorageUsedUp(err):
		return &hintedError{err, ": " + publisher.StorageHint}
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return &hintedError{err, ": no stream takes the subject: the stream does not exist (`backhaul setup` makes it) or has no leader (`nats stream report`), or JetStream is not enabled"}
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrJetStreamNotEnabled):
		return &hintedError{err, ": no server answers for JetStream: it is not enabled (`jetstream {}`), is in another domain than this server, or the cluster has no leader"}
	}
	return err
}

// Unneeded reports whether a permission error denies what nothing depends on: the server
// deletes the consumers of readers itself, and the name of a stream that has a subject
// only explains another error.
func Unneeded(err error) bool {
	text := err.Error()
	return strings.Contains(text, ".CONSUMER.DELETE.") || strings.Contains(text, ".STREAM.NAMES")
}
