package page

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"backhaul/cmd/internal/deadletter"
)

// dropLimit bounds the drop of one dead letter: where NATS does not permit it, there is no answer.
const dropLimit = 5 * time.Second

// dropForm shows the dead letters that are selected, and what a drop would do.
func (p *Page) dropForm(w http.ResponseWriter, r *http.Request) {
	c := bulkPage{Verb: "drop", chrome: p.chrome(r, "Drop dead letters", "dead-letters"), lettersForm: lettersFormOf(r.URL.Query()), Now: time.Now()}
	status := http.StatusOK
	if c.Asked() {
		err := p.demand(r.Context(), func(ctx context.Context) (err error) {
			if c.selection, err = p.selectLetters(ctx, c.Filter.Source, c.Filter.matches, 0); err != nil {
				return err
			}
			for _, l := range c.letters[:min(c.Selected(), mostChecked)] {
				c.Letters = append(c.Letters, plannedLetter{l, "would drop", ""})
			}
			if c.Session != nil {
				c.Missing = p.missing(ctx, deadletter.DropNeeds...)
			}
			return nil
		})
		if err != nil {
			c.Trouble, status = err.Error(), http.StatusServiceUnavailable
		}
	}
	p.render(w, status, "drop.html", c)
}

// dropAll drops the dead letters that the form selects, and lists those that are left. It leaves out
// those that were kept after the form was shown.
func (p *Page) dropAll(w http.ResponseWriter, r *http.Request, by *session) {
	form, who := lettersFormOf(r.PostForm), by.by(r)
	before, _ := strconv.ParseUint(r.PostForm.Get("before"), 10, 64)
	if problem := form.problem(who, before); problem != "" {
		p.say(w, r, http.StatusUnprocessableEntity, "%s Nothing was done.", problem)
		return
	}
	if missing := p.missing(r.Context(), deadletter.DropNeeds...); len(missing) > 0 {
		p.notPermitted(w, r, missing)
		return
	}
	c := bulkPage{Verb: "drop", chrome: p.chrome(r, "Drop dead letters", "dead-letters"), lettersForm: form, Now: time.Now()}
	c.Self = form.path("drop")
	var err error
	if c.selection, err = p.selectLetters(r.Context(), form.Filter.Source, form.Filter.matches, before); err != nil {
		p.failed(w, r, "drop many", err)
		return
	}
	counts, reached := make(map[string]int), 0
	for _, l := range c.letters {
		ctx, cancel := context.WithTimeout(r.Context(), dropLimit)
		err = p.cfg.Letters.Drop(ctx, l, who)
		cancel()
		result := "dropped"
		if _, gone := errors.AsType[*deadletter.NotFoundError](err); gone {
			result, err = "gone before", nil
		}
		if err != nil {
			err = fmt.Errorf("dead letter %d: %w", l.Number, err)
			break
		}
		reached++
		counts[result]++
	}
	p.log.Info().Str("actor", by.Actor).Int("dropped", counts["dropped"]).Msg("dead letters dropped from the console")
	c.Done = doneText("dropped", counts, c.Left, "drop them now")
	status := http.StatusOK
	if err = p.explained(err); err != nil {
		status, c.Trouble = http.StatusBadGateway, fmt.Sprintf("%v; %d of %d dead letters were not dropped: do it again for them", err, c.Selected()-reached, c.Selected())
		p.log.Error().Err(err).Str("action", "drop many").Msg("an action of the console failed")
	}
	p.render(w, status, "drop.html", c)
}
