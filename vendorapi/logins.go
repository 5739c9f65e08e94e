package vendorapi

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Logins stores the results of logins for all processes that use one account. The vendor locks an
// account after a number of refused logins, from whichever replica they come.
type Logins interface {
	// Last returns the last entry, zero if there is none, and the current time by the clock that
	// all processes share.
	Last(ctx context.Context) (last LoginEntry, now time.Time, err error)
	// Append writes an entry after the one with the sequence after, and returns its sequence. The
	// error is [ErrLoginsChanged] if another entry is there.
	Append(ctx context.Context, after uint64, e LoginEntry) (uint64, error)
}

// ErrLoginsChanged means that another process has written an entry.
var ErrLoginsChanged = errors.New("another process has written about the account's logins")

// LoginEntry is the state of the logins of an account. All times are by the shared clock.
type LoginEntry struct {
	// Sequence identifies the entry. [Logins.Last] sets it.
	Sequence uint64 `json:"-"`
	// By is the process that wrote the entry, At the time.
	By string    `json:"by"`
	At time.Time `json:"at"`
	// Trying means that the process has begun a login, and not yet written its result.
	Trying bool `json:"trying,omitempty"`
	// Salt is the salt of the fingerprints in Refused: the secrets that were refused, the last one
	// at the end. An accepted secret is not among them.
	Salt    string          `json:"salt,omitempty"`
	Refused []RefusedSecret `json:"refused,omitempty"`
	// RefusedAt is when the last secret was refused and RefusedBy the process. LockedMillis is how
	// long the vendor locked the account. Code and Message are the vendor's.
	RefusedAt    time.Time `json:"refusedAt,omitzero"`
	RefusedBy    string    `json:"refusedBy,omitempty"`
	LockedMillis int64     `json:"lockedMillis,omitempty"`
	Code         string    `json:"code,omitempty"`
	Message      string    `json:"message,omitempty"`
	// Locked means that the last refusal was of a locked account, which says nothing about the
	// secret. Unsure means that it may have been a fault of the vendor.
	Locked bool `json:"locked,omitempty"`
	Unsure bool `json:"unsure,omitempty"`
}

// RefusedSecret is a secret that the vendor refused.
type RefusedSecret struct {
	// Fingerprint is 16 bits of a slow hash. A changed secret has another fingerprint, and so many
	// secrets share one that it reveals almost nothing.
	Fingerprint string `json:"fingerprint"`
	Times       int    `json:"times"`
}

const (
	// tryingFor is how long a login may take. After that its process counts as dead.
	tryingFor = 40 * time.Second
	// tryingPoll is how often to check whether the login has ended.
	tryingPoll = 250 * time.Millisecond
	// maxRefused bounds the refused secrets that are kept, forgetRefused how long they are.
	maxRefused    = 8
	forgetRefused = 24 * time.Hour
	// noteTimeout bounds the write of a login's result.
	noteTimeout = 5 * time.Second
	// nearlyLocked is the vendor's own count of failures at which one more may lock the account
	// (assumed). A refused secret then waits for nearlyLockedPause.
	nearlyLocked      = 4
	nearlyLockedPause = 12 * time.Hour

	fingerprintBytes = 2
)

// fingerprintRounds makes a fingerprint take about 0.1 s. The tests of this package need
// fewer: the race detector makes it seconds.
var fingerprintRounds = 600_000

// refusedPauses is how long a refused secret is not sent after the first refusal, the second, and
// so on; the last value is for all further ones. That is at most four refusals an hour. Assumed: an
// account locks after 5.
var refusedPauses = []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, time.Hour}

// unsurePause is the longest pause after a refusal that may have been a fault of the vendor.
const unsurePause = 5 * time.Minute

// until returns when a refused secret may be sent again. Refusals of all secrets count together:
// two replicas may have two wrong ones.
func (e LoginEntry) until() time.Time {
	total := 0
	for _, one := range e.Refused {
		total += one.Times
	}
	if total == 0 {
		return time.Time{}
	}
	locked := min(time.Duration(e.LockedMillis)*time.Millisecond, nearlyLockedPause)
	pause := refusedPauses[min(total, len(refusedPauses))-1]
	switch {
	case e.Locked && locked > 0:
		pause = locked
	case e.Unsure:
		pause = max(min(pause, unsurePause), locked)
	default:
		pause = max(pause, locked)
	}
	return e.RefusedAt.Add(pause)
}

// recent returns the entry without refusals that are too old to count.
func (e LoginEntry) recent(now time.Time) LoginEntry {
	if now.Sub(e.RefusedAt) > forgetRefused {
		return LoginEntry{Sequence: e.Sequence, By: e.By, At: e.At, Trying: e.Trying}
	}
	return e
}

// find returns the index of a secret among the refused ones, -1 if it is not there.
func (e LoginEntry) find(fingerprint string) int {
	return slices.IndexFunc(e.Refused, func(one RefusedSecret) bool { return one.Fingerprint == fingerprint })
}

// loginGate keeps processes from logging in with a secret that was refused recently. After a
// refusal, it lets one process at a time log in. Without refusals a login costs one read and no
// write. While the store fails, or without one, the gate knows only the logins of this process.
type loginGate struct {
	store Logins // or nil
	by    string
	own   LoginEntry    // the last entry that is known
	skew  time.Duration // the shared clock minus ours
	// known is the fingerprint that was computed last, because that takes time.
	known struct {
		secret            *Secret
		salt, fingerprint string
	}
}

