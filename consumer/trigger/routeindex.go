package trigger

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
)

// none is an index that no place has.
const none = math.MaxInt

// placeIndex finds places by their container and prefix. It has one lookup for each length of a
// prefix and for each form of a pattern, regardless of the number of places.
type placeIndex struct {
	names map[string]*byPrefix // containers that are no pattern
	globs map[affixes]*byPrefix
	forms []form
}

// affixes are what a pattern has before its first and after its last *.
type affixes struct{ head, tail string }

// form is the length of the affixes of some patterns.
type form struct{ head, tail int }

// add adds the place with index i. Indices are added in ascending order.
func (x *placeIndex) add(p *Place, i int) {
	if x.names == nil {
		x.names, x.globs = make(map[string]*byPrefix), make(map[affixes]*byPrefix)
	}
	var b *byPrefix
	if !IsPattern(p.Container) {
		if b = x.names[p.Container]; b == nil {
			b = &byPrefix{places: make(map[string][]int)}
			x.names[p.Container] = b
		}
	} else {
		around := affixes{p.Container[:strings.IndexByte(p.Container, '*')], p.Container[strings.LastIndexByte(p.Container, '*')+1:]}
		if b = x.globs[around]; b == nil {
			b = &byPrefix{places: make(map[string][]int)}
			x.globs[around] = b
			if f := (form{len(around.head), len(around.tail)}); !slices.Contains(x.forms, f) {
				x.forms = append(x.forms, f)
			}
		}
	}
	b.add(p.Prefix, i)
}

// first returns the lowest index that fits, or none. It may ask for any place, and asks
// for no place after one that fits.
func (x *placeIndex) first(c *Change, fits func(i int) bool) int {
	best := x.names[c.Container].first(c.Key, none, fits)
	for _, f := range x.forms {
		if rest := len(c.Container) - f.tail; f.head <= rest {
			best = x.globs[affixes{c.Container[:f.head], c.Container[rest:]}].first(c.Key, best, fits)
		}
	}
	return best
}

// overlapping returns the indices of the places that may have objects below a tree, ascending.
func (x *placeIndex) overlapping(tree *Change) []int {
	found := x.names[tree.Container].overlapping(nil, tree.Key)
	for _, f := range x.forms {
		if rest := len(tree.Container) - f.tail; f.head <= rest {
			found = x.globs[affixes{tree.Container[:f.head], tree.Container[rest:]}].overlapping(found, tree.Key)
		}
	}
	slices.Sort(found)
	return found
}

// byPrefix finds places by the prefix of a key.
type byPrefix struct {
	lengths []int // ascending
	places  map[string][]int
}

func (b *byPrefix) add(prefix string, i int) {
	if at, ok := slices.BinarySearch(b.lengths, len(prefix)); !ok {
		b.lengths = slices.Insert(b.lengths, at, len(prefix))
	}
	b.places[prefix] = append(b.places[prefix], i)
}

// first returns the lowest index below best that fits, or best.
func (b *byPrefix) first(key string, best int, fits func(i int) bool) int {
	if b == nil {
		return best
	}
	for _, length := range b.lengths {
		if length > len(key) {
			break
		}
		for _, i := range b.places[key[:length]] {
			if i >= best {
				break
			}
			if fits(i) {
				best = i
				break
			}
		}
	}
	return best
}

// overlapping adds the indices of the places that may have objects below a key.
func (b *byPrefix) overlapping(found []int, key string) []int {
	if b == nil {
		return found
	}
	for prefix, places := range b.places {
		if strings.HasPrefix(key, prefix) || strings.HasPrefix(prefix, key) {
			found = append(found, places...)
		}
	}
	return found
}

