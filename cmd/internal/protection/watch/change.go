package watch

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"backhaul/cmd/internal/protection"
	"backhaul/publisher"
	"backhaul/schemas"
)

// change is an event that is to be published.
type change struct {
	group protection.Group
	after uint64 // sequence of the last message on its subject
	event schemas.ProtectionEvent
}

// changes returns what has to be published as of a time up to which everything is read.
func (w *Watch) changes(at time.Time) (all []change) {
	objectives := w.objectives()
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := make(map[string]bool)
	for _, g := range w.fold.Groups() {
		s, ok := w.stand(g, objectives, at)
		if !ok {
			continue
		}
		subject := publisher.ProtectionSubject(contentGroup(g))
		seen[subject] = true
		last := w.said[subject]
		if e, ok := w.next(&s, last.event, at); ok {
			all = append(all, change{g, last.sequence, e})
		}
	}
	// Groups whose events have all expired: nothing more is known of them than that they were
	// breached. They stay so while something is promised for them.
	for subject, last := range w.said {
		if seen[subject] || last.event == nil || last.event.State != schemas.ProtectionBreached || !at.After(last.event.At) {
			continue
		}
		g := groupOf(last.event.ContentGroup)
		if _, promised := objectives.For(g); !promised {
			s := Standing{State: protection.State{Group: g}}
			all = append(all, change{g, last.sequence, s.event(schemas.ProtectionRestored, schemas.CauseObjective, at, at)})
		}
	}
	slices.SortStableFunc(all, func(a, b change) int { return a.event.Since.Compare(b.event.Since) })
	return all
}

// next returns the event that follows the last one of a group, nil if there is none. ok is
// false if nothing has changed. The caller holds mu.
func (w *Watch) next(s *Standing, last *schemas.ProtectionEvent, at time.Time) (e schemas.ProtectionEvent, ok bool) {
	breached := last != nil && last.State == schemas.ProtectionBreached
	switch {
	case last != nil && !at.After(last.At):
		return e, false // another replica has judged the group as of a later time
	case breached == (len(s.Broken) > 0):
		return e, false
	case !breached:
		first := s.Broken[0]
		return s.event(schemas.ProtectionBreached, causeOf(first.Promise), first.Since, at), true
	case s.Promised && s.proves(last):
		return s.event(schemas.ProtectionRestored, schemas.CauseCovered, w.restoredSince(s, last, at), at), true
	case !s.Promised || !sameObjective(promiseOf(s.Objective), last.Objective):
		return s.event(schemas.ProtectionRestored, schemas.CauseObjective, at, at), true
	}
	return e, false // events have expired; a backup will prove it
}

// proves reports whether an event on record says that what a breach was about is in a backup.
func (s *Standing) proves(breach *schemas.ProtectionEvent) bool {
	if breach.Cause == schemas.CauseMaxAge {
		return s.LastGoodStart.After(breach.LastGoodStart)
	}
	return !s.LastCovered.Before(breach.ExposedSince) && !s.LastCovered.IsZero() || s.LastGoodStart.After(breach.ExposedSince)
}

// restoredSince returns from when on all promises are kept without a break up to a time. The
// caller holds mu.
func (w *Watch) restoredSince(s *Standing, breach *schemas.ProtectionEvent, at time.Time) time.Time {
	since := at
	spans := w.fold.History(s.Group, s.Objective, breach.At, at)
	for _, span := range slices.Backward(spans) {
		if len(s.in(span).Broken(s.Objective, span.Until)) > 0 {
			break
		}
		since = span.From
	}
	return since
}

func causeOf(p protection.Promise) schemas.ProtectionCause {
	if p == protection.PromiseMaxAge {
		return schemas.CauseMaxAge
	}
	return schemas.CauseRPO
}

