package vendorapi

import "net/http"

// load is what a status means for the load of the vendor. No other code reads 429, 502, 503 or 504
// of a job's call.
type load int

const (
	// loadNormal: the status has no such meaning.
	loadNormal load = iota
	// rateLimited, 429: this caller waits. Nothing was done. Basis:
	// https://docs.metallic.io/metallic/rest_api.html.
	rateLimited
	// overloaded, 503 with Retry-After: all callers wait. It may come from a server behind which
	// the task was accepted, so one lookup precedes a repetition. Assumed.
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

// pauses reports whether every caller has to wait before the next job is started.
func (l load) pauses() bool { return l == rateLimited || l == overloaded }

// outage reports whether the answer comes from a server that does not reach the vendor.
func (l load) outage() bool { return l == unavailable || l == unreachable }

// pausesReads reports whether a read may be repeated only after a wait.
func (l load) pausesReads() bool { return l.pauses() || l == unavailable }

// LookupFirst reports whether there may be a job, so that a lookup has to precede a repetition. The
// verdict [Throttled] excludes a job; after a 503 one lookup confirms it.
func (e *Error) LookupFirst() bool { return e.Verdict == Unknown || e.load == overloaded }

// NotAsked reports whether the call was not made at all, because of an earlier answer or our own
// limit. RetryAfter is the time to wait.
func (e *Error) NotAsked() bool { return e.notAsked }

// Answered reports whether the vendor sent a status. The rest of the answer may be missing.
func (e *Error) Answered() bool { return e.Status != 0 }

// Failing reports whether the vendor, or a server before it, cannot answer: any 5xx.
func (e *Error) Failing() bool { return e.Status >= 500 }

// Forbidden reports whether the vendor does not let the user make the call: 401 or 403.
func (e *Error) Forbidden() bool {
	return e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
}

// repeatable reports whether there certainly is no job and the same call may be made again.
func (e *Error) repeatable() bool {
	return e.Verdict == NotSent || e.Verdict == Throttled && !e.LookupFirst()
}
