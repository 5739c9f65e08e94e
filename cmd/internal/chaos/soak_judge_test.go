package chaos

import (
	"context"
	"fmt"
	"strings"
	"time"

	"backhaul/publisher"
	"backhaul/schemas"
)

// The findings that only a soak has.
const (
	foundMemory    = "memory"         // a replica used too much
	foundSlow      = "slow /livez"    // or none at all
	foundConsumers = "consumers left" // more than at the start
	foundHostile   = "hostile job"    // a job of a message that is not a valid request
)

// judge finds the broken promises, and fails the test for each.
func (s *soak) judge(ctx context.Context, left map[string]int) {
	e := s.collect(ctx)
	var findings []chaosFinding
	histories := e.histories()
	for _, r := range e.Requests {
		findings = append(findings, histories[r.id].judge(false)...)
	}
	others, otherFindings := s.judgeOthers(e, histories)
	findings = append(findings, otherFindings...)
	found := func(kind, format string, args ...any) {
		findings = append(findings, chaosFinding{Kind: kind, Text: fmt.Sprintf(format, args...)})
	}
	if len(e.Stuck) > 0 {
		found(foundStuck, "requests are left:\n  %s", strings.Join(e.Stuck, "\n  "))
	}
	for _, problem := range e.Problems {
		found(foundProblem, "%s", problem)
	}
	if s.watch.memory>>10 > *soakFlags.memory {
		found(foundMemory, "%d MiB, %d are allowed", s.watch.memory>>10, *soakFlags.memory)
	}
	if worst := s.watch.quantile(1); *soakFlags.livez > 0 && worst > *soakFlags.livez {
		found(foundSlow, "/livez took %s, %s are allowed", worst, *soakFlags.livez)
	}
	for _, silent := range s.watch.silent {
		if *soakFlags.livez > 0 {
			found(foundSlow, "%s", silent)
		}
	}
	for stream, n := range left {
		found(foundConsumers, "%d on %s", n, stream)
	}
	s.report(e, histories, others, findings)
}

// collect reads the streams. Foreign messages among the events are left out.
func (s *soak) collect(ctx context.Context) chaosEvidence {
	s.t.Helper()
	r := s.chaos
	e := chaosEvidence{
		Requests: r.plan.requests, Published: r.upstream.published, DeadLetters: make(map[string]int),
		Account: r.vendor.Account(), Starts: r.vendor.startCalls(), Stuck: r.stuck,
	}
	for _, msg := range r.everything(ctx, publisher.EventsStream) {
		if strings.HasPrefix(msg.Subject(), "backup.event.operator.") {
			continue
		}
		if _, _, err := publisher.ReadEvent(msg.Subject(), msg.Headers(), msg.Data()); err == nil {
			e.Events = append(e.Events, r.read(msg))
		}
	}
	for _, msg := range r.everything(ctx, publisher.DeadLetterStream) {
		e.DeadLetters[msg.Headers().Get(publisher.HeaderDeadLetterRequestID)]++
	}
	e.Log, e.Problems = r.readLogs()
	e.Problems = append(e.Problems, r.problems...)
	return e
}

// judgeOthers judges what has no history of a known request: requests without an id,
// which may have jobs, and hostile ones, which may not.
func (s *soak) judgeOthers(e chaosEvidence, histories map[string]*chaosHistory) (others int, findings []chaosFinding) {
	type ending struct {
		source    string
		terminals []schemas.Event
	}
	found := func(kind, key, format string, args ...any) {
		findings = append(findings, chaosFinding{Kind: kind, ID: key, Text: fmt.Sprintf(format, args...)})
	}
	ends := make(map[string]*ending) // by marker
	for _, event := range e.Events {
		if event.Source == chaosSource && histories[event.Key] != nil {
			continue
		}
		marker := publisher.Key{Source: event.Source, Name: event.Key}.Marker()
		end := ends[marker]
		if end == nil {
			end = &ending{source: event.Source}
			ends[marker] = end
		}
		if kind := event.Event.Kind(); kind.Terminal() || kind == schemas.KindRequestRejected {
			end.terminals = append(end.terminals, event.Event)
		}
	}
	started, rejected := 0, 0
	for marker, end := range ends {
		jobs := e.Account.JobsByMarker[marker]
		switch {
		case len(end.terminals) != 1:
			found(foundDuplicate, marker, "%d terminal events", len(end.terminals))
		case len(jobs) > 1:
			found(foundSecondJob, marker, "jobs %v", jobs)
		case len(jobs) > 0 && end.source != chaosSource:
			found(foundHostile, marker, "jobs %v", jobs)
		}
		for _, terminal := range end.terminals {
			switch terminal := terminal.(type) {
			case *schemas.JobStarted:
				if started++; len(jobs) != 1 || jobs[0] != terminal.JobID {
					found(foundWrongJob, marker, "announced %s, the vendor has %v", terminal.JobID, jobs)
				}
			case *schemas.JobFailed:
				if len(jobs) > 0 {
					found(foundContradiction, marker, "job-failed %s, the vendor has %v", terminal.ErrorCode, jobs)
				}
				if terminal.ErrorCode != schemas.CodeInvalidRequest {
					found(foundFailure, marker, "%s: %s", terminal.ErrorCode, terminal.ErrorMessage)
				}
			case *schemas.RequestRejected:
				rejected++
			}
		}
	}
	if started < s.anonymous {
		found(foundLost, "", "%d requests without an id were acknowledged, %d of them started", s.anonymous, started)
	}
	if len(ends)-started < s.accepted {
		found(foundLost, "", "%d hostile requests were acknowledged, %d have an end", s.accepted, len(ends)-started)
	}
	known := make(map[string]bool, len(e.Requests))
	for _, r := range e.Requests {
		known[publisher.NewKey(chaosSource, r.id).Marker()] = true
	}
	marked := 0
	for marker, jobs := range e.Account.JobsByMarker {
		if marked += len(jobs); !known[marker] && ends[marker] == nil {
			found(foundStranger, marker, "jobs %v", jobs)
		}
	}
	if n := e.Account.JobsStarted - marked; n > 0 {
		found(foundStranger, "", "%d jobs without a marker", n)
	}
	return len(ends), findings
}

func (s *soak) report(e chaosEvidence, histories map[string]*chaosHistory, others int, findings []chaosFinding) {
	s.t.Logf("soak of %s, seed %d: %d requests with an id, %d other histories (%d without an id, %d hostile acknowledged), %d jobs, %d events, %s, drained in %s\n"+
		"memory at most %d MiB; /livez %d times, p50 %s, p99 %s, max %s\nfaults and hostile messages: %s\nvendor's faults: %s\n%d findings",
		*soakFlags.length, *soakFlags.seed, len(e.Requests), others, s.anonymous, s.accepted, e.Account.JobsStarted, len(e.Events),
		time.Since(s.chaos.began).Round(time.Second), s.chaos.drained.Round(time.Second), s.watch.memory>>10, len(s.watch.answers), s.watch.quantile(0.5), s.watch.quantile(0.99), s.watch.quantile(1),
		counts(s.done), counts(e.Account.Faults), len(findings))
	told := make(map[string]int)
	for _, f := range findings {
		if told[f.Kind]++; told[f.Kind] > maxTold {
			continue
		}
		s.t.Errorf("%s: %s: %s", f.Kind, f.ID, f.Text)
		if history := histories[f.ID]; history != nil {
			s.t.Log(history.tell(s.chaos.began))
		}
	}
	for kind, n := range told {
		if n > maxTold {
			s.t.Errorf("%s: %d in all", kind, n)
		}
	}
}
