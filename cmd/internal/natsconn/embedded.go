package natsconn

import (
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

// Embedded is a JetStream server inside this process.
type Embedded struct {
	dir  string
	srv  *server.Server
	lock *os.File
}

// StartEmbedded runs a server that syncs every write to its store directory,
// which no other process may use.
func StartEmbedded(cfg config.Embedded) (*Embedded, error) {
	host, port, err := net.SplitHostPort(cfg.Listen)
	number, portErr := strconv.Atoi(port)
	if err = errors.Join(err, portErr); err != nil {
		return nil, &config.Error{Problems: []string{fmt.Sprintf("BACKHAUL_NATS_LISTEN: is %q, must be an address such as 127.0.0.1:4222", cfg.Listen)}}
	}
	if number == 0 {
		number = server.RANDOM_PORT
	}
	if err := os.MkdirAll(cfg.StoreDir, 0o700); err != nil {
		return nil, fmt.Errorf("store directory: %w", err)
	}
	e, err := start(cfg.StoreDir, &server.Options{Host: host, Port: number})
	if err != nil {
		return nil, err
	}
	if where := cfg.Moved(); where != "" { // under the lock: no move is under way
		e.Stop()
		return nil, &config.Error{Problems: []string{where}}
	}
	return e, nil
}

// OpenStore runs a server on a store directory that exists, for this process
// alone: nobody can connect from outside. It may be one that was moved.
func OpenStore(dir string) (*Embedded, error) {
	if info, err := os.Stat(filepath.Join(dir, "jetstream")); err != nil || !info.IsDir() {
		return nil, &config.Error{Problems: []string{fmt.Sprintf("%s is no store directory of an embedded server: there is no jetstream in it", dir)}}
	}
	return start(dir, &server.Options{DontListen: true})
}

func start(dir string, options *server.Options) (*Embedded, error) {
	lock, err := lockDirectory(dir)
	if err != nil {
		return nil, err
	}
	e := &Embedded{dir: dir, lock: lock}
	options.ServerName, options.JetStream, options.StoreDir, options.SyncAlways = "backhaul-embedded", true, dir, true
	options.NoSigs, options.NoLog = true, true
	if e.srv, err = server.NewServer(options); err != nil {
		e.Stop()
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	e.srv.Start()
	if !e.srv.ReadyForConnections(30 * time.Second) {
		e.Stop()
		return nil, fmt.Errorf("embedded NATS did not start on %s:%d: is the address in use?", options.Host, options.Port)
	}
	return e, nil
}

// MarkMoved keeps anybody from working on the requests in this store again.
func (e *Embedded) MarkMoved(where string, now time.Time) error {
	text := fmt.Sprintf("moved to %s on %s\n", where, now.UTC().Format(time.RFC3339))
	if err := os.WriteFile(config.Embedded{StoreDir: e.dir}.MovedFile(), []byte(text), 0o600); err != nil {
		return fmt.Errorf("mark the store as moved: %w", err)
	}
	return nil
}

// lockDirectory makes the directory this process's own.
func lockDirectory(dir string) (*os.File, error) {
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
