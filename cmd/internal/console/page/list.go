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

	"backhaul/cmd/internal/console/state"
	"backhaul/cmd/internal/history"
	"backhaul/cmd/internal/queue"
	"backhaul/consumer/budget"
	"backhaul/consumer/order"
	"backhaul/consumer/scope"
	"backhaul/consumer/turn"
	"backhaul/schemas"
	"backhaul/vendorapi"
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

// light is one thing that is well or not, in a word.
type light struct {
	Name, Word, Detail string
	Level              level
}

// level is how bad it is; it never stands alone, the word says it too.
type level string

const (
	neutral level = "none"
	well    level = "ok"
	warning level = "warn"
	bad     level = "bad"
)

func (p *Page) lights(v state.View, now time.Time) []light {
	nats := light{"NATS", "connected", "", well}
	if v.Stale != "" {
		nats = light{"Events", "stale", v.Stale, warning}
		if strings.HasPrefix(v.Stale, "NATS ") {
			nats = light{"NATS", "not connected", "what is shown may be out of date", bad}
		}
	}
	lights := []light{nats, p.vendorLight(), p.breakerLight()}
	if p.cfg.Vendor.Budget != nil {
		lights = append(lights, budgetLight(p.cfg.Vendor.Budget()))
	}
	if v.Archive != nil {
		lights = append(lights, archiveLight(*v.Archive, v.At))
	}
	return append(lights, p.queueLight(v, now))
}

// lateArchive is how long an event may wait until it is archived.
const lateArchive = 15 * time.Minute

// archiveLight shows until when events are archived.
func archiveLight(a queue.Archive, now time.Time) light {
	word, detail := "nothing archived yet", ""
	if !a.Until.IsZero() {
		word = "until " + a.Until.Format("2006-01-02 15:04:05 UTC")
	} else if a.Lag == 0 {
		word = "has every event that the stream has"
	}
	if a.Lag > 0 {
		detail = fmt.Sprintf("%d events are not archived yet", a.Lag)
	}
	switch {
	case !a.Read:
		return light{"Archive", word, strings.TrimPrefix(detail+"; no replica archives", "; "), warning}
	case a.Lag > 0 && now.Sub(a.Until) > lateArchive:
		return light{"Archive", word, detail, warning}
	}
	return light{"Archive", word, detail, well}
}

// budgetLight shows the budget of writing calls.
func budgetLight(v budget.View, trouble error) light {
	word := fmt.Sprintf("%d of %d left", v.Left, v.Limit)
	switch {
	case v.AsOf.IsZero() && trouble != nil:
		return light{"Budget", "not known", trouble.Error(), bad}
	case trouble != nil:
		return light{"Budget", word, trouble.Error(), warning}
	case v.Next.IsZero():
		return light{"Budget", word, "", well}
	}
	return light{"Budget", word, "the next writing call may be made at " + v.Next.Format("15:04:05 UTC"), neutral}
}

func (p *Page) vendorLight() light {
	if p.cfg.Vendor.Trouble == nil {
		return light{"Vendor", "not watched", "", neutral}
	}
	if err := p.cfg.Vendor.Trouble(); err != nil {
		return light{"Vendor", "in trouble", err.Error(), bad}
	}
	if p.cfg.Vendor.Remark != nil {
		if remark := p.cfg.Vendor.Remark(); remark != "" {
			return light{"Vendor", remark, "", neutral}
		}
	}
	return light{"Vendor", "answers", "", well}
}

func (p *Page) breakerLight() light {
	closed := light{"Breaker", "closed", "", well}
	if p.cfg.Vendor.Cooldown == nil {
		return closed
	}
	cooldown := p.cfg.Vendor.Cooldown()
	wait := "no job is started for " + duration(cooldown.For)
	switch cooldown.Reason {
	case vendorapi.CooldownOutage:
		return light{"Breaker", "open", wait, bad}
	case vendorapi.CooldownThrottled:
		return light{"Breaker", "closed", cooldown.Reason.Text() + ": " + wait, warning}
	case vendorapi.CooldownLogin:
		return light{"Breaker", "closed", cooldown.Reason.Text() + ": " + wait, bad}
	case vendorapi.CooldownRate:
		return light{"Breaker", "closed", cooldown.Reason.Text() + ": " + wait, warning}
	case vendorapi.CooldownBudget:
		return light{"Breaker", "closed", cooldown.Reason.Text() + ": " + wait, warning}
	default:
		return closed
	}
}

func (p *Page) queueLight(v state.View, now time.Time) light {
	switch {
	case v.QueueAt.IsZero():
		return light{"Queue", "unknown", "", warning}
	case away(v) != "":
		return light{"Queue", "unknown", "", warning}
	case v.Queue.PausedFor > 0:
		until := v.QueueAt.Add(v.Queue.PausedFor)
		if until.After(now) {
			return light{"Queue", "paused", fmt.Sprintf("until %s%s", until.UTC().Format("2006-01-02 15:04:05 UTC"), pausedBy(v, until)), warning}
		}
	case v.Queue.Pulls == 0 && v.Queue.Waiting > 0 && p.limited():
		return light{"Queue", "waits", "starts are scarce: requests are taken by priority and source", warning}
	case v.Queue.Pulls == 0 && v.Queue.Waiting > 0 && v.Queue.InFlight == 0:
		return light{"Queue", "not read", "no replica asks for work", bad}
	}
	return light{"Queue", "running", "", well}
}

// pausedBy returns who paused the queue until a time, and why, to go on from when the pause ends.
func pausedBy(v state.View, until time.Time) string {
	const slack = 3 * time.Second // the end is reckoned from an answer
	for _, a := range v.Actions {
		switch {
		case a.Name == schemas.ActionPause && a.Until.Sub(until).Abs() <= slack && a.Reason != "":
			return ", by " + a.Actor + ": " + a.Reason
		case a.Name == schemas.ActionPause && a.Until.Sub(until).Abs() <= slack:
			return ", by " + a.Actor
		case a.Name == schemas.ActionResume:
			return ""
		}
	}
	if !v.Complete {
		return ""
	}
	return ", by no operator on record: the vendor asked, or another tool did it"
}

// limited reports whether this replica starts nothing because of a limit. Then no pull is open.
func (p *Page) limited() bool {
	return p.cfg.Vendor.Cooldown != nil && p.cfg.Vendor.Cooldown().Reason.Limit()
}
