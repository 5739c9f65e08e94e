package budget

import (
	"cmp"
	"time"
)

// tasks are the callers that wait for a grant.
type tasks struct {
	waiting []*task
	busy    bool
}

// task is one of them.
type task struct {
	turn  *turn // nil for a call that has no place in the order
	done  chan struct{}
	until time.Time // zero if there is no grant
	err   error
}

// turn is the turn of a subject in the order of starts.
type turn struct {
	subject string
	number  uint64
}

// byTurn compares tasks by their turns. Those without a turn come first.
func byTurn(a, b *task) int {
	switch {
	case a.turn == nil && b.turn == nil:
		return 0
	case a.turn == nil:
		return -1
	case b.turn == nil:
		return 1
	}
	return cmp.Compare(a.turn.number, b.turn.number)
}

// plan is what a process does next with a record.
type plan struct {
	record  record
	write   bool // whether the record differs from the one that was read
	granted int
	grants  []bool    // which of the tasks have a call
	until   time.Time // by the local clock
}

// plan takes calls from a record for the tasks that wait, and notes in it what a process knows. now
// is the local time, which is after the snapshot.
func (c Config) plan(seen snapshot, m mine, waiting []*task, now time.Time) plan {
	p := plan{grants: make([]bool, len(waiting)), record: seen.record.clone(), until: now.Add(c.validity())}
	p.record.forget(seen.at)
	held := p.record.leave(m.lease)
	for _, at := range m.ended {
		p.record.end(c.Owner, 1, seen.latest(at))
	}
	for _, s := range m.said {
		p.record.correct(s.Allowance, seen.latest(s.at), c.PerHour, m.open)
	}
	left, _ := p.record.left(c.PerHour, seen.at)
	for i, t := range waiting {
		switch {
		case p.granted >= min(left, c.most())-m.open, t.turn != nil && t.turn.number != p.record.Order.Number:
			continue
		case t.turn != nil:
			p.record.Order.Take(t.turn.subject)
		}
		p.granted++
		p.grants[i] = true
	}
	// The lease is over at until by our clock, and not before that by the server's.
	p.record.enter(c.Owner, m.lease, m.open+p.granted, seen.latest(p.until))
	if p.write = p.granted > 0 || held != m.open || len(m.ended) > 0 || len(m.said) > 0 || seen.assumed; p.write {
		if !c.Guest || p.record.Limit == 0 {
			p.record.Limit = c.PerHour
		}
		p.record.join()
	}
	return p
}
