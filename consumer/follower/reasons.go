package follower

import (
	"cmp"
	"context"
	"strconv"
	"time"

	"backhaul/consumer/internal/sleep"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// reasonPatience is how long the event about a bad end waits for its reason while the vendor does
// not answer reads. The end is on record in time without it.
const reasonPatience = 20 * time.Second

// reasons returns why a job ended as it did, and who killed it: the last reason why it did not go
// on, the error code of its submission, and the vendor's events about it, which cost one read. If
// all of that says nothing, the reason of its delay costs a writing call.
func (s *session) reasons(ctx context.Context, f *flight) (all []schemas.Reason, by string) {
	info, outcome := f.news.info, f.news.outcome
	if outcome == schemas.OutcomeCompleted {
		return nil, ""
	}
	if f.reason != nil {
		all = append(all, withLogCode(*f.reason))
	}
	if n := info.SubmitErrorCode; n != 0 {
		all = append(all, schemas.Reason{Code: strconv.Itoa(n), Text: "the vendor's submit error code is " + strconv.Itoa(n), From: schemas.ReasonFromSubmit})
	}
	events, by := s.eventsOf(ctx, f.job.id)
	if outcome == schemas.OutcomeKilled {
		all = append(events, all...) // who killed it comes before why it was pending then
	} else {
		all = append(all, events...)
	}
	if len(all) > 0 || !s.follower.cfg.SpareWrite() {
		return all, by
	}
	ask, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	text, err := s.follower.vendor.JobDelayReason(ask, f.job.id)
	s.follower.cfg.Observer.Read("details", err)
	if err == nil && text != "" {
		all = append(all, schemas.Reason{Text: text, From: schemas.ReasonFromDetails})
	}
	return all, by
}

// eventsOf returns the reasons among the vendor's events about a job.
func (s *session) eventsOf(ctx context.Context, id string) (reasons []schemas.Reason, by string) {
	f := s.follower
	end := time.Now().Add(reasonPatience)
	for {
		wait := f.pace.takeOther(time.Now())
		if wait == 0 {
			ask, cancel := context.WithDeadline(ctx, end)
			events, err := f.vendor.JobEvents(ask, id)
			f.asked(ask, "events", err)
			cancel()
			if err == nil {
				return vendorapi.JobReasons(events)
			}
			if answered(err) {
				return nil, ""
			}
			wait = 100 * time.Millisecond
		}
		if time.Now().Add(wait).After(end) || !sleep.For(ctx, wait) {
			return nil, ""
		}
	}
}

// withLogCode adds the form of a code that the vendor's logs use.
func withLogCode(r schemas.Reason) schemas.Reason {
	r.LogCode = cmp.Or(r.LogCode, schemas.LogCode(r.Code))
	return r
}
