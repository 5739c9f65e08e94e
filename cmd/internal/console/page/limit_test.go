package page

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// limited records the deadline of an answer.
type limited struct {
	*httptest.ResponseRecorder
	until *time.Time
}

func (l limited) SetWriteDeadline(until time.Time) error {
	*l.until = until
	return nil
}

// An action that takes all of its time can still say what came of it: the answer has longer than the
// action, and longer than other answers of the console.
func TestActionsAreLimited(t *testing.T) {
	t.Parallel()
	token := func() (string, error) { return "the token", nil }
	p := &Page{cfg: Config{Token: token}, sessions: newSessions(token), log: zerolog.Nop()}
	cookie, err := p.sessions.begin("Ann", "the token")
	if err != nil {
		t.Fatal(err)
	}
	var csrf string
	for _, s := range p.sessions.open {
		csrf = s.CSRF
	}
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:8080/pause", strings.NewReader(url.Values{"csrf": {csrf}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.AddCookie(&http.Cookie{Name: cookieName(r), Value: cookie})
	var (
		until, ends time.Time
		bounded     bool
	)
	before := time.Now()
	p.action(func(_ http.ResponseWriter, r *http.Request, _ *session) {
		ends, bounded = r.Context().Deadline()
	}).ServeHTTP(limited{httptest.NewRecorder(), &until}, r)
	if !bounded || ends.Before(before.Add(actionLimit)) || ends.After(time.Now().Add(actionLimit)) {
		t.Errorf("the action ends after %s, bounded %t, want %s", ends.Sub(before), bounded, actionLimit)
	}
	if until.Before(before.Add(answerLimit)) || until.After(time.Now().Add(answerLimit)) {
		t.Errorf("the answer ends after %s, want %s", until.Sub(before), answerLimit)
	}
}
