package vendorapi

import (
	"context"
	"sync"
)

// shared is what becomes of work that several callers wait for. The work does
// not end with any of them, only when the last one has left.
type shared[T any] struct {
	op      string      // the vendor's operation, for errors
	owner   *sync.Mutex // guards callers, and is held for abandon
	callers int
	abandon func() // ends the work, and lets nobody join it any more
	done    chan struct{}
	value   T // this and err are there once done is closed
	err     error
}

// finish hands the result to all callers.
func (s *shared[T]) finish(value T, err error) {
	s.value, s.err = value, err
	close(s.done)
}

// wait is the result, or an error if ctx ends first.
func (s *shared[T]) wait(ctx context.Context) (T, error) {
	select {
	case <-s.done:
		return s.value, s.err
	case <-ctx.Done():
	}
	s.owner.Lock()
	defer s.owner.Unlock()
	if s.callers--; s.callers == 0 {
		s.abandon()
	}
	var none T
	return none, &Error{Op: s.op, Err: context.Cause(ctx)}
}
