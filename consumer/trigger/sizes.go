package trigger

import "fmt"

// Sizes limits the sizes of the objects that a route takes, in bytes. The zero value takes
// all.
type Sizes struct {
	Min int64
	Max int64 // 0 for no limit
}

// take reports whether a change may be of such an object.
func (s Sizes) take(c *Change) bool {
	return s == (Sizes{}) || s.unsure(c) || c.Size >= s.Min && (s.Max == 0 || c.Size <= s.Max)
}

// unsure reports whether the sizes depend on a size that is not known: a deletion does not
// have the size of the object that it deletes, and some stores leave the size out.
func (s Sizes) unsure(c *Change) bool {
	return s != (Sizes{}) && (c.Kind != KindCreated || c.Tree || c.Size < 0)
}

func (s Sizes) String() string {
	switch {
	case s.Min > 0 && s.Max > 0:
		return fmt.Sprintf(" of %d to %d bytes", s.Min, s.Max)
	case s.Min > 0:
		return fmt.Sprintf(" of at least %d bytes", s.Min)
	case s.Max > 0:
		return fmt.Sprintf(" of at most %d bytes", s.Max)
	default:
		return ""
	}
}

// matchUnsized returns the routes that may take an object of unknown size: those from first
// on, up to the first one that takes any size. A route that ignores objects by their size
// does not count, because a missing backup does harm and one too many does not.
func (rs *Routes) matchUnsized(c *Change, first int) ([]*Route, Reason) {
	var found []*Route
	reason := ReasonNoRoute
	for _, r := range rs.routes[first:] {
		if !r.takes(c) || !r.Place.contains(c) {
			continue
		}
		unsure := r.Place.Size.unsure(c)
		switch {
		case !r.Ignore:
			found = append(found, r)
		case !unsure:
			reason = ReasonIgnored
		}
		if !unsure {
			break
		}
	}
	if len(found) > 0 {
		reason = ReasonRouted
	}
	return found, reason
}
