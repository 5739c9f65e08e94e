package natsconn

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
)

// InboxError says that a user may not subscribe to the subjects of its answers. What it
// publishes is stored, and the acknowledgement never arrives.
type InboxError struct {
	Server, Prefix string
	Err            error
}

func (e *InboxError) Error() string {
	return fmt.Sprintf("%s does not permit this user to subscribe to %s.>, where its answers arrive: set the inbox prefix that is permitted (BACKHAUL_NATS_INBOX_PREFIX, --nats-inbox-prefix), or grant subscribe to %[2]s.>; nothing was sent: %v",
		e.Server, e.Prefix, e.Err)
}
func (e *InboxError) Unwrap() error { return e.Err }

// receives returns an [*InboxError] if the user of a connection cannot receive answers.
// The server reports this asynchronously, and once for each subscription. Later questions
// have no answer, for no reason that the client can see.
func receives(ctx context.Context, nc *nats.Conn, server string) error {
	handler := nc.ErrorHandler()
	defer nc.SetErrorHandler(handler)
	nc.SetErrorHandler(func(nc *nats.Conn, sub *nats.Subscription, err error) {
		if !errors.Is(err, nats.ErrPermissionViolation) { // else the caller reports it
			handler(nc, sub, err)
		}
	})
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox + ".*")
	if err != nil {
		return &UnreachableError{What: server, Err: err}
	}
	defer func() { _ = sub.Unsubscribe() }()
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := nc.FlushWithContext(ctx); err != nil {
		return &UnreachableError{What: server, Err: err}
	}
	if err := nc.LastError(); errors.Is(err, nats.ErrPermissionViolation) {
		return &InboxError{Server: server, Prefix: inbox[:strings.LastIndex(inbox, ".")], Err: err}
	}
	return nil
}
