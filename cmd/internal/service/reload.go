package service

import (
	"os"
	"sync"

	"github.com/rs/zerolog"
)

// refuseReloads logs at each hangup that nothing was read again, and why, until stop
// is called.
func refuseReloads(hangups <-chan os.Signal, why string, log zerolog.Logger) (stop func()) {
	ended := make(chan struct{})
	var listening sync.WaitGroup
	listening.Go(func() {
		for {
			select {
			case <-hangups:
				log.Warn().Msg("SIGHUP: nothing was read again: " + why)
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
