package service

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/programtest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// settings returns those of a service with an embedded server, a simulated vendor, and a
// listener at address.
func settings(t *testing.T, store, address, endpoint string) *config.Config {
	t.Helper()
	cfg, err := config.Load(pflag.NewFlagSet("test", pflag.ContinueOnError), []string{
		"BACKHAUL_STORE_DIR=" + store, "BACKHAUL_NATS_LISTEN=127.0.0.1:0", "BACKHAUL_ADMIN_ADDR=" + address,
		"BACKHAUL_VENDOR_ENDPOINT=" + endpoint, "BACKHAUL_VENDOR_USERNAME=backhaul", "BACKHAUL_VENDOR_PASSWORD=" + programtest.Password,
	})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// What a service started is stopped when it returns: the next one in the same process has
// its directory, its address and its session, and finds the request that it left.
func TestRun_stopsWhatItStarted(t *testing.T) {
	t.Parallel()
	world := simulator.DefaultWorld()
	world.Users[0].Password = base64.StdEncoding.EncodeToString([]byte(programtest.Password))
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: world})
	cfg := settings(t, t.TempDir(), programtest.FreeAddress(t), endpoint)
	for round, id := range []string{"first", "second"} {
		log := &waittest.Log{}
		ctx, cancel := context.WithCancel(t.Context())
		urls, served := make(chan string, 1), make(chan error, 1)
		go func() {
			served <- Run(ctx, Options{Config: cfg, Log: zerolog.New(log), Ready: func(at Addresses) { urls <- at.NATS }})
		}()
		select {
		case err := <-served:
			t.Fatalf("%s: %v\n%s", id, err, log.String())
		case url := <-urls:
			publish(t, url, id)
		}
		waittest.Eventually(t, "a job of the "+id, func() bool { return sim.Account().JobsStarted == round+1 })
		cancel()
		if err := <-served; err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if text := log.String(); strings.Contains(text, `"stop"`) || !strings.Contains(text, "drained") {
			t.Errorf("%s: the log is\n%s", id, text)
		}
		if logouts := sim.Account().Calls["Logout"]; logouts != round+1 {
			t.Errorf("%s: %d logouts", id, logouts)
		}
	}
}

func publish(t *testing.T, url, id string) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "backup.request.billing", programtest.SampleRequest(id)); err != nil {
		t.Fatal(err)
	}
}
