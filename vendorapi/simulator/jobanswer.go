package simulator

import (
	"strconv"
	"time"
)

// summary returns the fields of a job in job lists. Documented and recorded: the members
// (Postman collection); most are absent when they are empty.
func (j *job) summary(now time.Time) fields {
	status, ended := j.status(now), j.final(now)
	until := now
	if ended {
		until = j.end()
	}
	elapsed := 0
	if !j.runs.IsZero() && until.After(j.runs) && j.ending != statusFailedToStart {
		elapsed = int(until.Sub(j.runs) / time.Second)
	}
	jobType, opType := j.kind()
	list := fields{
		{"jobId", j.id},
		{"status", status},
		{"localizedStatus", status},
		{"jobType", jobType},
		{"localizedOperationName", jobType},
		{"opType", opType},
		{"backupLevel", j.asked.level.inAnswer},
		{"backupLevelName", j.asked.level.nameInAnswer},
		{"jobStartTime", j.created.Unix()},
	}
	if ended {
		list = append(list, field{"jobEndTime", j.end().Unix()})
	}
	list = append(list, fields{
		{"lastUpdateTime", until.Unix()},
		{"jobElapsedTime", elapsed},
		{"percentComplete", j.progress(now)},
		{"isVisible", true},
		{"isAged", false},
		{"appTypeName", j.group.set.client.appName},
		{"destClientName", j.group.set.client.name},
	}...)
	if status == statusRunning {
		list = append(list, field{"currentPhaseName", "Backup"})
	}
	if reason := j.delay(status); reason != "" {
		list = append(list, field{"pendingReason", reason})
	}
	if status == statusFailedToStart { // Recorded: 14 or 8, with percentComplete 100 and jobElapsedTime 0
		list = append(list, field{"jobSubmitErrorCode", 14})
	}
	return append(list, fields{
		{"subclient", j.group.entity()},
		{"userName", fields{{"userName", j.user.Name}, {"userId", j.user.id}}},
		{"clientGroups", []fields{}},
	}...)
}

// kind returns jobType and opType. Recorded: 4 is a backup, 14 a synthetic full.
func (j *job) kind() (jobType string, opType int) {
	if j.asked.level.word == "SYNTHETIC_FULL" {
		return "Synthetic Full", 14
	}
	return "Backup", 4
}

// delay returns why a job is waiting or has failed, or "". Assumed: the texts.
func (j *job) delay(status string) string {
	switch {
	case status == statusQueued && j.runs.IsZero():
		return "The operation is not allowed to run in the current operation window."
	case status == statusQueued:
		return "Another job is running for the subclient. The job is queued."
	case status == statusFailedToStart:
		return "License [Cloud Apps] is not active at this time."
	case status == statusFailed:
		return "Failed to access the object storage. Please check the credentials."
	}
	return ""
}

// job answers GET Job/{id}. Recorded: the answer for an unknown job, or one that is not yet
// visible, is an empty list with status 200 (SDK).
func (s *Simulator) job(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.jobOf(c); j != nil {
		return jobListAnswer([]*job{j}, 1, c.now)
	}
	return jobListAnswer(nil, 0, c.now)
}

func jobListAnswer(jobs []*job, total int, now time.Time) answer {
	list := fields{{"totalRecordsWithoutPaging", total}}
	if len(jobs) > 0 {
		items := make([]fields, len(jobs))
		for i, j := range jobs {
			items[i] = fields{{"jobSummary", j.summary(now)}}
		}
		list = append(list, field{"jobs", items})
	}
	return ok("JobManager_JobListResponse", list)
}

// jobDetails answers POST JobDetails. Documented: the request, also in XML, and the answer.
func (s *Simulator) jobDetails(c *call) answer {
	var req struct {
		JobID scalar `json:"jobId" xml:"jobId,attr"`
	}
	if err := readBody(c.r.Header, c.body, &req); err != nil {
		return badRequest()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.args = []string{string(req.JobID)}
	j := s.jobOf(c)
	if j == nil { // Recorded: the shape (SDK). Assumed: code and text.
		return ok("JobManager_JobDetailResponse", fields{{"error", fields{{"errList", []fields{
			{{"errorCode", 2}, {"errLogMessage", "Job [" + string(req.JobID) + "] does not exist."}}}}}}})
	}
	status := j.status(c.now)
	_, opType := j.kind()
	progress := fields{{"state", status}, {"percentComplete", j.progress(c.now)}}
	if reason := j.delay(status); reason != "" {
		progress = append(progress, field{"reasonForJobDelay", reason})
	}
	detail := fields{{"startTime", j.created.Unix()}, {"numOfObjects", 0}}
	if j.final(c.now) {
		detail = append(detail, field{"endTime", j.end().Unix()})
	}
	return ok("JobManager_JobDetailResponse", fields{{"job", fields{{"jobDetail", fields{
		{"detailInfo", detail},
		{"generalInfo", fields{
			{"jobId", j.id},
			{"jobStartedFrom", "Interactive"},
			{"jobStartedBy", j.user.Name},
			{"startTime", j.created.Unix()},
			{"backupType", j.asked.level.nameInAnswer},
			{"operationType", strconv.Itoa(opType)},
			{"priority", -999},
			{"totalNumOfFiles", -999},
			{"taskData", fields{{"taskId", j.task}, {"subtaskId", j.task}, {"taskName", ""}}},
			{"subclient", j.group.entity()},
		}},
		{"progressInfo", progress},
	}}}}})
}

// events answers GET Events?jobId=. Recorded: the members, and the event of a
// job without a licence (Postman collection). Other jobs have no events here.
func (s *Simulator) events(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.args = []string{c.r.URL.Query().Get("jobId")}
	list := []fields{}
	if j := s.jobOf(c); j != nil && j.ending == statusFailedToStart {
		list = append(list, fields{
			{"id", j.id},
			{"jobId", j.id},
			{"eventCode", "318767272"},
			{"eventCodeString", "19:168"},
			{"severity", 9},
			{"subsystem", "JobManager"},
			{"description", j.delay(statusFailedToStart)},
			{"timeSource", j.created.Unix()},
		})
	}
	return ok("CVGui_CommservEventsResp", fields{{"commservEvents", list}})
}
