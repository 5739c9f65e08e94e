package natsconn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// guardEvery is how often to check whether the server can write, and whether a stopped
	// server can be started again.
	guardEvery = time.Second
	// spaceNeeded must be free on the disk before the server is started again: some of
	// the largest messages.
	spaceNeeded = 4 << 20
)

// guard starts an embedded server again that cannot write any more. A stream whose disk
// was full for a moment stays closed for writes for as long as its server runs: the
// server answers no publish, and goes on to answer everything else.
//
// The broken server is stopped at once, not when the disk has space: it may show a message
// as stored that is not on the disk.
type guard struct {
	trouble  atomic.Pointer[error]
	cancel   context.CancelFunc
	watching sync.WaitGroup
}

// Trouble returns why the embedded server cannot write, nil while it can.
func (g *guard) Trouble() error {
	if trouble := g.trouble.Load(); trouble != nil {
		return *trouble
	}
	return nil
}

func (g *guard) watch(e *Embedded) {
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	g.watching.Go(func() {
		tick := time.NewTicker(guardEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-e.log.broken:
			case <-tick.C:
			}
			if err := e.broken(); err != nil {
				g.restart(ctx, e, err)
			}
		}
	})
}

func (g *guard) stop() {
	if g.cancel != nil {
		g.cancel()
	}
	g.watching.Wait()
}

// broken returns why the server takes no writes, nil if it takes them as far as it
// knows.
func (e *Embedded) broken() error {
	if err := e.log.writeError.Load(); err != nil {
		return *err
	}
	srv := e.srv.Load()
	if !srv.JetStreamEnabled() {
		return errors.New("JetStream was disabled")
	}
	for _, found := range srv.Healthz(&server.HealthzOptions{Details: true}).Errors {
		if writeFailed(found.Error) { // a stream that is being made is not healthy, either
			return errors.New(found.Error)
		}
	}
	return nil
}

// restart stops the server and starts another one, as soon as the disk has space for
// it or ctx ends.
func (g *guard) restart(ctx context.Context, e *Embedded, why error) {
	tell := func(err error) { g.trouble.Store(&err) }
	tell(fmt.Errorf("the embedded NATS server cannot write and is started again: %w", why))
	e.log.Error().Err(why).Str("storeDir", e.dir).Msg("the embedded NATS server cannot write any more, starting it again")
	e.shutdown()
	e.log.forget()
	tick := time.NewTicker(guardEvery)
	defer tick.Stop()
	for {
		err := e.hasSpace()
		if err == nil {
			if err = e.serve(); err != nil {
				e.shutdown()
			}
		}
		if err == nil {
			break
		}
		tell(fmt.Errorf("the embedded NATS server is stopped and cannot be started again: %w", err))
		if e.log.isNews(err.Error()) {
			e.log.Error().Err(err).Str("storeDir", e.dir).Msg("the embedded NATS server cannot be started again yet")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
	g.trouble.Store(nil)
	e.log.Info().Msg("the embedded NATS server was started again and takes writes")
}

// hasSpace returns an error if the store directory does not take a file.
func (e *Embedded) hasSpace() error {
	name := filepath.Join(e.dir, "backhaul.room")
	defer func() { _ = os.Remove(name) }()
	if err := os.WriteFile(name, make([]byte, spaceNeeded), 0o600); err != nil {
		return fmt.Errorf("the store directory does not take %d MiB: %w", spaceNeeded>>20, err)
	}
	return nil
}
