package page

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"backhaul/cmd/internal/deadletter"
	"backhaul/cmd/internal/operator"
)

// bulkAction is an action on many dead letters: their replay, or their drop.
type bulkAction struct {
	verb  string // the last token of the page's address
	past  string // as the action's result says it
	title string
	// selects reports whether the form selects a dead letter.
	selects func(lettersForm, deadletter.Message) bool
	// needs are the subjects on which the action publishes.
	needs func(selection) []string
	// plan returns what act would do.
	plan func(context.Context, deadletter.Message) (outcome, error)
	// act does it to one dead letter. An error ends the action.
	act func(context.Context, deadletter.Message, operator.By) (outcome, error)
}

// outcome is what an action did with one dead letter, or would do.
type outcome struct {
	result, why string
	stays       bool // nothing was done, for the reason why
}

// refused is the result for a dead letter that the action refuses.
const refused = "refused"

// bulkPage returns the page of an action with a form.
func (p *Page) bulkPage(r *http.Request, a bulkAction, form lettersForm) bulkPage {
	return bulkPage{Verb: a.verb, chrome: p.chrome(r, a.title, "dead-letters"), lettersForm: form, Now: time.Now()}
}

// bulkForm returns a handler that shows the dead letters that are selected, and what the action
// would do.
func (p *Page) bulkForm(a bulkAction) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, status := p.bulkPage(r, a, lettersFormOf(r.URL.Query())), http.StatusOK
		if c.Asked() {
			if err := p.demand(r.Context(), func(ctx context.Context) error { return p.planAll(ctx, a, &c) }); err != nil {
				c.Trouble, status = err.Error(), http.StatusServiceUnavailable
			}
		}
		p.render(w, status, a.verb+".html", c)
	}
}

// planAll sets the dead letters that the form selects, and what the action would do.
func (p *Page) planAll(ctx context.Context, a bulkAction, c *bulkPage) (err error) {
	if c.selection, err = p.selectLetters(ctx, a, c.lettersForm, 0); err != nil {
		return err
	}
	for _, l := range c.letters[:min(c.Selected(), mostChecked)] {
		would, err := a.plan(ctx, l)
		if err != nil {
			return err
		}
		c.Letters = append(c.Letters, plannedLetter{l, would.result, would.why})
	}
	if c.Session != nil {
		c.Missing = p.missing(ctx, a.needs(c.selection)...)
	}
	return nil
}

// bulkAct returns a handler that does the action to the dead letters that the form selects, and lists
// those to which nothing was done. It leaves out those that were kept after the form was shown.
func (p *Page) bulkAct(a bulkAction) func(http.ResponseWriter, *http.Request, *session) {
	return func(w http.ResponseWriter, r *http.Request, by *session) {
		form, who := lettersFormOf(r.PostForm), by.by(r)
		before, _ := strconv.ParseUint(r.PostForm.Get("before"), 10, 64)
		if problem := form.problem(who, before); problem != "" {
			p.say(w, r, http.StatusUnprocessableEntity, "%s Nothing was done.", problem)
			return
		}
		c := p.bulkPage(r, a, form)
		c.Self = form.path(a.verb)
		var err error
		if c.selection, err = p.selectLetters(r.Context(), a, form, before); err != nil {
			p.failed(w, r, a.verb+" many", err)
			return
		}
		if missing := p.missing(r.Context(), a.needs(c.selection)...); len(missing) > 0 {
			p.notPermitted(w, r, missing)
			return
		}
		counts, err := p.actOnAll(r.Context(), a, &c, who)
		p.log.Info().Str("actor", by.Actor).Int(a.past, counts[a.past]).Int("refused", counts[refused]).Msgf("dead letters %s from the console", a.past)
		c.Done = doneText(a.past, counts, c.Left, a.verb+" them now")
		status := http.StatusOK
		if err = p.explained(err); err != nil {
			left := c.Selected()
			for _, n := range counts {
				left -= n
			}
			status, c.Trouble = http.StatusBadGateway, fmt.Sprintf("%v; %d of %d dead letters were not %s: do it again for them", err, left, c.Selected(), a.past)
			p.log.Error().Err(err).Str("action", a.verb+" many").Msg("an action of the console failed")
		}
		p.render(w, status, a.verb+".html", c)
	}
}

// actOnAll does the action to the selected dead letters up to the first that fails, and counts the
// results.
func (p *Page) actOnAll(ctx context.Context, a bulkAction, c *bulkPage, who operator.By) (map[string]int, error) {
	counts := make(map[string]int)
	for _, l := range c.letters {
		did, err := a.act(ctx, l, who)
		if err != nil {
			return counts, fmt.Errorf("dead letter %d: %w", l.Number, err)
		}
		counts[did.result]++
		if did.stays && len(c.Letters) < mostChecked {
			c.Letters = append(c.Letters, plannedLetter{l, did.result, did.why})
		}
	}
	return counts, nil
}

