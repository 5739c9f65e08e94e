package page

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"backhaul/cmd/internal/operator"
)

const (
	// sessionLife is how long one lasts, used or not.
	sessionLife = 8 * time.Hour
	// maxSessions is how many there are; the oldest makes room.
	maxSessions = 32
	// wrongTokens are answered as wrong at once, and one more after each wrongEvery. The
	// others are answered by 429, so that the attempt is seen in the log of a proxy.
	wrongTokens = 5
	wrongEvery  = 10 * time.Second
	// maxActor bounds the name of a user.
	maxActor = 64
	// maxReason bounds the reason of an action in bytes: operator.By refuses a longer one by its
	// characters, so that none is cut.
	maxReason = 8 << 10
)

// session is a user who had the token.
type session struct {
	// Actor is who it is, by their own account.
	Actor string
	// CSRF has to be in every form that changes something.
	CSRF string

	token [sha256.Size]byte // the hash of the token that it was opened with
	ends  time.Time
}

// sessions are held by the hashes of their cookies' values.
type sessions struct {
	token func() (string, error)
	wrong *rate.Limiter

	mu   sync.Mutex
	open map[[sha256.Size]byte]*session
}

func newSessions(token func() (string, error)) *sessions {
	return &sessions{
		token: token, wrong: rate.NewLimiter(rate.Every(wrongEvery), wrongTokens), open: map[[sha256.Size]byte]*session{},
	}
}

var (
	errWrongToken = errors.New("this is not the token")
	errTooMany    = errors.New("this is not the token, and there were too many wrong ones")
)

// begin opens a session for a user with the token and returns the value of its cookie.
func (s *sessions) begin(actor, given string) (cookie string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	token, err := s.hashOfToken()
	if err != nil {
		return "", err
	}
	hash := sha256.Sum256([]byte(given))
	// The right token is always accepted. The limit is for wrong ones only: all callers
	// come from loopback or from one proxy, and one that guesses must not lock out the
	// owner. What makes guessing hopeless is the length of the token.
	if subtle.ConstantTimeCompare(hash[:], token[:]) != 1 {
		if !s.wrong.Allow() {
			return "", errTooMany
		}
		return "", errWrongToken
	}
	s.makeRoom(time.Now())
	cookie = rand.Text() + rand.Text()
	s.open[sha256.Sum256([]byte(cookie))] = &session{Actor: actor, CSRF: rand.Text(), token: token, ends: time.Now().Add(sessionLife)}
	return cookie, nil
}

func (s *sessions) hashOfToken() (hash [sha256.Size]byte, err error) {
	token, err := s.token()
	if err != nil {
		return hash, err
	}
	if token == "" {
		return hash, errors.New("the admin token is empty")
	}
	return sha256.Sum256([]byte(token)), nil
}

// makeRoom ends what is over, and the oldest if there are too many.
func (s *sessions) makeRoom(now time.Time) {
	var (
		oldest [sha256.Size]byte
		first  time.Time
	)
	for id, one := range s.open {
		if now.After(one.ends) {
			delete(s.open, id)
		} else if first.IsZero() || one.ends.Before(first) {
			oldest, first = id, one.ends
		}
	}
	if len(s.open) >= maxSessions {
		delete(s.open, oldest)
	}
}

// of returns the session of a request, nil without one. A session ends when the token
// changes.
func (s *sessions) of(r *http.Request) *session {
	cookie, err := r.Cookie(cookieName(r))
	if err != nil || s.token == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := sha256.Sum256([]byte(cookie.Value))
	one := s.open[id]
	if one == nil {
		return nil
	}
	token, err := s.hashOfToken()
	if err != nil || token != one.token || time.Now().After(one.ends) {
		delete(s.open, id)
		return nil
	}
	return one
}

func (s *sessions) end(r *http.Request) {
	if cookie, err := r.Cookie(cookieName(r)); err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, sha256.Sum256([]byte(cookie.Value)))
	}
}

// cookieName returns a name with the port: a browser sends a cookie to every port of a
// host, and replicas on one host have separate sessions.
func cookieName(r *http.Request) string {
	_, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		port = "default"
	}
	return "backhaul-session-" + port
}

func setCookie(w http.ResponseWriter, r *http.Request, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Value: value, Path: "/", MaxAge: int(life.Seconds()), HttpOnly: true, SameSite: http.SameSiteStrictMode,
		// A proxy in front may speak TLS; the listener itself does not.
		Secure: r.Header.Get("X-Forwarded-Proto") == "https",
	})
}

// by returns the session as the actor of an event.
func (s *session) by(r *http.Request) operator.By {
	return operator.By{Actor: s.Actor + " (console)", Reason: oneLine(r.PostFormValue("reason"), maxReason)}
}

// allowed reports whether a form has the secret of the session.
func (s *session) allowed(csrf string) bool {
	return subtle.ConstantTimeCompare([]byte(csrf), []byte(s.CSRF)) == 1
}
