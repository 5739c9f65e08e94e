package vendorapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"backhaul/vendorapi/internal/http1"
)

// Ways to authorise calls.
const (
	// AuthLogin gets a QSDK token with a user name and a password.
	AuthLogin = "login"
	// AuthToken uses a token that another program renews.
	AuthToken = "token"
	// AuthBearer uses an access token and renews it with its refresh token.
	AuthBearer = "bearer"
)

// Secret is text that must not be shown. Formatting it in any way shows "***".
type Secret string

func (Secret) String() string               { return "***" }
func (Secret) GoString() string             { return "***" }
func (Secret) MarshalText() ([]byte, error) { return []byte("***"), nil }

// Format covers the verbs that do not call String, such as %d.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("***")) }

// Auth is how calls are authorised.
type Auth struct {
	// Mode is AuthLogin, AuthToken or AuthBearer.
	Mode     string
	Username string
	// Password and Token are called for each login, so that a replaced secret is read again.
	Password func() (Secret, error)
	Token    func() (Secret, error)
	// TokenPairFile is the file of AuthBearer: JSON with accessToken and refreshToken. Each renewal
	// rewrites it. All processes that use the pair must share this one file, see the package
	// documentation.
	TokenPairFile string
	// Logins shares the refused logins of AuthLogin with other processes; Process is the name of
	// this one. Defaults to nil: only refusals of this process count.
	Logins  Logins
	Process string
}

// Check returns an error if the configuration cannot work. A token pair may be missing at first;
// its directory must exist and be writable.
func (a Auth) Check() error {
	switch {
	case a.Mode == AuthLogin && (a.Username == "" || a.Password == nil):
		return errors.New("vendor auth login needs a user name and a password")
	case a.Mode == AuthToken && a.Token == nil:
		return errors.New("vendor auth token needs a token")
	case a.Mode == AuthBearer && a.TokenPairFile == "":
		return errors.New("vendor auth bearer needs a token pair file")
	case a.Mode == AuthBearer:
		return pairFile(a.TokenPairFile).check()
	case a.Mode != AuthLogin && a.Mode != AuthToken:
		return fmt.Errorf("vendor auth %q must be %s, %s or %s", a.Mode, AuthLogin, AuthToken, AuthBearer)
	}
	return nil
}

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

// token authorises calls. Tokens are compared by address.
type token struct {
	name string // of the header field
	// value is a pointer because fmt prints unexported fields without calling their methods.
	value *Secret
	idle  time.Duration // how long it may stay unused; 0 is for ever
	made  time.Time     // when the vendor issued it to this client; zero for a configured token
	// accepted is when a call with the token was last answered, in UNIX nanoseconds.
	accepted *atomic.Int64
}

func newToken(name string, value Secret) *token {
	return &token{name: name, value: &value, accepted: new(atomic.Int64)}
}

// isRecent reports whether the vendor issued or accepted the token so recently that it cannot have
// expired.
func (t *token) isRecent() bool {
	accepted := time.Unix(0, t.accepted.Load())
	return time.Since(t.made) < shortestLife || time.Since(accepted) < shortestLife
}

func (t *token) header() http1.Field { return http1.Field{Name: t.name, Value: string(*t.value)} }

// is reports whether two tokens have the same text.
func (t *token) is(other *token) bool { return *t.value == *other.value }

// hide removes the token from an answer: some pages repeat the request.
func (t *token) hide(body []byte) []byte {
	value := string(*t.value)
	if _, after, ok := strings.Cut(value, " "); ok {
		value = after
	}
	return hidden(body, value)
}

// hidden returns the text without a secret. A secret of a few bytes is not removed: it would match
// by chance, and could cut ids in two.
func hidden(body []byte, secret string) []byte {
	if len(secret) < 8 || !bytes.Contains(body, []byte(secret)) {
		return body
	}
	return bytes.ReplaceAll(body, []byte(secret), []byte("***"))
}

// source supplies tokens. Each mode has its own.
type source interface {
	// next returns a token for the next calls. If refused is non-nil, the vendor has just not
	// accepted it, and next returns another token or errNoOther.
	next(ctx context.Context, refused *token) (*token, error)
	// replaced reports whether a new secret has been configured in place of a refused one, so that
	// there is no need to wait. It may be called at any time.
	replaced(refused *token) bool
	// end gives up a token.
	end(ctx context.Context, t *token)
}

// errNoOther means that there is no better token than the refused one.
var errNoOther = errors.New("the source has no other token")

func newSource(c *Client, auth Auth) source {
	switch auth.Mode {
	case AuthLogin:
		return &login{client: c, username: auth.Username, password: auth.Password, gate: loginGate{store: auth.Logins, by: auth.Process}}
	case AuthBearer:
		return &pairRenewal{client: c, file: pairFile(auth.TokenPairFile)}
	default:
		return given{auth.Token}
	}
}

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
	if failure.RetryAfter > 0 {
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

// given reads a token that another program renews.
type given struct {
	read func() (Secret, error)
}

func (g given) next(_ context.Context, refused *token) (*token, error) {
	secret, err := g.read()
	if err == nil && secret == "" {
		err = errNoSecret
	}
	if err != nil {
		return nil, err
	}
	t := authtoken(secret)
	if refused != nil && refused.is(t) {
		return nil, errNoOther
	}
	return t, nil
}

func (g given) replaced(refused *token) bool {
	_, err := g.next(context.Background(), refused)
	return err == nil
}

// end does nothing: the token belongs to another program.
func (given) end(context.Context, *token) {}
