package page

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"backhaul/cmd/internal/deadletter"
	"backhaul/cmd/internal/operator"
	"backhaul/publisher"
)

// DeadLetters is the stream of dead letters. Its methods are those of
// [deadletter.Store].
type DeadLetters interface {
	Page(ctx context.Context, source string, before, limit uint64) (letters []deadletter.Message, older uint64, err error)
	// AddRequests adds the requests to what Page returned.
	AddRequests(ctx context.Context, letters []deadletter.Message) error
	Get(ctx context.Context, number uint64) (deadletter.Message, error)
	Of(ctx context.Context, key publisher.Key, since time.Time) (number uint64, err error)
	// Plan returns what Replay would do.
	Plan(ctx context.Context, l deadletter.Message, o deadletter.Order) (deadletter.Plan, error)
	// Replay leaves an event of who sends the letter's message again.
	Replay(ctx context.Context, l deadletter.Message, o deadletter.Order) (deadletter.Plan, error)
	// Drop deletes a dead letter after it has left an event of who does.
	Drop(ctx context.Context, l deadletter.Message, by operator.By) error
}

// actionLimit bounds how long one action may take. A pause takes some seconds, see
// queue.Pause.
const actionLimit = 30 * time.Second

// answerLimit bounds how long the answer to an action may take: it is longer than the console's own
// limit, because an action that takes all of its time still has to say what came of it.
const answerLimit = actionLimit + 40*time.Second

// act performs an action in a session.
type act func(w http.ResponseWriter, r *http.Request, by *session)

// action wraps an action so that only forms of our own pages, with a session and its
// secret, reach it.
func (p *Page) action(do act) http.Handler {
	var origin http.CrossOriginProtection
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := origin.Check(r); err != nil {
			p.say(w, r, http.StatusForbidden, "This came from another site. Nothing was done.")
			return
		}
		if p.cfg.Token == nil {
			p.say(w, r, http.StatusForbidden, "Nothing can be changed here: no admin token is set (BACKHAUL_ADMIN_TOKEN_FILE).")
			return
		}
		by := p.sessions.of(r)
		if by == nil {
			p.say(w, r, http.StatusUnauthorized, "Sign in to do this. Nothing was done.")
			return
		}
		if !by.allowed(r.PostFormValue("csrf")) {
			p.say(w, r, http.StatusForbidden, "The form is out of date: go back, reload, and try again. Nothing was done.")
			return
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerLimit))
		ctx, cancel := context.WithTimeout(r.Context(), actionLimit)
		defer cancel()
		do(w, r.WithContext(ctx), by)
	})
}

// loginPage asks for the token.
type loginPage struct {
	chrome
	Next, Actor, Problem string
}

func (p *Page) loginForm(w http.ResponseWriter, r *http.Request) {
	if p.cfg.Token == nil {
		p.say(w, r, http.StatusNotFound, "Signing in is not possible: no admin token is set (BACKHAUL_ADMIN_TOKEN_FILE).")
		return
	}
	p.render(w, http.StatusOK, "login.html", loginPage{chrome: p.chrome(r, "Sign in", ""), Next: local(r.URL.Query().Get("next"))})
}

