package watch

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// startBehind runs a watch whose connection goes through a proxy.
func (b *bench) startBehind(proxy *natstest.Proxy) (stop func()) {
	b.Helper()
	w, err := New(proxy.Connect(b), b.config(), zerolog.Nop())
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	return func() { cancel(); running.Wait() }
}

// A replica that is killed at a step of publishing a state leaves one event of the state, with the
// replica that follows it.
func TestWatch_killedAtEachStep(t *testing.T) {
	t.Parallel()
	subject := publisher.ProtectionSubject(schemas.ContentGroup{ClientName: "c", InstanceName: "c", BackupsetName: schemas.DefaultBackupsetName, SubclientName: "g"})
	for step, test := range map[string]struct {
		action natstest.Action
		stored bool // the replica is killed when the event is stored
	}{
		"before the event arrives":  {natstest.Swallow, false},
		"before it is acknowledged": {natstest.Deafen, true},
		"while it is sent":          {natstest.Forward, false},
		"when it is stored":         {natstest.Forward, true},
	} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, rpo(time.Minute))
			proxy := natstest.StartProxy(t, b.nats)
			b.changes("g", ago(hour)).end(schemas.OutcomeFailed)
			var want []string
			for _, state := range []string{"breached rpo", "restored covered"} {
				met := proxy.Once("HPUB "+subject, test.action)
				stop := b.startBehind(proxy)
				<-met
				want = append(want, state)
				if test.stored {
					b.wait(want...)
				}
				stop()
				proxy.Cut(false)
				w, stopNext := b.start(b.config())
				b.wait(want...)
				b.settle(w)
				stopNext()
				b.wait(want...)
				b.changes("g", time.Now()).end(schemas.OutcomeCompleted)
			}
		})
	}
}
