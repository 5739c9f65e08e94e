package consumer

import (
	"errors"
	"time"

	"backhaul/vendorapi"
)

const (
	// firstDelay and lastDelay bound the wait before a redelivery.
	firstDelay = time.Second
	lastDelay  = 30 * time.Second
)

// redeliverAfter returns a redelivery after a wait that is not a failure: for another owner,
// for the end of a pause, or for the comparison of the ledger.
//
// A request that is not admitted for lack of capacity is redelivered at once. Nothing is
// pulled meanwhile, so another replica gets it, or it keeps its place in the queue and later
// requests do not overtake it. It was delivered because a pull was open when the pause began;
// each such delivery uses up a part of that pull.
func redeliverAfter(delay time.Duration, err error) settlement {
	return settlement{verb: nak, delay: delay, waits: true, err: err}
}

// redeliver returns a redelivery after a delay that grows with the message's age, or that is as
// long as the vendor asked for. If the vendor refused the credentials of this process, the
// delay is short: another replica may have the right ones, and this one pulls nothing until
// they are replaced.
func redeliver(d *delivery, err error) settlement {
	delay := min(max(time.Since(d.stored)/2, firstDelay), lastDelay)
	if e, ok := errors.AsType[*vendorapi.Error](err); ok && e.RetryAfter > 0 {
		delay = max(e.RetryAfter-claimLead, shortestCooldown)
		if _, refused := errors.AsType[*vendorapi.LoginError](err); refused || e.NotAsked() {
			delay = shortestCooldown
		}
	}
	waiting, waits := errors.AsType[*waitError](err)
	_, paused := errors.AsType[*pausedError](err)
	switch {
	case waits:
		delay = waiting.delay(time.Since(d.stored))
	case paused:
		delay = pausedDelay(d)
	case errors.Is(err, errTakenOver):
		delay = firstLookup // the other owner works on it or is done
	case errors.Is(err, errStopping):
		delay = 0
	}
	return settlement{verb: nak, delay: delay, waits: waits || paused, err: err}
}

// guardWait returns the wait before the redelivery of a request that may not be claimed because
// of the ledger.
func guardWait(err error) time.Duration {
	if errors.Is(err, errUnverified) {
		return guardRetry
	}
	return lastDelay / 6
}
