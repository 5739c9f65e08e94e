package page

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"backhaul/cmd/internal/deadletter"
	"backhaul/cmd/internal/show"
	"backhaul/publisher"
	"backhaul/schemas"
)

// lettersPage lists dead letters.
type lettersPage struct {
	chrome
	Now     time.Time
	Filter  letterFilter
	Letters []deadletter.Message
	// Older and Newest are the addresses of other pages, "" if there is none.
	Older, Newest string
	// ReplayAll and DropAll are the addresses where those that match can be replayed, and dropped.
	ReplayAll, DropAll string
	Trouble            string
	// Unnamed is why clients and content groups are missing, "" if they were read.
	Unnamed string
	// Dropped is the dead letter that was just dropped from its own page, 0 for none.
	Dropped uint64
}

// letterFilter says which dead letters to show; empty fields match all.
type letterFilter struct {
	Source, Code, Text string
	State              deadletter.State
}

// letterFilterOf returns the filter of an address or a form. A state that does not exist is kept,
// and matches none, and no field is made shorter: an action must not select more than was meant.
func letterFilterOf(q url.Values) letterFilter {
	field := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	return letterFilter{Source: field("source"), Code: field("code"), Text: field("q"), State: deadletter.State(field("state"))}
}

// query returns the filter as it is in an address.
func (f letterFilter) query() url.Values {
	v := url.Values{}
	for name, value := range map[string]string{"source": f.Source, "code": f.Code, "q": f.Text, "state": string(f.State)} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return v
}

// Active reports whether the filter excludes any dead letter.
func (f letterFilter) Active() bool { return f != letterFilter{} }

// matches reports whether a dead letter has the state, the code, in either form, and the text in its request
// id, key or reason, whatever the case. The source is the server's matter.
func (f letterFilter) matches(l deadletter.Message) bool {
	has := func(s, part string) bool { return strings.Contains(strings.ToLower(s), strings.ToLower(part)) }
	return (f.State == "" || l.State() == f.State) && (f.Code == "" || strings.EqualFold(l.Code, f.Code) || schemas.LogCode(l.Code) == f.Code) &&
		(f.Text == "" || has(l.RequestID, f.Text) || has(l.Key.Name, f.Text) || has(l.Reason, f.Text))
}

// maxLetterPages bounds how many pages are read to fill one with dead letters that match.
const maxLetterPages = 20

// matchingLetters returns a page of dead letters below before that match, and where the next page
// begins, 0 at the end. It reads at most maxLetterPages, so a page may have less than it could.
func (p *Page) matchingLetters(ctx context.Context, f letterFilter, before uint64) (matching []deadletter.Message, older uint64, err error) {
	for range maxLetterPages {
		var page []deadletter.Message
		page, older, err = p.cfg.Letters.Page(ctx, f.Source, before, pageSize)
		if err != nil {
			return nil, 0, err
		}
		for _, l := range page {
			if !f.matches(l) {
				continue
			}
			if len(matching) == pageSize {
				return matching, matching[pageSize-1].Number, nil
			}
			matching = append(matching, l)
		}
		if older == 0 || !f.Active() {
			break
		}
		before = older
	}
	return matching, older, nil
}

func (p *Page) letters(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	l := lettersPage{chrome: p.chrome(r, "Dead letters", "dead-letters"), Now: time.Now(), Filter: letterFilterOf(q)}
	form := lettersForm{l.Filter, !l.Filter.Active()}
	l.ReplayAll, l.DropAll = form.path("replay"), form.path("drop")
	before, _ := strconv.ParseUint(q.Get("before"), 10, 64)
	if l.Dropped, _ = strconv.ParseUint(q.Get("dropped"), 10, 64); l.Dropped > 0 {
		l.Self = r.URL.Path
	}
	at := func(before uint64) string {
		v := l.Filter.query()
		if before > 0 {
			v.Set("before", strconv.FormatUint(before, 10))
		}
		return "/dead-letters?" + v.Encode()
	}
	status := http.StatusOK
	err := p.demand(r.Context(), func(ctx context.Context) (err error) {
		var older uint64
		l.Letters, older, err = p.matchingLetters(ctx, l.Filter, before)
		if older > 0 {
			l.Older = at(older)
		}
		if err == nil {
			if unread := p.cfg.Letters.AddRequests(ctx, l.Letters); unread != nil {
				l.Unnamed = unread.Error()
			}
		}
		return err
	})
	if err != nil {
		l.Trouble, status = err.Error(), http.StatusServiceUnavailable
	}
	if before > 0 {
		l.Newest = at(0)
	}
	p.render(w, status, "letters.html", l)
}

