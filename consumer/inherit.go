package consumer

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer/internal/journal"
	"backhaul/publisher"
	"backhaul/schemas"
)

// inheritTimeout bounds one look for the claims of dead processes.
const inheritTimeout = 10 * time.Second

// begin keeps a claim in the journal before it is written to the ledger. Only what this process may
// send is kept.
func (l *ledger) begin(c *claim, step Step, nonce string) *journal.Entry {
	if l.journal == nil || step != StepClaim && step != StepTakeOver && step != StepRenew {
		return nil
	}
	return l.journal.Begin(nonce + " " + c.req.key.Source + " " + c.req.key.Name)
}

// end says that no call is made under the claim any more.
func (c *claim) end() {
	if c != nil {
		c.entry.End()
	}
}

// keyOfEntry returns the key and the nonce of a claim in a journal.
func keyOfEntry(text string) (key publisher.Key, nonce string, ok bool) {
	parts := strings.Split(text, " ")
	if len(parts) != 3 {
		return publisher.Key{}, "", false
	}
	return publisher.Key{Source: parts[1], Name: parts[2]}, parts[0], true
}

// openJournal makes the journal of this process, if it has a directory for it.
func (c *Consumer) openJournal() {
	if c.cfg.ClaimsDir == "" {
		return
	}
	own, err := journal.Open(c.cfg.ClaimsDir, c.ledgerName(), 2*c.cfg.slots())
	if err != nil {
		c.log.Debug().Err(err).Msg("claims that are not sent yet are waited for if this process is killed")
		return
	}
	c.handler.ledger.journal = own
}

// closeJournal ends the journal when no call is made any more. Without a connection there may be
// claims that were not released.
func (c *Consumer) closeJournal() {
	if err := c.handler.ledger.journal.Close(!c.nc.IsConnected()); err != nil {
		c.log.Debug().Err(err).Msg("cannot close the journal of claims")
	}
}

// ledgerName returns a name for the ledger, which another one does not have.
func (c *Consumer) ledgerName() string {
	return strconv.FormatInt(c.handler.ledger.events.CachedInfo().Created.UnixNano(), 36)
}

// inherit ends the claims of processes of this machine that are dead: nothing is sent under them
// any more, so their leases need not be waited for. A claim that was not sent is released. The
// lease of one that may have been sent is cut to overLease: the visibility window begins with the
// death of the process, and no replica claims the request before its end.
func (c *Consumer) inherit(ctx context.Context) {
	if c.cfg.ClaimsDir == "" || c.handler.ledger.guard.err() != nil {
		return
	}
	l := c.handler.ledger
	ctx, cancel := context.WithTimeout(ctx, inheritTimeout)
	defer cancel()
	all, err := journal.FindDead(c.cfg.ClaimsDir, c.ledgerName())
	if err != nil {
		c.log.Debug().Err(err).Msg("cannot read every journal of claims")
	}
	for _, dead := range all {
		ended, err := l.inheritAll(ctx, dead.Claims)
		if ended > 0 {
			c.log.Info().Int("claims", ended).Msg("ended the claims of a process that is dead")
		}
		if err = errors.Join(err, dead.Close(err == nil)); err != nil {
			c.log.Debug().Err(err).Msg("cannot end every claim of a process that is dead")
		}
	}
}

// overLease is the lease of a claim that is over. A released claim, which has none, is claimed at
// once. Its next owner would wait for the visibility window, and if that one died as well, the window
// would begin again.
const overLease = time.Millisecond

// inheritAll ends the claims in the journal of a dead process, and returns how many there were in
// the ledger.
func (l *ledger) inheritAll(ctx context.Context, claims []journal.Claim) (ended int, err error) {
	var (
		mu     sync.Mutex
		failed error
		work   sync.WaitGroup
	)
	atOnce := make(chan struct{}, maxReadAhead)
	for _, c := range claims {
		atOnce <- struct{}{}
		work.Go(func() {
			defer func() { <-atOnce }()
			is, err := l.inherit(ctx, c)
			mu.Lock()
			defer mu.Unlock()
			if failed = errors.Join(failed, err); is {
				ended++
			}
		})
	}
	work.Wait()
	return ended, failed
}

// inherit ends the claim of a dead process if it is the last event of its request.
func (l *ledger) inherit(ctx context.Context, left journal.Claim) (ended bool, err error) {
	key, nonce, ok := keyOfEntry(left.Text)
	if !ok {
		return false, nil
	}
	last, err := l.last(ctx, key)
	if _, unreadable := errors.AsType[*unreadableError](err); unreadable || errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	former, isClaim := last.event.(*schemas.JobSubmitting)
	if !isClaim || former.Nonce != nonce || former.LeaseMillis == 0 {
		return false, nil
	}
	c := &claim{
		req: &request{
			BackupRequest: former.Request, key: key, message: former.Message, replayOf: former.ReplayOf,
		},
		epoch: former.Epoch,
		doubt: doubt{under: former.DoubtSequence, task: former.DoubtTaskID, unlikely: former.DoubtUnlikely},
	}
	c.req.RequestID = former.RequestID
	var lease time.Duration
	switch {
	case left.Sent && c.inDoubt(), c.inDoubt() && !c.unlikely && leaseLeft(last) <= overLease:
		return false, nil // it is waited for as ever
	case left.Sent:
		c.doubt, lease = doubt{under: last.sequence}, overLease
	case c.inDoubt() && !c.unlikely:
		lease = overLease
	}
	err = l.write(ctx, c, StepRelease, last.sequence, lease)
	if errors.Is(err, errTakenOver) {
		return false, nil
	}
	return err == nil, err
}
