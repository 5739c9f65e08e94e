package protection

import (
	"crypto/sha256"
	"slices"
	"time"

	"backhaul/publisher"
)

// Fold holds what is known of every request, and answers what it means for the content groups.
type Fold struct {
	records records
	byKey   map[id]uint32

	groups  []*group
	byGroup map[Group]int32
	// sorted has the groups in the order of their names, as they were known when it was made.
	sorted []Group
	// codes has the error codes of failed requests.
	codes []string
	// further has the jobs that have an end, of requests with several, beyond the first of each.
	further map[jobOf]bool
	scratch []point
}

// id stands for the key of a request. The keys of a million events would take more memory than
// everything else.
type id [16]byte

func idOf(key publisher.Key) id {
	sum := sha256.Sum256([]byte(key.Source + "/" + key.Name)) // a source has no slash
	return id(sum[:len(id{})])
}

// group is a content group and its requests.
type group struct {
	name     Group
	requests []uint32
	// first is when the first event or change of the group was stored.
	first instant
	// settled is the state after the last event, valid for the outcomes accept. 0 if it must be
	// computed again.
	settled *settled
}

// New returns a fold of no events.
func New() *Fold {
	return &Fold{
		byKey: make(map[id]uint32), byGroup: make(map[Group]int32), codes: []string{""}, further: make(map[jobOf]bool),
	}
}

// records is a list that grows without a copy of what it has.
type records struct {
	chunks [][]record
	n      uint32
}

const chunkSize = 1024

func (rs *records) at(i uint32) *record { return &rs.chunks[i/chunkSize][i%chunkSize] }

func (rs *records) add() (uint32, *record) {
	i := rs.n
	if i%chunkSize == 0 {
		rs.chunks = append(rs.chunks, make([]record, chunkSize))
	}
	rs.n++
	r := rs.at(i)
	r.group = noGroup
	return i, r
}

// request returns the record of a request.
func (f *Fold) request(k id) (uint32, *record) {
	if i, ok := f.byKey[k]; ok {
		return i, f.records.at(i)
	}
	i, r := f.records.add()
	f.byKey[k] = i
	return i, r
}

// name notes which content group a request is about. The first event that names one counts.
func (f *Fold) name(i uint32, r *record, name Group, stored instant) {
	if r.group == noGroup && name.Client != "" && name.Subclient != "" {
		at, ok := f.byGroup[name]
		if !ok {
			at = int32(len(f.groups))
			f.groups = append(f.groups, &group{name: name})
			f.byGroup[name] = at
		}
		r.group = at
		g := f.groups[at]
		g.requests = append(g.requests, i)
	}
	if r.group != noGroup {
		g := f.groups[r.group]
		g.first = earlier(earlier(g.first, stored), r.begin())
		g.settled = nil
	}
}

// earlier returns the earlier of two instants, of which either may be none.
func earlier(a, b instant) instant {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// code returns the index of an error code.
func (f *Fold) code(text string) uint16 {
	if i := slices.Index(f.codes, text); i >= 0 {
		return uint16(i)
	}
	if len(f.codes) == maxCodes {
		return 0
	}
	f.codes = append(f.codes, text)
	return uint16(len(f.codes) - 1)
}

// maxCodes bounds how many error codes are told apart.
const maxCodes = 1000

// Groups returns all content groups, in the order of their names. The caller must not change the
// list.
func (f *Fold) Groups() []Group {
	if len(f.sorted) != len(f.groups) {
		f.sorted = make([]Group, len(f.groups))
		for i, g := range f.groups {
			f.sorted[i] = g.name
		}
		slices.SortFunc(f.sorted, compare)
	}
	return f.sorted
}

// Size returns the number of content groups and of requests.
func (f *Fold) Size() (groups, requests int) { return len(f.groups), int(f.records.n) }

// group returns a content group by its name, nil if no event names it.
func (f *Fold) group(name Group) *group {
	if i, ok := f.byGroup[name]; ok {
		return f.groups[i]
	}
	return nil
}

// jobOf is one job of a request.
type jobOf struct {
	request uint32
	job     uint64
}

// Message is a message of the events stream, or its subject and headers alone.
type Message struct {
	Subject  string
	Header   map[string][]string
	Data     []byte
	Sequence uint64
	Stored   time.Time
}
