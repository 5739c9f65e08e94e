package consumer

import (
	"github.com/rs/zerolog"

	"backhaul/schemas"
)

// failureOf returns the code and the reason for the dead letter of a request. failed is false
// if the outcome leaves no dead letter.
func failureOf(outcome schemas.Event) (code, reason string, failed bool) {
	switch e := outcome.(type) {
	case *schemas.JobFailed:
		return e.ErrorCode, e.ErrorMessage, true
	case *schemas.RequestRejected:
		return string(e.Kind()), e.Reason, true
	case *schemas.JobSubmitting, *schemas.JobStarted, *schemas.JobChanged, *schemas.JobFinished, *schemas.JobUnfollowed:
	}
	return "", "", false
}

// isCancelled reports whether an event ends a request that an operator cancelled.
func isCancelled(e schemas.Event) bool {
	failed, ok := e.(*schemas.JobFailed)
	return ok && failed.Cancelled()
}

// outcomeLine returns the beginning of the log line of an outcome.
func outcomeLine(log *zerolog.Logger, outcome schemas.Event) *zerolog.Event {
	switch e := outcome.(type) {
	case *schemas.JobStarted:
		return log.Info().Str("jobId", e.JobID).Int("attempts", e.Attempts).Bool("adopted", e.Adopted)
	case *schemas.JobFailed:
		level := zerolog.WarnLevel
		if e.Cancelled() {
			level = zerolog.InfoLevel
		}
		return log.WithLevel(level).Str("errorCode", e.ErrorCode).Str("errorMessage", e.ErrorMessage).Int("attempts", e.Attempts)
	case *schemas.RequestRejected:
		return log.Warn().Str("reason", e.Reason)
	case *schemas.JobSubmitting, *schemas.JobChanged, *schemas.JobFinished, *schemas.JobUnfollowed: // not an outcome
	}
	return log.Info()
}
