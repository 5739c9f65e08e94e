package simulator

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// jobAction answers POST Job/{id}/action/{pause|resume|kill|Resubmit}.
//
// Recorded: {} for success; errors[0].errList[0] otherwise; jobIds for Resubmit (Postman
// collection, SDK). Assumed: texts and codes.
func (s *Simulator) jobAction(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.args[1] == "resubmit" {
		return s.resubmit(c)
	}
	if err := s.act(c.args[1], c.args[0], "", c); err != nil {
		return jobOpFailed(err)
	}
	return ok("JobManager_PerformJobOpResp", nil)
}

// multiJobOperation answers POST Jobs/MultiJobOperation.
//
// Recorded: the request, and 0 for suspend (vendor's MCP server); the words (SDK). The
// numbers of the other operations are unknown and refused. Assumed: the answer, and that
// operationDescription is the reason of the event.
func (s *Simulator) multiJobOperation(c *call) answer {
	var req struct {
		JobOpReq struct {
			OperationType scalar `json:"operationType"`
			Jobs          []struct {
				JobID scalar `json:"jobId"`
			} `json:"jobs"`
		} `json:"jobOpReq"`
		OperationDescription scalar `json:"operationDescription"`
	}
	if err := json.Unmarshal(c.body, &req); err != nil || len(req.JobOpReq.Jobs) == 0 {
		return badRequest()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	action := actionOf(req.JobOpReq.OperationType)
	var failures []error
	for _, j := range req.JobOpReq.Jobs {
		if err := s.act(action, string(j.JobID), string(req.OperationDescription), c); err != nil {
			failures = append(failures, err)
		}
	}
	if failures != nil {
		return jobOpFailed(failures...)
	}
	return ok("JobManager_PerformJobOpResp", nil)
}

func jobOpFailed(failures ...error) answer {
	var list []fields
	for _, err := range failures {
		list = append(list, fields{{"errList", []fields{{{"errorCode", 5}, {"errLogMessage", err.Error()}}}}})
	}
	return ok("JobManager_PerformJobOpResp", fields{{"errors", list}})
}

// act applies an action to a job.
func (s *Simulator) act(action, id, why string, c *call) error {
	number, _ := strconv.Atoi(id)
	j := s.jobs.byID(number, c.now)
	if j == nil {
		return fmt.Errorf("Job [%s] does not exist.", id) //nolint:staticcheck // the vendor's text
	}
	m := j.at(c.now)
	if m.ended {
		return fmt.Errorf("Job [%s] is not active.", id) //nolint:staticcheck // the vendor's text
	}
	before, rest := j.course.upTo(j.done(c.now))
	switch action {
	case "kill":
		s.kill(j, before, c.user.Name, why, c.now)
	case "pause":
		if m.Status == statusSuspended || m.Status == statusSuspending {
			return fmt.Errorf("Job [%s] is already suspended.", id) //nolint:staticcheck // the vendor's text
		}
		s.pause(j, before, rest, c.user.Name, why, c.now)
	case "resume":
		if m.runs() {
			return fmt.Errorf("Job [%s] is running.", id) //nolint:staticcheck // the vendor's text
		}
		s.resume(j, before, rest, c.user.Name, c.now)
	default:
		return fmt.Errorf("The simulator does not support the action [%s].", action) //nolint:staticcheck // the vendor's text
	}
	return nil
}

// kill ends a job, after Config.ActionTime in Kill Pending.
func (s *Simulator) kill(j *job, before []Step, by, why string, now time.Time) {
	if s.cfg.ActionTime > 0 {
		before = append(before, Step{Status: statusKilling, For: s.cfg.ActionTime})
	}
	later := j.course.end.Later
	later.Resubmitted = false
	s.jobs.change(j, j.course.with(before, End{Status: statusKilled, By: by, Reason: why, Later: later}), now)
}

// pause suspends a job until it is resumed, after Config.ActionTime in Suspend Pending.
func (s *Simulator) pause(j *job, before, rest []Step, by, why string, now time.Time) {
	if s.cfg.ActionTime > 0 {
		before = append(before, Step{Status: statusSuspending, For: s.cfg.ActionTime})
	}
	before = append(before, Step{Status: statusSuspended, For: Forever, By: by, Reason: why})
	s.jobs.change(j, j.course.with(append(before, rest...), j.course.end), now)
}

// resume ends the step of a job that does not run. Assumed: a queued job runs too.
func (s *Simulator) resume(j *job, before, rest []Step, by string, now time.Time) {
	if begun := !j.runs.IsZero() && !j.runs.After(now); begun && len(rest) > 0 {
		rest = rest[1:]
	}
	if len(rest) == 0 && j.course.endless {
		rest = []Step{{Status: statusRunning, For: s.cfg.JobDuration}}
	}
	j.log = append(j.log, event{at: now, code: "19:979", text: "The job was resumed by user [" + by + "]."})
	s.jobs.change(j, j.course.with(append(before, rest...), j.course.end), now)
}

// resubmit starts the backup of an ended job again under a new id.
func (s *Simulator) resubmit(c *call) answer {
	j := s.jobOf(c)
	if j == nil {
		return jobOpFailed(fmt.Errorf("Job [%s] does not exist.", c.args[0])) //nolint:staticcheck // the vendor's text
	}
	if !j.final(c.now) {
		return jobOpFailed(fmt.Errorf("Job [%s] is active.", c.args[0])) //nolint:staticcheck // the vendor's text
	}
	how := launch{queue: s.cfg.Conflict == ConflictQueue, course: s.lives.next(j.group, j.asked.description, len(s.jobs.jobs)), from: j}
	again := s.jobs.start(j.group, c.user, j.asked, how, c.now)
	s.jobs.tasks++
	if scalar(c.r.URL.Query().Get("startInSuspendedState")).isTrue() {
		before, rest := again.course.upTo(0)
		s.pause(again, before, rest, c.user.Name, "", c.now)
	}
	return ok("TMMsg_CreateTaskResp", fields{{"jobIds", []string{strconv.Itoa(again.id)}}})
}

// SetLife gives an active job another life from now on. It returns an error if the job does
// not exist or has ended.
func (s *Simulator) SetLife(jobID string, l Life) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, err := strconv.Atoi(jobID)
	i := id - firstJobID
	if err != nil || i < 0 || i >= len(s.jobs.jobs) {
		return fmt.Errorf("no job %q", jobID)
	}
	j, now := s.jobs.jobs[i], s.now()
	if j.final(now) {
		return fmt.Errorf("job %s has ended", jobID)
	}
	before, _ := j.course.upTo(j.done(now))
	next := newCourse(l, s.cfg.JobDuration)
	next.steps = append(before, next.steps...)
	next.sum()
	s.jobs.change(j, next, now)
	if next.end.Later.Resubmitted && j.next == nil {
		s.jobs.follow(j, now)
	}
	return nil
}
