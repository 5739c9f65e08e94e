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
	"backhaul/schemas"
)

// mostReplayed bounds how many dead letters one action replays: it must end within actionLimit.
const mostReplayed = 200

// selectionPage is how many dead letters a selection reads at once.
const selectionPage = 1000

// replayPage says what a replay of many dead letters would do, and offers it, or says what it did.
type replayPage struct {
	chrome
	replayForm
	selection
	Now     time.Time
	Letters []plannedLetter
	Trouble string
	// Done is what a replay did, "" before.
	Done string
}

// replayForm is what selects dead letters for a replay.
type replayForm struct {
	Filter letterFilter
	All    bool
}

func replayFormOf(q url.Values) replayForm {
	return replayForm{letterFilterOf(q), q.Get("all") == "yes"}
}

// Asked reports whether the form selects dead letters.
func (f replayForm) Asked() bool { return f.All || f.Filter.Active() }

// List is the address of the list with the same filter.
func (f replayForm) List() string { return "/dead-letters?" + f.Filter.query().Encode() }

func (f replayForm) path() string {
	v := f.Filter.query()
	if f.All {
		v.Set("all", "yes")
	}
	return "/dead-letters/replay?" + v.Encode()
}

// selects reports whether a dead letter is replayed with others. A replay of many can be repeated
// for the rest: what was replayed is no longer open.
func (f replayForm) selects(l deadletter.Message) bool {
	open := l.State() == deadletter.Open || f.Filter.State == l.State() && !l.Replayed()
	return open && f.Filter.matches(l) && (l.Code != schemas.CodeCancelled || strings.EqualFold(f.Filter.Code, l.Code))
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

// Sources is how many are of each source.
func (s selection) Sources() string { return deadletter.Counts(s.letters) }

// plannedLetter is a dead letter with what came of its replay, or would.
type plannedLetter struct {
	deadletter.Message
	Result, Why string
}

// selectLetters returns the oldest dead letters below before that the form selects.
func (p *Page) selectLetters(ctx context.Context, f replayForm, before uint64) (selection, error) {
	s := selection{Before: before}
	if p.cfg.Letters == nil {
		return s, errors.New("this process cannot do that")
	}
	for at := before; ; {
		page, older, err := p.cfg.Letters.Page(ctx, f.Filter.Source, at, selectionPage)
		if err != nil {
			return s, err
		}
		for _, l := range page {
			if !f.selects(l) {
				continue
			}
			if before == 0 && len(s.letters) == 0 {
				s.Before = l.Number + 1
			}
			s.letters = append(s.letters, l)
		}
		// Older ones come before these.
		if over := len(s.letters) - mostReplayed; over > 0 {
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

// replayForm shows the dead letters that are selected, and what a replay would do.
func (p *Page) replayForm(w http.ResponseWriter, r *http.Request) {
	c := replayPage{chrome: p.chrome(r, "Replay dead letters", "dead-letters"), replayForm: replayFormOf(r.URL.Query()), Now: time.Now()}
	status := http.StatusOK
	if c.Asked() {
		err := p.demand(r.Context(), func(ctx context.Context) (err error) {
			if c.selection, err = p.selectLetters(ctx, c.replayForm, 0); err != nil {
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
	form, who := replayFormOf(r.PostForm), by.by(r)
	before, _ := strconv.ParseUint(r.PostForm.Get("before"), 10, 64)
	problem := ""
	switch {
	case who.Reason == "":
		problem = "The reason is missing: the event of each replay has it."
	case !form.Asked() || before == 0:
		problem = "Which dead letters?"
	}
	if err := who.Check(); problem == "" && err != nil {
		problem = fmt.Sprintf("No: %v.", err)
	}
	if problem != "" {
		p.say(w, r, http.StatusUnprocessableEntity, "%s Nothing was done.", problem)
		return
	}
	c := replayPage{chrome: p.chrome(r, "Replay dead letters", "dead-letters"), replayForm: form, Now: time.Now()}
	c.Self = form.path()
	counts, reached := make(map[string]int), 0
	var err error
	if c.selection, err = p.selectLetters(r.Context(), form, before); err != nil {
		p.failed(w, r, "replay many", err)
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
	c.Done = doneText(counts, c.Left)
	status := http.StatusOK
	if err != nil {
		status, c.Trouble = http.StatusBadGateway, fmt.Sprintf("%v; %d of %d dead letters were not replayed: do it again for them", err, c.Selected()-reached, c.Selected())
		p.log.Error().Err(err).Str("action", "replay many").Msg("an action of the console failed")
	}
	p.render(w, status, "replay.html", c)
}

// doneText sums up what a replay did, and how many dead letters are left over.
func doneText(counts map[string]int, left int) string {
	parts := []string{fmt.Sprintf("%d replayed", counts["replayed"])}
	for _, result := range slices.Sorted(maps.Keys(counts)) {
		if result != "replayed" {
			parts = append(parts, fmt.Sprintf("%d %s", counts[result], result))
		}
	}
	text := strings.Join(parts, ", ") + "."
	if left > 0 {
		text += fmt.Sprintf(" %d more match; replay them now.", left)
	}
	return text
}
