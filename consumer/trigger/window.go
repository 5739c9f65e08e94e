package trigger

import (
	"math"
	"strings"
	"time"
	"unique"
)

// place is where objects have their names: a container of one account of one system.
type place struct{ system, subject, account, container string }

// object identifies an object or a whole directory.
type object struct {
	place unique.Handle[place]
	key   string
	raw   string // as in Change
	tree  bool
	// route is set for a directory only: several routes may each have a part of one.
	route *Route
}

// object returns what the change is about.
func (h *held) object() object {
	where := place{h.System, h.Subject, h.Account, h.Container}
	if h.sole {
		where.subject = "" // two subjects may have notifications of the same system
	}
	name := object{place: unique.Make(where), key: h.Key, raw: h.Raw, tree: h.Tree}
	if h.Tree {
		name.route = h.route
	}
	return name
}

// created returns the creation of the object.
func (o *object) created() Change {
	return Change{Kind: KindCreated, Container: o.place.Value().container, Key: o.key, Raw: o.raw, Tree: o.tree, Broken: o.tree && o.key == ""}
}

// held is a change on its way into a window.
type held struct {
	Change
	route *Route
	// counts is set if the change starts a backup.
	counts bool
}

// kept is what a window keeps of the last change of an object. A deletion that starts no
// backup is kept too, so that a second notification of the creation before it does not count.
type kept struct {
	stamp
	kind  Kind
	route *Route
	// counts is set if the change starts a backup.
	counts bool
	// others is set if the window has creations of several versions of the object.
	others bool
	// unsure is set if it is not known which of the creations was the last: no deletion
	// cancels them.
	unsure bool
	// gone is the creation that this deletion removed.
	gone *stamp
}

// window has the changes of one content group that are not requested yet.
type window struct {
	first, last   uint64    // stream sequences of its first and last message
	since, latest time.Time // when these were stored
	opened        time.Time // when the first was read, by the server's clock
	messages      []*message
	objects       map[object]kept
	// paths is how many of the objects count.
	paths int
	users users
}

// concern has the changes of one message that concern one content group.
type concern struct {
	route   *Route
	changes []held
}

// starting returns how many of the changes start a backup.
func (c *concern) starting() int {
	n := 0
	for i := range c.changes {
		if c.changes[i].counts {
			n++
		}
	}
	return n
}

// add adds the changes of a message to the window. It returns false if they change nothing:
// all are known already, or delete objects that the window does not have. The window then
// does not keep the message.
func (w *window) add(m *message, c *concern) bool {
	news := false
	for i := range c.changes {
		if w.put(c.changes[i]) {
			news = true
			if c.changes[i].counts {
				w.users.add(c.changes[i].User)
			}
		}
	}
	if !news {
		return false
	}
	if len(w.messages) == 0 {
		w.first, w.since, w.opened = m.sequence, m.stored, m.read
	}
	w.last, w.latest = m.sequence, m.stored
	w.messages = append(w.messages, m)
	return true
}

// put adds one change and reports whether the window changed.
func (w *window) put(h held) bool {
	name := h.object()
	now := kept{stamp: h.stamp(), kind: h.Kind, route: h.route, counts: h.counts}
	before, known := w.objects[name]
	if h.Kind == KindCreated {
		return w.created(name, now, before, known)
	}
	return w.deleted(name, now, before, known)
}

// created adds a creation. Where the order is not sure, the creation counts.
func (w *window) created(name object, now, before kept, known bool) bool {
	order, sure := now.order(&before.stamp)
	switch {
	case !known:
	case before.kind == KindCreated && now.repeats(&before.stamp):
		return false
	case before.kind == KindCreated:
		now.others = before.others || now.version != before.version
		now.unsure = before.unsure || !sure
		if sure && order < 0 { // an older one, late
			news := now.others != before.others
			before.others = now.others
			w.objects[name] = before
			return news
		}
	case before.counts:
		if !sure || order <= 0 {
			return false // the deletion asks for a backup that finds the object
		}
	case before.gone != nil && now.repeats(before.gone):
		return false
	default:
		// It was received after the deletion. If its sequencer says the opposite, the
		// deletion may come again, and must not cancel it.
		now.unsure = !sure || order <= 0
	}
	w.keep(name, now, before, known)
	return true
}

