package vendorapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Ways to authorise calls.
const (
	// AuthLogin gets a QSDK token with a user name and a password.
	AuthLogin = "login"
	// AuthToken uses a token that somebody else looks after.
	AuthToken = "token"
)

// Secret is text that must not be shown. Formatting it in any way shows "***".
type Secret string

func (Secret) String() string               { return "***" }
func (Secret) GoString() string             { return "***" }
func (Secret) MarshalText() ([]byte, error) { return []byte("***"), nil }

// Format is for the verbs that would not ask String, such as %d.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("***")) }

// Auth is how calls are authorised.
type Auth struct {
	// Mode is AuthLogin or AuthToken.
	Mode     string
	Username string
	// Password and Token are called for each login, so that a secret that was
	// replaced in its file is found.
	Password func() (Secret, error)
	Token    func() (Secret, error)
}

// Check refuses what cannot work.
func (a Auth) Check() error {
	switch {
	case a.Mode == AuthLogin && (a.Username == "" || a.Password == nil):
		return errors.New("vendor auth login needs a user name and a password")
	case a.Mode == AuthToken && a.Token == nil:
		return errors.New("vendor auth token needs a token")
	case a.Mode != AuthLogin && a.Mode != AuthToken:
		return fmt.Errorf("vendor auth %q must be %s or %s", a.Mode, AuthLogin, AuthToken)
	}
	return nil
}

const opLogin = "Login"

const (
	// loginTimeout is the session's idle time in minutes that we ask for; the
	// vendor's default as well.
	loginTimeout = 30
	// idleLimit is when a session that was not used is not trusted any more.
	idleLimit = 25 * time.Minute
	// loginPause is how long a refused login is not repeated: the vendor locks
	// accounts. It is longer while an account is locked, up to longestLock.
	loginPause  = 30 * time.Second
	longestLock = time.Hour
	// deniedPause is how long an operation that was denied to a fresh login is
	// not taken for a sign that the login has ended: every look for a job would
	// log in again.
	deniedPause = 5 * time.Minute
)

// token is a session's token. Its address identifies the login it came from.
type token struct {
	value Secret
}

func (t *token) header() http.Header {
	return http.Header{"Authtoken": {string(t.value)}}
}

// hide takes the token out of an answer: there are pages that show the request.
func (t *token) hide(body []byte) []byte {
	value := []byte(t.value)
	if _, after, ok := bytes.Cut(value, []byte(" ")); ok {
		value = after
	}
	if len(value) < 8 || !bytes.Contains(body, value) {
		return body
	}
	return bytes.ReplaceAll(body, value, []byte("***"))
}

// session holds the one login that all calls share.
type session struct {
	client *Client
	auth   Auth

	// lock is a mutex that can be waited for with a context: whoever has it logs
	// in, the others wait for that login.
	lock     chan struct{}
	current  *token
	lastUsed time.Time
	// failure is the last refused login, repeated to every caller until then.
	failure *Error
	until   time.Time
	// dead is the given token that was refused.
	dead Secret
	// denied is until when an operation counts as denied to the login itself.
	denied map[string]time.Time
}

func newSession(c *Client, auth Auth) *session {
	return &session{client: c, auth: auth, lock: make(chan struct{}, 1), denied: make(map[string]time.Time)}
}

// acquire waits for the lock, unless ctx has ended or ends first.
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

