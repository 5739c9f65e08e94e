package vendorapi

import (
	"context"
	"sync"
)

// shared is the result of work that several callers wait for. The work ends early only when the
// last caller has left.
type shared[T any] struct {
	op      string      // the vendor's operation, for errors
	owner   *sync.Mutex // guards callers, and is locked for abandon
	callers int
	abandon func() // ends the work and closes it to further callers
	done    chan struct{}
	value   T // value and err are set before done is closed
	err     error
}

// finish passes the result to all callers.
func (s *shared[T]) finish(value T, err error) {
	s.value, s.err = value, err
	close(s.done)
}

// wait returns the result, or an error if ctx ends first.
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
