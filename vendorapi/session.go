package vendorapi

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

const opLogin = "Login"

const (
	// loginPause is how long a refused login is not repeated, because the vendor locks accounts. It
	// is longer, up to longestLock, while an account is locked.
	loginPause  = 30 * time.Second
	longestLock = time.Hour
	// deniedPause is how long the denial of an operation to a fresh login does not count as the end
	// of that login. Otherwise every lookup would log in again.
	deniedPause = 5 * time.Minute
	// maxTries is how often one call is sent at most: with the current token, with one that another
	// process renewed, and with one renewed for this call.
	maxTries = 3
)

// session has the token that all calls share.
type session struct {
	client *Client
	source source

	// lock is a mutex that supports waiting with a context. Its owner gets a token; the others wait
	// for that token.
	lock     chan struct{}
	current  *token
	lastUsed time.Time
	// failure is the last failure that is kept, nil once there is a token. It is read without the
	// lock and written with it.
	failure atomic.Pointer[keptFailure]
	// denied is until when an operation counts as denied to the login itself.
	denied    map[string]time.Time
	agreement agreement
}

// keptFailure is a failure to get a token, returned to every caller until a time.
type keptFailure struct {
	failure *Error
	until   time.Time
	refused *token
}

func newSession(c *Client, auth Auth) *session {
	return &session{client: c, source: newSource(c, auth), lock: make(chan struct{}, 1), denied: make(map[string]time.Time)}
}

// acquire waits for the lock, or returns the cause of the end of ctx.
func (s *session) acquire(ctx context.Context) (release func(), err error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	select {
	case s.lock <- struct{}{}:
		return func() { <-s.lock }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// token returns the session's token and gets one first if there is none. The error is an [*Error]
// that excludes a job: only a login was sent.
func (s *session) token(ctx context.Context) (*token, error) {
	release, err := s.acquire(ctx)
	if err != nil {
		return nil, loginFailure(err)
	}
	defer release()
	now := time.Now()
	if s.current != nil && (s.current.idle == 0 || now.Sub(s.lastUsed) < s.current.idle) {
		s.lastUsed = now
		return s.current, nil
	}
	if failure := s.kept(); failure != nil {
		return nil, failure
	}
	if err := s.obtain(ctx, nil); err != nil {
		return nil, loginFailure(err)
	}
	return s.current, nil
}

// obtain replaces the current token by another one than refused. It keeps a refusal, and a pause
// that the vendor asked for, for all callers.
func (s *session) obtain(ctx context.Context, refused *token) error {
	now := time.Now()
	next, err := s.source.next(ctx, refused)
	if errors.Is(err, errNoOther) {
		return err
	}
	s.current, s.lastUsed = next, now
	if err == nil {
		s.failure.Store(nil)
		return nil
	}
	failure := loginFailure(err)
	if refusal, ok := errors.AsType[*LoginError](err); ok {
		failure.RetryAfter = max(loginPause, min(refusal.Locked, longestLock))
	}
	if failure.RetryAfter > 0 && !failure.notAsked { // the budget itself knows when to try again
		s.keepFailure(failure, refused)
	}
	return failure
}

// keepFailure keeps a failure for all callers, for as long as its RetryAfter.
func (s *session) keepFailure(failure *Error, refused *token) {
	s.failure.Store(&keptFailure{failure, time.Now().Add(failure.RetryAfter), refused})
}

// kept returns the failure that is kept, nil if a token may be requested.
func (s *session) kept() *Error {
	kept := s.failure.Load()
	if kept == nil {
		return nil
	}
	left := time.Until(kept.until)
	if left <= 0 || s.source.replaced(kept.refused) {
		return nil
	}
	failure := *kept.failure
	failure.RetryAfter = left
	return &failure
}

// refusal returns the error that refused the credentials, nil if they were not refused or may be
// tried again. It does not wait for a login.
func (s *session) refusal() *Error {
	if s.wasRefused() {
		return s.kept()
	}
	return nil
}

// trouble returns the error that refused the credentials that were tried last, nil if they were
// not refused. Unlike [session.refusal] it does not end before the next login.
func (s *session) trouble() error {
	if kept := s.failure.Load(); kept != nil && s.wasRefused() && !s.source.replaced(kept.refused) {
		return kept.failure
	}
	return nil
}

// wasRefused reports whether the vendor refused the credentials that were tried last.
func (s *session) wasRefused() bool {
	kept := s.failure.Load()
	if kept == nil {
		return false
	}
	_, refused := errors.AsType[*LoginError](kept.failure)
	return refused
}

// loginFailure turns a failure to get a token into the error of the call that needed it: that call
// was not sent, or was not accepted.
func loginFailure(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		failure := *e
		if failure.Verdict != Throttled {
			failure.Verdict = NotSent
		}
		return &failure
	}
	return &Error{Verdict: NotSent, Op: opLogin, Err: err}
}

// refusals counts how often one call was refused, with what was learned about its token.
type refusals struct {
	try int
	// confirmed means that the vendor named the user of the token, and the call was repeated.
	confirmed bool
}

// refused handles a token that the vendor did not accept for an operation. It reports whether to
// repeat the call, with another token or with the same one. If again is false and the error is nil,
// the operation is denied to a valid token. With an error nothing is known about the operation: the
// vendor sends the same answer in both cases.
func (s *session) refused(ctx context.Context, t *token, op string, r *refusals) (again bool, err error) {
	release, err := s.acquire(ctx)
	if err != nil {
		return false, loginFailure(err)
	}
	defer release()
	r.try++
	last := r.try >= maxTries
	if op != opCreateTask && time.Now().Before(s.denied[op]) {
		return false, nil
	}
	if s.current != t && !last {
		return true, nil // another caller has already replaced it
	}
	// A token issued for this call cannot be improved. One that was accepted a moment ago has
	// hardly expired: another server may have answered.
	replaceable := r.try == 1 || !last && t.made.IsZero()
	if replaceable && !t.isRecent() {
		if err := s.obtain(ctx, t); !errors.Is(err, errNoOther) {
			return err == nil, err
		}
		replaceable = false
	}
	agreed := s.agreed(t)
	switch opinion, err := s.whose(ctx, t); {
	case err != nil:
		return false, loginFailure(err)
	case opinion == splitOpinion && !last:
		return true, nil
	case opinion == splitOpinion:
		return false, loginFailure(&Error{Op: op, Message: "the vendor's web servers do not agree whether the token is valid; " +
			"their load balancer must keep a client on one server, by a cookie or by its address"})
	case opinion == knownToken && !r.confirmed && !agreed && !last:
		r.confirmed = true
		return true, nil
	case opinion == knownToken:
		s.denied[op] = time.Now().Add(deniedPause)
		if !s.agreement.split {
			s.agreement = agreement{token: t, until: s.denied[op]}
		}
		return false, nil
	case replaceable:
		if err := s.obtain(ctx, t); !errors.Is(err, errNoOther) {
			return err == nil, err
		}
	}
	refusal := &LoginError{Message: "the vendor does not accept the token any more; replace it"}
	if !t.made.IsZero() {
		refusal.Message = "the vendor does not accept the token that it has just issued"
	}
	failure := loginFailure(refusal)
	if s.current == t {
		s.current = nil
		failure.RetryAfter = loginPause
		s.keepFailure(failure, t)
	}
	return false, failure
}

// close gives up the token.
func (s *session) close(ctx context.Context) {
	release, err := s.acquire(ctx)
	if err != nil {
		return // a login hangs; its session times out at the vendor
	}
	defer release()
	if s.current != nil {
		s.source.end(ctx, s.current)
		s.current = nil
	}
}
