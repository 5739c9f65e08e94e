package natsconn

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"backhaul/cmd/internal/storedir"
)

// Embedded is a JetStream server inside this process.
type Embedded struct {
	dir     string
	options server.Options
	lock    *os.File
	log     *serverLog
	srv     atomic.Pointer[server.Server] // the one that was started last
	guard
}

// maxStore is the limit of what all streams hold: none. Without a setting the server
// takes three quarters of what is free on the disk when it starts, and refuses every
// message where it holds more than that already.
const maxStore = 1 << 60

// StartEmbedded runs a server that syncs every write to its store directory, which no
// other process may use. A server that cannot write is restarted as soon as the disk
// takes writes; see [Embedded.Trouble].
func StartEmbedded(cfg EmbeddedOptions, log zerolog.Logger) (*Embedded, error) {
	host, port, err := net.SplitHostPort(cfg.Listen)
	number, portErr := strconv.Atoi(port)
	if err = errors.Join(err, portErr); err != nil {
		return nil, &OptionsError{fmt.Sprintf("BACKHAUL_NATS_LISTEN: is %q, must be an address such as 127.0.0.1:4222", cfg.Listen)}
	}
	if number == 0 {
		number = server.RANDOM_PORT
	}
	if err := os.MkdirAll(cfg.StoreDir, 0o700); err != nil {
		return nil, startError("BACKHAUL_STORE_DIR", cfg.StoreDir, err)
	}
	e, err := start(cfg.StoreDir, server.Options{Host: host, Port: number}, log)
	if err != nil {
		return nil, startError("BACKHAUL_STORE_DIR", cfg.StoreDir, err)
	}
	if why := storedir.Refusal(cfg.StoreDir); why != "" { // under the lock: no move is under way
		e.Stop()
		return nil, &OptionsError{why}
	}
	e.watch(e)
	return e, nil
}

// OpenStore runs a server on an existing store directory, for this process alone: it
// does not listen. The requests of the store may have been moved.
func OpenStore(dir string, log zerolog.Logger) (*Embedded, error) {
	const setting = "--from-store"
	info, err := os.Stat(filepath.Join(dir, "jetstream"))
	if err == nil && !info.IsDir() || errors.Is(err, fs.ErrNotExist) {
		return nil, &OptionsError{fmt.Sprintf("%s is not the store directory of an embedded server: it has no directory jetstream; set %s to the directory of BACKHAUL_STORE_DIR", dir, setting)}
	}
	if err != nil {
		return nil, startError(setting, dir, err)
	}
	e, err := start(dir, server.Options{DontListen: true}, log)
	if err != nil {
		return nil, startError(setting, dir, err)
	}
	return e, nil
}

// startError returns why a server cannot be started, and the way out. setting is what
// names its directory.
func startError(setting, dir string, err error) error {
	if _, ok := errors.AsType[*OptionsError](err); ok {
		return err
	}
	problem := storedir.Problem(setting, dir, err)
	if listen, ok := errors.AsType[*net.OpError](err); ok && listen.Op == "listen" {
		problem = fmt.Sprintf("the embedded NATS server cannot listen: %v; ", listen)
		if errors.Is(err, syscall.EADDRINUSE) {
			problem += "stop the program that uses the address, or join it by BACKHAUL_NATS_URL if it is a NATS server, or "
		}
		problem += "set BACKHAUL_NATS_LISTEN or --nats-listen to another address, such as 127.0.0.1:0 for any free port"
	}
	return &OptionsError{problem}
}

func start(dir string, options server.Options, log zerolog.Logger) (*Embedded, error) {
	lock, err := lockDirectory(dir)
	if err != nil {
		return nil, err
	}
	e := &Embedded{dir: dir, lock: lock, log: newServerLog(log)}
	options.ServerName, options.JetStream, options.StoreDir, options.SyncAlways = "backhaul-embedded", true, dir, true
	options.JetStreamMaxStore = maxStore
	options.NoSigs = true
	e.options = options
	if err := e.serve(); err != nil {
		e.Stop()
		return nil, err
	}
	return e, nil
}

// serve runs a server with the options, on the port of the one before it.
func (e *Embedded) serve() error {
	options := e.options
	srv, err := server.NewServer(&options)
	if err != nil {
		return fmt.Errorf("embedded NATS: %w", err)
	}
	e.log.fatal.Store(nil)
	srv.SetLoggerV2(e.log, false, false, false)
	srv.Start() // which returns once it listens, or has logged why it cannot
	e.srv.Store(srv)
	if err := e.log.fatal.Load(); err != nil {
		return *err
	}
	if !srv.ReadyForConnections(30 * time.Second) {
		return fmt.Errorf("embedded NATS did not start on %s:%d within 30 s", options.Host, options.Port)
	}
	if address, ok := srv.Addr().(*net.TCPAddr); ok {
		e.options.Port = address.Port
	}
	return nil
}

// shutdown stops the server and waits for it.
func (e *Embedded) shutdown() {
	if srv := e.srv.Load(); srv != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
	}
}

// MarkMoved marks the store as moved: no process works on its requests again.
func (e *Embedded) MarkMoved(where string, now time.Time) error {
	return storedir.MarkMoved(e.dir, where, now)
}

// lockDirectory locks the directory for this process.
func lockDirectory(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, "backhaul.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, &OptionsError{fmt.Sprintf(
			"store directory %s is in use by another backhaul; stop it, or set BACKHAUL_STORE_DIR and BACKHAUL_NATS_LISTEN for this one", dir)}
	}
	return lock, nil
}

// URL returns where other programs on this machine connect.
func (e *Embedded) URL() string { return e.srv.Load().ClientURL() }

// Connect returns a connection inside the process. It follows the server across
// restarts.
func (e *Embedded) Connect(name string, log zerolog.Logger) (*nats.Conn, error) {
	return nats.Connect("", append(options(name, "", log), nats.InProcessServer(e))...)
}

// InProcessConn makes it a [nats.InProcessConnProvider].
func (e *Embedded) InProcessConn() (net.Conn, error) { return e.srv.Load().InProcessConn() }

// Stop shuts the server down and waits for it.
func (e *Embedded) Stop() {
	e.stop()
	e.shutdown()
	_ = e.lock.Close()
}
