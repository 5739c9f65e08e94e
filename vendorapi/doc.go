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
// One call of [Client.CreateTask] is one HTTP attempt; only an expired token is
// answered by one new login and one repetition, because a refused token starts
// no job. Repeating is the business of [Retrier], and it repeats only what
// certainly started nothing.
//
// # Sent or not
//
// A failure before the first byte of a request was written (name resolution,
// connection, TLS) is [NotSent]. Every failure after it is Unknown. The request
// never carries an Idempotency-Key header, because net/http would then send a
// POST again by itself after a broken connection.
//
// # Load
//
// What holds one caller back holds back all: a pause that the vendor asked for,
// an outage (several attempts in a row without an answer; then one is made now
// and then), our own limit ([Pace]). [Client.Room] says how many jobs may be
// started, so that nobody takes up work that has to wait. An answer that is late
// is looked for while it is awaited ([Policy.LookAfter]).
//
// # Concurrency and secrets
//
// A [Client] is safe for concurrent use; all its calls share one login. No
// secret is part of any error, and none is logged: the package does not log.
package vendorapi