// complete prepares the routes for Match.
func (rs *Routes) complete() {
	rs.instances = &instances{fixed: make(map[Group]*Route)}
	known := make(map[Place]bool)
	templates := slices.ContainsFunc(rs.routes, (*Route).IsTemplate)
	for i, r := range rs.routes {
		rs.index.add(&r.Place, i)
		if templates && !r.Ignore && !r.IsTemplate() && rs.instances.fixed[r.Group()] == nil {
			rs.instances.fixed[r.Group()] = r
		}
		if r.Directive == nil {
			continue
		}
		if written := r.written(); !known[written] {
			known[written] = true
			rs.directiveIndex.add(&written, len(rs.directives))
			rs.directives = append(rs.directives, written)
		}
	}
	rs.mark = rs.marked()
}

// written returns where the directive files of a route may be. What a placeholder stands for is
// any text there, and its container any that the route takes.
func (r *Route) written() Place {
	p := Place{System: r.Place.System, Subject: r.Place.Subject, Account: r.Place.Account, Container: r.Directive.Container, Prefix: r.Directive.Prefix}
	if r.IsTemplate() {
		p.Container, _ = fill(p.Container, func(placeholder string) string {
			if placeholder == placeContainer {
				return r.Place.Container
			}
			return "*"
		})
		p.Prefix = head(p.Prefix)
	}
	return p
}

// instances has the routes that templates are for the changes so far.
type instances struct {
	// fixed has the first route of each content group that is no template. An instance of the
	// same group has its settings.
	fixed map[Group]*Route

	mu    sync.Mutex // guards the field below
	known map[values][]*Route
}

// maxInstances bounds the instances that are kept. They are made again when they are needed.
const maxInstances = 100_000

// instance returns the route with index i for a change, as a slice: itself, or what its template
// is. It returns nil if a placeholder has no value.
func (rs *Routes) instance(i int, c *Change) []*Route {
	r := rs.routes[i]
	if !r.IsTemplate() {
		return rs.routes[i : i+1 : i+1]
	}
	v, ok := r.values(i, c)
	if !ok {
		return nil
	}
	s := rs.instances
	s.mu.Lock()
	defer s.mu.Unlock()
	if found, ok := s.known[v]; ok {
		return found
	}
	if len(s.known) >= maxInstances || s.known == nil {
		s.known = make(map[values][]*Route)
	}
	v.folders = strings.Clone(v.folders) // not the rest of the key
	var found []*Route
	if of := r.instance(v); of != nil {
		if f := s.fixed[of.Group()]; f != nil {
			of.Request, of.Window, of.Directive, of.Rule, of.Blackout = f.Request, f.Window, f.Directive, f.Rule, f.Blackout
		}
		found = []*Route{of}
	}
	s.known[v] = found
	return found
}

// marked returns the mark of the routes. Routes that an earlier version knew have its mark:
// otherwise, its decisions would not count after an upgrade, and changes be asked for again.
func (rs *Routes) marked() string {
	type earlier struct{ Account, Container, Prefix, Suffix string }
	old := func(p Place) earlier { return earlier{p.Account, p.Container, p.Prefix, p.Suffix} }
	directives := make([]earlier, 0, len(rs.directives))
	known := make(map[earlier]bool)
	for _, d := range rs.directives {
		// Of two that differ in what the earlier version did not know, it has one.
		if o := old(d); !known[o] {
			known[o] = true
			directives = append(directives, o)
		}
	}
	mark := sha256.New()
	fmt.Fprintf(mark, "%q %q\n", rs.Source, directives)
	for _, r := range rs.routes {
		fmt.Fprintf(mark, "%q %q %t %s\n", old(r.Place), r.Events, r.Ignore, r.Group().key())
		if r.Place.System != "" || r.Place.Subject != "" || r.Keys != "" {
			fmt.Fprintf(mark, "%q %q %q\n", r.Place.System, r.Place.Subject, r.Keys)
		}
		if r.Place.Source != "" || r.Place.Size != (Sizes{}) {
			fmt.Fprintf(mark, "%q %d\n", r.Place.Source, r.Place.Size)
		}
		if r.IsTemplate() {
			fmt.Fprintf(mark, "%q\n", r.uses)
		}
	}
	return hex.EncodeToString(mark.Sum(nil)[:8])
}
