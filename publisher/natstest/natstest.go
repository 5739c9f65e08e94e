// Package natstest starts real JetStream servers in the test process, with the streams
// that Backhaul ships, and breaks their connections ([Proxy]).
package natstest

import (
	"cmp"
	"embed"
	"encoding/json"
	"io/fs"
	"maps"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats-server/v2/server/ats"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/deploy"
)

// Server is a JetStream server that runs until its test ends.
type Server struct {
	// URL is the address for clients. It stays the same after Stop and Restart.
	URL string

	t       testing.TB
	options server.Options
	srv     atomic.Pointer[server.Server]
}

// Start runs a server with the shipped streams and consumers after applying changes.
func Start(t testing.TB, changes ...Change) *Server {
	t.Helper()
	s := StartBare(t)
	Provision(t, s.Connect(t), changes...)
	return s
}

// StartPipe is like [Start] for tests under [testing/synctest]: the server does not listen, and its
// clients reach it through pipes. [Synctest] runs such a test.
func StartPipe(t testing.TB, changes ...Change) *Server {
	t.Helper()
	s := &Server{t: t, options: server.Options{
		ServerName: "natstest", DontListen: true, JetStream: true, StoreDir: storeDir(t), NoSigs: true, NoLog: true,
	}}
	s.Restart()
	t.Cleanup(s.Stop)
	Provision(t, s.Connect(t), changes...)
	return s
}

// Synctest is [synctest.Test] for a test with a server of [StartPipe]. A goroutine that all servers
// of a process share is started outside of the bubble.
func Synctest(t *testing.T, test func(*testing.T)) {
	t.Helper()
	ats.Register()
	t.Cleanup(ats.Unregister)
	synctest.Test(t, test)
}

// InProcessConn makes it a [nats.InProcessConnProvider].
func (s *Server) InProcessConn() (net.Conn, error) { return s.srv.Load().InProcessConn() }

// StartBare runs a server without streams on a free loopback port.
func StartBare(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, options: server.Options{
		ServerName: "natstest",
		Host:       "127.0.0.1",
		Port:       server.RANDOM_PORT,
		JetStream:  true,
		StoreDir:   storeDir(t),
		NoSigs:     true,
		NoLog:      true,
	}}
	s.Restart()
	t.Cleanup(s.Stop)
	s.options.Port = s.srv.Load().Addr().(*net.TCPAddr).Port
	s.URL = s.srv.Load().ClientURL()
	return s
}

// StoreDir returns the directory of the server's streams.
func (s *Server) StoreDir() string { return s.options.StoreDir }

// LimitStorage restarts the server with a limit on what all its streams store, in bytes.
func (s *Server) LimitStorage(limit int64) {
	s.t.Helper()
	s.Stop()
	s.options.JetStreamMaxStore = limit
	s.Restart()
}

// Stop shuts the server down and keeps its store.
func (s *Server) Stop() {
	s.srv.Load().Shutdown()
	s.srv.Load().WaitForShutdown()
}

// Restart starts the server again with its store and port.
func (s *Server) Restart() {
	s.t.Helper()
	options := s.options
	srv, err := server.NewServer(&options)
	if err != nil {
		s.t.Fatalf("natstest: %v", err)
	}
	srv.Start()
	if !srv.ReadyForConnections(20 * time.Second) {
		s.t.Fatal("natstest: server not ready after 20 s")
	}
	s.srv.Store(srv)
}

// Connect returns a connection with the program's options: it does not buffer while it is
// disconnected, and it reconnects without limit.
func (s *Server) Connect(t testing.TB) *nats.Conn {
	t.Helper()
	if s.options.DontListen {
		return connect(t, "", nats.InProcessServer(s))
	}
	return connect(t, s.URL)
}

