package simulator

import (
	"encoding/json"
	"strconv"
	"strings"
)

// commServ answers GET CommServ. Recorded: the members (SDK). Assumed: the values.
func (*Simulator) commServ(*call) answer {
	return ok("App_GetCommServInfoResp", fields{
		{"hostName", "simulator.invalid"},
		{"timeZone", "0:0:UTC"},
		{"currentSPVersion", 40},
		{"csVersionInfo", "11 SP40.2"},
		{"releaseName", "11"},
		{"commcell", fields{{"commCellId", 2}, {"commCellName", "simulator"}, {"csGUID", "00000000-0000-0000-0000-000000000002"}}},
		{"csTimeZone", fields{{"TimeZoneName", "UTC"}}},
	})
}

// accessNodes answers GET VSAClientAndClientGroupList. Recorded: the shape, which the SDK
// reads with the list of clients.
func (*Simulator) accessNodes(*call) answer {
	return ok("App_VSAClientAndClientGroupListResp", fields{{"clients", []fields{}}})
}

// jobManagement answers GET CommServ/JobManagementSetting. Recorded: the members (SDK).
func (s *Simulator) jobManagement(*call) answer {
	return ok("App_JobManagementSettingsResp", fields{{"jobManagementSettings", fields{
		{"generalSettings", fields{
			{"queueJobsIfConflictingJobsActive", s.cfg.Conflict == ConflictQueue},
			{"queueJobsIfActivityDisabled", false},
			{"doNotStartBackupsOnDisabledClient", true},
		}},
		{"jobRestartSettings", fields{{"jobTypeRestartSettingList", []fields{}}}},
		{"jobPrioritySettings", fields{{"jobTypePriorityList", []fields{}}}},
		{"jobUpdatesSettings", fields{{"recurringUpdates", []fields{}}}},
	}}})
}

// qCommand answers POST QCommand/qoperation execute: an operation on all active jobs.
//
// Recorded: the request, and error.errorCode 0 for success (SDK). Assumed: jobs that the
// operation does not suit are left as they are.
func (s *Simulator) qCommand(c *call) answer {
	var req struct {
		Multi *struct {
			JobOpReq struct {
				OperationType scalar `json:"operationType"`
			} `json:"jobOpReq"`
			Message scalar `json:"message"`
		} `json:"JobManager_PerformMultiCellJobOpReq"`
	}
	if err := json.Unmarshal(c.body, &req); err != nil || req.Multi == nil || req.Multi.Message != "ALL_JOBS" {
		return refused(2, "The simulator supports only operations on all jobs.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs.index.settle(c.now)
	action := actionOf(req.Multi.JobOpReq.OperationType)
	for _, j := range s.jobs.index.active {
		s.act(action, strconv.Itoa(j.id), "All jobs", c)
	}
	return ok("JobManager_PerformJobOpResp", fields{{"error", fields{{"errorCode", 0}}}})
}

// actionOf returns the action of an operationType.
func actionOf(operation scalar) string {
	switch action := strings.TrimPrefix(strings.ToLower(string(operation)), "job_"); action {
	case "0", "suspend":
		return "pause"
	default:
		return action
	}
}
