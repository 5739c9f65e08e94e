// Package simulator is a Commvault web service that can be told to misbehave,
// for tests, demonstrations and load. It is an http.Handler:
//
//	sim := simulator.New(simulator.Config{})
//	sim.Script(simulator.Fault{Kind: simulator.CutAfterStart})
//	http.ListenAndServe("localhost:8080", sim)
//
// # What is simulated
//
// Login, token renewal and logout; access token pairs; CreateTask in XML and
// JSON; job lists, job details and task details; events; kill; WhoAmI. Against
// a fresh simulator with the default world, the sample request of the vendor's
// page "POST Run Backup Job" gets its sample answer: task 4038, job 5976.
//
// A World says which clients, content groups, plans and users exist. Jobs run
// by the clock alone: Queued, Running with a growing percentage, Completed.
//
// # What it is based on
//
// No part of this was tried against a live Commvault. Every behaviour says
// where it comes from, in a comment at its code and in Behaviours:
//
//   - Documented: the vendor's documentation says so.
//   - Recorded: it is in saved answers of the vendor's Postman collection, or a
//     published client (the vendor's Python SDK and others) relies on it.
//   - Assumed: neither; the most plausible choice.
//
// It shares no code with the client it tests: two halves of one mistake would
// agree with each other.
//
// # Faults
//
// A fault is done to one call: it is refused, delayed, cut off, or answered
// with something else, before or after a job was started. Faults are chosen by
// a script (Script, ScriptFor, ParseScript) or by chance from a seed (SetFaults,
// ParseFaults). "After" faults are the point of it all: the job exists and the
// caller is not told.
//
// Account says what was seen: calls, jobs by their jobDescription, logins,
// waits that were not kept. It is how a test proves that no job was started
// twice.
//
// Beside the web service, outside its base path and without authentication,
// stands a control interface for tests: GET /simulator/account and
// /simulator/behaviours, POST /simulator/faults, /simulator/script,
// /simulator/blackout and /simulator/reset. It is no part of Commvault.
//
// # Concurrency and time
//
// All methods may be called at any time. There are no goroutines: waits happen
// in the handler, on timers, and end when the client goes away or the server
// closes its connections (http.Server.Shutdown does not, Close does). With
// Config.Now left alone the package works under testing/synctest.
package simulator
