package service

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/rs/zerolog"

	"backhaul/cmd/internal/console"
	"backhaul/cmd/internal/replica"
	"backhaul/cmd/internal/sdnotify"
)

// supervise notifies systemd, if it started this process: that the service is ready;
// when ctx ends, that it is stopping; and for the watchdog, until done is called, that
// the process answers. NATS and the vendor do not count: a restart would not bring
// them back. doing is the status in the meantime.
func supervise(ctx context.Context, admin *console.Console, doing string, log zerolog.Logger) (done func()) {
	systemd, err := sdnotify.Open(os.LookupEnv)
	if err != nil || systemd == nil {
		if err != nil {
			log.Warn().Err(err).Msg("cannot notify systemd")
		}
		return func() {}
	}
	tell := func(states ...string) {
		if err := systemd.Send(states...); err != nil {
			log.Warn().Err(err).Msg("systemd was not notified")
		}
	}
	tell(sdnotify.Ready, sdnotify.Status(doing))
	told := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(told)
		tell(sdnotify.Stopping, sdnotify.Status("finishing what is under way"))
	})
	watched, cancel := context.WithCancel(context.WithoutCancel(ctx)) // while work is drained, too
	var watching sync.WaitGroup
	watching.Go(func() {
		systemd.Watch(watched, func(ctx context.Context) error { return answers(ctx, admin) }, func(err error) {
			log.Error().Err(err).Msg("not alive: the watchdog hears nothing")
		})
	})
	return func() {
		if !stop() {
			<-told // nothing may have been under way
		}
		cancel()
		watching.Wait()
		systemd.Close()
	}
}

// answers asks this process what a supervisor would ask from outside. Without a listener
// there is nothing to ask: the process runs.
func answers(ctx context.Context, admin *console.Console) error {
	address, ok := strings.CutPrefix(admin.URL(), "http://")
	if !ok {
		return nil
	}
	address, err := replica.Address(address)
	if err != nil {
		return err
	}
	status, _, err := replica.Get(ctx, address, "/livez")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("/livez answers %d", status)
	}
	return err
}
