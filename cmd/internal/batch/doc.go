// Package batch publishes many requests and waits for what becomes of them. A
// batch may be ended at any moment and run again, by the same command with the
// same file: every request is done exactly once.
//
// # Guarantees
//
// Nothing is sent before the whole file is found valid. Every request has an id
// that is the same in every run, its own or one derived from its content (see
// [ReadFile]), so that a second run asks for nothing new. What has its outcome on
// the events stream is not sent again. What is sent again nevertheless is answered from
// the ledger by the service. JetStream's own duplicate window plays no part: it compares
// message ids of all sources, so an answer "duplicate" does not prove that this request
// is stored.
//
// It rests on the events stream, which remembers for as long as it keeps its
// events, 90 days by default: a batch is not to be run again later than that.
//
// # No outcome is missed
//
//  1. the events stream's last sequence is read, from its leader;
//  2. each request's last event is looked up: its outcome may be there already;
//  3. what has none is published;
//  4. outcomes are read from behind the sequence of the first step.
//
// An outcome is at that sequence or before it, and step 2 finds it, or behind it,
// and step 4 does. No step reads what other sources did, or the past.
//
// # A crash after each step
//
//	step       what the next run finds             what it does
//	validate   nothing                             begins
//	look-up    nothing new                         looks up again
//	publish    a request in the queue, whether or  publishes it again: a duplicate, answered from the
//	           not its acknowledgement came        ledger by the service
//	claim      job-submitting                      as above, and waits for the outcome
//	outcome    job-started or job-failed           counts and prints it, sends nothing
//	rejection  other content under the id          publishes; request-rejected says so once more
//	report     every outcome                       counts and prints them again
//
// A broker that restarts in the middle costs time only: publications without a
// clear answer are repeated under their message id, reading goes on behind the
// last event that was read.
//
// # What it asks of NATS
//
// Publish permission on backup.request.<source>. To look up and to wait also, below
// $JS.API, STREAM.{INFO,MSG.GET}.BACKUP_EVENTS and
// CONSUMER.{CREATE,MSG.NEXT,DELETE}.BACKUP_EVENTS.>.
//
// # Concurrency and failure handling
//
// Look-ups run ahead of the publications, up to [inFlight] publications have no
// acknowledgement yet, and one goroutine, [Run]'s caller, owns the state and
// calls the [Reporter]. A server that gives no answer to one request for the
// batch's timeout ends it as [natsconn.UnreachableError]; an events stream that
// cannot be read ends a batch that waits, and only costs the others the look-ups.
package batch
