package budget

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"backhaul/consumer/order"
	"backhaul/vendorapi"
)

const (
	// hour is the time in which calls count.
	hour = time.Hour
	// margin is added to the hour: how much later than its answer a call may count at the vendor,
	// and how much the clocks of a cluster's servers may differ.
	margin = 5 * time.Second
	// step is what the ends of calls are rounded up to, so that the record stays small.
	step = 10 * time.Second
	// maxCalls is how many entries a record has before neighbours are joined.
	maxCalls = 400
)

// record has the calls of the last hour. All its times are the server's, in UNIX seconds, rounded
// up. Calls count from their grant until an hour after At.
type record struct {
	// Limit is the setting of the last writer.
	Limit int     `json:"limit"`
	Calls []calls `json:"calls"`
	// ClosedUntil is set after the vendor refused a call because of its limit.
	ClosedUntil int64 `json:"closedUntil,omitzero"`
	// VendorLimit is the vendor's own limit, if it said one below ours.
	VendorLimit      int   `json:"vendorLimit,omitzero"`
	VendorLimitUntil int64 `json:"vendorLimitUntil,omitzero"`
	// Order is the order of the starts that were granted.
	Order order.Order `json:"order,omitzero"`
	// Write names the write of the record.
	Write string `json:"write"`
	// Unknown is why the calls before the record are not known, and were taken for a whole budget.
	Unknown string `json:"unknown,omitempty"`
}

// calls are calls of one process that end to count together.
type calls struct {
	// At is when the last of them can have reached the vendor.
	At int64  `json:"at"`
	By string `json:"by"`
	N  int    `json:"n"`
	// Lease is that of the process whose calls these are, while they may still be made. Only that
	// process changes the entry.
	Lease string `json:"lease,omitempty"`
}

func decodeRecord(data []byte) (record, error) {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return record{}, fmt.Errorf("its record cannot be read: %w", err)
	}
	for _, c := range r.Calls {
		if c.N < 0 {
			return record{}, fmt.Errorf("its record has %d calls of %s", c.N, c.By)
		}
	}
	return r, nil
}

func (r record) clone() record {
	r.Calls, r.Order = slices.Clone(r.Calls), r.Order.Clone()
	return r
}

// up rounds a time up to whole seconds.
func up(t time.Time) int64 {
	seconds := t.Unix()
	if t.Nanosecond() > 0 {
		seconds++
	}
	return seconds
}

// freeAt returns when calls that end at a time do not count any more.
func freeAt(at int64) time.Time { return time.Unix(at, 0).Add(hour + margin) }

// counts reports whether calls that end at a time count at now.
func counts(at int64, now time.Time) bool { return freeAt(at).After(now) }

// forget removes what does not count any more.
func (r *record) forget(now time.Time) {
	r.Calls = slices.DeleteFunc(r.Calls, func(c calls) bool { return !counts(c.At, now) })
	if r.ClosedUntil > 0 && !time.Unix(r.ClosedUntil, 0).After(now) {
		r.ClosedUntil = 0
	}
	if r.VendorLimit > 0 && !time.Unix(r.VendorLimitUntil, 0).After(now) {
		r.VendorLimit, r.VendorLimitUntil = 0, 0
	}
	if !slices.ContainsFunc(r.Calls, func(c calls) bool { return c.By == byUnknown }) {
		r.Unknown = ""
	}
}

// limit returns how many calls an hour are allowed.
func (r *record) limit(setting int, now time.Time) int {
	if r.VendorLimit > 0 && time.Unix(r.VendorLimitUntil, 0).After(now) {
		return min(setting, r.VendorLimit)
	}
	return setting
}

// spent returns how many calls count.
func (r *record) spent(now time.Time) int {
	n := 0
	for i := range r.Calls {
		if counts(r.Calls[i].At, now) {
			n += r.Calls[i].N
		}
	}
	return n
}

// left returns how many calls may be granted, and if none, when there is one again.
func (r *record) left(setting int, now time.Time) (n int, next time.Time) {
	limit := r.limit(setting, now)
	n = max(0, limit-r.spent(now))
	if closed := time.Unix(r.ClosedUntil, 0); closed.After(now) {
		n, next = 0, closed
	}
	if n > 0 {
		return n, time.Time{}
	}
	// The entries are in the order in which they end to count.
	left := limit - r.spent(now)
	for _, c := range r.Calls {
		if left > 0 {
			break
		}
		if counts(c.At, now) {
			left += c.N
			if at := freeAt(c.At); at.After(next) {
				next = at
			}
		}
	}
	return 0, next
}

// held returns the calls of the lease of a process.
func (r *record) held(lease string) (n int) {
	for i := range r.Calls {
		if r.Calls[i].Lease == lease {
			n += r.Calls[i].N
		}
	}
	return n
}

// leave removes the lease of a process and returns its calls.
func (r *record) leave(lease string) (n int) {
	r.Calls = slices.DeleteFunc(r.Calls, func(c calls) bool {
		if c.Lease != lease {
			return false
		}
		n += c.N
		return true
	})
	return n
}

// enter adds the lease of a process: n calls that end at until at the latest.
func (r *record) enter(by, lease string, n int, until time.Time) {
	if n > 0 {
		r.Calls = append(r.Calls, calls{At: up(until), By: by, N: n, Lease: lease})
		r.sort()
	}
}

// correct takes into account what the vendor said at a time of the server. open is how many calls
// of this process count and are not in the record.
func (r *record) correct(a vendorapi.Allowance, at time.Time, setting, open int) {
	if a.Refused {
		r.ClosedUntil = max(r.ClosedUntil, up(at.Add(a.Wait)))
	}
	if a.PerHour == 0 {
		return
	}
	r.VendorLimit, r.VendorLimitUntil = 0, 0
	if a.PerHour < setting {
		r.VendorLimit, r.VendorLimitUntil = a.PerHour, up(at.Add(vendorSays))
	}
	if a.Left < 0 {
		return
	}
	// Others use the same allowance.
	if ours := r.limit(setting, at) - r.spent(at) - open; ours > a.Left {
		r.end(byOthers, ours-a.Left, at)
	}
}

// end adds calls that ended at a time.
func (r *record) end(by string, n int, at time.Time) {
	if n > 0 {
		r.Calls = append(r.Calls, calls{At: up(at), By: by, N: n})
		r.sort()
	}
}

func (r *record) sort() {
	slices.SortStableFunc(r.Calls, func(a, b calls) int { return cmp.Compare(a.At, b.At) })
}

// join adds up the calls of each process whose ends are rounded up to the same time. The rounding
// is coarser as long as there are too many entries.
func (r *record) join() {
	for every := step; ; every *= 2 {
		r.joinBy(int64(every / time.Second))
		if len(r.Calls) <= maxCalls {
			return
		}
		if every > hour {
			break
		}
	}
	for i := range r.Calls { // very many processes
		if r.Calls[i].Lease == "" {
			r.Calls[i].By = bySeveral
		}
	}
	r.joinBy(int64(step / time.Second))
}

func (r *record) joinBy(every int64) {
	joined := r.Calls[:0:0]
	index := make(map[calls]int)
	for _, c := range r.Calls {
		if c.Lease != "" {
			joined = append(joined, c)
			continue
		}
		key := calls{At: (c.At + every - 1) / every * every, By: c.By}
		i, ok := index[key]
		if !ok {
			i, index[key] = len(joined), len(joined)
			joined = append(joined, key)
		}
		joined[i].N += c.N
	}
	r.Calls = joined
	r.sort()
}
