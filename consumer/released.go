package consumer

import (
	"context"
	"errors"
	"sync"
	"time"

	"backhaul/publisher"
	"backhaul/schemas"
)

// maxReleased bounds the releases that are remembered. A request whose release is forgotten is
// claimed again by what the ledger has, as one that another replica has released.
const maxReleased = 4096

// releases remembers the claims that this process has released. Behind a pause of the vendor it
// claims most of these requests again, all at once. It knows the last event of each, so one write
// suffices instead of a write that is refused, a read and a write. The write is a compare-and-set
// on that event: if another owner was first, it is refused.
type releases struct {
	mu  sync.Mutex
	all map[publisher.Key]release
}

// release is a claim that was released.
type release struct {
	message  schemas.Message
	era      uint64 // of the ledger, see guard
	sequence uint64 // of the event that released it
	epoch    int
	doubt    doubt // for the next owner, see doubtOf
}

func newReleases() *releases { return &releases{all: make(map[publisher.Key]release)} }

// release ends the claim, so that the next owner does not wait for the end of its lease.
func (l *ledger) release(ctx context.Context, c *claim) error {
	err := l.write(ctx, c, StepRelease, c.sequence, 0)
	if err == nil {
		l.noteRelease(c)
	}
	return err
}

// write is put without the event that was first.
func (l *ledger) write(ctx context.Context, c *claim, step Step, after uint64, lease time.Duration) error {
	_, err := l.put(ctx, c, step, after, lease)
	return err
}

// noteRelease remembers that a claim was released just now.
func (l *ledger) noteRelease(c *claim) {
	r := l.released
	if r == nil {
		return
	}
	left := c.doubt
	switch {
	case left.unlikely:
		left.until = time.Now() // it was waited for, and is looked up once
	case left.inDoubt() && left.until.IsZero():
		left.until = time.Now().Add(l.visibility)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) >= maxReleased {
		clear(r.all)
	}
	r.all[c.req.key] = release{message: c.req.message, era: l.guard.seen().era, sequence: c.sequence, epoch: c.epoch, doubt: left}
}

// takeRelease returns the release of a request and forgets it. known is false for a release of other
// content with the same id, and of an earlier ledger.
func (l *ledger) takeRelease(req *request) (last release, known bool) {
	r := l.released
	if r == nil {
		return release{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	last, known = r.all[req.key]
	delete(r.all, req.key)
	return last, known && req.is(last.message) && last.era == l.guard.seen().era
}

// claimAgain claims a request whose claim this process has released. claimed is false if it has
// not, or if another event followed the release.
func (l *ledger) claimAgain(ctx context.Context, req *request) (got claiming, claimed bool, err error) {
	last, known := l.takeRelease(req)
	if !known {
		return claiming{}, false, nil
	}
	c := &claim{req: req, epoch: last.epoch + 1, doubt: last.doubt}
	_, err = l.put(ctx, c, StepTakeOver, last.sequence, l.lease)
	if errors.Is(err, errTakenOver) {
		return claiming{}, false, nil
	}
	return claiming{claim: c}, true, err
}
