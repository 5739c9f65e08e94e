// Package natsconn connects to NATS, to a server that runs elsewhere or to one
// that it embeds.
//
// A connection reconnects for ever and never buffers: what is published while it
// is down fails at once, so that the writer knows that it was not sent, instead
// of being sent after the writer has given up.
package natsconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"backhaul/cmd/internal/config"
)

// UnreachableError says that a server did not answer.
type UnreachableError struct {
	What string
	Err  error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("%s is out of reach: %v", e.What, e.Err)
}
func (e *UnreachableError) Unwrap() error { return e.Err }

// minPayload is the smallest max_payload of a server that can keep every request
// as a dead letter: the largest request that deploy/streams lets in, with its
// headers and ours.
const minPayload = 1 << 20

// Connect joins the server of the settings. name is how the server lists the
// connection.
func Connect(ctx context.Context, cfg config.NATS, name string, log zerolog.Logger) (*nats.Conn, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	options := append(options(name, cfg.InboxPrefix, log), nats.Timeout(5*time.Second))
	options = append(options, secured(cfg.TLS)...)
	who, err := authenticated(cfg.Auth, log)
	if err != nil {
		return nil, err
	}
	nc, err := nats.Connect(cfg.URL, append(options, who...)...)
	if err != nil {
		return nil, &UnreachableError{What: "NATS at " + config.Masked(cfg.URL), Err: explained(err)}
	}
	if ctx.Err() != nil {
		nc.Close()
		return nil, ctx.Err()
	}
	if nc.MaxPayload() < minPayload {
		nc.Close()
		return nil, &config.Error{Problems: []string{fmt.Sprintf(
			"NATS at %s has max_payload %d; a request and its dead letter need %d: raise max_payload", config.Masked(cfg.URL), nc.MaxPayload(), minPayload)}}
	}
	return nc, nil
}

// explained says what is to be done about an error that the client does not
// explain.
func explained(err error) error {
	if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) {
		return fmt.Errorf("%w: it does not know who connects; set one of nats-creds, nats-nkey, nats-user, a token (deploy/CONFIGURATION.md)", err)
	}
	return err
}

func ofNetwork(err error) bool {
	_, network := errors.AsType[*net.OpError](err)
	return network
}

func options(name, inboxPrefix string, log zerolog.Logger) []nats.Option {
	options := []nats.Option{
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn().Err(err).Msg("NATS disconnected")
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info().Str("url", nc.ConnectedUrlRedacted()).Msg("NATS reconnected")
		}),
		// A server that went silent with its connection open is noticed after two of
		// these.
		nats.PingInterval(10 * time.Second),
		nats.ErrorHandler(newPermissions(log).handle),
		// Who was let in once is let in again, when its file or the server's user is
		// put right.
		nats.IgnoreAuthErrorAbort(),
	}
	if inboxPrefix != "" {
		options = append(options, nats.CustomInboxPrefix(inboxPrefix))
	}
	return options
}

// Embedded is a JetStream server inside this process.
type Embedded struct {
	srv  *server.Server
	lock *os.File
}

// StartEmbedded runs a server that syncs every write to its store directory,
// which no other process may use.
func StartEmbedded(cfg config.NATS) (*Embedded, error) {
	host, port, err := net.SplitHostPort(cfg.Embedded.Listen)
	number, portErr := strconv.Atoi(port)
	if err = errors.Join(err, portErr); err != nil {
		return nil, &config.Error{Problems: []string{fmt.Sprintf("BACKHAUL_NATS_LISTEN: is %q, must be an address such as 127.0.0.1:4222", cfg.Embedded.Listen)}}
	}
	if number == 0 {
		number = server.RANDOM_PORT
	}
	lock, err := lockDirectory(cfg.Embedded.StoreDir)
	if err != nil {
		return nil, err
	}
	e := &Embedded{lock: lock}
	e.srv, err = server.NewServer(&server.Options{
		ServerName: "backhaul-embedded",
		Host:       host,
		Port:       number,
		JetStream:  true,
		StoreDir:   cfg.Embedded.StoreDir,
		SyncAlways: true,
		NoSigs:     true,
		NoLog:      true,
	})
	if err != nil {
		e.Stop()
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	e.srv.Start()
	if !e.srv.ReadyForConnections(30 * time.Second) {
		e.Stop()
		return nil, fmt.Errorf("embedded NATS did not start on %s: is the address in use?", cfg.Embedded.Listen)
	}
	return e, nil
}

// lockDirectory makes the directory this process's own.
func lockDirectory(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "backhaul.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store directory: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, &config.Error{Problems: []string{fmt.Sprintf(
			"store directory %s is in use by another backhaul; stop it, or set BACKHAUL_STORE_DIR and BACKHAUL_NATS_LISTEN for this one", dir)}}
	}
	return lock, nil
}

// URL is where other programs on this machine connect.
func (e *Embedded) URL() string { return e.srv.ClientURL() }

// Connect is a connection that does not leave the process.
func (e *Embedded) Connect(name string, log zerolog.Logger) (*nats.Conn, error) {
	return nats.Connect("", append(options(name, "", log), nats.InProcessServer(e.srv))...)
}

// Stop shuts the server down and waits for it.
func (e *Embedded) Stop() {
	if e.srv != nil {
		e.srv.Shutdown()
		e.srv.WaitForShutdown()
	}
	_ = e.lock.Close()
}
