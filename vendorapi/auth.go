package vendorapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
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

const (
	// loginTimeout is the session's idle time in minutes that we ask for; the
	// vendor's default as well.
	loginTimeout = 30
	// idleLimit is when a session that was not used is not trusted any more.
	idleLimit = 25 * time.Minute
	// loginPause is how long a refused login is not repeated: the vendor locks
	// accounts.
	loginPause = 30 * time.Second
)

// token is a session's token. Its address identifies the login it came from.
type token struct {
	value Secret
}

func (t *token) header() http.Header {
	return http.Header{"Authtoken": {string(t.value)}}
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
	failure error
	until   time.Time
}

func newSession(c *Client, auth Auth) *session {
	return &session{client: c, auth: auth, lock: make(chan struct{}, 1)}
}

// token is the session's token, after a login if need be. The error's verdict
// is NotSent: nothing but a login was sent.
func (s *session) token(ctx context.Context) (*token, error) {
	select {
	case s.lock <- struct{}{}:
		defer func() { <-s.lock }()
	case <-ctx.Done():
		return nil, &Error{Verdict: NotSent, Op: "Login", Err: context.Cause(ctx)}
	}
	now := time.Now()
	if s.current != nil && (s.auth.Mode == AuthToken || now.Sub(s.lastUsed) < idleLimit) {
		s.lastUsed = now
		return s.current, nil
	}
	if s.failure != nil && now.Before(s.until) {
		return nil, s.failure
	}
	value, err := s.login(ctx)
	if err != nil {
		err := &Error{Verdict: NotSent, Op: "Login", Err: err}
		if refused, ok := errors.AsType[*LoginError](err); ok {
			s.failure, s.until = err, now.Add(max(loginPause, refused.Locked))
		}
		return nil, err
	}
	s.current, s.lastUsed, s.failure = &token{value: value}, now, nil
	return s.current, nil
}

// refused drops a token that the vendor does not accept any more, unless
// another caller has done so already. A token that is given cannot be renewed
// by us: that is the error.
func (s *session) refused(t *token) error {
	s.lock <- struct{}{}
	defer func() { <-s.lock }()
	if s.current != t {
		return nil
	}
	s.current = nil
	if s.auth.Mode == AuthToken {
		refusal := &LoginError{Message: "the vendor does not accept the token any more; replace it"}
		if value, err := s.auth.Token(); err == nil && qsdk(value) != t.value {
			return nil // it was replaced already
		}
		s.failure, s.until = &Error{Verdict: NotSent, Op: "Login", Err: refusal}, time.Now().Add(loginPause)
		return refusal
	}
	return nil
}

func (s *session) login(ctx context.Context) (Secret, error) {
	if s.auth.Mode == AuthToken {
		value, err := s.auth.Token()
		return qsdk(value), err
	}
	password, err := s.auth.Password()
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(map[string]any{
		"mode":     4, // what the vendor's own SDK sends
		"username": s.auth.Username,
		"password": base64.StdEncoding.EncodeToString([]byte(password)),
		"timeout":  loginTimeout,
	})
	if err != nil {
		return "", err
	}
	resp, err := s.client.do(ctx, call{
		op: "Login", method: http.MethodPost, path: "/Login",
		contentType: "application/json", accept: "application/json", body: body,
	}, http.Header{})
	if err != nil {
		return "", err
	}
	return readLogin(resp)
}

// logout ends the session. Its answer does not matter: 200 or, for a session
// that is over already, 401.
func (s *session) logout(ctx context.Context) {
	s.lock <- struct{}{}
	defer func() { <-s.lock }()
	if s.current == nil || s.auth.Mode != AuthLogin {
		return
	}
	_, _ = s.client.do(ctx, call{op: "Logout", method: http.MethodPost, path: "/Logout", accept: "*/*"}, s.current.header())
	s.current = nil
}

// qsdk adds the scheme that the vendor's tokens carry in the Authtoken header,
// as the vendor's SDK does for a token without one.
func qsdk(value Secret) Secret {
	for _, scheme := range []string{"QSDK ", "SAML ", "Bearer "} {
		if strings.HasPrefix(string(value), scheme) {
			return value
		}
	}
	return "QSDK " + value
}

// loginAnswer is the answer to Login in either format: HTTP 200 with a token, or
// without one and with the reason in errList. Basis: recorded answers.
type loginAnswer struct {
	Token    string       `json:"token" xml:"token,attr"`
	Locked   bool         `json:"isAccountLocked" xml:"isAccountLocked,attr"`
	LockTime int64        `json:"remainingLockTime" xml:"remainingLockTime,attr"` // s
	Code     flexibleText `json:"errorCode" xml:"errorCode,attr"`
	Message  string       `json:"errorMessage" xml:"errorMessage,attr"`
	ErrList  []struct {
		Code    flexibleText `json:"errorCode" xml:"errorCode,attr"`
		Message string       `json:"errLogMessage" xml:"errLogMessage,attr"`
	} `json:"errList" xml:"errList"`
}

// readLogin takes the token from an answer. No error ever shows the answer
// itself: it may have the token in it.
func readLogin(resp response) (Secret, error) {
	text := bytes.TrimSpace(bytes.TrimPrefix(resp.body, []byte("\xef\xbb\xbf")))
	var answer loginAnswer
	err := errNoEnvelope
	switch {
	case bytes.HasPrefix(text, []byte("{")):
		err = json.Unmarshal(text, &answer)
	case bytes.HasPrefix(text, []byte("<")):
		err = xml.Unmarshal(text, &answer)
	}
	if err != nil || resp.status >= 500 {
		return "", fmt.Errorf("login: HTTP %d with %d bytes that are no answer to a login", resp.status, len(resp.body))
	}
	if answer.Token != "" && resp.status == http.StatusOK {
		return qsdk(Secret(answer.Token)), nil
	}
	refusal := &LoginError{Code: string(answer.Code), Message: answer.Message}
	if len(answer.ErrList) > 0 {
		refusal.Code, refusal.Message = string(answer.ErrList[0].Code), answer.ErrList[0].Message
	}
	if answer.Locked {
		refusal.Locked = time.Duration(answer.LockTime) * time.Second
	}
	return "", refusal
}
