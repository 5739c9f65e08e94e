package telemetry

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"backhaul/cmd/internal/history"
	"backhaul/cmd/internal/protection/watch"
	"backhaul/consumer"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// The values that labels may have. Each list is all of them.
var (
	results = []string{
		"started", "vendor_refused", "invalid_request", "not_allowed", "expired", "vendor_unavailable",
		"auth_failed", "outcome_unknown", "id_reused", resultCancelled, "other",
	}
	kinds    = texts(schemas.Kinds)
	reasons  = texts(consumer.Classes)
	steps    = texts(consumer.Steps)
	verdicts = []string{"started", "adopted", "unknown", "refused", "throttled", "auth_refused", "not_sent"}
	classes  = []string{"unreachable", "login_refused", "throttled", "not_sent"}
	// protectionStates are those of protection events, protectionStatuses those of groups.
	protectionStates   = texts(schemas.ProtectionStates)
	protectionStatuses = texts(watch.Statuses)

	waits = []string{"retry", "throttled", "outage", "rate"}
)

// resultCancelled is the result of a request that an operator ended: no failure of the service.
const resultCancelled = "cancelled"

const (
	resultOK       = "ok"
	resultConflict = "conflict"
	resultError    = "error"
)

// texts returns typed constants as the values of a label.
func texts[T ~string](values []T) (texts []string) {
	for _, value := range values {
		texts = append(texts, string(value))
	}
	return texts
}

// resultOf returns what a request came to.
func resultOf(outcome schemas.Event) string {
	switch history.OutcomeOf(outcome) {
	case history.Started:
		return "started"
	case history.Rejected:
		return "id_reused"
	case history.Cancelled:
		return resultCancelled
	case history.Failed, history.OutcomeUnknown:
		r := history.ResultOf(outcome)
		if own := strings.ToLower(r.Code); slices.Contains(results, own) {
			return own
		}
		if r.Source == schemas.ErrorSourceVendor {
			return "vendor_refused"
		}
	}
	return "other"
}

// verdictOf returns the result of an attempt.
func verdictOf(job vendorapi.Job, err error) string {
	switch {
	case err != nil:
		return strings.ReplaceAll(vendorapi.VerdictOf(err).String(), " ", "_")
	case job.Found:
		return "adopted"
	default:
		return "started"
	}
}

// classOf returns why an attempt is repeated.
func classOf(err error) string {
	e, ok := errors.AsType[*vendorapi.Error](err)
	_, refused := errors.AsType[*vendorapi.LoginError](err)
	switch {
	case refused:
		return "login_refused"
	case ok && e.Verdict == vendorapi.Throttled:
		return "throttled"
	case ok && !e.Answered():
		return "unreachable"
	default:
		return "not_sent"
	}
}

// codeOf returns the class of a status, because single statuses would be too many
// series.
func codeOf(status int) string {
	switch {
	case status == http.StatusTooManyRequests:
		return "429" // it is the one that asks for less
	case status < 100 || status > 599:
		return "none"
	default:
		return string(rune('0'+status/100)) + "xx"
	}
}
