package page

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"backhaul/cmd/internal/deadletter"
	"backhaul/cmd/internal/operator"
)

// What the replay of many dead letters and their drop have in common.

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

// selectLetters returns the oldest dead letters of a source below before that are selected. Source ""
// is any, before 0 no bound.
func (p *Page) selectLetters(ctx context.Context, source string, selects func(deadletter.Message) bool, before uint64) (selection, error) {
	s := selection{Before: before}
	if p.cfg.Letters == nil {
		return s, errors.New("this process cannot do that")
	}
	for at := before; ; {
		page, older, err := p.cfg.Letters.Page(ctx, source, at, selectionPage)
		if err != nil {
			return s, err
		}
		for _, l := range page {
			if !selects(l) {
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
