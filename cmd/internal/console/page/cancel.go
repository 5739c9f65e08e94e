package page

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"backhaul/cmd/internal/cancel"
	"backhaul/cmd/internal/operator"
	"backhaul/consumer"
	"backhaul/publisher"
)

// Canceller cancels requests that wait. Its methods are those of [cancel.Desk].
type Canceller interface {
	Select(ctx context.Context, f cancel.Filter) ([]cancel.Request, error)
	Check(ctx context.Context, r cancel.Request) (cancel.Outcome, error)
	Cancel(ctx context.Context, r cancel.Request, by operator.By) (cancel.Outcome, error)
}

// mostChecked bounds the requests that are listed with what a cancellation would do.
const mostChecked = 50

// cancelPage says what a cancellation would do, and offers it, or says what it did.
type cancelPage struct {
	chrome
	cancelForm
	Now time.Time
	// Selected is how many requests are selected, Sources how many of each source.
	Selected int
	Sources  string
	// Before is above the place of each of them in the queue.
	Before   uint64
	Requests []cancelled
	Trouble  string
	// Done is what a cancellation did, "" before.
	Done string
}

// cancelled is a request with what came of its cancellation, or would.
type cancelled struct {
	cancel.Request
	cancel.Outcome
}

// cancelForm is what selects requests, as it is in the address. The fields are compared as they are:
// one that is made shorter would select other requests.
type cancelForm struct {
	Source, Client, Group, Label, ID string
	All                              bool
}

func cancelFormOf(q url.Values) cancelForm {
	field := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	return cancelForm{Source: field("source"), Client: field("client"), Group: field("group"), Label: field("label"), ID: field("id"), All: q.Get("all") == "yes"}
}

// maxSelector bounds a field in bytes: no name, label or id is longer.
const maxSelector = 4096

// selectorError is the error of a field that can select nothing.
type selectorError struct{ text string }

func (e *selectorError) Error() string { return e.text }

// Asked reports whether the form selects requests.
func (f cancelForm) Asked() bool { return f != cancelForm{} }

// filter returns what the form selects.
func (f cancelForm) filter() (cancel.Filter, error) {
	for name, text := range map[string]string{"source": f.Source, "client": f.Client, "content group": f.Group, "label": f.Label, "request id": f.ID} {
		if len(text) > maxSelector || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
			return cancel.Filter{}, &selectorError{fmt.Sprintf("the %s must be text on one line, of at most %d bytes", name, maxSelector)}
		}
	}
	if f.Source != "" {
		if err := publisher.CheckSource(f.Source); err != nil {
			return cancel.Filter{}, &selectorError{err.Error()}
		}
	}
	filter := cancel.Filter{Source: f.Source, Client: f.Client, Subclient: f.Group}
	if f.ID != "" {
		filter.IDs = map[string]bool{f.ID: true}
	}
	if f.Label == "" {
		return filter, nil
	}
	name, value, ok := strings.Cut(f.Label, "=")
	if !ok {
		return filter, &selectorError{"a label is given as name=value"}
	}
	filter.Labels = map[string]string{name: value}
	return filter, nil
}

// cancelForm shows the requests that are selected, and what a cancellation would do.
func (p *Page) cancelForm(w http.ResponseWriter, r *http.Request) {
	c := cancelPage{chrome: p.chrome(r, "Cancel requests", "cancel"), cancelForm: cancelFormOf(r.URL.Query()), Now: time.Now()}
	status := http.StatusOK
	if c.Asked() {
		err := p.demand(r.Context(), func(ctx context.Context) error {
			selected, err := p.selected(ctx, c.cancelForm)
			if err != nil {
				return err
			}
			c.Selected, c.Sources = len(selected), cancel.Counts(selected)
			if len(selected) > 0 {
				c.Before = selected[len(selected)-1].Sequence + 1
			}
			for _, request := range selected[:min(len(selected), mostChecked)] {
				outcome, err := p.cfg.Canceller.Check(ctx, request)
				if err != nil {
					return err
				}
				c.Requests = append(c.Requests, cancelled{request, outcome})
			}
			return nil
		})
		if err != nil {
			c.Trouble, status = err.Error(), http.StatusServiceUnavailable
		}
		if _, wrong := errors.AsType[*selectorError](err); wrong {
			status = http.StatusUnprocessableEntity
		}
	}
	p.render(w, status, "cancel.html", c)
}

func (p *Page) selected(ctx context.Context, f cancelForm) ([]cancel.Request, error) {
	if p.cfg.Canceller == nil {
		return nil, errors.New("this process cannot do that")
	}
	filter, err := f.filter()
	if err != nil {
		return nil, err
	}
	return p.cfg.Canceller.Select(ctx, filter)
}

// cancel cancels the requests that the form selects, and lists those that were refused. It leaves out
// those that were stored after the form was shown.
func (p *Page) cancel(w http.ResponseWriter, r *http.Request, by *session) {
	form := cancelFormOf(r.PostForm)
	who := by.by(r)
	if err := cancel.Check(who); err != nil {
		p.say(w, r, http.StatusUnprocessableEntity, "Nothing was done: %v.", err)
		return
	}
	before, _ := strconv.ParseUint(r.PostForm.Get("before"), 10, 64)
	if !form.Asked() || before == 0 {
		p.say(w, r, http.StatusUnprocessableEntity, "Which requests? Nothing was done.")
		return
	}
	requests, err := p.selected(r.Context(), form)
	if _, wrong := errors.AsType[*selectorError](err); wrong {
		p.say(w, r, http.StatusUnprocessableEntity, "Nothing was done: %v.", err)
		return
	}
	requests = slices.DeleteFunc(requests, func(r cancel.Request) bool { return r.Sequence >= before })
	counts := make(map[cancel.Result]int)
	c := cancelPage{chrome: p.chrome(r, "Cancel requests", "cancel"), cancelForm: form, Now: time.Now(), Selected: len(requests), Sources: cancel.Counts(requests)}
	c.Self = "/cancel?" + form.query()
	reached := 0
	for _, request := range requests {
		var outcome cancel.Outcome
		if outcome, err = p.cfg.Canceller.Cancel(r.Context(), request, who); err != nil {
			break
		}
		reached++
		counts[outcome.Result]++
		if outcome.Result == cancel.Refused && len(c.Requests) < mostChecked {
			c.Requests = append(c.Requests, cancelled{request, outcome})
		}
	}
	if reached > 0 {
		p.log.Info().Str("actor", by.Actor).Int("cancelled", counts[cancel.Cancelled]).Int("refused", counts[cancel.Refused]).Msg("requests cancelled from the console")
	}
	c.Done = fmt.Sprintf("%d cancelled, %d cancelled before, %d refused.", counts[cancel.Cancelled], counts[cancel.Before], counts[cancel.Refused])
	status := http.StatusOK
	if err != nil {
		status, c.Trouble = http.StatusBadGateway, fmt.Sprintf("%v; %d of %d requests were not reached: do it again for them", err, len(requests)-reached, len(requests))
		if _, lost := errors.AsType[*consumer.LedgerError](err); !lost {
			p.log.Error().Err(err).Str("action", "cancel").Msg("an action of the console failed")
		}
	}
	p.render(w, status, "cancel.html", c)
}

// query returns the form as it is in the address.
func (f cancelForm) query() string {
	v := url.Values{}
	for name, value := range map[string]string{"source": f.Source, "client": f.Client, "group": f.Group, "label": f.Label, "id": f.ID} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if f.All {
		v.Set("all", "yes")
	}
	return v.Encode()
}
