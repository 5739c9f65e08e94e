package vendorapi

import "net/http"

// load is what a status says about the vendor's load. No other place reads 429, 502, 503 or 504
// of a job's call.
type load int

const (
	// loadNormal: the status says nothing about it.
	loadNormal load = iota
	// rateLimited, 429: this caller is to wait. Nothing was done.
	rateLimited
	// overloaded, 503 with Retry-After: all callers are to wait. It may come from something
	// behind which the task was taken, so one lookup comes before a repetition.
	overloaded
	// unavailable, 503 without Retry-After. Assumed: IIS while its application is stopped.
	unavailable
	// unreachable, 502 and 504. Assumed: a gateway that does not reach the vendor.
	unreachable
)

func loadOf(status int, h http.Header) load {
	switch status {
	case http.StatusTooManyRequests:
		return rateLimited
	case http.StatusServiceUnavailable:
		if h.Get("Retry-After") != "" {
			return overloaded
		}
		return unavailable
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return unreachable
	}
	return loadNormal
}

// pauses reports whether every caller is to wait before the next job is started.
func (l load) pauses() bool { return l == rateLimited || l == overloaded }

// outage reports whether the vendor is out of reach behind whatever answered.
func (l load) outage() bool { return l == unavailable || l == unreachable }

// pausesReads reports whether a read is to be repeated only after a wait.
func (l load) pausesReads() bool { return l.pauses() || l == unavailable }

// LookupFirst reports whether there may be a job, so that it has to be looked up before the task
// is sent again. The verdict [Throttled] says that there is none; after a 503 one lookup makes
// sure of it.
func (e *Error) LookupFirst() bool { return e.Verdict == Unknown || e.load == overloaded }

// NotAsked reports whether the call was not made at all, because of an earlier answer or our
// own limit. RetryAfter says for how long.
func (e *Error) NotAsked() bool { return e.notAsked }

// repeatable reports whether there certainly is no job and the same call may be made again.
func (e *Error) repeatable() bool {
	return e.Verdict == NotSent || e.Verdict == Throttled && !e.LookupFirst()
}
