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
	if failure := s.act(c.args[1], c.args[0], "", c); failure != "" {
		return jobOpFailed(failure)
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
	var failures []string
	for _, j := range req.JobOpReq.Jobs {
		if failure := s.act(action, string(j.JobID), string(req.OperationDescription), c); failure != "" {
			failures = append(failures, failure)
		}
	}
	if failures != nil {
		return jobOpFailed(failures...)
	}
	return ok("JobManager_PerformJobOpResp", nil)
}

func jobOpFailed(failures ...string) answer {
	var list []fields
	for _, text := range failures {
		list = append(list, fields{{"errList", []fields{{{"errorCode", 2}, {"errLogMessage", text}}}}})
	}
	return ok("JobManager_PerformJobOpResp", fields{{"errors", list}})
}

// act applies an action to a job. It returns "", or why it did not.
func (s *Simulator) act(action, id, why string, c *call) (failure string) {
	number, _ := strconv.Atoi(id)
	j := s.jobs.byID(number, c.now)
	if j == nil {
		return "Job [" + id + "] does not exist."
	}
	m := j.at(c.now)
	if m.ended {
		return "Job [" + id + "] is not active."
	}
	before, rest := j.course.upTo(j.done(c.now))
	switch action {
	case "kill":
		s.kill(j, before, c.user.Name, why, c.now)
	case "pause":
		if m.Status == statusSuspended || m.Status == statusSuspending {
			return "Job [" + id + "] is already suspended."
		}
		s.pause(j, before, rest, c.user.Name, why, c.now)
	case "resume":
		if m.runs() {
			return "Job [" + id + "] is running."
		}
		s.resume(j, before, rest, c.user.Name, c.now)
	default:
		return "The simulator does not support the action [" + action + "]."
	}
	return ""
}

// kill ends a job, after Config.ActionTime in Kill Pending.
func (s *Simulator) kill(j *job, before []Step, by, why string, now time.Time) {
	if s.cfg.ActionTime > 0 {
		before = append(before, Step{Status: statusKilling, For: s.cfg.ActionTime})
	}
	after := j.course.end.Later
	after.Resubmitted = false
	s.jobs.change(j, j.course.with(before, End{Status: statusKilled, By: by, Reason: why, Later: after}), now)
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
		return jobOpFailed("Job [" + c.args[0] + "] does not exist.")
	}
	if !j.final(c.now) {
		return jobOpFailed("Job [" + c.args[0] + "] is active.")
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