// event returns an event about the group.
func (s *Standing) event(state schemas.ProtectionState, cause schemas.ProtectionCause, since, at time.Time) schemas.ProtectionEvent {
	e := schemas.ProtectionEvent{
		State: state, Cause: cause, ContentGroup: contentGroup(s.Group), Owner: s.Objective.Owner,
		Since: since.UTC(), Reason: s.reason(cause), ExposedSince: s.ExposedSince, LastGoodStart: s.LastGoodStart, At: at.UTC(),
	}
	if s.Promised {
		e.Objective = promiseOf(s.Objective)
	}
	return e
}

func contentGroup(g protection.Group) schemas.ContentGroup {
	return schemas.ContentGroup{ClientName: g.Client, InstanceName: g.Instance, BackupsetName: g.Backupset, SubclientName: g.Subclient}
}

func groupOf(g schemas.ContentGroup) protection.Group {
	return protection.Group{Client: g.ClientName, Instance: g.InstanceName, Backupset: g.BackupsetName, Subclient: g.SubclientName}
}

// promiseOf returns an objective as an event has it.
func promiseOf(o protection.Objective) schemas.ProtectionObjective {
	p := schemas.ProtectionObjective{Name: o.Name, RPO: text(o.RPO), MaxAge: text(o.MaxAge)}
	for _, outcome := range schemas.Outcomes {
		if o.Accept&protection.NewOutcomes(outcome) != 0 {
			p.Accept = append(p.Accept, outcome)
		}
	}
	return p
}

// sameObjective reports whether two objectives promise the same.
func sameObjective(a, b schemas.ProtectionObjective) bool {
	return a.RPO == b.RPO && a.MaxAge == b.MaxAge && slices.Equal(a.Accept, b.Accept)
}

// text returns a duration as people write it, such as 4h; "" for none.
func text(d time.Duration) string {
	if d == 0 {
		return ""
	}
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// reason returns a cause in words.
func (s *Standing) reason(cause schemas.ProtectionCause) string {
	switch cause {
	case schemas.CauseRPO:
		return fmt.Sprintf("changes since %s are in no finished backup, and the objective allows %s: %s", clock(s.ExposedSince), text(s.Objective.RPO), s.Missing())
	case schemas.CauseMaxAge:
		last := "no good backup is on record since " + clock(s.FirstSeen)
		if !s.LastGoodStart.IsZero() {
			last = "the last good backup started at " + clock(s.LastGoodStart)
		}
		return fmt.Sprintf("%s, and the objective allows %s%s", last, text(s.Objective.MaxAge), s.lastJob())
	case schemas.CauseCovered:
		if s.LastGoodStart.IsZero() {
			return "a finished backup has the changes"
		}
		return "a good backup started at " + clock(s.LastGoodStart)
	case schemas.CauseObjective:
	}
	if s.Promised {
		return "the objective was changed, and the group is within the new one"
	}
	return "the objective was removed"
}

// WhyText returns in words why a change is in no finished backup.
func WhyText(why protection.Why) string {
	switch why {
	case protection.WhyWaiting:
		return "its request has no job yet"
	case protection.WhyNotStarted:
		return "its request ended without a job"
	case protection.WhyRunning:
		return "its job has not ended"
	case protection.WhyUnfollowed:
		return "the end of its job is not known"
	case protection.WhyOutcome:
		return "its job ended with an outcome that is not accepted"
	case protection.WhyEmpty:
		return "its job moved nothing"
	case protection.WhyNotListed:
		return "its job backed up other paths only"
	}
	return string(why)
}

// Missing returns in words why the oldest exposed change is in no finished backup, "" if nothing
// is exposed.
func (s *Standing) Missing() string {
	switch s.Why {
	case "":
		return ""
	case protection.WhyNotStarted:
		return WhyText(s.Why) + ": " + s.Exposed[0].ErrorCode
	}
	return WhyText(s.Why) + s.lastJob()
}

// lastJob returns how the last job ended, to follow another text; "" if none did.
func (s *Standing) lastJob() string {
	if s.Last == nil {
		return ""
	}
	return fmt.Sprintf("; the last job %s ended as %s at %s", s.Last.ID, s.Last.Outcome, clock(s.Last.Ended))
}
