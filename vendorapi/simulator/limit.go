package simulator

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// limiter counts the calls of each tenant, and knows which users were told to wait.
type limiter struct {
	limit   RateLimit
	windows map[string]*window // by company
	waits   map[*user]wait
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

// wait is what a user was told by a 429 or a 503.
type wait struct {
	told, until time.Time
	marker      string // of the call that was told
}

// tolerance is how much too early, or how soon after the announcement, a call
// may come without being held against the caller.
const tolerance = 50 * time.Millisecond

// tooEarly tells whether a CreateTask comes before a wait is over that was
// announced to the same user. A call that was under way while another was told
// to wait is none, so a call for another marker has the tolerance at the start;
// a call for the same marker is a repetition and has not.
func (l *limiter) tooEarly(c *call) bool {
	told, waiting := l.waits[c.user]
	if !waiting || !c.now.Before(told.until.Add(-tolerance)) {
		return false
	}
	return c.now.After(told.told.Add(tolerance)) || markerOf(c) == told.marker
}

// announce notes an answer that tells the caller to wait. That reads are
// throttled says nothing about CreateTask.
func (l *limiter) announce(c *call, a answer) {
	if a.status == http.StatusTooManyRequests && c.r.Method == http.MethodGet {
		return
	}
	value := a.header["Retry-After"]
	if value == "" {
		value = a.header["X-RateLimit-Period"]
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return
	}
	if l.waits == nil {
		l.waits = make(map[*user]wait)
	}
	until := c.now.Add(time.Duration(n) * time.Second)
	if old := l.waits[c.user]; old.until.Before(until) {
		l.waits[c.user] = wait{told: c.now, until: until, marker: markerOf(c)}
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
