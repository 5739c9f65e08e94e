package page

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"backhaul/cmd/internal/console/state"
	"backhaul/cmd/internal/protection"
	"backhaul/cmd/internal/protection/watch"
	"backhaul/schemas"
)

const (
	// barSpan is the time that a bar shows.
	barSpan = 7 * 24 * time.Hour
	// standEvery is how often the content groups of a live page are looked at again.
	standEvery = 5 * time.Second
	// maxShown bounds the exposed changes and the breaches on the page of a group, and
	// maxJobs its requests.
	maxShown = 50
	maxJobs  = 20
)

// protectionPage is the page of content groups.
type protectionPage struct {
	chrome
	At     time.Time
	Stale  string
	Filter standForm
	// Promising is true if there are objectives.
	Promising bool
	Total     int
	Counts    map[watch.Status]int
	Groups    []groupRow
	Pager     pager
}

// groupRow is one content group of the page.
type groupRow struct {
	watch.Standing
	Bar bar7
}

// Until returns up to when every change is in a finished backup; zero: all are.
func (g groupRow) Until() time.Time { return g.ExposedSince }

// standForm is what the page of content groups was asked for.
type standForm struct {
	State, Client, Group, Owner string
	Page                        int
}

func standFormOf(q url.Values) standForm {
	f := standForm{State: fieldOf(q, "state"), Client: fieldOf(q, "client"), Group: fieldOf(q, "group"), Owner: fieldOf(q, "owner"), Page: 1}
	if !slices.Contains(watch.Statuses, watch.Status(f.State)) {
		f.State = ""
	}
	if n, err := strconv.Atoi(q.Get("page")); err == nil && n > 1 {
		f.Page = n
	}
	return f
}

// Active reports whether the filter excludes any group.
func (f standForm) Active() bool { return f.State+f.Client+f.Group+f.Owner != "" }

