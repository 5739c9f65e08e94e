package simulator

import (
	"cmp"
	"strconv"
	"time"
)

// summary returns the fields of a job in job lists. Documented and recorded: the members
// (Postman collection); most are absent when they are empty.
func (s *Simulator) summary(j *job, now time.Time) fields {
	m := j.at(now)
	until := now
	if m.ended {
		until = j.end()
	}
	jobType, opType := j.kind()
	list := fields{
		{"jobId", j.id},
		{"status", m.Status},
		{"localizedStatus", cmp.Or(s.cfg.Localized[m.Status], m.Status)},
		{"jobType", jobType},
		{"localizedOperationName", jobType},
		{"opType", opType},
		{"backupLevel", j.level().inAnswer},
		{"backupLevelName", j.level().nameInAnswer},
		{"jobStartTime", j.created.Unix()},
	}
	if m.ended && !s.cfg.OldRelease {
		list = append(list, field{"jobEndTime", until.Unix()})
	}
	list = append(list, fields{
		{"lastUpdateTime", until.Unix()},
		{"jobElapsedTime", int(m.ran / time.Second)},
		{"percentComplete", j.progress(m)},
		{"isVisible", true},
		{"isAged", j.aged(now)},
		{"appTypeName", j.group.set.client.appName},
		{"destClientName", j.group.set.client.name},
	}...)
	if !s.cfg.OldRelease {
		list = append(list, j.figures(m).summary()...)
	}
	if m.runs() {
		list = append(list, field{"currentPhaseName", "Backup"})
	}
	if m.ended && s.cfg.ForgetReasons {
		m.Reason, m.Code = "", ""
	}
	if m.Reason != "" {
		list = append(list, field{"pendingReason", m.Reason})
	}
	if m.Code != "" {
		list = append(list, field{"pendingReasonErrorCode", m.Code})
	}
	if code := j.course.end.SubmitError; m.ended && code != 0 { // Recorded: 14 or 8, with percentComplete 100 and jobElapsedTime 0
		list = append(list, field{"jobSubmitErrorCode", code})
	}
	list = append(list, field{"subclient", j.group.entity()})
	if j.asked.plan != "" {
		list = append(list, field{"storagePolicy", fields{{"storagePolicyName", j.asked.plan}}})
	}
	if !s.cfg.OldRelease {
		list = append(list, fields{
			{"destinationClient", fields{{"clientId", j.group.set.client.id}, {"clientName", j.group.set.client.name}}},
			{"userName", fields{{"userName", j.user.Name}, {"userId", j.user.id}}},
			{"clientGroups", []fields{}},
		}...)
	}
	return list
}

// figures is what a job has moved.
type figures struct {
	files, failedFiles, failedFolders, bytes, mediaBytes int64
}

// figures returns what the job has moved by a moment. Assumed: the numbers, which depend on
// the job's id and grow with its work.
func (j *job) figures(m moment) figures {
	end := &j.course.end
	switch {
	case end.Empty, m.ended && (end.Status == statusFailedToStart || end.Status == statusNoRun):
		return figures{}
	}
	files := int64(1000 + 37*(j.id%100))
	f := figures{files: files, bytes: files * 65_536, mediaBytes: files * 24_576}
	if work := j.course.work; !m.ended || m.worked < work {
		done := int64(0)
		if work > 0 {
			done = int64(1000 * m.worked / work)
		}
		f.files, f.bytes, f.mediaBytes = f.files*done/1000, f.bytes*done/1000, f.mediaBytes*done/1000
	}
	if m.ended && (end.Status == statusWithErrors || end.Status == statusFailed) {
		f.failedFiles = 3
		f.files -= min(f.files, 3)
	}
	return f
}

// summary returns the figures as a job summary has them. Recorded: the members (Postman
// collection).
func (f figures) summary() fields {
	savings := 0
	if f.bytes > 0 {
		savings = int(100 - 100*f.mediaBytes/f.bytes)
	}
	return fields{
		{"sizeOfApplication", f.bytes},
		{"sizeOfMediaOnDisk", f.mediaBytes},
		{"percentSavings", percent(savings)},
		{"totalNumOfFiles", f.files},
		{"totalFailedFiles", f.failedFiles},
		{"totalFailedFolders", f.failedFolders},
	}
}

// kind returns jobType and opType. Recorded: 4 is a backup, 14 a synthetic full.
func (j *job) kind() (jobType string, opType int) {
	if j.level().word == "SYNTHETIC_FULL" {
		return "Synthetic Full", 14
	}
	return "Backup", 4
}

// job answers GET Job/{id}. Recorded: the answer for an unknown job, or one that is not yet
// visible, is an empty list with status 200 (SDK).
func (s *Simulator) job(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.jobOf(c); j != nil {
		return s.jobListAnswer([]*job{j}, 1, c.now)
	}
	return s.jobListAnswer(nil, 0, c.now)
}

func (s *Simulator) jobListAnswer(jobs []*job, total int, now time.Time) answer {
	list := fields{{"totalRecordsWithoutPaging", total}}
	if len(jobs) > 0 {
		items := make([]fields, len(jobs))
		for i, j := range jobs {
			items[i] = fields{{"jobSummary", s.summary(j, now)}}
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
	m := j.at(c.now)
	f := j.figures(m)
	_, opType := j.kind()
	progress := fields{{"state", m.Status}, {"percentComplete", j.progress(m)}, {"numOfFilesTransferred", f.files}}
	if m.Reason != "" {
		progress = append(progress, field{"reasonForJobDelay", m.Reason})
	}
	detail := fields{{"startTime", j.created.Unix()}}
	if !s.cfg.OldRelease {
		// Recorded: numbers as text, and -999 for a number that does not exist (Postman collection).
		detail = append(detail, fields{
			{"numOfObjects", strconv.FormatInt(f.files, 10)},
			{"sizeOfApplication", strconv.FormatInt(f.bytes, 10)},
			{"sizeOfMediaOnDisk", strconv.FormatInt(f.mediaBytes, 10)},
			{"unCompressedBytes", strconv.FormatInt(f.bytes, 10)},
			{"compressedBytes", strconv.FormatInt(f.mediaBytes, 10)},
			{"dataWritten", strconv.FormatInt(f.mediaBytes, 10)},
			{"dataXferedNetwork", "-999"},
			{"skippedItems", "0"},
			{"transferTime", strconv.Itoa(int(m.worked / time.Second))},
		}...)
	}
	if m.ended {
		detail = append(detail, field{"endTime", j.end().Unix()})
	}
	return ok("JobManager_JobDetailResponse", fields{{"job", fields{{"jobDetail", fields{
		{"detailInfo", detail},
		{"generalInfo", fields{
			{"jobId", j.id},
			{"jobStartedFrom", "Interactive"},
			{"jobStartedBy", j.user.Name},
			{"startTime", j.created.Unix()},
			{"backupType", j.level().nameInAnswer},
			{"operationType", strconv.Itoa(opType)},
			{"priority", -999},
			{"totalNumOfFiles", -999},
			{"taskData", fields{{"taskId", j.task}, {"subtaskId", j.task}, {"taskName", ""}}},
			{"subclient", j.group.entity()},
		}},
		{"progressInfo", progress},
		{"attemptsInfo", []fields{}},
	}}}}})
}
