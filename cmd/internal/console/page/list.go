package page

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"backhaul/cmd/internal/console"
	"backhaul/cmd/internal/console/state"
	"backhaul/cmd/internal/history"
	"backhaul/consumer/order"
	"backhaul/consumer/scope"
	"backhaul/consumer/turn"
	"backhaul/schemas"
)

const (
	pageSize = 50
	// catchUp is how long the first view waits for what is in the stream.
	catchUp = 700 * time.Millisecond
	// maxField bounds a field of the filter in bytes.
	maxField = 256
)

// listPage is the page of requests.
type listPage struct {
	chrome
	state.View
	Lights []light
	// Failing are the checks of the process that fail and are not among the lights.
	Failing []console.Result
	// Away says in a sentence that NATS is away, "" if it is not.
	Away   string
	Filter form
	Pager  pager
	Plot   plot
	// Old is the request whose id or key is the search text, from the stream; nil if the
	// stream does not have it or it is among the others.
	Old           *state.Request
	OldTrouble    string
	CommandCenter string
	Ends          ends
	// Waits are content groups with requests that wait, at most maxWaits; MoreWaits is how many
	// groups more there are.
	Waits     []turn.Waiting
	MoreWaits int
	// Paused are the scopes that are paused.
	Paused []scope.Pause
	// Lines are the sources and priorities of which requests wait, at most maxWaits, while starts
	// are limited; MoreLines is how many there are more.
	Lines     []waitingLine
	MoreLines int
}

// waitingLine is the requests of one source and priority that wait.
type waitingLine struct {
	order.Line
	// Place is that of the first of them, Last when about the last of them is started.
	Place uint64
	Last  time.Duration
}

// linesOf returns the first of the lines with their estimates, and how many there are more. first
// is until a start is free.
func linesOf(all []order.Line, perHour int, first time.Duration) (lines []waitingLine, more int) {
	if perHour == 0 {
		return nil, 0
	}
	for _, l := range all[:min(len(all), maxWaits)] {
		lines = append(lines, waitingLine{
			Line: l, Place: 1 + order.Ahead(all, l.Subject, 0), Last: first + order.Until(order.Ahead(all, l.Subject, l.Waiting-1), perHour),
		})
	}
	return lines, len(all) - len(lines)
}

// nextCall returns until the next writing call of the budget, 0 without a budget or if that is not
// known.
func (p *Page) nextCall() time.Duration {
	if p.cfg.Vendor.Budget == nil {
		return 0
	}
	view, err := p.cfg.Vendor.Budget()
	if err != nil {
		return 0
	}
	return max(time.Until(view.Next), 0)
}

// maxWaits bounds the content groups that are shown.
const maxWaits = 20

// ends counts jobs by what they came to.
type ends struct{ Kept, NotKept int }

func endsOf(counts map[schemas.Outcome]int) (e ends) {
	for outcome, n := range counts {
		if outcome.KeptAll() {
			e.Kept += n
		} else {
			e.NotKept += n
		}
	}
	return e
}

// form is what the page was asked for.
type form struct {
	State, Backup, Source, Client, Group, Label, Text string
	Page                                              int
}

// fieldOf returns a field of a filter, bounded.
func fieldOf(q url.Values, name string) string {
	text := strings.TrimSpace(strings.ToValidUTF8(q.Get(name), ""))
	return text[:min(len(text), maxField)]
}

func formOf(q url.Values) form {
	field := func(name string) string { return fieldOf(q, name) }
	f := form{State: field("state"), Backup: field("backup"), Source: field("source"), Client: field("client"), Group: field("group"), Label: field("label"), Text: field("q")}
	if f.State == "submitting" {
		f.State = string(history.Claimed) // as addresses of earlier versions have it
	}
	if !slices.Contains(history.Statuses, history.Status(f.State)) {
		f.State = ""
	}
	if !slices.Contains(state.Backups, state.Backup(f.Backup)) {
		f.Backup = ""
	}
	f.Page = 1
	if n, err := strconv.Atoi(q.Get("page")); err == nil && n > 1 && n <= state.MaxRequests/pageSize+1 {
		f.Page = n
	}
	return f
}