// mostAtOnce bounds how many dead letters one action replays or drops: it must end within actionLimit.
const mostAtOnce = 200

// selectionPage is how many dead letters a selection reads at once.
const selectionPage = 1000

// bulkPage says what an action on many dead letters would do, and offers it, or says what it did.
type bulkPage struct {
	chrome
	lettersForm
	selection
	// Verb is the last token of the page's address: replay or drop.
	Verb    string
	Now     time.Time
	Letters []plannedLetter
	Trouble string
	// Missing are the subjects on which this process may not publish, and would.
	Missing []string
	// Done is what the action did, "" before.
	Done string
}

// lettersForm is what selects dead letters for an action.
type lettersForm struct {
	Filter letterFilter
	All    bool
}

func lettersFormOf(q url.Values) lettersForm {
	return lettersForm{letterFilterOf(q), q.Get("all") == "yes"}
}

// Asked reports whether the form selects dead letters.
func (f lettersForm) Asked() bool { return f.All || f.Filter.Active() }

// List is the address of the list with the same filter.
func (f lettersForm) List() string { return "/dead-letters?" + f.Filter.query().Encode() }

// path is the address of an action with the same form.
func (f lettersForm) path(action string) string {
	v := f.Filter.query()
	if f.All {
		v.Set("all", "yes")
	}
	return "/dead-letters/" + action + "?" + v.Encode()
}

// problem returns why the action is refused as it was asked for, "" if it is not. before is the bound
// of what the form has shown, 0 for none.
func (f lettersForm) problem(by operator.By, before uint64) string {
	switch err := by.Check(); {
	case by.Reason == "":
		return "The reason is missing: the event of each dead letter has it."
	case !f.Asked() || before == 0:
		return "Which dead letters?"
	case err != nil:
		return fmt.Sprintf("No: %v.", err)
	}
	return ""
}

// selection is the dead letters that a form selects.
type selection struct {
	letters []deadletter.Message // the oldest first
	// Left is how many more match.
	Left int
	// Before is above the number of each of them.
	Before uint64
}

// Selected is how many dead letters are selected.
func (s selection) Selected() int { return len(s.letters) }

// Sources is how many are of each source, and States how many have each state.
func (s selection) Sources() string { return deadletter.Counts(s.letters) }
func (s selection) States() string {
	var parts []string
	for _, state := range deadletter.States {
		if n := s.count(state); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	return strings.Join(parts, ", ")
}

// Open is how many were never replayed.
func (s selection) Open() int { return s.count(deadletter.Open) }

func (s selection) count(state deadletter.State) (n int) {
	for _, l := range s.letters {
		if l.State() == state {
			n++
		}
	}
	return n
}

// plannedLetter is a dead letter with what came of an action on it, or would.
type plannedLetter struct {
	deadletter.Message
	Result, Why string
}

// selectLetters returns the oldest dead letters below before that the form selects for an action.
// before 0 is no bound.
func (p *Page) selectLetters(ctx context.Context, a bulkAction, form lettersForm, before uint64) (selection, error) {
	s := selection{Before: before}
	if p.cfg.Letters == nil {
		return s, errors.New("this process cannot do that")
	}
	for at := before; ; {
		page, older, err := p.cfg.Letters.Page(ctx, form.Filter.Source, at, selectionPage)
		if err != nil {
			return s, err
		}
		for _, l := range page {
			if !a.selects(form, l) {
				continue
			}
			if before == 0 && len(s.letters) == 0 {
				s.Before = l.Number + 1
			}
			s.letters = append(s.letters, l)
		}
		// Older ones come before these.
		if over := len(s.letters) - mostAtOnce; over > 0 {
			s.Left += over
			s.letters = slices.Delete(s.letters, 0, over)
		}
		if older == 0 {
			slices.Reverse(s.letters)
			return s, nil
		}
		at = older
	}
}

// notPermitted answers that an action was not begun, because NATS does not permit it.
func (p *Page) notPermitted(w http.ResponseWriter, r *http.Request, missing []string) {
	p.say(w, r, http.StatusForbidden, "Nothing was done: it is not permitted to the NATS user of this process; grant publish on %s.", strings.Join(missing, ", "))
}

// doneText sums up what an action did, and how many dead letters are left over. done is the result
// that is named also where there is none.
func doneText(done string, counts map[string]int, left int, next string) string {
	parts := []string{fmt.Sprintf("%d %s", counts[done], done)}
	for _, result := range slices.Sorted(maps.Keys(counts)) {
		if result != done {
			parts = append(parts, fmt.Sprintf("%d %s", counts[result], result))
		}
	}
	text := strings.Join(parts, ", ") + "."
	if left > 0 {
		text += fmt.Sprintf(" %d more match; %s.", left, next)
	}
	return text
}
