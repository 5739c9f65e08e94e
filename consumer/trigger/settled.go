package trigger

import "time"

// maxSettled is how many settled messages are remembered. The server has received the
// acknowledgements of older ones.
const maxSettled = 10_000

// settled has the messages that this process settled last. A decision by other routes does not
// cover a message, so after a change of routes only this keeps a message whose acknowledgement is
// lost, or on its way, from being requested again.
type settled struct {
	stored map[uint64]int64 // when each message was stored, in nanoseconds, by its sequence
	order  []uint64         // a ring of the sequences
	oldest int              // index of the oldest when the ring is full
}

func (s *settled) add(sequence uint64, stored time.Time) {
	if s.stored == nil {
		s.stored = make(map[uint64]int64)
	}
	if len(s.order) < maxSettled {
		s.order = append(s.order, sequence)
	} else {
		delete(s.stored, s.order[s.oldest])
		s.order[s.oldest] = sequence
		s.oldest = (s.oldest + 1) % maxSettled
	}
	s.stored[sequence] = stored.UnixNano()
}

// has reports whether the message was settled. A message of a stream that was created again
// may have the same sequence, and another time.
func (s *settled) has(sequence uint64, stored time.Time) bool {
	at, ok := s.stored[sequence]
	return ok && at == stored.UnixNano()
}