func (f form) filter() state.Filter {
	return state.Filter{Status: history.Status(f.State), Backup: state.Backup(f.Backup), Source: f.Source, Client: f.Client, ContentGroup: f.Group, Label: f.Label, Text: f.Text}
}

// Active reports whether the filter excludes any request.
func (f form) Active() bool { return f.filter() != state.Filter{} }

// query returns the form as the query of an address.
func (f form) query() string {
	q := url.Values{}
	for name, value := range map[string]string{"state": f.State, "backup": f.Backup, "source": f.Source, "client": f.Client, "group": f.Group, "label": f.Label, "q": f.Text} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.Page > 1 {
		q.Set("page", strconv.Itoa(f.Page))
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

// pager has the addresses of the other pages.
type pager struct {
	From, To     int // the rows on this page, from 1
	Total        int
	Newer, Older string // addresses, "" if there are none
	NewestFirst  string // address of the first page, "" on it
}

func pagerOf(f form, shown, total int) pager {
	p := pager{From: (f.Page-1)*pageSize + 1, To: (f.Page-1)*pageSize + shown, Total: total}
	at := func(page int) string {
		g := f
		g.Page = page
		return "/" + g.query()
	}
	if f.Page > 1 {
		p.Newer, p.NewestFirst = at(f.Page-1), at(1)
	}
	if p.To < total {
		p.Older = at(f.Page + 1)
	}
	return p
}

func (p *Page) list(w http.ResponseWriter, r *http.Request) {
	f := formOf(r.URL.Query())
	p.cfg.State.Want()
	ctx, cancel := context.WithTimeout(r.Context(), catchUp)
	p.cfg.State.Caught(ctx)
	cancel()
	l := p.look(r, f)
	p.lookBack(r, f, &l)
	l.Title = "Requests"
	if f.Page == 1 { // rows of later pages would move while they are read
		l.Live, l.Refresh = "/live"+f.query(), 15
	}
	p.render(w, http.StatusOK, "list.html", l)
}

func (p *Page) look(r *http.Request, f form) listPage {
	l := listPage{
		chrome: p.chrome(r, "", "requests"), Filter: f, CommandCenter: p.cfg.CommandCenter,
		View: p.cfg.State.Look(f.filter(), (f.Page-1)*pageSize, pageSize),
	}
	l.Pager = pagerOf(f, len(l.Requests), l.Matching)
	l.Plot, l.Ends = plotOf(l.Minutes), endsOf(l.View.Ends)
	l.Lights, l.Away = p.lights(l.View, time.Now()), away(l.View)
	if l.Away == "" { // it says the most of what fails without NATS
		l.Failing = p.failing()
	}
	l.Lines, l.MoreLines = linesOf(l.Queue.Lines, p.cfg.Vendor.StartsPerHour, p.nextCall())
	l.Paused = p.paused()
	if p.cfg.Waits != nil {
		l.Waits = p.cfg.Waits()
		shown := min(len(l.Waits), maxWaits)
		l.Waits, l.MoreWaits = l.Waits[:shown], len(l.Waits)-shown
	}
	return l
}

// lookBack reads a request from the stream that is no longer held.
func (p *Page) lookBack(r *http.Request, f form, l *listPage) {
	if f.Text == "" || l.Matching > 0 {
		return
	}
	err := p.demand(r.Context(), func(ctx context.Context) error {
		old, found, err := p.cfg.State.Find(ctx, f.Source, f.Text)
		if found {
			l.Old = &old
		}
		return err
	})
	if err != nil {
		l.OldTrouble = err.Error()
	}
}

// away returns the sentence about NATS that is away: what is shown then, and what happens to requests.
func away(v state.View) string {
	switch {
	case !strings.HasPrefix(v.Stale, "NATS "):
		return ""
	case v.QueueAt.IsZero():
		return "NATS is not connected: nothing can be shown yet. Requests that it has accepted stay in the queue."
	}
	return fmt.Sprintf("NATS is not connected: what is shown is of %s. Requests that it has accepted stay in the queue and go on when it is back.",
		v.QueueAt.UTC().Format("2006-01-02 15:04:05 UTC"))
}
