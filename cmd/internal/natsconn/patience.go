package natsconn

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
)

// retryWait is the pause before the next attempt without an answer.
const retryWait = 100 * time.Millisecond

// ErrNoAnswer is the cause of a wait that ended without an answer.
var ErrNoAnswer = errors.New("no answer in time")

// Codes of a cluster that has no leader, and of one that does not know of enough
// servers yet.
const (
	jsClusterNotAvailable jetstream.ErrorCode = 10008
	jsClusterNoPeers      jetstream.ErrorCode = 10005
)

// Patiently calls ask until JetStream answers, for at most patience. A stream without a
// leader does not answer at all, and a cluster without one is not available until a new
// leader is elected. ask gets a context without a deadline, so that each call may use the
// timeout of the client. waiting, if non-nil, is called with the error of the first call
// without an answer.
//
// An answer is returned as it is, also a refusal. A missing permission ends the wait at
// once, unless it is optional. Without an answer the error is an [*UnreachableError], or
// the cause of ctx if that ended before.
func Patiently(ctx context.Context, nc *nats.Conn, patience time.Duration, ask func(context.Context) error, waiting func(error)) error {
	asking, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer time.AfterFunc(patience, func() { cancel(ErrNoAnswer) }).Stop()
	before := nc.LastError()
	go func() {
		for asking.Err() == nil {
			if err := denied(nc, before); err != nil {
				cancel(err)
			}
			pause(asking, retryWait)
		}
	}()
	var last error
	for {
		err := ask(asking)
		refused := context.Cause(asking)
		switch {
		case err == nil, errors.Is(err, nats.ErrPermissionViolation):
			return err
		case errors.Is(refused, nats.ErrPermissionViolation):
			return Explained(refused)
		case asking.Err() == nil && !unanswered(err):
			return err
		case asking.Err() == nil || last == nil:
			last = err // and not that this is the end
		}
		if waiting != nil && asking.Err() == nil {
			waiting(Explained(err))
			waiting = nil
		}
		pause(asking, retryWait)
		if asking.Err() != nil {
			return Unreachable(context.Cause(asking), last)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// unanswered reports whether JetStream could not be asked, did not answer, or
// temporarily has no leader or not all of its servers.
func unanswered(err error) bool {
	for _, silence := range []error{
		context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrDisconnected, nats.ErrReconnectBufExceeded,
		jetstream.ErrJetStreamNotEnabled, // no server answers yet
	} {
		if errors.Is(err, silence) {
			return true
		}
	}
	e, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (e.Code == 503 || e.ErrorCode == jsClusterNoPeers)
}

// denied returns the connection's last error if it says that a question is not permitted
// and is needed, nil if the error is before. That is answered by silence, too.
func denied(nc *nats.Conn, before error) error {
	err := nc.LastError()
	if err == before || !errors.Is(err, nats.ErrPermissionViolation) || Unneeded(err) || optional[grantFor(err.Error())] { //nolint:errorlint // the very same error
		return nil
	}
	for _, question := range []string{"$JS.API.STREAM.", "$JS.API.CONSUMER.INFO.", "$JS.API.CONSUMER.CREATE."} {
		if err := publisher.Denied(nc, question); err != nil {
			return err
		}
	}
	return nil
}

// Unreachable returns an [*UnreachableError], unless the wait ended for another cause,
// or the server answered each time with the same refusal.
func Unreachable(cause, last error) error {
	refusal, refused := errors.AsType[*jetstream.APIError](last)
	switch {
	case !errors.Is(cause, ErrNoAnswer):
		return cause
	case refused && refusal.ErrorCode != jsClusterNotAvailable:
		return Explained(last)
	default:
		return &UnreachableError{What: "JetStream", Err: Explained(last)}
	}
}
