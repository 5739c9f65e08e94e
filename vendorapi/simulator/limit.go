package simulator

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// limiter counts the calls of each tenant, and knows which users were told to wait.
type limiter struct {
	limit   RateLimit
	windows map[string]*window // by company
	waits   map[*user]*waits
}

// window is a tenant's calls since a time.
type window struct {
	since         time.Time
	writes, reads int
}

// check counts a call and says whether it is one too many.
//
// Documented: status 429 with X-RateLimit-Limit and X-RateLimit-Period, separate
// limits for reads and writes, for each tenant. Assumed: every method but GET is
// a write; a window begins with the first call in it; the header's unit is a
// second; the body; no Retry-After.
func (l *limiter) check(company, method string, now time.Time) (refusal answer, limited bool) {
	if l.limit.Writes <= 0 && l.limit.Reads <= 0 {
		return answer{}, false
	}
	w := l.windows[company]
	if w == nil || now.Sub(w.since) >= l.limit.Period {
		w = &window{since: now}
		l.windows[company] = w
	}
	count, limit := &w.writes, l.limit.Writes
	if method == http.MethodGet {
		count, limit = &w.reads, l.limit.Reads
	}
	if limit <= 0 {
		return answer{}, false
	}
	if *count++; *count <= limit {
		return answer{}, false
	}
	return tooManyRequests(limit, l.limit.Period), true
}

func tooManyRequests(limit int, period time.Duration) answer {
	return answer{
		status:      http.StatusTooManyRequests,
		contentType: "application/json",
		header: map[string]string{
			"X-RateLimit-Limit":  strconv.Itoa(limit),
			"X-RateLimit-Period": strconv.Itoa(seconds(period)),
		},
		body: fmt.Appendf(nil, `{"statusCode":429,"message":"Rate limit is exceeded. Try again in %d seconds."}`, seconds(period)),
	}
}

// waits are what a user was told by 429s and 503s.
type waits struct {
	told []wait // those that were not over at the last one
	// answered is when the last call of each connection was answered.
	answered map[string]time.Time
}

// wait is one of them.
type wait struct {
	told, until time.Time
	marker      string // of the call that was told
}

// tolerance is how much too early, or how soon after the announcement, a call
// may come without being held against the caller.
const tolerance = 50 * time.Millisecond

// tooEarly tells whether a CreateTask comes before a wait is over that its
// sender could know of. Who was told knows, and so a call for the same marker is
// a repetition. So does who got another answer on the same connection since. Any
// other call may have been under way: on a busy machine for long, so it has half
// of the wait. Who does not wait at all is found by all three.
func (l *limiter) tooEarly(c *call) bool {
	known := l.waits[c.user]
	if known == nil {
		return false
	}
	marker, answered := markerOf(c), known.answered[c.r.RemoteAddr]
	return slices.ContainsFunc(known.told, func(w wait) bool {
		return c.now.Before(w.until.Add(-tolerance)) &&
			(marker != "" && marker == w.marker || answered.After(w.told.Add(tolerance)) ||
				c.now.After(w.told.Add(max(tolerance, w.until.Sub(w.told)/2))))
	})
}

// announced is the wait that an answer tells, 0 for none. That reads are
// throttled says nothing about CreateTask.
func announced(c *call, a answer) time.Duration {
	if a.status == http.StatusTooManyRequests && c.r.Method == http.MethodGet {
		return 0
	}
	value := a.header["Retry-After"]
	if value == "" {
		value = a.header["X-RateLimit-Period"]
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// noteAnswer notes that an answer is on its way. Before that nobody knows of the
// wait that it tells.
func (l *limiter) noteAnswer(c *call, told time.Duration, now time.Time) {
	known := l.waits[c.user]
	if known == nil && (c.user == nil || told == 0) {
		return
	}
	if known == nil {
		known = &waits{answered: make(map[string]time.Time)}
		l.waits[c.user] = known
	}
	known.answered[c.r.RemoteAddr] = now
	if told > 0 {
		known.told = slices.DeleteFunc(known.told, func(w wait) bool { return !now.Before(w.until) })
		known.told = append(known.told, wait{told: now, until: now.Add(told), marker: markerOf(c)})
	}
}

// markerOf reads the jobDescription of a CreateTask call.
func markerOf(c *call) string {
	var req createTask
	if readBody(c.r.Header, c.body, &req) != nil || req.TaskInfo == nil || len(req.TaskInfo.SubTasks) == 0 {
		return ""
	}
	return string(req.TaskInfo.SubTasks[0].Options.CommonOpts.JobDescription)
}

// seconds rounds up, so that who waits that long has waited long enough.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
