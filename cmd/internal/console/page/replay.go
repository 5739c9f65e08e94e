package page

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"backhaul/cmd/internal/deadletter"
	"backhaul/publisher"
	"backhaul/schemas"
)

// replays reports whether a dead letter is replayed with others. A replay of many can be repeated
// for the rest: what was replayed is no longer open.
func (f lettersForm) replays(l deadletter.Message) bool {
	open := l.State() == deadletter.Open || f.Filter.State == l.State() && !l.Replayed()
	return open && f.Filter.matches(l) && (l.Code != schemas.CodeCancelled || strings.EqualFold(f.Filter.Code, l.Code))
}

// replayForm shows the dead letters that are selected, and what a replay would do.
func (p *Page) replayForm(w http.ResponseWriter, r *http.Request) {
	c := bulkPage{Verb: "replay", chrome: p.chrome(r, "Replay dead letters", "dead-letters"), lettersForm: lettersFormOf(r.URL.Query()), Now: time.Now()}
	status := http.StatusOK
	if c.Asked() {
		err := p.demand(r.Context(), func(ctx context.Context) (err error) {
			if c.selection, err = p.selectLetters(ctx, c.Filter.Source, c.replays, 0); err != nil {
				return err
			}
			for _, l := range c.letters[:min(c.Selected(), mostChecked)] {
				plan, err := p.cfg.Letters.Plan(ctx, l, deadletter.Order{})
				result, why, err := replayResult(plan, err, "would replay", "would send again")
				if err != nil {
					return err
				}
				c.Letters = append(c.Letters, plannedLetter{l, result, why})
			}
			if c.Session != nil {
				c.Missing = p.missing(ctx, c.replayNeeds()...)
			}
			return nil
		})
		if err != nil {
			c.Trouble, status = err.Error(), http.StatusServiceUnavailable
		}
	}
	p.render(w, status, "replay.html", c)
}

// replayResult returns what a replay did with one dead letter; err is that of a replay that failed,
// after which no other one is tried.
func replayResult(plan deadletter.Plan, failed error, first, repeated string) (result, why string, err error) {
	var (
		refused  *deadletter.RefusedError
		replayed *deadletter.ReplayedError
		putBack  *deadletter.PutBackError
		gone     *deadletter.NotFoundError
	)
	switch {
	case errors.As(failed, &refused):
		return "refused", refused.Error(), nil
	case errors.As(failed, &replayed), errors.As(failed, &putBack):
		return "left alone", failed.Error(), nil
	case errors.As(failed, &gone):
		return "gone", "it was dropped, or is no longer kept", nil
	case failed != nil:
		return "", "", failed
	case plan.Repeated:
		first = repeated
	}
	if plan.PutBackOn != "" {
		return first, "on " + plan.PutBackOn, nil
	}
	return first, "as " + plan.RequestID, nil
}

// replayAll replays the dead letters that the form selects, and lists those that were refused. It
// leaves out those that were kept after the form was shown.
func (p *Page) replayAll(w http.ResponseWriter, r *http.Request, by *session) {
	form, who := lettersFormOf(r.PostForm), by.by(r)
	before, _ := strconv.ParseUint(r.PostForm.Get("before"), 10, 64)
	if problem := form.problem(who, before); problem != "" {
		p.say(w, r, http.StatusUnprocessableEntity, "%s Nothing was done.", problem)
		return
	}
	c := bulkPage{Verb: "replay", chrome: p.chrome(r, "Replay dead letters", "dead-letters"), lettersForm: form, Now: time.Now()}
	c.Self = form.path("replay")
	counts, reached := make(map[string]int), 0
	var err error
	if c.selection, err = p.selectLetters(r.Context(), form.Filter.Source, form.replays, before); err != nil {
		p.failed(w, r, "replay many", err)
		return
	}
	if missing := p.missing(r.Context(), c.replayNeeds()...); len(missing) > 0 {
		p.notPermitted(w, r, missing)
		return
	}
	for _, l := range c.letters {
		var result, why string
		plan, failed := p.cfg.Letters.Replay(r.Context(), l, deadletter.Order{By: who})
		if result, why, err = replayResult(plan, failed, "replayed", "sent again"); err != nil {
			err = fmt.Errorf("dead letter %d: %w", l.Number, err)
			break
		}
		reached++
		counts[result]++
		if failed != nil && len(c.Letters) < mostChecked {
			c.Letters = append(c.Letters, plannedLetter{l, result, why})
		}
	}
	p.log.Info().Str("actor", by.Actor).Int("replayed", counts["replayed"]).Int("refused", counts["refused"]).Msg("dead letters replayed from the console")
	c.Done = doneText("replayed", counts, c.Left, "replay them now")
	status := http.StatusOK
	if err = p.explained(err); err != nil {
		status, c.Trouble = http.StatusBadGateway, fmt.Sprintf("%v; %d of %d dead letters were not replayed: do it again for them", err, c.Selected()-reached, c.Selected())
		p.log.Error().Err(err).Str("action", "replay many").Msg("an action of the console failed")
	}
	p.render(w, status, "replay.html", c)
}

// replayNeeds are the subjects on which a replay of the selected dead letters is published.
func (s selection) replayNeeds() []string {
	needs := []string{publisher.AnyOperator}
	for _, l := range s.letters {
		if !slices.Contains(needs, l.Subject) {
			needs = append(needs, l.Subject)
		}
	}
	return needs
}