// enter waits for permission to log in with a secret. The error is a [*LoginError] while that
// secret must not be sent.
func (g *loginGate) enter(ctx context.Context, secret string) error {
	for {
		g.read(ctx)
		now := g.now()
		last := g.own.recent(now)
		if until := last.until(); now.Before(until) && last.find(g.fingerprint(last.Salt, secret)) >= 0 {
			return &LoginError{Code: last.Code, Message: last.Message, By: last.RefusedBy, Until: until}
		}
		if last.Trying && last.By != g.by && now.Sub(last.At) < tryingFor {
			if !sleep(ctx, ctx, tryingPoll) {
				return fmt.Errorf("%s is logging in: %w", last.By, context.Cause(ctx))
			}
			continue
		}
		if len(last.Refused) == 0 {
			return nil
		}
		last.By, last.At, last.Trying = g.by, now, true
		if !errors.Is(g.append(ctx, last), ErrLoginsChanged) {
			return nil
		}
	}
}

// leave writes the result of a login with a secret, and completes a refusal.
func (g *loginGate) leave(ctx context.Context, secret string, outcome error) {
	refusal, _ := errors.AsType[*LoginError](outcome)
	if refusal == nil && !g.own.Trying {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	for ctx.Err() == nil {
		next := g.after(g.own, secret, refusal, outcome == nil)
		if err := g.append(ctx, next); !errors.Is(err, ErrLoginsChanged) {
			break
		}
		// Another process was refused at the same time: both refusals count. Or the answer to our
		// own write was lost.
		if g.read(ctx); g.own.By == g.by && g.own.At.Equal(next.At) {
			break
		}
	}
	if refusal != nil {
		refusal.By, refusal.Until = g.by, g.own.until()
	}
}

// after returns the entry that follows a login.
func (g *loginGate) after(e LoginEntry, secret string, refusal *LoginError, accepted bool) LoginEntry {
	now := g.now()
	e = e.recent(now)
	e.By, e.At, e.Trying, e.Refused = g.by, now, false, slices.Clone(e.Refused)
	times := 0
	if len(e.Refused) > 0 && (accepted || refusal != nil) {
		if at := e.find(g.fingerprint(e.Salt, secret)); at >= 0 {
			times = e.Refused[at].Times
			e.Refused = slices.Delete(e.Refused, at, at+1)
		}
	}
	if refusal != nil {
		if len(e.Refused) == 0 && times == 0 {
			e.Salt = rand.Text()
		}
		e.Refused = append(e.Refused, RefusedSecret{g.fingerprint(e.Salt, secret), times + 1})
		e.Refused = e.Refused[max(len(e.Refused)-maxRefused, 0):]
		locked := min(refusal.Locked, longestLock)
		if refusal.nearlyLocked && locked == 0 {
			locked = nearlyLockedPause
		}
		if refusal.Locked == 0 { // a longer pause goes on
			before := e.RefusedAt.Add(time.Duration(e.LockedMillis) * time.Millisecond)
			locked = max(locked, before.Sub(now))
		}
		e.RefusedAt, e.RefusedBy, e.LockedMillis = e.At, g.by, locked.Milliseconds()
		e.Code, e.Message, e.Locked, e.Unsure = refusal.Code, refusal.Message, refusal.Locked > 0, refusal.unsure
	}
	if len(e.Refused) == 0 {
		return LoginEntry{Sequence: e.Sequence, By: e.By, At: e.At}
	}
	return e
}

func (g *loginGate) now() time.Time { return time.Now().Add(g.skew).UTC().Truncate(time.Millisecond) }

// read updates own from the store.
func (g *loginGate) read(ctx context.Context) {
	if g.store == nil {
		return
	}
	if last, now, err := g.store.Last(ctx); err == nil {
		g.own, g.skew = last, time.Until(now)
	}
}

// append writes an entry after its sequence and stores it in own. The only error it returns is
// ErrLoginsChanged.
func (g *loginGate) append(ctx context.Context, e LoginEntry) error {
	if g.store != nil {
		sequence, err := g.store.Append(ctx, e.Sequence, e)
		if errors.Is(err, ErrLoginsChanged) {
			return err
		}
		if err == nil {
			e.Sequence = sequence
		}
	}
	g.own = e
	return nil
}

// fingerprint returns the fingerprint of a secret in an entry.
func (g *loginGate) fingerprint(salt, secret string) string {
	if g.known.secret != nil && string(*g.known.secret) == secret && g.known.salt == salt {
		return g.known.fingerprint
	}
	rounds := fingerprintRounds
	if g.store == nil {
		rounds = 1 // the entry stays in this process, which has the secret too
	}
	key, err := pbkdf2.Key(sha256.New, secret, []byte(salt), rounds, fingerprintBytes)
	if err != nil {
		return "" // the build forbids short keys: all secrets have one fingerprint, and wait
	}
	kept := Secret(secret)
	g.known.secret, g.known.salt, g.known.fingerprint = &kept, salt, hex.EncodeToString(key)
	return g.known.fingerprint
}
