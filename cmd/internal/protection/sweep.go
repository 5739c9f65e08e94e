package protection

import (
	"cmp"
	"slices"
)

// point is an instant at which the state of a content group may change: a window begins, or the
// last job of a request ends.
type point struct {
	at     instant
	ends   bool
	record *record
}

// points returns the group's points in their order.
func (f *Fold) points(g *group) []point {
	all := f.scratch[:0]
	for _, i := range g.requests {
		r := f.records.at(i)
		if r.since != 0 {
			all = append(all, point{at: r.begin(), record: r})
		}
		if r.hasEnded(never) {
			all = append(all, point{at: r.ended, ends: true, record: r})
		}
	}
	slices.SortFunc(all, func(a, b point) int {
		switch {
		case a.at != b.at:
			return cmp.Compare(a.at, b.at)
		case a.ends != b.ends && a.ends: // a window comes before the end of its own job
			return 1
		case a.ends != b.ends:
			return -1
		case a.ends: // in the order of the stream
			return cmp.Compare(a.record.end, b.record.end)
		}
		return cmp.Compare(a.record.window, b.record.window)
	})
	f.scratch = all
	return all
}

// exposed is a window with changes that no finished backup has.
type exposed struct {
	// since is the first time from which on a change may be exposed.
	since  instant
	record *record
}

// sweep applies the rules to the points of a group, one after the other.
type sweep struct {
	accept  Outcomes
	windows []exposed
	// change and covered are when the newest change was stored, and the newest that is covered.
	change, covered instant
	// good is the latest start of a good backup of the whole group, and goodEnd the sequence of
	// its job-finished.
	good    instant
	goodEnd uint64
	// any is set if a backup was good, of the whole group or of a directive file.
	any bool
	// last is the request whose job ended last, and empty the last one that is a finding.
	last, empty *record
}

// step applies one point.
func (s *sweep) step(p point) {
	if p.ends {
		s.end(p.record)
		return
	}
	s.begin(p.record)
}

// begin adds a window.
func (s *sweep) begin(r *record) {
	s.change = max(s.change, r.last())
	w := exposed{since: r.begin(), record: r}
	if !s.covers(&w) {
		s.windows = append(s.windows, w)
	}
}

// covers reports whether the last good backup of the whole group covers a window, and shortens
// the window to what it does not cover.
func (s *sweep) covers(w *exposed) bool {
	switch {
	case w.record.last() < s.good:
		s.covered = max(s.covered, w.record.last())
		return true
	case w.since < s.good:
		s.covered = max(s.covered, w.record.begin()) // the first change at least
		w.since = s.good
	}
	return false
}

// end adds the end of a request's last job.
func (s *sweep) end(r *record) {
	s.last = r
	if !r.good(s.accept) {
		return
	}
	own := slices.IndexFunc(s.windows, func(w exposed) bool { return w.record == r })
	if !r.whole() {
		s.endOfDirective(r, own)
		return
	}
	start := r.start()
	if r.empty() && (own >= 0 || slices.ContainsFunc(s.windows, func(w exposed) bool { return w.since < start })) {
		s.empty = r
		return
	}
	s.any = true
	if start > s.good {
		s.good, s.goodEnd = start, r.end
	}
	s.cover(own)
	rest := s.windows[:0]
	for _, w := range s.windows {
		if !s.covers(&w) {
			rest = append(rest, w)
		}
	}
	s.windows = rest
}

// endOfDirective adds the good end of a job that backs up the paths in a file. own is the index of
// the request's own window, -1 if nothing of it is exposed.
func (s *sweep) endOfDirective(r *record, own int) {
	if r.empty() && own >= 0 {
		s.empty = r
		return
	}
	s.any = true
	if r.flags&listed != 0 {
		s.cover(own)
	}
}

// cover removes a window.
func (s *sweep) cover(i int) {
	if i < 0 {
		return
	}
	s.covered = max(s.covered, s.windows[i].record.last())
	s.windows = slices.Delete(s.windows, i, i+1)
}

// oldest returns the window with the first exposed change, nil if there is none.
func (s *sweep) oldest() *exposed {
	var first *exposed
	for i := range s.windows {
		if w := &s.windows[i]; first == nil || w.since < first.since {
			first = w
		}
	}
	return first
}
