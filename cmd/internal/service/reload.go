package service

import (
	"os"
	"sync"

	"github.com/rs/zerolog"
)

// reloads passes hangups on to what reads a file again.
type reloads struct{ to []chan os.Signal }

// add returns a channel that receives each hangup after start.
func (r *reloads) add() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	r.to = append(r.to, c)
	return c
}

// start passes hangups on until stop is called. If nothing was added, it logs at each that
// nothing was read again, and why. Several hangups in a short time may become one.
func (r *reloads) start(hangups <-chan os.Signal, why string, log zerolog.Logger) (stop func()) {
	ended := make(chan struct{})
	var listening sync.WaitGroup
	listening.Go(func() {
		for {
			select {
			case hangup := <-hangups:
				if len(r.to) == 0 {
					log.Warn().Msg("SIGHUP: nothing was read again: " + why)
				}
				for _, to := range r.to {
					select {
					case to <- hangup:
					default: // it has one to do
					}
				}
			case <-ended:
				return
			}
		}
	})
	return func() {
		close(ended)
		listening.Wait()
	}
}
