package follower

import (
	"context"
	"errors"
	"fmt"
	"time"

	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// flight is an event about a job that is being written.
type flight struct {
	job  *job
	news news
	why  string // of a job-unfollowed

	foreign bool            // the vendor shows another job: nothing is written
	last    uint64          // sequence of the last event about the job
	over    bool            // a job-finished or job-unfollowed is stored
	state   schemas.State   // of the last job-changed that is stored
	reason  *schemas.Reason // the last one seen while the job was active
	seen    string          // the status in which it was last seen
	err     error
}

// report begins to write what follows from news about a job. While an event about the job is
// being written, its end waits; a change is told later if it lasts.
func (s *session) report(work context.Context, n news) {
	if n.job.busy {
		if n.outcome != "" {
			n.job.after = &n
		}
		return
	}
	s.launch(work, &flight{job: n.job, news: n})
}

// giveUp begins to write a job-unfollowed for each job that was followed for too long.
func (s *session) giveUp(work context.Context, now time.Time) {
	for _, j := range s.book.expired(now, s.follower.cfg.For) {
		why := fmt.Sprintf("the job has not ended within %s", s.follower.cfg.For)
		switch {
		case j.seen.foreign != "":
			why = fmt.Sprintf("the vendor shows another job under this id, of %s", j.seen.foreign)
		case !j.absent.since.IsZero() || j.seen.at.IsZero():
			why = fmt.Sprintf("the vendor does not show the job, and has not shown its end within %s", s.follower.cfg.For)
		}
		s.launch(work, &flight{job: j, why: why})
	}
}

func (s *session) launch(work context.Context, f *flight) {
	f.job.busy = true
	f.last, f.reason, f.seen = f.job.last, f.job.reason, f.job.seen.status
	if f.job.seen.foreign != "" {
		f.reason, f.seen = nil, ""
	}
	s.flights.flying++
	s.flights.running.Go(func() {
		select {
		case s.flights.slots <- struct{}{}:
			f.err = s.write(work, f)
			<-s.flights.slots
		case <-work.Done():
			f.err = context.Cause(work)
		}
		select {
		case s.flights.landings <- f:
		case <-s.flights.over:
		}
	})
}

// landed takes over the result of a flight, and acknowledges the message of a job that is over
// if the message has no other job.
func (s *session) landed(work context.Context, f *flight) error {
	j := f.job
	j.busy = false
	if f.err != nil {
		return f.err
	}
	j.last = f.last
	if f.foreign {
		s.foreign(j, f.news.info.Names)
		return nil
	}
	j.seen.foreign = ""
	if f.over {
		if s.book.remove(j) {
			s.settle(j.of.reply, "+ACK")
		}
		return nil
	}
	j.told = f.state
	if n := j.after; n != nil {
		j.after = nil
		s.report(work, *n)
	}
	return nil
}

// foreign notes that the vendor shows another job under the id of a job.
func (s *session) foreign(j *job, names vendorapi.JobNames) {
	j.after, j.reason = nil, nil
	who := fmt.Sprintf("client %q and content group %q", names.Client, names.Subclient)
	if j.seen.foreign != who {
		s.follower.log.Warn().Str("jobId", j.id).Str("clientName", names.Client).Str("subclientName", names.Subclient).
			Msg("the vendor shows another job under the id of a job that is followed: its end is not reported")
	}
	j.seen.foreign = who
}

// write writes the event of a flight. Every event about a job is written after the last one
// about it, whatever its kind: a reader that was frozen writes nothing behind an end, and of two
// ends one is stored.
func (s *session) write(ctx context.Context, f *flight) error {
	of, err := s.origin(ctx, f.job)
	if errors.Is(err, errNoOrigin) {
		s.follower.log.Error().Err(err).Str("jobId", f.job.id).Uint64("sequence", f.job.of.sequence).Msg("nothing can be reported about a job")
		f.over = true
		return nil
	}
	if err != nil {
		return err
	}
	if f.why == "" && !f.news.info.Names.Match(named(of.started.Naming)) {
		f.foreign = true
		return nil
	}
	e := s.event(ctx, f, of.started)
	for {
		sequence, err := s.append(ctx, of, f.last, e)
		if err == nil {
			f.last, f.over, f.state = sequence, e.Kind() != schemas.KindJobChanged, f.news.state
			s.wrote(e, of.trace)
			return nil
		}
		if !errors.Is(err, publisher.ErrConflict) {
			return err
		}
		// Another reader has written, or the acknowledgement of the same write was lost.
		st, err := s.stored(ctx, of.key, f.job.id)
		if err != nil {
			return err
		}
		f.last, f.over, f.state = st.sequence, st.over, st.state
		if f.over || e.Kind() == schemas.KindJobChanged {
			return nil
		}
	}
}

func named(n schemas.Naming) vendorapi.JobNames {
	return vendorapi.JobNames{Client: n.ClientName, Instance: n.InstanceName, Backupset: n.BackupsetName, Subclient: n.SubclientName}
}

// append writes an event after the one with the sequence last. An event that is too large is
// written without a part of its texts and lists.
func (s *session) append(ctx context.Context, of origin, last uint64, e schemas.JobEvent) (uint64, error) {
	sequence, err := s.follower.pub.AppendJob(ctx, of.key, last, e, of.trace)
	for _, size := range cappedSizes {
		if !errors.Is(err, publisher.ErrTooLarge) {
			break
		}
		capped := schemas.Capped(e, size).(schemas.JobEvent)
		sequence, err = s.follower.pub.AppendJob(ctx, of.key, last, capped, of.trace)
	}
	return sequence, err
}

// cappedSizes are the sizes in bytes to which an event's lists and texts are shortened, one after
// the other, if the event is too large for the stream.
var cappedSizes = []int{64 << 10, 8 << 10, 1 << 10}

// event returns the event that a flight writes.
func (s *session) event(ctx context.Context, f *flight, started *schemas.JobStarted) schemas.JobEvent {
	now, info := time.Now().UTC(), f.news.info
	job := schemas.JobRef{JobID: f.job.id, TaskID: started.TaskID}
	switch {
	case f.news.outcome != "":
		e := finished(started, f.job.id, info, f.news.outcome, now)
		e.Reasons, e.By = s.reasons(ctx, f)
		return e
	case f.news.state != "":
		e := &schemas.JobChanged{
			Naming: started.Naming, Message: started.Message, JobRef: job,
			State: f.news.state, VendorStatus: info.Status, Phase: info.Phase, ChangedAt: now,
		}
		if info.Percent > 0 {
			e.Percent = &info.Percent
		}
		if r := f.reason; r != nil && f.news.state != schemas.StateRunning {
			e.Reasons = []schemas.Reason{withLogCode(*r)}
		}
		return e
	default:
		return &schemas.JobUnfollowed{
			Naming: started.Naming, Message: started.Message, JobRef: job,
			Reason: f.why, LastStatus: f.seen, UnfollowedAt: now,
		}
	}
}

// finished returns the event about a job that has ended, without reasons. What the vendor did not
// say is left out.
func finished(started *schemas.JobStarted, id string, info vendorapi.JobInfo, outcome schemas.Outcome, now time.Time) *schemas.JobFinished {
	e := &schemas.JobFinished{
		Naming: started.Naming, Message: started.Message, JobRef: schemas.JobRef{JobID: id, TaskID: started.TaskID},
		Outcome: outcome, VendorStatus: info.Status, VendorBackupLevel: info.Level,
		JobSizes: info.Sizes,
		JobTimes: schemas.JobTimes{ObservedAt: now},
	}
	if !info.Started.IsZero() {
		e.StartedAt = info.Started.UTC()
	}
	switch {
	case !info.Ended.IsZero():
		e.EndedAt = info.Ended.UTC()
	case !info.Updated.IsZero():
		e.EndedAt, e.EndedFrom = info.Updated.UTC(), schemas.EndedFromUpdate
	}
	if outcome.KeptAll() {
		e.Empty = empty(info.Sizes)
	}
	return e
}

// empty reports whether a job that completed has moved nothing, nil if that is not known.
func empty(sizes schemas.JobSizes) *bool {
	some := func(n *int64) bool { return n != nil && *n > 0 }
	moved := some(sizes.Files) || some(sizes.Bytes)
	if !moved && (sizes.Files == nil || sizes.Bytes == nil) {
		return nil
	}
	nothing := !moved
	return &nothing
}

// wrote tells the observer of an event that was written, and logs it.
func (s *session) wrote(e schemas.Event, trace string) {
	f := s.follower
	switch e := e.(type) {
	case *schemas.JobFinished:
		f.cfg.Observer.Finished(e, trace)
		level := f.log.Info()
		if !e.Outcome.KeptAll() {
			level = f.log.Warn()
		}
		line := level.Str("requestId", e.RequestID).Str("source", e.Source).Str("jobId", e.JobID).Str("outcome", string(e.Outcome))
		if len(e.Reasons) > 0 {
			line = line.Str("reason", e.Reasons[0].Text)
		}
		line.Msg("job finished")
	case *schemas.JobChanged:
		f.cfg.Observer.Changed(e, trace)
	case *schemas.JobUnfollowed:
		f.cfg.Observer.Unfollowed(e, trace)
		f.log.Warn().Str("requestId", e.RequestID).Str("source", e.Source).Str("jobId", e.JobID).Str("lastStatus", e.LastStatus).Msg("job not followed any longer: " + e.Reason)
	}
}
