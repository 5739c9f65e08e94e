// Package vendorapi is Commvault's job API as Backhaul needs it: log in, start
// a backup job, find a job again. The vendor's wire format never leaves it.
//
// # Guarantees
//
// CreateTask has no idempotency key, so the one thing that must never happen is
// that an answer is misread. Every call therefore ends in exactly one [Verdict],
// and the zero verdict is [Unknown]: whatever is not clearly something else may
// have started a job, and must be looked for ([Client.Find]) before it is sent
// again. Answers are judged by their body, not by their content type, which the
// vendor does not set reliably.
//
// One call of [Client.CreateTask] is one HTTP attempt; only a token that is not
// accepted is replaced and the call repeated, because a refused token starts no
// job. Repeating is the business of [Retrier], and it repeats only what
// certainly started nothing.
//
// # The request
//
// POST {endpoint}/CreateTask makes a task, which starts jobs. The vendor's page
// for it is "POST Run Backup Job" for object storage; its prose and its sample
// disagree in places, and where they do the sample is right: the path is
// /CreateTask and not /post, and the answer is XML as well as JSON, whichever
// Accept names. Names that the interface shows otherwise: a content group is a
// subclient, a plan is a storage policy.
//
//	taskInfo.task               an immediate backup, and who asks: taskType IMMEDIATE,
//	                            policyType DATA_PROTECTION, initiatedFrom COMMANDLINE
//	  associations              what to back up, by names:
//	    clientName              the object storage client
//	    instanceName            the same name again, for object storage
//	    backupsetName           "defaultBackupSet"
//	    subclientName           the content group. Left out, every group of the set is
//	                            backed up and many job ids come back: we refuse that
//	    appName                 the agent, "Cloud Apps" for all object storage
//	  subTasks.subTask          subTaskType and operationType BACKUP
//	  subTasks.options.backupOpts
//	    backupLevel             FULL, INCREMENTAL, DIFFERENTIAL or SYNTHETIC_FULL. JSON takes
//	                            the words too; its numbers differ from those of job lists
//	    mediaOpt…storagePolicyName  the plan. Optional: the content group has its own
//	    adHocBackup             true with a directive file
//	    onDemandInputFile       the path of the directive file that lists what to back up.
//	                            It lies where the vendor's agent runs: nobody here can check it
//	  subTasks.options.commonOpts
//	    jobDescription          free text. We put the marker there, to find the job by
//	  subTasks.subTaskOperation OVERWRITE, as in the sample
//
// Everything else is in the request because it is in the sample, at the sample's
// value. The JSON form says the same with the numbers of the vendor's Python SDK.
// There is no idempotency key, no dry run, and nothing to make two calls one.
//
// # The answers
//
// Neither the status nor the Content-Type says what an answer is: refusals come
// with 200 and with 500, plain text claims to be JSON. classify is the one place
// that decides, in this order:
//
//	2xx with job ids above 0, and no error code     started. Ids are numbers or strings, one
//	                                                or several, larger than 32 bits
//	a task or job id and anything else              Unknown: a task without jobs may be put off,
//	                                                [Error].TaskID names it
//	401, or code 5 that is not a crash              AuthRefused. Expired and not allowed look alike
//	429; 503 with Retry-After                       Throttled, for as long as the header says
//	2xx or 4xx with an error code                   Refused
//	500 with an error code at the top               Refused: so speaks the Job Manager, which
//	                                                decides on jobs
//	500 with the code in an inner error, code 5xx   Unknown: so speaks the web service, which crashed
//	400 with plain text                             Refused: "Request body is empty or format is invalid."
//	307 308 400 404 405 407 without an error        NotSent: something else answered, see neverArrived
//	all the rest                                    Unknown: empty, cut short, HTML, code 0, no code at
//	                                                all, 301 302 303, 403, 502, 503, 504, over 1 MiB
//
// An answer is text in whatever character set its bytes are in: UTF-8 if they are
// that, UTF-16 by its mark or its first character, else what the XML declaration
// or the Content-Type names, else Latin-1. The label alone decides nothing: some
// layer may have converted a document and left "utf-16" in its declaration.
//
// An error code is a number other than 0. It stands in attributes or members of
// the root (errorCode, errorMessage), or inside one of errorPlaces. Code 0 with a
// message is how the product says that something else was done. Code 2 is the Job
// Manager's catch-all; its message has the reason. Large codes are facility and
// number, which the vendor's logs write as NN:nnn: [LogCode]. 587207178 (35:4618),
// no eligible subclients, is the one code that the vendor's page shows.
//
// A job id is not yet a running job. It may be queued, for days in a blackout
// window, or "Failed to Start"; none of that is an error of CreateTask.
//
// What is known of this comes from the vendor's page and API reference
// (documented), from saved answers in its Postman collection and from what its
// Python SDK and other published clients read (recorded); the rest is assumed.
// The tables of the tests name the source of every shape of answer.
//
// # Sent or not
//
// A failure before the network took the first byte of a request (name resolution,
// connection, TLS) is [NotSent]. Every failure after it is Unknown. To know that,
// exchanges are made by internal/http1 and not by net/http's client, which repeats
// by itself what it thinks may be repeated: a POST with an Idempotency-Key header
// after a broken connection, and over HTTP/2 any that the server says it has not
// begun with. A kept connection is looked at before it is used: that the vendor
// has closed it is known before anything is sent, as a rule. Redirects are not
// followed: a POST would become a GET, and the token might leave for another host.
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
// load has what statuses say about the vendor's load, [Error.LookupFirst] the third column,
// Error.repeatable the second, isOutage the last.
//
// # Load
//
// What holds one caller back holds back all: a pause that the vendor asked for,
// an outage (several attempts in a row without an answer; then one is made now
// and then), our own limit ([Pace]). [Client.Capacity] says how many jobs may be
// started, so that nobody takes up work that has to wait. An answer that is late
// is looked for while it is awaited ([Policy.LookupAfter]).
//
// # Ways in
//
// [Auth] knows three. Whichever it is, one caller gets a token and the others
// wait for that one; a failure that an operator has to see is a [LoginError],
// kept for 30 seconds and told to every caller, so that nothing is repeated in a
// loop. What was waiting to be sent stays where it is.
//
//   - [AuthLogin]: a QSDK token by user and password (Authtoken header). It is got
//     again before the vendor's idle limit of 30 minutes, and once when it is
//     refused. The vendor locks accounts, so a refused login waits as long as it
//     says. [Client.Close] logs out.
//     Refused logins, and the pauses after them, are shared between processes, see
//     below.
//   - [AuthToken]: a token that somebody else looks after, read again when it is
//     refused.
//   - [AuthBearer]: an access token (Authorization: Bearer) and the refresh token
//     that renews it, both in one file. It is renewed when it is refused: how long
//     it lives differs from 2 minutes to 2 hours, and only the answer to a renewal
//     says so.
//
// When a token is refused that was just made or accepted, or that cannot be
// replaced, the vendor is asked whose it is, several times: behind a load balancer
// each call may reach another web server, and a server that does not know a token
// says the same as one whose user may not. Only if every answer names the user,
// and the call is refused again, is it not permitted ([AuthRefused]). Otherwise the
// token is at fault, or the servers, and nothing is said about the call ([NotSent]).
//
// Cookies of the endpoint's host are sent back with every call, so that a load
// balancer with sticky cookies keeps us on the server that knows our token. At
// most 20 are kept, in memory only.
//
// # Refused logins
//
// The vendor locks an account after a number of refused logins, whichever process
// they came from. A refused password is sent again after 1 minute, then after 5
// minutes, 30 minutes, and hourly; after 12 hours when the vendor's own count says
// that one more failure may lock the account, and not while it is locked. The
// refusals of all processes count together, those of all passwords too. A changed
// password is sent at once.
//
// [Logins] is where processes share that. Each reads it before it logs in, which is
// all that a login costs without refusals. Once there is a refusal, one process at
// a time logs in: it writes an entry before and another one after. Before the first
// refusal is on record, replicas that log in within the same moment may each be
// refused once, so with five or more of them the account can lock. An entry has
// fingerprints of refused passwords: 16 bits of PBKDF2 with 600,000 rounds and a
// random salt. That is enough to tell a changed password from the refused one.
// Whoever reads it can exclude most of the wrong guesses, at the price of the
// rounds for each, but cannot confirm one; an accepted password leaves no
// fingerprint. While the store fails, each process keeps to the pauses by itself.
// A process of an older version does not take part.
//
// # The token pair
//
//	{"accessToken":"…","refreshToken":"…"}
//
// Renewing ends the old pair, and using an old pair again makes the vendor delete
// the whole chain (documented). So there may be one holder of a pair: this file,
// on one volume that all replicas mount, with file locks that work across them.
// Processes that cannot share it need an access token each, or AuthLogin. Nobody
// else may use the pair, and the file must not be restored from a backup. Its
// directory has to be writable; the file itself, not a link to it, is replaced.
//
// One process renews, under a lock on FILE.lock. It notes that in the file before
// it asks, and the new pair is on disk before it is used. The others find the new
// pair there. If the answer to a renewal is lost, with the process or without,
// the note stays: nobody tries again, every call ends with a LoginError, and an
// operator puts a new pair in its place, which is picked up without a restart. A
// file that is missing is waited for.
//
// # What the vendor's user needs
//
// Documented: to run an on-demand backup, the permission "Data Protection/
// Management Operations" on the backup set; the vendor's minimal role for end
// users adds "Job Management", "Browse" and "End User Access". Inferred: the
// first suffices to start jobs and to see those that one started; if a job that
// exists is not found again, add "Job Management".
//
// An access token can be limited to operations, by the beginning of their paths,
// one a line ("Custom"), and to addresses: those of all replicas. It needs
// (inferred from what this package calls):
//
//	/CreateTask  /Job  /Jobs  /JobDetails  /WhoAmI  /V4/AccessToken/Renew
//
// Not /Login and /Logout. Without /WhoAmI a call that is not permitted cannot be
// told from a token that has ended, and holds up the others. A token cannot make
// or change tokens (documented), so its pair is made by hand: renewable until a
// date, at the longest for ever, and within 14 days of its last expiry.
//
// # Concurrency and secrets
//
// A [Client] is safe for concurrent use; all its calls share one login, and all
// searches at the same time one list of jobs that is not older than any of them. No
// secret is part of any error, and none is logged: the package does not log.
package vendorapi
