package trigger

import (
	"context"
	"strings"
	"time"
)

// triedName is the name of the object that [TryDirectives] writes below the prefix of a directive.
// What is there starts nothing.
const triedName = "backhaul-check.txt"

const (
	maxTried    = 50 // directives that are tried
	triedWithin = 20 * time.Second
)

// Tried is a directive that was tried.
type Tried struct {
	Directive Directive
	// Err is why no object can be written there; nil if one was.
	Err error
}

// TryDirectives writes a small object below the prefix of each directive, always with the same name,
// because the key needs no other permission than to write there. It tries at most 50. untried is
// how many directives are left, among them those that have a placeholder: their place is not known
// before a change.
func TryDirectives(ctx context.Context, store Store, rs *Routes) (tried []Tried, untried int) {
	known := make(map[Directive]bool)
	for _, r := range rs.All() {
		if r.Directive == nil || known[*r.Directive] {
			continue
		}
		known[*r.Directive] = true
		if r.IsTemplate() && strings.ContainsAny(r.Directive.Container+r.Directive.Prefix, "{}") || len(tried) >= maxTried {
			untried++
			continue
		}
		attempt, cancel := context.WithTimeout(ctx, triedWithin)
		err := store.Put(attempt, r.Directive.Container, r.Directive.Prefix+triedName, []byte("Backhaul may write here.\n"))
		cancel()
		if ctx.Err() != nil {
			return tried, untried
		}
		tried = append(tried, Tried{*r.Directive, err})
	}
	return tried, untried
}

// NoteStore notes that a directive could not be written, for [Trigger.StoreTrouble], until one is.
func (t *Trigger) NoteStore(err error) { t.storeTrouble.Note(err) }
