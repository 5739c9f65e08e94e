package schemas

import (
	"maps"
	"slices"
	"strings"
)

// Capped returns a copy of the event whose lists, labels and free texts together fit
// in about size bytes. Its Omitted counts what was left out. Names, ids, hashes and
// times stay as they are: a shortened name is a wrong name. The event itself is
// returned if nothing had to be left out.
func Capped(e Event, size int) Event {
	c := capper{part: size / 4, omitted: make(map[string]int)}
	capped := e.capped(c)
	if len(c.omitted) == 0 {
		return e
	}
	return capped
}

// capper shortens the parts of one event.
type capper struct {
	part    int // bytes that one part may have
	omitted map[string]int
}

// text cuts a text between two characters.
func (c capper) text(member, text string) string {
	if len(text) <= c.part {
		return text
	}
	kept := strings.ToValidUTF8(text[:c.part], "")
	c.omitted[member] = len(text) - len(kept)
	return kept + "…"
}

// list keeps the first entries, one at least.
func (c capper) list(member string, entries []string) []string {
	left := c.part
	for i, entry := range entries {
		if left -= len(entry) + len(`"",`); left < 0 && i > 0 {
			c.omitted[member] = len(entries) - i
			return entries[:i]
		}
	}
	return entries
}

// labels keeps the first labels in the order of their names.
func (c capper) labels(labels map[string]string) map[string]string {
	kept, left := make(map[string]string), c.part
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if left -= len(name) + len(labels[name]) + len(`"":"",`); left < 0 {
			c.omitted["labels"] = len(labels) - len(kept)
			return kept
		}
		kept[name] = labels[name]
	}
	return labels
}

// reasons keeps the first reasons, and cuts their texts.
func (c capper) reasons(reasons []Reason) []Reason {
	kept, left := make([]Reason, 0, len(reasons)), c.part
	for _, r := range reasons {
		if left <= 0 {
			break
		}
		text := r.Text
		if r.Text = (capper{part: left, omitted: c.omitted}).text("reasons", r.Text); r.Text != text {
			left = 0
		}
		left -= len(r.Text) + len(r.Code) + len(r.LogCode)
		kept = append(kept, r)
	}
	if len(kept) < len(reasons) {
		c.omitted["reasons"] += len(reasons) - len(kept)
	}
	return kept
}