// address returns the address of the page with this filter.
func (f standForm) address(path string) string {
	q := url.Values{}
	for name, value := range map[string]string{"state": f.State, "client": f.Client, "group": f.Group, "owner": f.Owner} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.Page > 1 {
		q.Set("page", strconv.Itoa(f.Page))
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// StateURL returns the address of the groups with one status.
func (f standForm) StateURL(s watch.Status) string {
	f.State, f.Page = string(s), 1
	return f.address("/protection")
}

// matches reports whether a group is among those that were asked for, whatever its status.
func (f standForm) matches(s *watch.Standing) bool {
	contains := func(text, part string) bool { return strings.Contains(strings.ToLower(text), strings.ToLower(part)) }
	return contains(s.Client, f.Client) && contains(s.Subclient, f.Group) && contains(s.Objective.Owner, f.Owner)
}

func (p *Page) protection(w http.ResponseWriter, r *http.Request) {
	f := standFormOf(r.URL.Query())
	if !p.wantStandings(w, r) {
		return
	}
	d := p.standings(r, f)
	d.Title = "Protection"
	if f.Page == 1 { // rows of later pages would move while they are read
		d.Live, d.Refresh = f.address("/live/protection"), 15
	}
	p.render(w, http.StatusOK, "protection.html", d)
}

// wantStandings makes the watch read, and waits a moment for it. It answers the request and
// returns false without a watch.
func (p *Page) wantStandings(w http.ResponseWriter, r *http.Request) bool {
	if p.cfg.Protection == nil {
		p.say(w, r, http.StatusNotFound, "This process does not compute how content groups are protected.")
		return false
	}
	p.cfg.Protection.Want()
	ctx, cancel := context.WithTimeout(r.Context(), catchUp)
	defer cancel()
	p.cfg.Protection.Caught(ctx)
	return true
}

func (p *Page) liveProtection(w http.ResponseWriter, r *http.Request) {
	if p.cfg.Protection == nil {
		http.NotFound(w, r)
		return
	}
	f := standFormOf(r.URL.Query())
	p.stream(w, r, throttled(func() any { return p.standings(r, f) }, p.cfg.Protection, "standings", "groups", "groupPager"))
}

// throttled returns parts that are looked at no more often than every [standEvery].
func throttled(look func() any, w *watch.Watch, names ...string) parts {
	var data any
	var looked time.Time
	return func() (any, []string) {
		w.Want()
		if now := time.Now(); data == nil || now.Sub(looked) >= standEvery {
			data, looked = look(), now
		}
		return data, names
	}
}

// standings returns one page of content groups. Only its rows have a bar, which bounds the cost.
func (p *Page) standings(r *http.Request, f standForm) protectionPage {
	v := p.cfg.Protection.Look()
	d := protectionPage{
		chrome: p.chrome(r, "", "protection"), At: v.At, Stale: v.Stale, Filter: f, Promising: v.Promises != nil,
		Total: len(v.Groups), Counts: map[watch.Status]int{},
	}
	var matching []*watch.Standing
	for i := range v.Groups {
		s := &v.Groups[i]
		if !f.matches(s) {
			continue
		}
		d.Counts[s.Status]++
		if f.State == "" || f.State == string(s.Status) {
			matching = append(matching, s)
		}
	}
	from := min((f.Page-1)*pageSize, len(matching))
	for _, s := range matching[from:min(from+pageSize, len(matching))] {
		d.Groups = append(d.Groups, groupRow{*s, p.bar(s, v.At)})
	}
	d.Pager = pager{From: from + 1, To: from + len(d.Groups), Total: len(matching)}
	at := func(page int) string {
		f := f
		f.Page = page
		return f.address("/protection")
	}
	if f.Page > 1 {
		d.Pager.Newer, d.Pager.NewestFirst = at(f.Page-1), at(1)
	}
	if d.Pager.To < d.Pager.Total {
		d.Pager.Older = at(f.Page + 1)
	}
	return d
}

func (p *Page) bar(s *watch.Standing, now time.Time) bar7 {
	from := now.Add(-barSpan)
	return barOf7(p.cfg.Protection.Segments(s, from, now), from, now)
}

// groupPage is the page of one content group.
type groupPage struct {
	chrome
	groupRow
	At    time.Time
	Stale string
	// Windows are its exposed changes, the oldest first, and More how many are not shown.
	Windows  []protection.Window
	More     int
	Breaches []protection.Breach
	// Requests are the newest that this process holds.
	Requests      []state.Request
	CommandCenter string
	Accepts       []schemas.Outcome
}

func (p *Page) group(w http.ResponseWriter, r *http.Request) {
	if !p.wantStandings(w, r) {
		return
	}
	p.cfg.State.Want()
	ctx, cancel := context.WithTimeout(r.Context(), catchUp)
	p.cfg.State.Caught(ctx)
	cancel()
	d, ok := p.standing(r)
	if !ok {
		p.say(w, r, http.StatusNotFound, "The events name no content group %s.", r.PathValue("group"))
		return
	}
	d.Title = d.Group.String()
	d.Live, d.Refresh = "/live/protection/"+d.Hash(), 15
	p.render(w, http.StatusOK, "group.html", &d)
}

func (p *Page) liveGroup(w http.ResponseWriter, r *http.Request) {
	if p.cfg.Protection == nil {
		http.NotFound(w, r)
		return
	}
	var last groupPage
	p.stream(w, r, throttled(func() any {
		if d, ok := p.standing(r); ok {
			last = d
		}
		return &last
	}, p.cfg.Protection, "standing", "changes", "jobsOfGroup"))
}

// standing returns the page of the group that a path names. ok is false if there is none.
func (p *Page) standing(r *http.Request) (d groupPage, ok bool) {
	s, at, ok := p.cfg.Protection.Group(r.PathValue("group"))
	if !ok {
		return d, false
	}
	d = groupPage{chrome: p.chrome(r, "", "protection"), groupRow: groupRow{s, p.bar(&s, at)}, At: at, CommandCenter: p.cfg.CommandCenter}
	if err := p.cfg.Protection.Trouble(); err != nil {
		d.Stale = err.Error()
	}
	d.Windows = s.Exposed[:min(maxShown, len(s.Exposed))]
	d.More = len(s.Exposed) - len(d.Windows)
	d.Breaches = p.cfg.Protection.Breaches(&s, at.Add(-barSpan), at)
	slices.Reverse(d.Breaches)
	d.Breaches = d.Breaches[:min(maxShown, len(d.Breaches))]
	for _, outcome := range schemas.Outcomes {
		if s.Objective.Accept&protection.NewOutcomes(outcome) != 0 {
			d.Accepts = append(d.Accepts, outcome)
		}
	}
	// The filter finds parts of names, too.
	seen := p.cfg.State.Look(state.Filter{Client: s.Client, ContentGroup: s.Subclient}, 0, 10*maxJobs)
	for _, request := range seen.Requests {
		if request.Client == s.Client && request.ContentGroup == s.Subclient && len(d.Requests) < maxJobs {
			d.Requests = append(d.Requests, request)
		}
	}
	return d, true
}
