package page

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"backhaul/cmd/internal/queue"
	"backhaul/cmd/internal/timespan"
	"backhaul/consumer/scope"
)

// pause pauses the queue, or the scope that the form names.
func (p *Page) pause(w http.ResponseWriter, r *http.Request, by *session) {
	d, err := timespan.Parse(r.PostFormValue("for"))
	if err != nil || d < time.Second || d > queue.LongestPause || p.cfg.Queue == nil {
		p.say(w, r, http.StatusUnprocessableEntity, "For how long? A duration such as 15m or 2h, at most a week.")
		return
	}
	who := by.by(r)
	if who.Reason == "" {
		p.say(w, r, http.StatusUnprocessableEntity, "Why? Enter a reason: whoever finds the pause will want to know. Nothing was done.")
		return
	}
	s, scoped, ok := p.scopeOf(w, r)
	switch {
	case !ok:
		return
	case scoped:
		err = p.cfg.Queue.PauseScope(r.Context(), who, s, d)
	default:
		err = p.cfg.Queue.Pause(r.Context(), who, d)
	}
	if err != nil {
		p.failed(w, r, "pause", err)
		return
	}
	p.log.Info().Str("actor", by.Actor).Str("for", d.String()).Str("scope", s.String()).Msg("paused from the console")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// resume ends the pause of the queue, or of the scope that the form names.
func (p *Page) resume(w http.ResponseWriter, r *http.Request, by *session) {
	if p.cfg.Queue == nil {
		p.say(w, r, http.StatusNotFound, "This process cannot do that.")
		return
	}
	s, scoped, ok := p.scopeOf(w, r)
	if !ok {
		return
	}
	var err error
	if scoped {
		err = p.cfg.Queue.ResumeScope(r.Context(), by.by(r), s)
	} else {
		err = p.cfg.Queue.Resume(r.Context(), by.by(r))
	}
	if notPaused, ok := errors.AsType[*queue.NotPausedError](err); ok {
		p.say(w, r, http.StatusConflict, "Nothing was done: %v.", notPaused)
		return
	}
	if notBy, ok := errors.AsType[*queue.NotByOperatorError](err); ok {
		p.say(w, r, http.StatusConflict, "Nothing was done: %v. The command backhaul resume --force ends it now: the vendor may then be called earlier than it asked.", notBy)
		return
	}
	if err != nil {
		p.failed(w, r, "resume", err)
		return
	}
	p.log.Info().Str("actor", by.Actor).Str("scope", s.String()).Msg("resumed from the console")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// scopeOf returns the scope of a form, and whether it names one. If it is none, the answer is
// written and ok is false.
func (p *Page) scopeOf(w http.ResponseWriter, r *http.Request) (s scope.Scope, scoped, ok bool) {
	field := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	s = scope.Scope{Source: field("source"), Client: field("client"), Group: field("group")}
	if s == (scope.Scope{}) {
		return s, false, true
	}
	if err := s.Check(); err != nil {
		p.say(w, r, http.StatusUnprocessableEntity, "Nothing was done: %v.", err)
		return s, true, false
	}
	return s, true, true
}

// paused returns the scopes that are paused.
func (p *Page) paused() []scope.Pause {
	if p.cfg.Paused == nil {
		return nil
	}
	return p.cfg.Paused()
}
