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

// classify returns the job or the error that an answer to CreateTask stands for. No other function
// decides that. A nil error means that the task started with at least one job id above 0.
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
		// The answer also has an error, or a status other than success, or is cut short: a lookup
		// decides.
		return fail(Unknown)

	case isAccessDenied(resp):
		return fail(AuthRefused)
	case loadOf(resp.Status, resp.Header).pauses():
		return fail(Throttled)

	case env.refuses() && (ok || isClientError(resp.Status)):
		return fail(Refused)
	case env.refuses() && resp.Status == http.StatusInternalServerError && !env.nested:
		// The Job Manager sends its refusals with HTTP 500 and the code at the top. Basis: the
		// saved answer of Subclient/{id}/action/backup, code 2, in the vendor's Postman collection
		// (https://github.com/BrandonLundt/commvault-powershell-extentions).
		return fail(Refused)
	case env.code != "":
		// The API answered, but this is no clear refusal: a code that is not a number, the code of
		// a crash, or code 0, which other operations send when something was done.
		return fail(Unknown)

	case resp.Status == http.StatusBadRequest && len(bytes.TrimSpace(resp.Body)) > 0 && !isPage(resp.Body):
		// The bare text "Request body is empty or format is invalid." Basis:
		// https://api.commvault.com/docs/SP32/api/cv/MSSQL_API/backup-sql-subclient/.
		env.code = "HTTP_400"
		return fail(Refused)
	case neverArrived(resp.Status):
		return fail(NotSent)
	}
	return fail(Unknown)
}

// namesJob reports whether an answer names a task or a job, or may have done so before it was cut
// short. Such an answer gets no verdict that excludes a job. A task without a job may have been put
// off: its job may start later. After an error that was read, an empty list of jobs has no meaning.
func namesJob(body []byte, env envelope, readErr error) bool {
	return len(env.jobIDs) > 0 || env.taskID != "" ||
		(readErr != nil || !env.failed()) && (bytes.Contains(body, []byte("jobIds")) || bytes.Contains(body, []byte("taskId")))
}

func isClientError(status int) bool { return status >= 400 && status < 500 }

// neverArrived reports whether a status without an error of the vendor can only come from something
// in front of the API: the path or the method does not exist, the request is not valid HTTP there,
// a proxy wants a login, or the same POST is to be sent elsewhere.
//
// Other statuses are ambiguous. Web frameworks also answer a POST that was carried out with 301,
// 302 or 303. A firewall may replace an answer by 403.
func neverArrived(status int) bool {
	switch status {
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect,
		http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusProxyAuthRequired:
		return true
	}
	return false
}

// redirectTarget returns the target of a redirect for an error, "" without one. It leaves out what
// may be secret: user, query, fragment, and parameters of the path such as a session id.
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

// wordsOf returns the reason for a failure: the target of a redirect, else the code and the message
// of an error, else the beginning of the body. An answer that may contain a token goes to
// [reasonOf] instead.
func wordsOf(resp response) (code, message string) {
	env, _ := readEnvelope(resp.Body)
	return env.code, cmp.Or(redirectTarget(resp), env.message, excerpt(resp.Body))
}

// reasonOf is wordsOf for answers that may contain a token. It shows only an error that could be
// read, the title of a page, and the plain text of a failure.
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

// accessDenied is the code of "Access denied": the token has expired, or its user has no
// permission. The vendor documents it with HTTP 401
// (https://api.commvault.com/docs/SP32/api/cv/MSSQL_API/backup-sql-subclient/); other statuses,
// except that of a crash, are read alike.
const accessDenied = 5

// isAccessDenied reports whether the vendor did not accept the token.
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
	// defaultRetryAfter is the pause after a throttling answer without a time.
	defaultRetryAfter = 10 * time.Second
	// longestRetryAfter and longestPeriod bound the pause that one header can cause. The unit of
	// the period is not documented; the documented limits are per hour
	// (https://docs.metallic.io/metallic/rest_api.html).
	longestRetryAfter = 24 * time.Hour
	longestPeriod     = time.Hour
)

// retryAfter returns how long a throttled caller has to wait: Retry-After in seconds or as a date,
// else the gateway's X-RateLimit-Period, taken as seconds.
func retryAfter(h http.Header) time.Duration {
	if value := strings.TrimSpace(h.Get("Retry-After")); value != "" {
		if wait, ok := wholeSeconds(value, longestRetryAfter); ok {
			return wait
		}
		if at, err := http.ParseTime(value); err == nil {
			// The Date header comes from the same clock.
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
