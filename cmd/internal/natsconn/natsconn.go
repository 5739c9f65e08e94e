// Package natsconn connects to NATS, to a server that runs elsewhere or to one
// that it embeds.
//
// A connection reconnects for ever and never buffers: what is published while it
// is down fails at once, so that the writer knows that it was not sent, instead
// of being sent after the writer has given up.
//
// [Patiently] retries while JetStream does not answer, for example while a cluster elects
// its leaders.
package natsconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"backhaul/cmd/internal/serverurl"
)

// UnreachableError is a server that did not answer.
type UnreachableError struct {
	What string
	Err  error
}

func (e *UnreachableError) Error() string {
	if e.Refused() {
		return fmt.Sprintf("%s refuses this user: %v", e.What, e.Err)
	}
	return fmt.Sprintf("%s is out of reach: %v", e.What, e.Err)
}
func (e *UnreachableError) Unwrap() error { return e.Err }

// Refused reports whether the server answered and refused the user.
func (e *UnreachableError) Refused() bool {
	return errors.Is(e.Err, nats.ErrAuthorization) || errors.Is(e.Err, nats.ErrAuthExpired) || errors.Is(e.Err, nats.ErrAuthRevoked) ||
		errors.Is(e.Err, nats.ErrAccountAuthExpired)
}

// minPayload is the smallest max_payload of a server that can keep every request
// as a dead letter: the largest request that deploy/streams lets in, with its
// headers and ours.
const minPayload = 1 << 20

// Connect joins a server. name is how the server lists the connection. The error is an
// [*OptionsError], an [*UnreachableError] or an [*InboxError].
func Connect(ctx context.Context, cfg Options, name string, log zerolog.Logger) (*nats.Conn, error) {
	options := append(options(name, cfg.InboxPrefix, log), nats.Timeout(connectTimeout),
		nats.SetCustomDialer(gatheringDialer{&net.Dialer{Timeout: connectTimeout}}))
	options = append(options, secured(cfg.TLS)...)
	who, err := authenticated(cfg.Auth, log)
	if err != nil {
		return nil, err
	}
	nc, err := nats.Connect(cfg.URL, append(options, who...)...)
	if err != nil {
		return nil, &UnreachableError{What: "NATS at " + serverurl.Mask(cfg.URL), Err: notConnected(ctx, cfg, err)}
	}
	if ctx.Err() != nil {
		nc.Close()
		return nil, ctx.Err()
	}
	if nc.MaxPayload() < minPayload {
		nc.Close()
		return nil, &OptionsError{fmt.Sprintf(
			"NATS at %s has max_payload %d; a request and its dead letter need %d: raise max_payload", serverurl.Mask(cfg.URL), nc.MaxPayload(), minPayload)}
	}
	if err := receives(ctx, nc, "NATS at "+serverurl.Mask(cfg.URL)); err != nil {
		nc.Close()
		return nil, err
	}
	return nc, nil
}

func ofNetwork(err error) bool {
	_, network := errors.AsType[*net.OpError](err)
	return network
}

func options(name, inboxPrefix string, log zerolog.Logger) []nats.Option {
	servers := &reconnecting{}
	options := []nats.Option{
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.ConnectHandler(servers.note),
		nats.ReconnectToServer(servers.choose),
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn().Err(err).Msg("NATS disconnected")
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			servers.note(nc)
			log.Info().Str("url", nc.ConnectedUrlRedacted()).Msg("NATS reconnected")
		}),
		// A server that went silent with its connection open is noticed after two of
		// these.
		nats.PingInterval(10 * time.Second),
		nats.ErrorHandler(newPermissions(log).handle),
		// Authentication errors do not end the connection: it is accepted again once its
		// file or the server's user is fixed.
		nats.IgnoreAuthErrorAbort(),
	}
	if inboxPrefix != "" {
		options = append(options, nats.CustomInboxPrefix(inboxPrefix))
	}
	return options
}
