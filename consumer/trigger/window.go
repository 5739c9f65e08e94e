package trigger

import (
	"strings"
	"time"
)

// object is the name of an object, or of a whole directory.
type object struct {
	account, container, key string
	tree                    bool
	// route is set for a directory, of which routes may have a part each.
	route *Route
}

func (h *held) object() object {
	name := object{account: h.Account, container: h.Container, key: h.Key, tree: h.Tree}
	if h.Tree {
		name.route = h.route
	}
	return name
}

// held is a change in a window. Of a deletion that starts nothing it is only kept
// that it happened: a creation that comes late must not come back.
type held struct {
	Change
	route  *Route
	counts bool
	// others: the window has creations of several versions of the object.
	others bool
}

// window is what has changed in one content group and was not asked for yet.
type window struct {
	first, last   uint64    // of its messages, in the stream
	since, latest time.Time // when they were stored
	opened        time.Time // when the first was read, by the same clock
	messages      []*message
	objects       map[object]held
	// paths is how many of the objects count: what the request is about.
	paths int
}

// concern is what one message says to one content group.
type concern struct {
	route   *Route
	changes []held
}

// starting is how many of the changes start a backup.
func (c *concern) starting() int {
	n := 0
	for i := range c.changes {
		if c.changes[i].counts {
			n++
		}
	}
	return n
}

// add takes what a message says into the window. It is false when all of it was
// known already, or is a deletion of nothing that is here: then the window need
// not hold the message.
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
			return false // the version before it is there again, and new as well
		case h.Kind == KindCreated && before.Kind == KindDeleted && before.Version != "" && before.Version != h.Version:
			// It was another version that was deleted, whichever came first.
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
		return false // it deletes nothing of what is here
	case known && before.counts:
		w.paths--
	}
	if h.counts {
		w.paths++
	}
	if w.objects == nil {
		w.objects = make(map[object]held)
	}
	// What is not needed to tell one change from another is not kept.
	h.Event, h.Note = "", ""
	w.objects[name] = h
	return true
}

// dropBelow takes out what a deleted directory takes with it.
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

// due is when the window is over if nothing else is added. While there is more to
// read, as after an outage, it goes on: what has waited already is better asked
// for at once than in the pieces that it would have been. But it does not go on
// for ever.
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

// group is a content group with its windows: at most one is open, those that are
// over wait for their turn in order.
type group struct {
	route *Route
	name  string
	// position is what the group's last record says, and sequence is the record's.
	position decision
	sequence uint64
	// confirmed: the request of the last record is known to be in its stream.
	confirmed bool

	open   *window
	queue  []*window
	flying bool // the first of the queue is being asked for
}

// add takes what a message says into the group's open window, after ending the
// one that has no room for it.
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

func (g *group) close() {
	g.queue = append(g.queue, g.open)
	g.open = nil
}

// last is the place of the last message in any of the windows.
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

// size is how many objects the windows hold.
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
