package service

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/programtest"
	"backhaul/cmd/internal/routes"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
)

// What a trigger started is stopped when it returns: the next one in the same process has its
// address, and reads what comes then.
func TestTrigger_stopsWhatItStarted(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	file := filepath.Join(t.TempDir(), "routes.yaml")
	if err := os.WriteFile(file, []byte("routes:\n- {container: invoices, clientName: c, subclientName: g, window: {quiet: 1s}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	opened, err := routes.Open(file, true, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(pflag.NewFlagSet("test", pflag.ContinueOnError), []string{
		"BACKHAUL_NATS_URL=" + server.URL, "BACKHAUL_ADMIN_ADDR=" + programtest.FreeAddress(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	client := programtest.Connect(t, server.URL)
	for round, id := range []string{"first", "second"} {
		log := &waittest.Log{}
		ctx, cancel := context.WithCancel(t.Context())
		ready, served := make(chan string, 1), make(chan error, 1)
		go func() {
			served <- Trigger(ctx, Options{Config: cfg, Log: zerolog.New(log), Ready: func(at Addresses) { ready <- at.NATS }}, opened)
		}()
		select {
		case err := <-served:
			t.Fatalf("%s: %v\n%s", id, err, log)
		case <-ready:
		}
		client.Publish("storage.event.minio", nats.Header{nats.MsgIdHdr: {id}}, programtest.Notification("invoices", "a"))
		waittest.Eventually(t, "a request", func() bool { return client.Messages(publisher.RequestsStream) == uint64(round+1) })
		cancel()
		if err := <-served; err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if text := log.String(); strings.Contains(text, `"stop"`) || !strings.Contains(text, "drained") {
			t.Errorf("%s: the log is\n%s", id, text)
		}
	}
}