func (p *Page) login(w http.ResponseWriter, r *http.Request) {
	if new(http.CrossOriginProtection).Check(r) != nil || p.cfg.Token == nil {
		p.say(w, r, http.StatusForbidden, "Signing in is not possible from here.")
		return
	}
	l := loginPage{chrome: p.chrome(r, "Sign in", ""), Next: local(r.PostFormValue("next")), Actor: oneLine(r.PostFormValue("actor"), maxActor)}
	l.Self = "/"
	status := http.StatusUnprocessableEntity
	if l.Actor == "" {
		l.Problem = "Enter your name: the events of your actions record it."
		p.render(w, status, "login.html", l)
		return
	}
	cookie, err := p.sessions.begin(l.Actor, strings.TrimSpace(r.PostFormValue("token")))
	switch {
	case err == nil:
		p.log.Info().Str("actor", l.Actor).Str("from", r.RemoteAddr).Msg("signed in to the console")
		setCookie(w, r, cookie, sessionLife)
		http.Redirect(w, r, l.Next, http.StatusSeeOther)
		return
	case errors.Is(err, errTooMany):
		status = http.StatusTooManyRequests
		w.Header().Set("Retry-After", strconv.Itoa(int(wrongEvery.Seconds())))
	case errors.Is(err, errWrongToken):
		status = http.StatusForbidden
		p.log.Warn().Str("actor", l.Actor).Str("from", r.RemoteAddr).Msg("a wrong token was given to the console")
	default:
		p.log.Error().Err(err).Msg("the admin token cannot be read")
		err = errors.New("the admin token cannot be read; see the log")
		status = http.StatusInternalServerError
	}
	l.Problem = err.Error()
	p.render(w, status, "login.html", l)
}

// oneLine returns text as one line, as an event can have it.
func oneLine(s string, most int) string {
	s = strings.Join(strings.FieldsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) || c == ' ' }), " ")
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}

// local returns a path of this page, "/" if the address leads elsewhere.
func local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(u.Path, "/") ||
		strings.HasPrefix(u.Path, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return u.RequestURI()
}

func (p *Page) logout(w http.ResponseWriter, r *http.Request, _ *session) {
	p.sessions.end(r)
	setCookie(w, r, "", -time.Second)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (p *Page) replay(w http.ResponseWriter, r *http.Request, by *session) {
	number, ok := p.letterNumber(w, r)
	if !ok {
		return
	}
	letter, err := p.cfg.Letters.Get(r.Context(), number)
	if err != nil {
		p.failed(w, r, "replay", err)
		return
	}
	if missing := p.missing(r.Context(), publisher.AnyOperator, letter.Subject); len(missing) > 0 {
		p.notPermitted(w, r, missing)
		return
	}
	plan, err := p.cfg.Letters.Replay(r.Context(), letter, deadletter.Order{By: by.by(r), Again: r.PostFormValue("again") == "yes"})
	if err != nil {
		p.failed(w, r, "replay", err)
		return
	}
	p.log.Info().Str("actor", by.Actor).Uint64("deadLetter", number).Str("as", plan.Key.String()).Msg("dead letter replayed from the console")
	http.Redirect(w, r, "/dead-letters/"+strconv.FormatUint(number, 10)+"?"+
		url.Values{"source": {plan.Key.Source}, "replayed": {plan.Key.Name}}.Encode(), http.StatusSeeOther)
}

// failed answers why an action was not done.
func (p *Page) failed(w http.ResponseWriter, r *http.Request, what string, err error) {
	var (
		refused  *deadletter.RefusedError
		replayed *deadletter.ReplayedError
		putBack  *deadletter.PutBackError
		gone     *deadletter.NotFoundError
	)
	switch {
	case errors.As(err, &gone):
		p.say(w, r, http.StatusNotFound, "Dead letter %d does not exist, or no longer.", gone.Number)
		return
	case errors.As(err, &refused), errors.As(err, &replayed), errors.As(err, &putBack):
		p.say(w, r, http.StatusConflict, "Nothing was done: %v.", err)
		return
	}
	err = p.explained(err)
	p.log.Error().Err(err).Str("action", what).Msg("an action of the console failed")
	p.say(w, r, http.StatusBadGateway, "It failed: %v", err)
}

// explained adds to the error of an action what NATS did not permit.
func (p *Page) explained(err error) error {
	if err == nil || p.cfg.Explain == nil {
		return err
	}
	return p.cfg.Explain(err)
}

// missing returns those of the subjects on which this process is known not to be permitted to
// publish.
func (p *Page) missing(ctx context.Context, subjects ...string) []string {
	if p.cfg.Missing == nil {
		return nil
	}
	return p.cfg.Missing(ctx, subjects...)
}
