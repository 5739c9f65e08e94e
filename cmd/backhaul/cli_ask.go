package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/natsconn"
	"backhaul/cmd/internal/provision"
	"backhaul/consumer"
)

// ask is the context for questions to the server, and what makes an error of
// theirs readable. A question that the server does not permit is not answered at
// all, so its refusal, which comes by another way, ends the context.
func ask(ctx context.Context, nc *nats.Conn) (_ context.Context, explain func(error) error) {
	asking, cancel := context.WithCancelCause(ctx)
	before := nc.ErrorHandler()
	nc.SetErrorHandler(func(nc *nats.Conn, sub *nats.Subscription, err error) {
		switch {
		case !errors.Is(err, nats.ErrPermissionViolation):
			before(nc, sub, err)
		case natsconn.Unneeded(err):
		default:
			cancel(err)
		}
	})
	return asking, func(err error) error {
		refused := context.Cause(asking)
		_, notMade := errors.AsType[*provision.CreateError](err)
		switch {
		case err == nil, ctx.Err() != nil, notMade:
			return err
		case errors.Is(refused, nats.ErrPermissionViolation):
			// What was asked, and what was done before, as "recorded, but not sent".
			what, ended := strings.CutSuffix(err.Error(), context.Canceled.Error())
			if !ended {
				what = ""
			}
			return fmt.Errorf("%s%w", what, natsconn.Explained(refused))
		case errors.Is(err, jetstream.ErrStreamNotFound):
			if gone := ledgerGone(ctx, nc); gone != nil {
				return gone
			}
			return fmt.Errorf("%w; `backhaul setup` makes what is missing", err)
		case errors.Is(err, jetstream.ErrConsumerNotFound):
			return fmt.Errorf("%w; `backhaul setup` makes what is missing", err)
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout), errors.Is(err, nats.ErrNoResponders),
			errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
			return &natsconn.UnreachableError{What: "JetStream", Err: natsconn.Explained(err)}
		}
		return natsconn.Explained(err)
	}
}

// unlogged keeps refusals out of the log, for a call that returns them or goes on without.
func unlogged(nc *nats.Conn) (restore func()) {
	before := nc.ErrorHandler()
	nc.SetErrorHandler(func(nc *nats.Conn, sub *nats.Subscription, err error) {
		if !errors.Is(err, nats.ErrPermissionViolation) {
			before(nc, sub, err)
		}
	})
	return func() { nc.SetErrorHandler(before) }
}

// ledgerGone is [consumer.Gone] for a user that may not be permitted to ask.
func ledgerGone(ctx context.Context, nc *nats.Conn) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return consumer.Gone(ctx, js)
}

// errNotPermitted means that a part of what a command shows is not permitted to the user.
var errNotPermitted = errors.New("not to be seen by this NATS user: not permitted")

// lookAt makes one of several questions of a command. A user of one role need not be permitted to
// ask about another, so a refusal is an answer, errNotPermitted, and ends no other question.
func lookAt[T any](ctx context.Context, js jetstream.JetStream, question func(context.Context, jetstream.JetStream) (T, error)) (T, error) {
	nc := js.Conn()
	before := nc.ErrorHandler()
	defer func() { nc.SetErrorHandler(before) }()
	asking, _ := ask(ctx, nc)
	seen, err := question(asking, js)
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(asking), nats.ErrPermissionViolation) {
		err = errNotPermitted
	}
	return seen, err
}
