package vendorapi

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const opCreateTask = "CreateTask"

// classify says what an answer to CreateTask means. It is the only place where
// that is decided. A nil error means: started, with at least one job id above 0.
func classify(resp response) (Job, error) {
	env, readErr := readEnvelope(resp.Body)
	fail := func(v Verdict) (Job, error) {
		e := &Error{
			Verdict: v, Op: opCreateTask, Status: resp.Status,
			TaskID: env.taskID, load: loadOf(resp.Status, resp.Header), Code: env.code, Message: cmp.Or(redirectTarget(resp), env.message, excerpt(resp.Body)), Err: readErr,
		}
		if v == Throttled {
			e.RetryAfter = retryAfter(resp.Header)
		}
		return Job{}, e
	}
	ok := resp.Status >= 200 && resp.Status < 300
	if ok && len(env.jobIDs) > 0 && !env.failed() {
		return Job{ID: env.jobIDs[0], IDs: env.jobIDs, TaskID: env.taskID}, nil
	}
	switch {
	case namesJob(resp.Body, env, readErr):
		// With an error beside it, under a status that is none of success, or cut
		// short: it is better looked for than believed.
		return fail(Unknown)

	case isAccessDenied(resp):
		return fail(AuthRefused)
	case loadOf(resp.Status, resp.Header).pauses():
		return fail(Throttled)

	case env.refuses() && (ok || isClientError(resp.Status)):
		return fail(Refused)
	case env.refuses() && resp.Status == http.StatusInternalServerError && !env.nested:
		// The Job Manager's own refusals come as HTTP 500 with the code on top.
		// Basis: recorded answer of Subclient/{id}/action/backup, code 2.
		return fail(Refused)
	case env.code != "":
		// The API itself answered, and does not clearly say no: not a number, a
		// crash, or code 0, which elsewhere means that something was done.
		return fail(Unknown)

	case resp.Status == http.StatusBadRequest && len(bytes.TrimSpace(resp.Body)) > 0 && !isPage(resp.Body):
		// "Request body is empty or format is invalid.", as bare text.
		env.code = "HTTP_400"
		return fail(Refused)
	case neverArrived(resp.Status):
		return fail(NotSent)
	}
	return fail(Unknown)
}

// namesJob tells whether an answer says, or may have said before it broke off,
// that there is a task or a job. None of the verdicts that promise "no job" may
// be given then. A task without a job is one that was put off: its job may come
// later. Where a refusal was read, an empty list of jobs beside it means nothing.
func namesJob(body []byte, env envelope, readErr error) bool {
	return len(env.jobIDs) > 0 || env.taskID != "" ||
		(readErr != nil || !env.failed()) && (bytes.Contains(body, []byte("jobIds")) || bytes.Contains(body, []byte("taskId")))
}

func isClientError(status int) bool { return status >= 400 && status < 500 }

// neverArrived tells whether a status without an error of the vendor can only
// mean that something in front of the API answered in its place: there is no
// such path or method, the request is no HTTP that it takes, a proxy wants a
// login of its own, or the same POST is to be sent elsewhere.
//
// The others are not clear enough. 301, 302 and 303 are also how web frameworks
// answer a POST that was carried out. 403 is also what a firewall puts in the
// place of an answer that it does not let out.
func neverArrived(status int) bool {
	switch status {
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect,
		http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusProxyAuthRequired:
		return true
	}
	return false
}

// redirectTarget says where an answer redirects to, without what may be secret:
// user, query, fragment, and parameters of the path such as a session id.
func redirectTarget(resp response) string {
	if resp.Status < 300 || resp.Status > 399 {
		return ""
	}
	u, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || *u == (url.URL{}) {
		return ""
	}
	path, _, _ := strings.Cut(u.Path, ";")
	return excerpt([]byte("redirected to " + (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: path}).String()))
}

// wordsOf returns what the vendor says about a failure: where it redirects to,
// else the code and the message of an error, else the beginning of what came
// instead. Not for answers that may have a token in them, see [reasonOf].
func wordsOf(resp response) (code, message string) {
	env, _ := readEnvelope(resp.Body)
	return env.code, cmp.Or(redirectTarget(resp), env.message, excerpt(resp.Body))
}

// reasonOf is wordsOf for answers that may have a token in them: of those only an
// error that could be read, a page's title and the plain text of a failure count.
func reasonOf(resp response) (code, message string) {
	if target := redirectTarget(resp); target != "" {
		return "", target
	}
	env, err := readEnvelope(resp.Body)
	text := bytes.TrimSpace(resp.Body)
	switch {
	case err == nil:
		return env.code, env.message
	case resp.Status >= 400 && (isPage(resp.Body) || len(text) > 0 && text[0] != '{' && text[0] != '<' && text[0] != '['):
		return "", excerpt(resp.Body)
	}
	return "", ""
}

// statusAnd returns a reason with the status, unless it is a message of the API itself.
func statusAnd(resp response, reason string, readErr error) string {
	switch {
	case reason == "":
		return fmt.Sprintf("HTTP %d without a reason", resp.Status)
	case readErr == nil:
		return reason
	}
	return fmt.Sprintf("HTTP %d: %s", resp.Status, reason)
}

// accessDenied is the code of "Access denied": token expired or no permission.
// It is documented with HTTP 401; any other status than a crash is taken alike.
const accessDenied = 5

// isAccessDenied tells whether the vendor did not accept the token.
func isAccessDenied(resp response) bool {
	if resp.Status != http.StatusUnauthorized && !bytes.Contains(resp.Body, []byte("errorCode")) {
		return false
	}
	env, err := readEnvelope(resp.Body)
	switch {
	case namesJob(resp.Body, env, err):
		return false
	case resp.Status == http.StatusUnauthorized:
		return true
	case err != nil || env.number() != accessDenied:
		return false
	}
	return resp.Status >= 200 && resp.Status < 300 || isClientError(resp.Status) ||
		resp.Status == http.StatusInternalServerError && !env.nested
}

const (
	// defaultRetryAfter is the pause after a throttling answer that names none.
	defaultRetryAfter = 10 * time.Second
	// longestRetryAfter and longestPeriod bound what one header can silence. The
	// period's unit is not documented; the documented limits are per hour.
	longestRetryAfter = 24 * time.Hour
	longestPeriod     = time.Hour
)

// retryAfter reads how long a throttled caller has to wait: Retry-After in
// seconds or as a date, or the gateway's X-RateLimit-Period, taken as seconds.
func retryAfter(h http.Header) time.Duration {
	if value := strings.TrimSpace(h.Get("Retry-After")); value != "" {
		if wait, ok := wholeSeconds(value, longestRetryAfter); ok {
			return wait
		}
		if at, err := http.ParseTime(value); err == nil {
			// The date is by the clock that also wrote the Date header.
			now, err := http.ParseTime(h.Get("Date"))
			if err != nil {
				now = time.Now()
			}
			return min(max(0, at.Sub(now)), longestRetryAfter)
		}
	}
	if wait, ok := wholeSeconds(strings.TrimSpace(h.Get("X-RateLimit-Period")), longestPeriod); ok {
		return wait
	}
	return defaultRetryAfter
}

func wholeSeconds(value string, longest time.Duration) (time.Duration, bool) {
	seconds, err := strconv.ParseUint(value, 10, 31)
	return min(time.Duration(seconds)*time.Second, longest), err == nil
}
