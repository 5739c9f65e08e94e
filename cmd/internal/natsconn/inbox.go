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
	// Permitted is a documented prefix that the user may use, "" if there is none.
	Permitted string
	Err       error
}

func (e *InboxError) Error() string {
	return fmt.Sprintf("%s does not permit this user to subscribe to %s.>, where its answers arrive: %s; nothing was sent: %v",
		e.Server, e.Prefix, e.Fix(), e.Err)
}

// Fix returns the way out.
func (e *InboxError) Fix() string {
	if e.Permitted != "" {
		return fmt.Sprintf("this user may use another inbox prefix: set BACKHAUL_NATS_INBOX_PREFIX=%s, or give --nats-inbox-prefix %[1]s; every user needs its own", e.Permitted)
	}
	return fmt.Sprintf("set the inbox prefix that is permitted (BACKHAUL_NATS_INBOX_PREFIX, --nats-inbox-prefix): it is in the subscribe permissions of this user's role "+
		"in the server's configuration, such as _INBOX_billing for the source billing; or grant subscribe to %s.>", e.Prefix)
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
		end := strings.LastIndex(inbox, ".")
		return &InboxError{Server: server, Prefix: inbox[:end], Permitted: permittedInbox(ctx, nc, inbox[end:]), Err: err}
	}
	return nil
}

// documentedUsers are the users of deploy/nats/roles.conf, those of programs and commands first. The
// inbox prefix of each is _INBOX_ and its name.
var documentedUsers = []string{"backhaul", "trigger", "archiver", "operator", "reader", "provisioner", "protection", "admin", "billing", "crm", "snapshot"}

// permittedInbox returns the documented inbox prefix that the user of a connection may use, "" if there is none.
// The user cannot ask for its permissions, because it would not hear the answer: each prefix is
// tried, with the unique end of an inbox.
func permittedInbox(ctx context.Context, nc *nats.Conn, unique string) string {
	for _, user := range documentedUsers {
		prefix := "_INBOX_" + user
		subject := prefix + unique
		sub, err := nc.SubscribeSync(subject)
		if err != nil {
			return ""
		}
		err = nc.FlushWithContext(ctx)
		_ = sub.Unsubscribe()
		switch {
		case err != nil:
			return ""
		case !strings.Contains(fmt.Sprint(nc.LastError()), subject):
			return prefix
		}
	}
	return ""
}
