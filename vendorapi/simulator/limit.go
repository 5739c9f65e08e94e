package simulator

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// limiter counts the calls of each tenant and records the waits that users were given.
type limiter struct {
	limit   RateLimit
	windows map[string]*window // by company
	waits   map[*user]*waits
}

// window counts a tenant's calls since a time.
type window struct {
	since         time.Time
	writes, reads int
	// Of a sliding limit: the times of the calls that were not refused.
	written, read []time.Time
}

// slide adds a call to those of the last period, unless there are as many as the limit. It reports
// whether the call was added.
func slide(times *[]time.Time, limit int, now time.Time, period time.Duration) bool {
	*times = slices.DeleteFunc(*times, func(t time.Time) bool { return now.Sub(t) >= period })
	if len(*times) >= limit {
		return false
	}
	*times = append(*times, now)
	return true
}

// check counts a call, and returns a refusal if it exceeds the limit.
//
// Documented: status 429 with X-RateLimit-Limit and X-RateLimit-Period, separate
// limits for reads and writes, for each tenant. Assumed: every method but GET is
// a write; a window begins with the first call in it, or slides, by the
// configuration; the header's unit is a second; the body; no Retry-After.
func (l *limiter) check(company, method string, now time.Time) (refusal answer, limited bool) {
	if l.limit.Writes <= 0 && l.limit.Reads <= 0 {
		return answer{}, false
	}
	w := l.windows[company]
	if w == nil || now.Sub(w.since) >= l.limit.Period && !l.limit.Sliding {
		w = &window{since: now}
		l.windows[company] = w
	}
	count, times, limit := &w.writes, &w.written, l.limit.Writes
	if method == http.MethodGet {
		count, times, limit = &w.reads, &w.read, l.limit.Reads
	}
	switch {
	case limit <= 0:
		return answer{}, false
	case l.limit.Sliding && slide(times, limit, now, l.limit.Period):
		return answer{}, false
	case l.limit.Sliding:
		return tooManyRequests(limit, l.limit.Period), true
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

// waits records the waits that a user was given by 429s and 503s.
type waits struct {
	announced []wait // those that were not over when the last one was added
	// answered maps each connection to the time of its last answer.
	answered map[string]time.Time
}

// wait is one announced wait.
type wait struct {
	announced, until time.Time
	marker           string // of the call whose answer announced it
}

// tolerance is how much too early, or how soon after the announcement, a call may arrive
// without counting as a violation.
const tolerance = 50 * time.Millisecond

// tooEarly reports whether a CreateTask arrives before the end of a wait that its sender
// could know of. The sender knows of the wait if the call repeats the marker of the call
// that announced it, or if the same connection has been answered since. Any other call may
// have been in flight at the announcement, for long on a busy machine, so it is a violation
// only after half of the wait. All three conditions detect a sender that never waits.
func (l *limiter) tooEarly(c *call) bool {
	known := l.waits[c.user]
	if known == nil {
		return false
	}
	marker, answered := markerOf(c), known.answered[c.r.RemoteAddr]
	return slices.ContainsFunc(known.announced, func(w wait) bool {
		return c.now.Before(w.until.Add(-tolerance)) &&
			(marker != "" && marker == w.marker || answered.After(w.announced.Add(tolerance)) ||
				c.now.After(w.announced.Add(max(tolerance, w.until.Sub(w.announced)/2))))
	})
}

// announced returns the wait that an answer announces, 0 without one. Throttled reads do
// not count, because they do not restrict CreateTask.
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

// noteAnswer records that an answer is being sent. Its sender cannot know of the announced
// wait before.
func (l *limiter) noteAnswer(c *call, wanted time.Duration, now time.Time) {
	known := l.waits[c.user]
	if known == nil && (c.user == nil || wanted == 0) {
		return
	}
	if known == nil {
		known = &waits{answered: make(map[string]time.Time)}
		l.waits[c.user] = known
	}
	known.answered[c.r.RemoteAddr] = now
	if wanted > 0 {
		known.announced = slices.DeleteFunc(known.announced, func(w wait) bool { return !now.Before(w.until) })
		known.announced = append(known.announced, wait{announced: now, until: now.Add(wanted), marker: markerOf(c)})
	}
}

// markerOf returns the jobDescription of a CreateTask call.
func markerOf(c *call) string {
	var req createTask
	if readBody(c.r.Header, c.body, &req) != nil || req.TaskInfo == nil || len(req.TaskInfo.SubTasks) == 0 {
		return ""
	}
	return string(req.TaskInfo.SubTasks[0].Options.CommonOpts.JobDescription)
}

// seconds rounds a duration up to whole seconds, so that waiting that long is enough.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