// letterPage is one dead letter.
type letterPage struct {
	chrome
	deadletter.Message
	Headers []header
	Text    string // the message, if it is text
	Size    int
	// Notification is set if a replay puts it back on its subject.
	Notification bool
	// Replayed is the request that it was just replayed as, nil if it was not.
	Replayed *publisher.Key
	// Again: its last replay has its outcome.
	Again bool
	// As is the id that it would be replayed under, Refusal why it cannot be.
	As, Refusal string
	// Missing are the subjects on which this process may not publish, and a replay would;
	// DropMissing those of a drop.
	Missing, DropMissing []string
}

// KeptID tells the dead letter from another one with its number.
func (l letterPage) KeptID() string { return keptOf(l.Message) }

// Open reports whether it was never replayed.
func (l letterPage) Open() bool { return l.State() == deadletter.Open }

// ReplayKey returns the key of the request that a replay created.
func (l letterPage) ReplayKey(r deadletter.Replay) publisher.Key {
	return publisher.Key{Source: l.Key.Source, Name: r.Key}
}

type header struct{ Name, Value string }

// letterNumber returns the dead letter that a path names. If the number cannot exist,
// it answers 404.
func (p *Page) letterNumber(w http.ResponseWriter, r *http.Request) (number uint64, ok bool) {
	number, err := strconv.ParseUint(r.PathValue("number"), 10, 64)
	ok = err == nil && number > 0 && p.cfg.Letters != nil
	if !ok {
		p.say(w, r, http.StatusNotFound, "This dead letter does not exist.")
	}
	return number, ok
}

func (p *Page) letter(w http.ResponseWriter, r *http.Request) {
	number, ok := p.letterNumber(w, r)
	if !ok {
		return
	}
	l := letterPage{chrome: p.chrome(r, "Dead letter "+strconv.FormatUint(number, 10), "dead-letters")}
	err := p.demand(r.Context(), func(ctx context.Context) (err error) {
		l.Message, err = p.cfg.Letters.Get(ctx, number)
		return err
	})
	if _, gone := errors.AsType[*deadletter.NotFoundError](err); gone {
		p.say(w, r, http.StatusNotFound, "Dead letter %d does not exist, or no longer.", number)
		return
	}
	if err != nil {
		p.say(w, r, http.StatusServiceUnavailable, "The dead letter cannot be read: %v", err)
		return
	}
	l.Headers, l.Size, l.Text = headersOf(l.Header), len(l.Data), shownText(l.Data)
	l.Again, l.Notification = l.Message.Replayed(), l.Message.Notification()
	if plan, err := l.Plan(deadletter.Order{Again: l.Again}); err != nil {
		l.Refusal = err.Error()
	} else {
		l.As = plan.RequestID
		if l.Session != nil {
			l.Missing = p.missing(r.Context(), publisher.AnyOperator, l.Subject)
		}
	}
	if l.Session != nil {
		l.DropMissing = p.missing(r.Context(), deadletter.DropNeeds...)
	}
	if q := r.URL.Query(); q.Has("replayed") {
		l.Replayed = &publisher.Key{Source: q.Get("source"), Name: q.Get("replayed")}
		l.Self = r.URL.Path
	}
	p.render(w, http.StatusOK, "letter.html", l)
}

// shownText returns a message for display, "" if it is not text.
func shownText(data []byte) string {
	if !utf8.Valid(data) || bytes.ContainsRune(data, 0) {
		return ""
	}
	return show.JSON(data)
}

func headersOf(h schemas.Header) []header {
	var all []header
	for name, values := range h {
		for _, value := range values {
			all = append(all, header{show.Cell(name), show.Line(value)})
		}
	}
	slices.SortFunc(all, func(a, b header) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Value, b.Value))
	})
	return all
}
