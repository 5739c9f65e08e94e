package service

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"
)

const (
	// stopTimeout bounds a stop that has no bound of its own.
	stopTimeout = 15 * time.Second
	// stopGrace is the time that a stop has to return after its context has ended.
	stopGrace = time.Second
)

// stops are the stops of what a service has started. It is used by one goroutine.
type stops struct {
	log zerolog.Logger
	all []stop
}

type stop struct {
	name   string
	within time.Duration
	do     func(context.Context) error
}

// add registers a stop that cannot fail, with the usual bound.
func (s *stops) add(name string, do func()) {
	s.addWithin(name, stopTimeout, func(context.Context) error {
		do()
		return nil
	})
}

// addWithin registers a stop; its context ends with the bound.
func (s *stops) addWithin(name string, within time.Duration, do func(context.Context) error) {
	s.all = append(s.all, stop{name: name, within: within, do: do})
}

// run calls the stops in reverse order. One that fails or does not return in time is
// logged; the next one runs in any case.
func (s *stops) run() {
	for _, stop := range slices.Backward(s.all) {
		if err := stop.run(); err != nil {
			s.log.Error().Err(err).Str("stop", stop.name).Msg("did not stop as it should")
		}
	}
}

func (s stop) run() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.within)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- s.do(ctx) }()
	late := time.NewTimer(s.within + stopGrace)
	defer late.Stop()
	select {
	case err := <-stopped:
		return err
	case <-late.C:
		return fmt.Errorf("still stopping after %s, left behind", s.within+stopGrace)
	}
}
