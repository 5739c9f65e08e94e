package simulator

import (
	"strconv"
	"strings"
)

// createTask answers POST CreateTask: it starts backup jobs.
func (s *Simulator) createTask(c *call) answer {
	var req createTask
	if err := readBody(c.r.Header, c.body, &req); err != nil || req.TaskInfo == nil {
		return badRequest()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(req.TaskInfo.Associations) == 0 {
		// Recorded: code and text (SMA client's tests).
		return refused(587204050, "Failed to run task. No associations exist.")
	}
	asked, refusal := s.readOrder(req.TaskInfo)
	if refusal != nil {
		return *refusal
	}
	var groups []*group
	for _, a := range req.TaskInfo.Associations {
		groups = append(groups, s.dir.resolve(a)...)
	}
	if len(groups) == 0 {
		// Documented: the vendor's page, with the space at the end. Assumed: for
		// every name that does not exist.
		return refused(587207178, "Failed to start backups as no eligible subclients were found. ")
	}
	if s.cfg.Conflict == ConflictRefuse {
		for _, g := range groups {
			if g.last != nil && !g.last.final(c.now) {
				// Recorded: code 2 is taken for "already running" (Morpheus). Assumed: the text, and status 200.
				return refused(2, "Error 0x101: Another backup is running for the subclient ["+g.name+"].")
			}
		}
	}
	return s.startJobs(c, groups, asked, req.TaskInfo.Task.TaskType)
}

// readOrder returns what the request asks of each job, or a refusal.
func (s *Simulator) readOrder(t *taskInfo) (asked order, refusal *answer) {
	refuse := func(text string) (order, *answer) { // Assumed: code 2 is the Job Manager's catch-all
		a := refused(2, text)
		return order{}, &a
	}
	if len(t.SubTasks) == 0 {
		return refuse("Failed to run task. No subtasks exist.")
	}
	sub := t.SubTasks[0]
	if !oneOf(sub.SubTask.SubTaskType, "BACKUP", "2") || !oneOf(sub.SubTask.OperationType, "BACKUP", "2") {
		return refuse("The simulator supports only backups.")
	}
	opts := sub.Options.BackupOpts
	level, known := parseLevel(string(opts.BackupLevel))
	if !known { // Assumed: a word outside of the enumeration does not deserialise
		a := badRequest()
		return order{}, &a
	}
	plan := string(opts.MediaOpt.StoragePolicy.StoragePolicyName)
	if plan != "" && !s.dir.hasPlan(plan) {
		return refuse("Invalid storage policy [" + plan + "].")
	}
	return order{
		level:       level,
		description: string(sub.Options.CommonOpts.JobDescription),
		plan:        plan,
		inputFile:   string(opts.OnDemandInputFile),
		adHoc:       opts.AdHocBackup.isTrue(),
	}, nil
}

// oneOf reports whether an optional value is absent, the word or the number.
func oneOf(s scalar, word, number string) bool {
	return s == "" || strings.EqualFold(string(s), word) || string(s) == number
}

// startJobs creates a task with a job for each content group.
//
// Documented: taskId and jobIds, the latter repeated. Recorded: a task that is
// not immediate gives a taskId only (SDK).
func (s *Simulator) startJobs(c *call, groups []*group, asked order, taskType scalar) answer {
	how := launch{queue: s.cfg.Conflict == ConflictQueue}
	ending := ""
	start := oneOf(taskType, "IMMEDIATE", "1")
	taskOnly := !start
	switch f := c.fault; f.Kind {
	case TaskOnly:
		start, taskOnly, how.late = f.For > 0, true, f.For
	case LateStart:
		how.late = f.span()
	case FailedToStart:
		ending = statusFailedToStart
	case EndsFailed:
		ending = statusFailed
	case EndsWithErrors:
		ending = statusWithErrors
	case EndsCommitted:
		ending = statusCommitted
	}
	task := firstTaskID + s.jobs.tasks
	var ids []string
	if start {
		for _, g := range groups {
			how.course = s.courseOf(ending, g, asked.description)
			j := s.jobs.start(g, c.user, asked, how, c.now)
			ids = append(ids, strconv.Itoa(j.id))
			if how.course.end.Later.Resubmitted {
				s.jobs.follow(j, c.now)
			}
		}
	}
	s.jobs.tasks++
	if taskOnly {
		ids = nil
	}
	list := fields{{"taskId", task}}
	if ids != nil {
		list = append(list, field{"jobIds", ids})
	}
	return ok("TMMsg_CreateTaskResp", list)
}

// courseOf returns the course of a new job: the end of a fault, or what the lives select.
func (s *Simulator) courseOf(ending string, g *group, description string) *course {
	if ending == "" {
		return s.lives.next(g, description, len(s.jobs.jobs))
	}
	l := Life{Steps: []Step{{Status: statusRunning}}, End: End{Status: ending}}
	if ending == statusFailedToStart {
		l.Steps = nil
	}
	return newCourse(l, s.cfg.JobDuration)
}

// refused returns a refusal. Documented: the vendor's page, errorMessage first.
func refused(code int, text string) answer {
	return ok("TMMsg_GenericResp", fields{{"errorMessage", text}, {"errorCode", code}})
}

// taskDetails answers GET Job/{id}/TaskDetails with what the job's request asked.
//
// Recorded: taskInfo, and error.errList with errorMessage for an unknown job (SDK).
// Assumed: that jobDescription is in it, hence HideDescriptions.
func (s *Simulator) taskDetails(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobOf(c)
	if j == nil {
		return ok("TMMsg_JobTaskDetailsResp", fields{{"error", fields{{"errList", []fields{
			{{"errorCode", 2}, {"errorMessage", "Task details not available for job [" + c.args[0] + "]."}}}}}}})
	}
	common := fields{{"notifyUserOnJobCompletion", false}}
	hidden := s.cfg.HideDescriptions || c.now.Before(j.created.Add(s.cfg.DescribedAfter))
	if j.asked.description != "" && !hidden {
		common = append(common, field{"jobDescription", j.asked.description})
	}
	backup := fields{
		{"backupLevel", enum{j.asked.level.word, j.asked.level.inRequest}},
		{"adHocBackup", j.asked.adHoc},
	}
	if j.asked.inputFile != "" {
		backup = append(backup, field{"onDemandInputFile", j.asked.inputFile})
	}
	if j.asked.plan != "" {
		backup = append(backup, field{"mediaOpt", fields{{"storagePolicy", fields{{"storagePolicyName", j.asked.plan}}}}})
	}
	return ok("TMMsg_JobTaskDetailsResp", fields{{"taskInfo", fields{
		{"task", fields{
			{"taskId", j.task},
			{"taskType", enum{"IMMEDIATE", 1}},
			{"initiatedFrom", enum{"COMMANDLINE", 2}},
			{"policyType", enum{"DATA_PROTECTION", 0}},
			{"ownerName", j.user.Name},
		}},
		{"associations", []fields{j.group.entity()}},
		{"subTasks", []fields{{
			{"subTask", fields{{"subTaskType", enum{"BACKUP", 2}}, {"operationType", enum{"BACKUP", 2}}}},
			{"options", fields{{"backupOpts", backup}, {"commonOpts", common}}},
		}}},
	}}})
}

// jobOf returns the visible job that a call's path names, or nil.
func (s *Simulator) jobOf(c *call) *job {
	id, err := strconv.Atoi(c.args[0])
	if err != nil {
		return nil
	}
	return s.jobs.byID(id, c.now)
}
