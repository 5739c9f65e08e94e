package trigger

import (
	"strings"
	"time"
)

// object identifies an object or a whole directory.
type object struct {
	account, container, key string
	tree                    bool
	// route is set for a directory only: several routes may each have a part of one.
	route *Route
}

// object returns what the change is about.
func (h *held) object() object {
	name := object{account: h.Account, container: h.Container, key: h.Key, tree: h.Tree}
	if h.Tree {
		name.route = h.route
	}
	return name
}

// held is a change in a window. A deletion that starts no backup is kept too, so that a late
// creation of the same object does not count.
type held struct {
	Change
	route *Route
	// counts is set if the change starts a backup.
	counts bool
	// others is set if the window has creations of several versions of the object.
	others bool
}

// window has the changes of one content group that are not requested yet.
type window struct {
	first, last   uint64    // stream sequences of its first and last message
	since, latest time.Time // when these were stored
	opened        time.Time // when the first was read, by the server's clock
	messages      []*message
	objects       map[object]held
	// paths is how many of the objects count.
	paths int
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
	before, known := w.objects[name]
	if known {
		switch later := h.Replaces(before.Change); {
		case h.Kind == KindCreated && before.Kind == KindCreated:
			h.others = before.others || h.Version != before.Version
			if later {
				break
			}
			news := h.others != before.others
			before.others = h.others
			w.objects[name] = before
			return news
		case h.Kind == KindDeleted && h.Version != "" && before.others && !h.counts:
			return false // the object has another version that this window has too
		case h.Kind == KindCreated && before.Kind == KindDeleted && before.Version != "" && before.Version != h.Version:
			// Another version was deleted, before or after this creation.
		case !later:
			return false
		}
	}
	below := 0
	if h.Tree && h.Kind == KindDeleted {
		below = w.dropBelow(&h.Change)
	}
	switch {
	case !h.counts && !known && below == 0:
		return false // the window has nothing that it deletes
	case known && before.counts:
		w.paths--
	}
	if h.counts {
		w.paths++
	}
	if w.objects == nil {
		w.objects = make(map[object]held)
	}
	// These are not needed any more, and take memory.
	h.Event, h.Note = "", ""
	w.objects[name] = h
	return true
}

// dropBelow removes the objects below a deleted directory and returns their number.
func (w *window) dropBelow(tree *Change) int {
	n := 0
	for name, h := range w.objects {
		if name.key != tree.Key && strings.HasPrefix(name.key, tree.Key) && tree.Replaces(h.Change) {
			delete(w.objects, name)
			n++
			if h.counts {
				w.paths--
			}
		}
	}
	return n
}

// due returns when the window ends if nothing is added. While there is more to read, as
// after an outage, it ends only by the longest time since it was opened: one request for all
// changes that have waited is better than one for each quiet time among them.
func (w *window) due(limits Window, behind bool) time.Time {
	if behind {
		return w.opened.Add(limits.Max)
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
}

// add adds the changes of a message to the group's open window. If they would exceed its
// number of paths, add first ends the window and opens another.
func (g *group) add(m *message, c *concern) bool {
	limits := g.route.Window
	if g.open != nil && g.open.paths > 0 && g.open.paths+c.starting() > limits.MaxPaths {
		g.close()
	}
	if g.open == nil {
		g.open = &window{}
	}
	added := g.open.add(m, c)
	switch {
	case len(g.open.messages) == 0:
		g.open = nil
	case g.open.paths >= limits.MaxPaths:
		g.close()
	}
	return added
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
