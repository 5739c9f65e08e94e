package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/waittest"
	"backhaul/publisher"
	"backhaul/vendorapi/secretstest"
)

// The tests here look at the program from outside: the built binary, a separate
// nats-server, plain NATS clients.

const password = "geheim-Ü-7f3a" // no other text contains it

var binaries = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "backhaul-test-"); err != nil {
		return "", err
	}
	for name, pkg := range map[string]string{"backhaul": ".", "nats-server": "github.com/nats-io/nats-server/v2"} {
		build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, name), pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is shipped; and an image needs nothing else
		out, err := build.CombinedOutput()
		if err != nil {
			return dir, fmt.Errorf("build %s: %w\n%s", pkg, err, out)
		}
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	if os.Getenv(yardstickEnv) != "" {
		os.Exit(yardstickMain())
	}
	code := m.Run()
	if dir, err := binaries(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

func binary(t *testing.T, name string) string {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// process is a program that runs beside the test.
type process struct {
	cmd    *exec.Cmd
	output *output
	done   chan struct{}
	err    error
}

// noSecrets fails the test if something that was printed shows a secret.
func noSecrets(t testing.TB, printed ...any) {
	t.Helper()
	secretstest.NotShown(t, []string{password, "QSDK "}, printed...)
}

// output collects what a process prints.
type output = waittest.Log

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	waittest.Eventually(t, what, condition)
}

func start(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	return startCommand(t, exec.Command(binary(t, name), args...), env)
}

func startCommand(t *testing.T, cmd *exec.Cmd, env []string) *process {
	t.Helper()
	p := &process{cmd: cmd, output: &output{}, done: make(chan struct{})}
	p.cmd.Env = append(cleanEnv(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		noSecrets(t, p.output.String())
		if t.Failed() {
			t.Logf("%v:\n%s", cmd.Args, p.output)
		}
	})
	return p
}

// cleanEnv is the environment without settings of ours.
func cleanEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "BACKHAUL_") {
			env = append(env, v)
		}
	}
	return env
}

// kill ends the process with SIGKILL.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *process) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// stop asks the process to stop and returns its exit code.
func (p *process) stop(t *testing.T) int {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		t.Fatal("still running a minute after SIGTERM")
	}
	return p.exitCode()
}

func (p *process) exitCode() int {
	<-p.done
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) waitFor(t *testing.T, text string) {
	t.Helper()
	eventually(t, fmt.Sprintf("output with %q", text), func() bool {
		select {
		case <-p.done:
			if !strings.Contains(p.output.String(), text) {
				t.Fatalf("process ended (%v) before it printed %q:\n%s", p.err, text, p.output)
			}
		default:
		}
		return strings.Contains(p.output.String(), text)
	})
}

// once runs the program to its end.
func once(t *testing.T, env []string, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary(t, "backhaul"), args...)
	cmd.Env = append(cleanEnv(), env...)
	cmd.Dir = t.TempDir()
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	noSecrets(t, out.String(), errs.String())
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// natsServer runs a separate nats-server and returns its URL.
func natsServer(t *testing.T) string {
	t.Helper()
	_, url := natsServerProcess(t)
	return url
}

func natsServerProcess(t *testing.T) (*process, string) {
	t.Helper()
	address := freeAddress(t)
	_, port, _ := strings.Cut(address, ":")
	p := start(t, nil, "nats-server", "-a", "127.0.0.1", "-p", port, "-js", "-sd", t.TempDir())
	p.waitFor(t, "Server is ready")
	return p, "nats://" + address
}

// freeAddress is an address on which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// serviceEnv is the environment of `backhaul run` against a server and a vendor.
func serviceEnv(natsURL, endpoint string) []string {
	return []string{
		"BACKHAUL_NATS_URL=" + natsURL, "BACKHAUL_VENDOR_ENDPOINT=" + endpoint,
		"BACKHAUL_VENDOR_USERNAME=backhaul", "BACKHAUL_VENDOR_PASSWORD=" + password,
		"BACKHAUL_VENDOR_TIMEOUT=5s", "BACKHAUL_VENDOR_VISIBILITY_WINDOW=2s",
		"BACKHAUL_ADMIN_ADDR=127.0.0.1:0", // there are others on this machine
	}
}

// plainClient is a NATS client as another team would have it.
type plainClient struct {
	t  *testing.T
	nc *nats.Conn
	js jetstream.JetStream
}

func connectPlainly(t *testing.T, url string) *plainClient {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(20*time.Second)) // on a busy machine
	if err != nil {
		t.Fatal(err)
	}
	return &plainClient{t: t, nc: nc, js: js}
}

func (c *plainClient) publish(subject string, header nats.Header, data []byte) {
	c.t.Helper()
	if _, err := c.js.PublishMsg(c.t.Context(), &nats.Msg{Subject: subject, Header: header, Data: data}); err != nil {
		c.t.Fatal(err)
	}
}

// answered asks the server again until it answers: a stream without a leader gives
// no answer, and a node that has just come back may need another try.
func (c *plainClient) answered(what string, ask func() error) {
	c.t.Helper()
	eventually(c.t, what, func() bool {
		err := ask()
		if err != nil {
			c.t.Logf("%s: %v", what, err)
		}
		return err == nil
	})
}

// messages is how many messages a stream holds.
func (c *plainClient) messages(stream string) (n uint64) {
	c.t.Helper()
	c.answered("state of "+stream, func() error {
		s, err := c.js.Stream(c.t.Context(), stream)
		if err == nil {
			n = s.CachedInfo().State.Msgs
		}
		return err
	})
	return n
}

// reader is a consumer of the stored messages whose subject matches.
func (c *plainClient) reader(stream, filter string) (consumer jetstream.Consumer) {
	c.t.Helper()
	c.answered("reader of "+stream, func() (err error) {
		consumer, err = c.js.CreateConsumer(c.t.Context(), stream, jetstream.ConsumerConfig{
			FilterSubject: filter, AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true,
		})
		return err
	})
	return consumer
}

// stored is every message of a stream whose subject matches.
func (c *plainClient) stored(stream, filter string) []jetstream.Msg {
	c.t.Helper()
	consumer := c.reader(stream, filter)
	batch, err := consumer.FetchNoWait(int(consumer.CachedInfo().NumPending) + 1)
	if err != nil {
		c.t.Fatal(err)
	}
	var all []jetstream.Msg
	for msg := range batch.Messages() {
		all = append(all, msg)
	}
	if err := batch.Error(); err != nil {
		c.t.Fatal(err)
	}
	return all
}

// waitForOutcomes waits until the requests stream is empty.
func (c *plainClient) waitForOutcomes() {
	c.t.Helper()
	eventually(c.t, "empty request stream", func() bool { return c.messages(publisher.RequestsStream) == 0 })
}