// deleted adds a deletion.
func (w *window) deleted(name object, now, before kept, known bool) bool {
	below := 0
	if name.tree {
		below = w.dropBelow(name, &now)
	}
	switch {
	case !known && !now.counts && below == 0:
		if now.marker == "" || now.format != FormatMinIO {
			return false // the window has nothing that it deletes
		}
		// The marker may be removed, which MinIO reports with the same event.
	case !known:
	case before.kind == KindDeleted && now.moves(&before.stamp):
		// The delete marker is removed, and the content before it is the object's again.
		now.kind, now.counts, now.version, now.unsure = KindCreated, true, "", true
	case before.kind == KindDeleted:
		return below > 0
	case now.version != "" && before.others && !now.counts:
		return false // the object has another version that this window has too
	case before.unsure || !now.removes(&before.stamp):
		order, sure := now.order(&before.stamp)
		if !now.counts || sure && order < 0 {
			return below > 0
		}
	default:
		gone := before.stamp
		now.gone = &gone
	}
	w.keep(name, now, before, known)
	return true
}

// keep replaces what the window knows of an object.
func (w *window) keep(name object, now, before kept, known bool) {
	if known && before.counts {
		w.paths--
	}
	if now.counts {
		w.paths++
	}
	if w.objects == nil {
		w.objects = make(map[object]kept)
	}
	w.objects[name] = now
}

// dropBelow removes the objects below a deleted directory and returns their number. The
// sequencers of two names do not compare, so their times decide.
func (w *window) dropBelow(tree object, gone *kept) int {
	n := 0
	for name, below := range w.objects {
		if name.place != tree.place || name.key == tree.key || !strings.HasPrefix(name.key, tree.key) ||
			below.kind != KindCreated || below.unsure || below.at == 0 || gone.at <= below.at {
			continue
		}
		delete(w.objects, name)
		n++
		if below.counts {
			w.paths--
		}
	}
	return n
}

// size returns how much memory the window takes, in messages and objects.
func (w *window) size() int { return max(len(w.messages), len(w.objects)) }

// backlogMax is the shortest longest time of a window while there is more to read. A backlog
// is read in less, so that a content group asks once for all of it.
const backlogMax = 5 * time.Minute

// due returns when the window ends if nothing is added. While there is more to read, as
// after an outage, it ends only by the longest time since it was opened: one request for all
// changes that have waited is better than one for each quiet time among them.
func (w *window) due(limits Window, behind bool) time.Time {
	if behind {
		return w.opened.Add(max(limits.Max, backlogMax))
	}
	quiet, end := w.latest.Add(limits.Quiet), w.since.Add(limits.Max)
	if quiet.Before(end) {
		return quiet
	}
	return end
}

// group is a content group with its windows: at most one open window, and the ended ones in
// order.
type group struct {
	route *Route
	name  string
	// position is the group's last decision, and sequence the stream sequence of its record.
	position decision
	sequence uint64
	// confirmed is set if the request of that decision is known to be in its stream.
	confirmed bool

	open   *window
	queue  []*window
	flying bool // a request is being made of the first window of the queue
	hold   *hold
}

// add adds the changes of a message to the group's open window. If they would exceed the
// number of paths of a directive file, add first ends the window and opens another.
func (g *group) add(m *message, c *concern) bool {
	most := g.maxPaths()
	if g.open != nil && g.open.paths > 0 && g.open.paths+c.starting() > most {
		g.close()
	}
	if g.open == nil {
		g.open = &window{}
	}
	added := g.open.add(m, c)
	switch {
	case len(g.open.messages) == 0:
		g.open = nil
	case g.open.paths >= most:
		g.close()
	}
	return added
}

// maxPaths returns how many paths end a window. Without a directive file, none are listed, and
// one request is enough for any number.
func (g *group) maxPaths() int {
	if g.route.Directive == nil {
		return math.MaxInt
	}
	return g.route.Window.MaxPaths
}

// close ends the open window.
func (g *group) close() {
	g.queue = append(g.queue, g.open)
	g.open = nil
}

// last returns the stream sequence of the last message in any of the windows.
func (g *group) last() uint64 {
	switch {
	case g.open != nil:
		return g.open.last
	case len(g.queue) > 0:
		return g.queue[len(g.queue)-1].last
	default:
		return 0
	}
}

// size returns how many objects the windows have.
func (g *group) size() int {
	n := 0
	for _, w := range g.queue {
		n += len(w.objects)
	}
	if g.open != nil {
		n += len(g.open.objects)
	}
	return n
}