// token is the session's token, after a login if need be. The error is an
// [*Error] that says that there is no job: nothing but a login was sent.
func (s *session) token(ctx context.Context) (*token, error) {
	release, err := s.acquire(ctx)
	if err != nil {
		return nil, &Error{Verdict: NotSent, Op: opLogin, Err: err}
	}
	defer release()
	now := time.Now()
	if s.current != nil && (s.auth.Mode == AuthToken || now.Sub(s.lastUsed) < idleLimit) {
		s.lastUsed = now
		return s.current, nil
	}
	if wait := s.until.Sub(now); s.failure != nil && wait > 0 && !s.replaced(s.dead) {
		failure := *s.failure
		if failure.RetryAfter > 0 {
			failure.RetryAfter = wait
		}
		return nil, &failure
	}
	value, err := s.login(ctx)
	if err != nil {
		failure := loginFailure(err)
		refused, isRefused := errors.AsType[*LoginError](err)
		switch {
		case isRefused:
			s.failure, s.until = failure, now.Add(max(loginPause, min(refused.Locked, longestLock)))
		case failure.RetryAfter > 0:
			s.failure, s.until = failure, time.Now().Add(failure.RetryAfter)
		}
		return nil, failure
	}
	s.current, s.lastUsed, s.failure = &token{value: value}, now, nil
	return s.current, nil
}

// loginFailure is a failed login as the callers see it: whatever became of it,
// their own request was not sent.
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

// refused deals with a token that the vendor did not accept for an operation.
// It tells whether to try again with a new one. If not, the operation is denied
// to a login that works, unless there is an error: then nothing is known about
// the operation, because the token is not accepted at all.
func (s *session) refused(ctx context.Context, t *token, op string, fresh bool) (again bool, err error) {
	release, err := s.acquire(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	switch {
	case op != opCreateTask && time.Now().Before(s.denied[op]):
		return false, nil
	case !fresh && s.current != t:
		return true, nil // another caller has dropped it already
	case s.auth.Mode == AuthToken:
		return s.givenRefused(ctx, t, op, fresh)
	case fresh:
		s.denied[op] = time.Now().Add(deniedPause)
		return false, nil
	}
	s.current = nil
	return true, nil
}

// givenRefused is refused for a token that we cannot renew.
func (s *session) givenRefused(ctx context.Context, t *token, op string, fresh bool) (again bool, err error) {
	if !fresh && s.replaced(t.value) {
		s.current = nil
		return true, nil
	}
	accepted, err := s.accepted(ctx, t)
	if err != nil {
		return false, err
	}
	if accepted {
		s.denied[op] = time.Now().Add(deniedPause)
		return false, nil
	}
	refusal := &LoginError{Message: "the vendor does not accept the token any more; replace it"}
	if s.current == t {
		s.current, s.dead = nil, t.value
		s.failure, s.until = &Error{Verdict: NotSent, Op: opLogin, Err: refusal}, time.Now().Add(loginPause)
	}
	return false, refusal
}

// replaced tells whether somebody has put another token in the place of this one.
func (s *session) replaced(value Secret) bool {
	if s.auth.Mode != AuthToken {
		return false
	}
	now, err := s.auth.Token()
	return err == nil && now != "" && qsdk(now) != value
}

// accepted asks the vendor whether it still knows a token. Without that, one
// request that the token may not make would look like a dead token, and stop
// all others. Basis: the vendor's SDK calls WhoAmI. A token that is limited to
// some operations may not ask, and counts as dead.
func (s *session) accepted(ctx context.Context, t *token) (bool, error) {
	resp, err := s.client.do(ctx, call{op: "WhoAmI", method: http.MethodPost, path: "/WhoAmI", accept: "application/json"}, t.header())
	switch {
	case err != nil:
		return false, err
	case resp.status >= 500 || resp.status == http.StatusTooManyRequests:
		return false, &Error{Op: "WhoAmI", Status: resp.status, Message: "cannot tell whether the token is still accepted"}
	}
	return resp.status == http.StatusOK && !isAccessDenied(resp), nil
}

// logout ends the session. Its answer does not matter: 200 or, for a session
// that is over already, 401.
func (s *session) logout(ctx context.Context) {
	release, err := s.acquire(ctx)
	if err != nil {
		return // a login hangs; its session ends by itself
	}
	defer release()
	if s.current == nil || s.auth.Mode != AuthLogin {
		return
	}
	_, _ = s.client.do(ctx, call{op: "Logout", method: http.MethodPost, path: "/Logout", accept: "*/*"}, s.current.header())
	s.current = nil
}