func connect(t testing.TB, url string, more ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, append(more, nats.Timeout(20*time.Second), nats.ReconnectBufSize(-1), nats.MaxReconnects(-1),
		nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0))...)
	if err != nil {
		t.Fatalf("natstest: connect: %v", err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// JetStream returns a JetStream context for a connection.
func JetStream(t testing.TB, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatalf("natstest: %v", err)
	}
	return js
}

// Change modifies a stream or a consumer before it is created; the other argument is nil.
type Change func(stream *jetstream.StreamConfig, durable *jetstream.ConsumerConfig)

// AckWait returns a change that sets the consumers' acknowledgement wait.
func AckWait(d time.Duration) Change {
	return func(_ *jetstream.StreamConfig, durable *jetstream.ConsumerConfig) {
		if durable != nil {
			durable.AckWait = d
		}
	}
}

// Provision creates the shipped streams and consumers with one replica after applying
// changes.
func Provision(t testing.TB, nc *nats.Conn, changes ...Change) {
	t.Helper()
	shipped := definitions(t, deploy.Streams, "streams")
	maps.Copy(shipped, definitions(t, deploy.MarkStreams, "streams/mark"))
	maps.Copy(shipped, definitions(t, deploy.ProtectionStreams, "streams/protection"))
	maps.Copy(shipped, definitions(t, deploy.FollowStreams, "streams/follow"))
	provision(t, nc, shipped, changes)
}

// ProvisionBudget creates the stream that only a budget of writing calls needs, like [Provision].
func ProvisionBudget(t testing.TB, nc *nats.Conn, changes ...Change) {
	t.Helper()
	provision(t, nc, definitions(t, deploy.BudgetStreams, "streams/budget"), changes)
}

// ProvisionTrigger creates the streams and consumers that only the trigger needs, like
// [Provision].
func ProvisionTrigger(t testing.TB, nc *nats.Conn, changes ...Change) {
	t.Helper()
	provision(t, nc, definitions(t, deploy.TriggerStreams, "streams/trigger"), changes)
}

// ProvisionArchive creates the consumer that only the archiver needs, like [Provision], on the
// stream that is there.
func ProvisionArchive(t testing.TB, nc *nats.Conn, changes ...Change) {
	t.Helper()
	provision(t, nc, definitions(t, deploy.ArchiveStreams, "streams/archive"), changes)
}

func provision(t testing.TB, nc *nats.Conn, shipped map[string][]byte, changes []Change) {
	t.Helper()
	js := JetStream(t, nc)
	created := make(map[string]string) // a change may give a stream another name
	for name, data := range shipped {
		stream, durable, isConsumer := strings.Cut(name, ".consumer.")
		if isConsumer {
			continue
		}
		var cfg jetstream.StreamConfig
		unmarshal(t, name, data, &cfg)
		cfg.Replicas = 1
		for _, change := range changes {
			change(&cfg, nil)
		}
		if _, err := js.CreateStream(t.Context(), cfg); err != nil {
			t.Fatalf("natstest: create %s %s: %v", stream, durable, err)
		}
		created[stream] = cfg.Name
	}
	for name, data := range shipped {
		stream, _, isConsumer := strings.Cut(name, ".consumer.")
		if !isConsumer {
			continue
		}
		var cfg jetstream.ConsumerConfig
		unmarshal(t, name, data, &cfg)
		for _, change := range changes {
			change(nil, &cfg)
		}
		if _, err := js.CreateConsumer(t.Context(), cmp.Or(created[stream], stream), cfg); err != nil {
			t.Fatalf("natstest: create %s: %v", name, err)
		}
	}
}

func definitions(t testing.TB, files embed.FS, dir string) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	err := fs.WalkDir(files, dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := files.ReadFile(path)
		all[strings.TrimSuffix(entry.Name(), ".json")] = data
		return err
	})
	if err != nil {
		t.Fatalf("natstest: %v", err)
	}
	return all
}

func unmarshal(t testing.TB, name string, data []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("natstest: %s: %v", name, err)
	}
}

// storeDir returns a new directory like t.TempDir, but its removal may fail: a server that
// is shut down may still write its last state.
func storeDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "natstest-") //nolint:usetesting // see above
	if err != nil {
		t.Fatalf("natstest: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
