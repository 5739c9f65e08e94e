package natsconn

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/publisher/natstest/waittest"
)

// fullDisk makes every write of this process beyond a few bytes of a file fail, as a full
// disk does, until it is called again.
func fullDisk(t *testing.T) (freed func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	set := func(limit syscall.Rlimit) {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
	}
	set(syscall.Rlimit{Cur: 8, Max: before.Max})
	return func() { set(before) }
}

// A disk that was full for a moment does not stop the embedded server for good. The
// limit of the test is one of its whole process, so it has one of its own.
func TestGuard_StartsAServerAgainThatCannotWrite(t *testing.T) {
	const child = "BACKHAUL_TEST_FULL_DISK"
	if os.Getenv(child) == "" {
		t.Parallel()
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1")
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	var log waittest.Log
	e, err := StartEmbedded(EmbeddedOptions{Listen: "127.0.0.1:0", StoreDir: filepath.Join(t.TempDir(), "store")}, zerolog.New(&log))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Stop)
	inside, err := e.Connect("inside", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(inside.Close)
	outside, err := nats.Connect(e.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(outside.Close)
	js, err := jetstream.New(outside)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	if err != nil {
		t.Fatal(err)
	}
	publish := func(text string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, err := js.Publish(ctx, "s", []byte(text))
		return err
	}
	if err := publish("kept"); err != nil {
		t.Fatal(err)
	}
	if err := e.Trouble(); err != nil {
		t.Errorf("before: %v", err)
	}
	freed := fullDisk(t)
	if err := publish("not stored"); err == nil {
		t.Error("a full disk took a message")
	}
	waittest.Eventually(t, "what the disk says", func() bool { return errors.Is(e.Trouble(), syscall.EFBIG) })
	freed()
	waittest.Eventually(t, "a server that takes writes", func() bool { return publish("after") == nil })
	waittest.Eventually(t, "the connection inside", inside.IsConnected)
	if err := e.Trouble(); err != nil {
		t.Errorf("after: %v", err)
	}
	for sequence, want := range map[uint64]string{1: "kept", 2: "after"} {
		if msg, err := stream.GetMsg(t.Context(), sequence); err != nil || string(msg.Data) != want {
			t.Errorf("message %d is %+v (%v), want %q", sequence, msg, err, want)
		}
	}
	for _, want := range []string{`"server":"embedded NATS"`, "ritical write error", "cannot write any more", "was started again and takes writes"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %s:\n%s", want, log.String())
		}
	}
	if strings.Count(log.String(), "cannot be started again yet") != 1 {
		t.Errorf("an outage is not one line:\n%s", log.String())
	}
}

// The size of the server's streams is not limited by what was free when it started.
func TestStartEmbedded_DoesNotLimitItsStreams(t *testing.T) {
	t.Parallel()
	e, err := StartEmbedded(EmbeddedOptions{Listen: "127.0.0.1:0", StoreDir: filepath.Join(t.TempDir(), "store")}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Stop)
	if got := e.srv.Load().JetStreamConfig().MaxStore; got != maxStore {
		t.Errorf("the streams may hold %d bytes", got)
	}
}

// The log of the server is bounded: each line once in a minute, and not too many.
func TestServerLog_IsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log waittest.Log
		l := newServerLog(zerolog.New(&log))
		lines := func() int { return strings.Count(log.String(), "\n") }
		for range 3 {
			l.Warnf("slow consumer %d", 1)
			l.Noticef("not of interest")
		}
		if lines() != 1 {
			t.Errorf("a repeated line is logged %d times", lines())
		}
		for i := range 10 * maxSaid {
			l.Errorf("client %d", i)
		}
		if lines() != maxSaid {
			t.Errorf("%d lines, want %d", lines(), maxSaid)
		}
		time.Sleep(time.Minute) //nolint:forbidigo // the bubble's time
		l.Warnf("slow consumer %d", 1)
		if lines() != maxSaid+1 {
			t.Errorf("%d lines after a minute, want %d", lines(), maxSaid+1)
		}
	})
}
