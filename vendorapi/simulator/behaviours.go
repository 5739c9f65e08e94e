package simulator

import (
	"slices"
	"strings"
)

// Basis is the source of a behaviour.
type Basis string

// The bases.
const (
	Documented Basis = "documented" // the vendor's documentation describes it
	Recorded   Basis = "recorded"   // in saved answers, or relied on by published clients
	Assumed    Basis = "assumed"    // neither: the most plausible choice
)

// A Behaviour is a simulated behaviour of Commvault. The name of a fault's behaviour is
// "fault " and its kind.
type Behaviour struct {
	Name  string `json:"name"`
	Basis Basis  `json:"basis"`
	Text  string `json:"text"`
}

const faultPrefix = "fault "

var behaviours = []Behaviour{
	{"login token", Documented, "Login (XML or JSON, Base64 password) gives a token for the Authtoken header; it ends after 30 minutes of inactivity, or Login's timeout"},
	{"login refused", Recorded, "status 200 with errList and without token; code 1116"},
	{"account lock", Assumed, "documented that it exists; here after 5 bad passwords, for 5 minutes"},
	{"token renewal", Recorded, "RenewLoginToken takes an expired token and ends it"},
	{"access token", Documented, "Bearer token with a refresh token; 30 minutes, renewable by V4/AccessToken/Renew for 14 days; an older pair kills the whole chain"},
	{"access token in Authtoken", Recorded, "accepted as well as in Authorization: Bearer"},
	{"gateway login", Documented, "data.authToken, used as Bearer; assumed: a refusal is JSON with errList"},
	{"access denied", Documented, "status 401, errorCode 5, for a missing, unknown or expired token"},
	{"logout", Recorded, "Logout answers plain text, User logged out"},
	{"formats", Documented, "XML or JSON by Accept, regardless of the request's format; XML without Accept"},
	{"who am I", Recorded, "WhoAmI answers XML even when JSON is accepted"},
	{"paths", Recorded, "in any case; the base path is /webconsole/api or /commandcenter/api"},
	{"start", Documented, "CreateTask answers taskId and one or more jobIds with status 200; the first are 4038 and 5976, as on the vendor's page"},
	{"no eligible subclients", Documented, "code 587207178 with status 200; assumed for every name that does not exist"},
	{"no associations", Recorded, "code 587204050 with status 200"},
	{"unreadable body", Documented, "status 400 with plain text"},
	{"other refusals", Assumed, "unknown plan, no subtask, another operation: code 2 with status 200"},
	{"whole backup set", Recorded, "without subclientName there is a job for each content group"},
	{"no immediate task", Recorded, "a taskId without jobIds"},
	{"names", Assumed, "compared without regard to case; a missing name does not restrict"},
	{"late visibility", Recorded, "GET Job/{id}: an unknown job, or one not yet visible, is an empty list with status 200"},
	{"job list", Recorded, "POST Jobs: category, pagingConfig, completedJobLookupTime, jobTypeList, statusList, backupLevel, clientList, entity; assumed: sortDirection 1 is descending"},
	{"job query", Documented, "GET Job (JobList): clientId, completedJobLookupTime, jobCategory, jobFilter; paging by headers"},
	{"job description", Assumed, "TaskDetails shows the request's jobDescription"},
	{"job life cycle", Documented, "by default Running with a growing percentComplete, then Completed; by script or chance Waiting, Pending, Suspended, Interrupted, Queued and every final status; the states are documented, the times are assumed"},
	{"pending reason", Recorded, "pendingReason and pendingReasonErrorCode of a step; assumed: some ends keep theirs"},
	{"other level", Assumed, "a job may run at another level than was asked, such as Full for the first incremental"},
	{"failed to start", Recorded, "jobSubmitErrorCode 14 or 8, percentComplete 100, jobElapsedTime 0"},
	{"aged job", Assumed, "lists leave it out unless showAgedJobs is set; GET Job/{id} shows it with isAged"},
	{"pruned job", Assumed, "every job request behaves as if it did not exist"},
	{"hidden job", Recorded, "GET Job/{id} is empty for a time (SDK)"},
	{"transfer figures", Recorded, "sizeOfApplication, sizeOfMediaOnDisk, totalNumOfFiles and others; assumed: the numbers; an old release has none, and no jobEndTime"},
	{"job types", Assumed, "jobFilter Backup and SYNTHFULL, in any case"},
	{"job details", Documented, "POST JobDetails: task id, user, progress and the reason of a delay"},
	{"reads", Assumed, "faults of Reads affect every GET that needs a token, apart from those of its endpoint"},
	{"directory", Recorded, "GET Client and GET Subclient?clientId= list the world's clients and content groups with ids"},
	{"advanced details", Documented, "GET Job/{id}/AdvancedDetails?infoType= (AdvancedDetails) answers the job's summary; the retention and copy information is not simulated"},
	{"CommServ", Recorded, "GET CommServ: name, id, time zone and version (SDK)"},
	{"job management", Recorded, "GET CommServ/JobManagementSetting (JobManagementSetting): the settings that queue conflicting jobs"},
	{"all jobs", Recorded, "POST QCommand/qoperation execute (QCommand) with JobManager_PerformMultiCellJobOpReq suspends, resumes or kills all active jobs (SDK); other requests are refused"},
	{"access nodes", Recorded, "GET VSAClientAndClientGroupList (AccessNodes) answers an empty list"},
	{"probe", Recorded, "GET of the base path (Probe) answers 200"},
	{"clock", Recorded, "every answer has a Date header"},
	{"job summary", Recorded, "members, status values and level numbers of the vendor's samples"},
	{"conflicting job", Assumed, "documented that a setting queues or refuses; the refusal is code 2"},
	{"web servers", Assumed, "several servers, each with the login tokens that it issued; by a sticky cookie, or in rotation"},
	{"blackout window", Documented, "jobs get an id, are Queued and run automatically afterwards"},
	{"job actions", Recorded, "Job/{id}/action/{pause|resume|kill|Resubmit} (JobAction) answer {} or errors[0].errList; Resubmit answers the new job's jobIds; assumed: done at once, or after a time in Suspend Pending or Kill Pending"},
	{"several jobs", Recorded, "Jobs/MultiJobOperation (MultiJobOperation): operationType 0 suspends, with a reason; other numbers are refused; assumed: the answer, and the words JOB_SUSPEND, JOB_RESUME, JOB_KILL"},
	{"events", Recorded, "GET Events?jobId= with fromTime, toTime, showInfo, showMinor, showMajor, showCritical: codes and severities; who killed a job and why is in 19:1081 only; assumed: the texts, and 19:1917 for a failed job"},
	{"rate limit", Documented, "status 429 with X-RateLimit-Limit and X-RateLimit-Period, reads and writes apart; assumed: the unit is a second"},

	{faultPrefix + "none", Assumed, "no fault"},
	{faultPrefix + "status", Assumed, "any status, header and body instead of an answer; in a specification the number itself"},
	{faultPrefix + "401", Documented, "the session has ended: 401, code 5"},
	{faultPrefix + "429", Documented, "throttled; X-RateLimit-Period is the fault's time, 1s"},
	{faultPrefix + "500", Recorded, "the web service crashed: nested error; no job"},
	{faultPrefix + "500-refused", Recorded, "the Job Manager's refusal, code 2, with status 500"},
	{faultPrefix + "503", Assumed, "unavailable; Retry-After is the fault's time, 1s; no job"},
	{faultPrefix + "html", Recorded, "503 with an HTML page, no Retry-After; no job"},
	{faultPrefix + "cut-before-start", Assumed, "the connection is closed; no job"},
	{faultPrefix + "delay", Assumed, "the job starts after the fault's time, 1s, unless the client has disconnected"},
	{faultPrefix + "late-start", Assumed, "job and answer come after the fault's time, 5s; the job even if the client has disconnected"},
	{faultPrefix + "slow", Assumed, "the job exists, the answer comes after the fault's time, 1s"},
	{faultPrefix + "hang-after-start", Assumed, "the job exists, no answer; closed after the fault's time, 10m"},
	{faultPrefix + "cut-after-start", Assumed, "the job exists, the connection is closed"},
	{faultPrefix + "reset-after-start", Assumed, "the job exists, the connection is reset"},
	{faultPrefix + "half-body", Assumed, "the job exists, the answer breaks off"},
	{faultPrefix + "trickle", Assumed, "the job exists, the answer comes byte by byte, each after the fault's time, 1s"},
	{faultPrefix + "plain-text", Recorded, "the job exists, the answer is plain text declared as JSON"},
	{faultPrefix + "empty", Recorded, "the job exists, status 200 without a body"},
	{faultPrefix + "malformed-after-start", Assumed, "the job exists, the answer is complete but not well-formed"},
	{faultPrefix + "task-only", Recorded, "a taskId without jobIds; no job, or one after the fault's time"},
	{faultPrefix + "failed-to-start", Recorded, "the job has an id and the status Failed to Start"},
	{faultPrefix + "ends-failed", Documented, "the job ends as Failed"},
	{faultPrefix + "ends-with-errors", Documented, "the job ends as Completed w/ one or more errors"},
	{faultPrefix + "ends-committed", Documented, "the job ends as Committed"},
	{faultPrefix + "cut-list", Assumed, "a job list lacks the second half of its page, and totalRecordsWithoutPaging counts it"},
	{faultPrefix + "one-object", Recorded, "JSON: a list with one item is an object; public clients read both"},
	{faultPrefix + "text-numbers", Recorded, "JSON: numbers and booleans are text"},
	{faultPrefix + "old-json", Recorded, "JSON of old releases, made from XML: wrapped in the root's name, \"@\" before the names of values"},
	{faultPrefix + "odd-spelling", Recorded, "bare CR, escaped slashes and numeric ids in JSON; declaration and other order of attributes in XML"},
}

// Behaviours returns the simulated behaviours, the faults last.
func Behaviours() []Behaviour { return slices.Clone(behaviours) }

// known reports whether the kind exists. The empty kind means none.
func (k Kind) known() bool {
	return k == "" || slices.ContainsFunc(behaviours, func(b Behaviour) bool { return b.Name == faultPrefix+string(k) })
}

// kindNames returns the kinds that ParseFaults reads by name.
func kindNames() []string {
	var names []string
	for _, b := range behaviours {
		if kind, ok := strings.CutPrefix(b.Name, faultPrefix); ok && Kind(kind) != Status {
			names = append(names, kind)
		}
	}
	return names
}
