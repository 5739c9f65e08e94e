// Package simulator simulates a Commvault web service, with faults on demand, for
// tests, demonstrations and load tests. A Simulator is an http.Handler:
//
//	sim := simulator.New(simulator.Config{})
//	sim.Script(simulator.Fault{Kind: simulator.CutAfterStart})
//	http.ListenAndServe("localhost:8080", sim)
//
// # What is simulated
//
// Login, token renewal and logout; access token pairs; CreateTask in XML and
// JSON; job lists, job details and task details; events; pause, resume, kill and resubmit;
// WhoAmI. Against a fresh simulator with the default world, the sample request of the
// vendor's page "POST Run Backup Job" gets its sample answer: task 4038, job 5976.
//
// A World defines which clients, content groups, plans and users exist.
//
// # Life cycles
//
// The state of a job depends only on the clock and on its Life. Without one a job is Queued
// or Running with a growing percentage, then Completed. A Life has any steps (Waiting,
// Pending with a reason, Suspended, a time in which the job is hidden, …), an end, and what
// happens later (aged, pruned, resubmitted under a new id). ParseLife reads it from text:
//
//	sim.ScriptLives(simulator.MustParseLife("waiting:30s,pending:2m(13:30 no contact),running,failed"))
//	sim.Advance(time.Minute) // the job is Pending
//
// The next jobs get the lives of a script (ScriptLives), other jobs by chance, by client and
// content group (SetLives, Config.Lives), and one active job at once (SetLife). A list costs
// the active jobs and those that it shows, not all jobs since the start.
//
// # Sources
//
// The simulator has not been compared with a live Commvault. Every behaviour states its
// source, in a comment at its code and in Behaviours:
//
//   - Documented: the vendor's documentation describes it.
//   - Recorded: it is in saved answers of the vendor's Postman collection, or a
//     published client (the vendor's Python SDK and others) relies on it.
//   - Assumed: neither; the most plausible choice.
//
// The simulator shares no code with the client that it tests. Otherwise the same mistake
// on both sides would remain undetected.
//
// # Faults
//
// A fault affects one call: the call is refused, delayed, cut off, or answered
// differently, before or after a job was started. Faults are selected by a script
// (Script, ScriptFor, ParseScript) or by chance from a seed (SetFaults, ParseFaults).
// The "after" faults matter most: the job exists and the caller gets no answer. Faults of
// Reads affect every call by GET, and no CreateTask.
//
// Account counts calls, jobs by their jobDescription, logins, and announced waits that a
// caller did not observe. With it, a test proves that no job was started twice.
//
// Outside the base path of the web service, and without authentication, there is a
// control interface for tests: GET /simulator/account, /simulator/behaviours and
// /simulator/clock, POST /simulator/faults, /simulator/script, /simulator/lives,
// /simulator/next-lives, /simulator/life, /simulator/clock, /simulator/blackout and
// /simulator/reset. It is not part of Commvault.
//
// # Recordings
//
// Config.Recording takes over what `backhaul check --canary … --record` has seen of a vendor: how late
// a job is shown, listed and described, its statuses and reasons with their times, and for each
// endpoint the format of its answers, their fields about limits, and its errors, at the same calls as
// in the recording. An endpoint that has never succeeded keeps failing. The simulator remains the
// one that keeps sessions and jobs: a tape of answers could serve only the calls that were recorded,
// in their order, with the recorded ids, and no service. Clients, content groups and users are those
// of the World. A recording has times from polls: a job is shown here at once if the first poll has seen
// it, else no earlier than it was seen there, and a state shorter than a poll is missing. Spellings of JSON, and which pages a list has,
// are not recorded.
//
// # Concurrency and time
//
// All methods are safe for concurrent use. The package starts no goroutines: the handler
// waits on timers, until the client disconnects or the server closes its connections
// (http.Server.Close does, Shutdown does not). With the default Config.Now the package
// works under testing/synctest. Elsewhere, Advance and StopClock drive the clock of jobs and
// tokens; the waits of faults are real.
package simulator
