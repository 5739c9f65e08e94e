// Package vendorapi is a client of Commvault's job API: it logs in, starts backup jobs and finds
// them again. The vendor's wire format stays inside the package.
//
// # Guarantees
//
// CreateTask has no idempotency key, so no answer may be misread. Every call ends in exactly one
// [Verdict], and the zero verdict is [Unknown]: an answer without a clear meaning may have started
// a job, and needs a lookup ([Client.Find]) before the task is sent again. The body of an answer
// decides, not its content type, which the vendor does not set reliably.
//
// One call of [Client.CreateTask] is one HTTP attempt. The one exception is a refused token: it is
// replaced and the call repeated, because a refused token starts no job. [Retrier] repeats
// attempts, and only those that certainly started nothing.
//
// # Structure
//
// The package has four layers. Each one uses those above it in this list:
//
//   - wire: answers and requests as bytes (envelope.go, xml.go, json.go, charset.go,
//     cookies.go, secret.go, task_template.go, answer.go, load.go, errors.go), and internal/http1
//   - session: a token for each call (session.go, token.go, auth.go, login.go, logins.go,
//     tokenpair.go, renew.go, whoami.go, flock.go)
//   - gate: when a job may be started (pace.go), and internal/gate
//   - client: starting and finding jobs (client.go, create_task.go, find.go, joblist.go,
//     jobpages.go, listing.go, listways.go, description.go, probe.go, directory.go, base.go),
//     following them (jobread.go, jobinfo.go, jobevents.go), the exchange that all of them use
//     (observe.go, read.go), and [Retrier] on it (retry.go, lookup.go)
//
// Session and gate are parts of the [Client]: the session sends its calls through it, and the gate
// asks it for the session. The session also shares [Error], the envelope and the redaction of
// secrets with it. As a package of its own it would need all of them exported, for one caller.
//
// # The request
//
// POST {endpoint}/CreateTask creates a task, which starts jobs. Where the text and the sample of
// the vendor's page [1] disagree, the sample is right: the path is /CreateTask and not /post, and
// the answer is XML or JSON, whichever Accept names. The web interface has other names: a content
// group is a subclient, a plan is a storage policy.
//
//	taskInfo.task               an immediate backup and its origin: taskType IMMEDIATE,
//	                            policyType DATA_PROTECTION, initiatedFrom COMMANDLINE
//	  associations              what to back up, by names:
//	    clientName              the object storage client
//	    instanceName            the same name again, for object storage
//	    backupsetName           "defaultBackupSet"
//	    subclientName           the content group. Left out, every group of the set is
//	                            backed up, with many job ids: an error of this package
//	    appName                 the agent, "Cloud Apps" for all object storage
//	  subTasks.subTask          subTaskType and operationType BACKUP
//	  subTasks.options.backupOpts
//	    backupLevel             FULL, INCREMENTAL, DIFFERENTIAL or SYNTHETIC_FULL. JSON takes
//	                            the words too; its numbers differ from those in job lists
//	    mediaOpt…storagePolicyName  the plan. Optional: the content group has its own
//	    adHocBackup             true with a directive file
//	    onDemandInputFile       the path of the directive file that lists what to back up.
//	                            It is on the host of the vendor's agent, so it is not checked
//	  subTasks.options.commonOpts
//	    jobDescription          free text: the marker by which the job is found
//	  subTasks.subTaskOperation OVERWRITE, as in the sample
//
// The other members are those of the sample, with its values. The JSON form has the numbers of the
// vendor's Python SDK [3] in place of words. There is no dry run.
//
// # The answers
//
// Neither the status nor the Content-Type decides: refusals come with 200 and with 500, and plain
// text is labelled as JSON. classify decides, in this order:
//
//	2xx with job ids above 0, and no error code     started. Ids are numbers or strings, one
//	                                                or several, larger than 32 bits
//	a task or job id and anything else              Unknown: a task without jobs may have been put
//	                                                off, [Error].TaskID names it
//	401, or code 5 that is not a crash              AuthRefused. Expired and not allowed look alike
//	429; 503 with Retry-After                       Throttled, for as long as the header says
//	2xx or 4xx with an error code                   Refused
//	500 with an error code at the top               Refused: an error of the Job Manager [2],
//	                                                which decides on jobs
//	500 with the code in an inner error, code 5xx   Unknown: the web service crashed [2]
//	400 with plain text                             Refused: "Request body is empty or format is invalid."
//	307 308 400 404 405 407 without an error        NotSent: another server answered, see neverArrived
//	all the rest                                    Unknown: empty, cut short, HTML, code 0, no code at
//	                                                all, 301 302 303, 403, 502, 503, 504, over 1 MiB
//
// An answer is text in the character set of its bytes: UTF-8 if they are valid UTF-8, UTF-16 by its
// byte order mark or its first character, else the set that the XML declaration or the Content-Type
// names, else Latin-1. A label alone does not decide: another layer may have converted a document
// and left "utf-16" in its declaration.
//
// An error code is a number other than 0. It stands in attributes or members of the root
// (errorCode, errorMessage), or inside one of errorPlaces. Code 0 with a message means that
// something else was done. Code 2 is the general code of the Job Manager; its message has the reason
// [2]. Large codes combine a facility and a number, which the vendor's logs write as NN:nnn:
// [schemas.LogCode]. 587207178 (35:4618), no eligible subclients, is the only code on the vendor's page
// [1].
//
// A job id does not mean that the job runs. The job may be queued, for days in a blackout window,
// or end as "Failed to Start"; neither is an error of CreateTask.
//
// "Documented" means the vendor's pages and API reference. "Recorded" means saved answers in the
// vendor's Postman collection, and what the vendor's Python SDK and other published clients read.
// The rest is assumed. The tables of the tests name the source of every shape of answer.
//
//	[1] https://documentation.commvault.com/2023e/essential/post_run_backup_job_rest_api_operation_02.html
//	[2] https://github.com/BrandonLundt/commvault-powershell-extentions,
//	    "Commvault Rest API - Powershell copy.postman_collection.json"
//	[3] https://github.com/Commvault/cvpysdk
//	[4] https://docs.metallic.io/metallic/rest_api.html
//	[5] https://documentation.commvault.com/11.44/commcell-console/using_refresh_tokens_to_renew_access_tokens.html
//	[6] https://documentation.commvault.com/11.42/software/creating_access_token.html
//
// # Sent or not
//
// A failure before the network accepted the first byte of a request (name resolution, connection,
// TLS) is [NotSent]. Every later failure is Unknown. To know that, exchanges use internal/http1 and
// not net/http's client, which repeats some requests by itself: a POST with an Idempotency-Key
// header after a broken connection, and over HTTP/2 any request that the server has not begun to
// process. A kept connection is checked before its next use, so in most cases a closed one is found
// before anything is sent. Redirects are not followed: a POST would become a GET, and the token
// might go to another host.
//
// # What a verdict asks for
//
//	                       a job?   the same call   look it up    all callers   outage
//	                                may repeat      first         wait
//	Unknown                maybe    no              yes           no            if 502, 503, 504 or no answer
//	Refused, AuthRefused   no       no              no            no            no
//	NotSent                no       yes             no            no            if there was no connection
//	Throttled: 429         no       yes             no            yes           no
//	Throttled: 503         no       no              yes, once     yes           no
//
// load is the meaning of a status for the load, [Error.LookupFirst] the third column,
// Error.repeatable the second, isOutage the last.
//
// # Reads and writes
//
// A tenant has 100 writing calls an hour and 1000 reading ones [4]; every method but GET is taken
// for a write (assumed). Writes are CreateTask, Login, the renewals, Logout, WhoAmI, Jobs and
// JobDetails ([Client.JobDelayReason]); all others are reads.
//
// With a [Budget] each writing call is taken from it right before it is sent; what it does not grant
// is an error with verdict NotSent. Its answer's status and limits are passed on to it.
//
// A lookup costs no write: jobs are listed by GET Job. Where the vendor does not answer that call,
// because it does not exist, is not permitted or is refused, POST Jobs lists them, and GET is tried
// again after 10 minutes. GET can filter neither by client or content group nor by the start of a
// job, and has no order. So Find compares names, start and marker itself, as it does with POST; the
// pages of a list overlap, and a list from which jobs moved away between two pages is an error.
//
// A 429 or 503 of a read is returned to its caller. It pauses no start and is no outage for the
// circuit breaker; a 429 of CreateTask or Jobs pauses the starts.
// While CreateTask is answered by nothing but pauses, the third one and those after it are longer than
// the vendor asks for: 2 s, and twice as long each time, up to 30 s; one attempt is made after each.
//
// # Following jobs
//
// [Client.ListJobs], [Client.Job] and [Client.JobEvents] read the state of jobs after their start, in
// XML or JSON. The table statuses maps a status to a [JobState] and, for an end, to an outcome. A
// status is compared whole, without regard to case; localizedStatus is not read. A status that is
// not in the table is [StateUnknown], which is neither an end nor a reason to say that a job
// waits. Numbers may be texts, and -999 or a missing number is nil. [JobReasons] picks from the
// events why a job ended and who killed it. [Unsupported] reports whether the vendor does not have
// the list.
//
// # Load
//
// A cooldown applies to all callers: a pause that the vendor asked for, an outage (several attempts
// in a row without an answer; after that, single attempts as a trial), our own limit ([Pace], [4]).
// [Client.Capacity] returns how many jobs may be started, so that callers accept no work that would
// wait. While an answer is late, a lookup of its job runs ([Policy.LookupAfter]).
//
// # Ways in
//
// [Auth] has three modes. In each mode one caller gets a token and the others wait for that token.
// A failure that needs an operator is a [LoginError]. It is kept for 30 seconds and returned to
// every caller, so that it is not repeated in a loop. Requests that wait stay in their queue.
//
//   - [AuthLogin]: a QSDK token for a user and a password (Authtoken header). It is
//     replaced before the vendor's idle limit of 30 minutes, and once when it is
//     refused. The vendor locks accounts, so a refused login waits for as long as
//     the vendor asks. [Client.Close] logs out. Processes share refused logins, and
//     the pauses after them, see below.
//   - [AuthToken]: a token that another program renews. It is read again when it is
//     refused.
//   - [AuthBearer]: an access token (Authorization: Bearer) and the refresh token
//     that renews it, both in one file. It is renewed when it is refused: it lives
//     for 2 minutes to 2 hours, and only the answer to a renewal names the time.
//
// When the vendor refuses a token that was just issued or accepted, or that cannot be replaced,
// WhoAmI is called several times: behind a load balancer each call may reach another web server,
// and a server that does not know a token sends the same answer as one whose user lacks a
// permission. The call is not permitted ([AuthRefused]) only if every answer names the user and the
// call is refused again. Otherwise the token or the servers are at fault, and the call is
// [NotSent].
//
// Cookies of the endpoint's host are sent with every call, so that a load balancer with sticky
// cookies selects the server that knows the token. At most 20 are kept, in memory only.
//
// # Refused logins
//
// The vendor locks an account after a number of refused logins from any process. A refused password
// is sent again after 1 minute, then after 5 minutes, 30 minutes, and hourly; after 12 hours when
// the vendor's own count shows that one more failure may lock the account, and not while it is
// locked. The refusals of all processes count together, those of all passwords too. A changed
// password is sent at once. The answer of a locked account says nothing about the password, so the
// pause then ends with the lock. An answer that does not mention the credentials may be a fault of
// the vendor: the longest pause after it is 5 minutes.
//
// [Logins] is the shared store. Each process reads it before it logs in; without refusals a login
// costs nothing else. After a refusal, one process at a time logs in: it writes an entry before and
// another one after. Before the first refusal is stored, replicas that log in within the same
// moment may each be refused once, so with five or more of them the account can lock. An entry has
// fingerprints of refused passwords: 16 bits of PBKDF2 with 600,000 rounds and a random salt. That
// is enough to distinguish a changed password from the refused one. A reader of an entry can
// exclude most of the wrong guesses, at the price of the rounds for each, but cannot confirm one;
// an accepted password leaves no fingerprint. While the store fails, each process observes the
// pauses by itself. A process of an older version does not take part.
//
// # The token pair
//
//	{"accessToken":"…","refreshToken":"…"}
//
// Renewing ends the old pair, and when an old pair is used again, the vendor deletes the whole
// chain (documented [5]). So a pair has one owner: this file, on one volume that all replicas
// mount, with file locks that work across them. Processes that cannot share it need an access token
// each, or AuthLogin. No other program may use the pair, and the file must not be restored from a
// backup. Its directory must be writable; the file itself, not a link to it, is replaced.
//
// One process renews, under a lock on FILE.lock. It writes a note into the file before it sends the
// renewal, and the new pair is on disk before it is used. The others read the new pair there. If
// the answer to a renewal is lost, with or without the process, the note stays: no process tries
// again, every call ends with a LoginError, and an operator puts a new pair into the file, which is
// read without a restart. While the file is missing, calls wait for it.
//
// # What the vendor's user needs
//
// Documented: to run an on-demand backup, the permission "Data Protection/ Management Operations"
// on the backup set; the vendor's minimal role for end users adds "Job Management", "Browse" and
// "End User Access". Inferred: the first is enough to start jobs and to list one's own; if an
// existing job is not found, add "Job Management".
//
// An access token can be limited to operations, by the beginning of their paths, one in a line
// ("Custom"), and to addresses: those of all replicas [6]. It needs (inferred from the calls of
// this package):
//
//	/CreateTask  /Job  /Jobs  /JobDetails  /Events  /WhoAmI  /V4/AccessToken/Renew
//
// /Jobs is for vendors that do not answer GET Job, /Events for the reasons of ends. [Client.Clients]
// needs /Client, and only names what exists. It does not need /Login and /Logout. Without /WhoAmI, a call that is not permitted looks like an expired
// token, and delays the other calls. A token cannot create or change tokens (documented [6]), so an
// operator creates its pair: renewable until a date, at the longest for ever, and within 14 days of
// its last expiry [5].
//
// # Concurrency and secrets
//
// A [Client] is safe for concurrent use; all its calls share one login, and searches at the same
// time share one list of jobs that is not older than any of them. No error contains a secret, and
// the package does not log.
package vendorapi
