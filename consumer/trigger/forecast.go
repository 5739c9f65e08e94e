package trigger

import (
	"time"

	"github.com/nats-io/nats.go"

	"backhaul/consumer/trigger/blackout"
	"backhaul/consumer/turn"
	"backhaul/schemas"
)

// Forecast is what the routes make of notifications, without a server: how many requests there
// would be, and when.
type Forecast struct {
	// Notifications is how many were given, and Refused how many of them cannot be understood.
	Notifications int `json:"notifications"`
	Refused       int `json:"refused"`
	// Changes is how many objects are requested, and Unrouted how many changes no route takes.
	Changes  int `json:"changes"`
	Unrouted int `json:"unrouted"`
	Groups   int `json:"contentGroups"`
	// Requests is how many windows end with a request, and Cancelled how many without one.
	Requests  int `json:"requests"`
	Cancelled int `json:"cancelled"`
	// From and To are when the first request is made, and the last one.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// BusiestHour is the hour of the clock with most requests, and Busiest how many it has. A
	// request is one writing call at the vendor.
	BusiestHour time.Time `json:"busiestHour,omitzero"`
	Busiest     int       `json:"busiest"`
}

// PerHour returns the requests for each hour from the first to the last one.
func (f *Forecast) PerHour() float64 {
	return float64(f.Requests) / max(f.To.Sub(f.From).Hours(), 1)
}

// Forecaster computes a [Forecast]. It knows blackouts, but no rules of content groups, which may
// hold windows, and no bound of memory, which may end some early.
type Forecaster struct {
	session  *session
	sequence uint64
	now      time.Time
	sum      Forecast
	hours    map[time.Time]int
}

// NewForecaster returns a forecaster by these routes.
func NewForecaster(rs *Routes) *Forecaster {
	t := &Trigger{nc: &nats.Conn{}, observe: silent{}}
	t.routes.Store(rs)
	return &Forecaster{session: newSession(t), hours: make(map[time.Time]int)}
}

// Add adds a notification that JetStream stored at a time. They are given in the order of the
// stream.
func (f *Forecaster) Add(subject string, header schemas.Header, data []byte, stored time.Time) {
	f.sequence++
	f.sum.Notifications++
	f.advance(stored)
	changes, err := Decode(header, data)
	if err != nil {
		f.sum.Refused++
	}
	for i := range changes {
		changes[i].From(subject)
	}
	c := &f.session.collected
	m := &message{sequence: f.sequence, stored: f.now, read: f.now}
	for name, concern := range f.session.concerns(changes) {
		g := c.groups[name]
		if g == nil {
			r := *concern.route
			r.Rule = turn.Rule{}
			g = &group{route: &r, name: name.key(), hold: newHold(&r, "", &decision{})}
			c.groups[name] = g
		}
		g.add(m, concern)
		if g.held() && len(g.queue) > 0 {
			c.expect(f.now) // it may be in a blackout
		} else {
			f.count(g, f.now)
		}
		if g.open != nil {
			c.expect(g.open.due(g.route.Window, false))
		}
	}
}

// advance ends the windows that are due until a time.
func (f *Forecaster) advance(to time.Time) {
	c := &f.session.collected
	for !c.next.IsZero() && !c.next.After(to) {
		at := c.next
		c.endWindows(at)
		for _, g := range c.ended {
			f.count(g, at)
		}
		c.ended = c.ended[:0]
	}
	if to.After(f.now) {
		f.now = to
	}
}

// count counts the windows of a group that ended.
func (f *Forecaster) count(g *group, at time.Time) {
	for _, w := range g.queue {
		if w.paths == 0 {
			f.sum.Cancelled++
			continue
		}
		f.sum.Requests++
		f.sum.Changes += w.paths
		if f.sum.From.IsZero() {
			f.sum.From = at
		}
		f.sum.To = at
		f.hours[at.Truncate(time.Hour)]++
	}
	g.queue = nil
	g.afterRequest()
}

// End ends all windows and returns the forecast.
func (f *Forecaster) End() Forecast {
	f.advance(f.now.Add(2*MaxWindow + 4*blackout.Longest))
	f.sum.Groups = len(f.session.collected.groups)
	f.sum.Unrouted = f.session.trigger.unrouted.changes
	for hour, n := range f.hours {
		if n > f.sum.Busiest || n == f.sum.Busiest && hour.Before(f.sum.BusiestHour) {
			f.sum.BusiestHour, f.sum.Busiest = hour, n
		}
	}
	return f.sum
}
