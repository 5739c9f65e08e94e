// Package batch publishes many requests and waits for their outcomes. A batch can be
// interrupted at any moment and repeated by the same command with the same file: each
// request is executed exactly once.
//
// # Guarantees
//
// Nothing is sent before the whole file is found valid. Every request has an id that is
// the same in every run: its own, or one derived from its content (see [ReadFile]). So a
// second run makes no new requests. A request whose outcome is on the events stream is
// not sent again; if a request is sent again nevertheless, the service answers it from
// the ledger. JetStream's duplicate window is not used: it compares the message ids of
// all sources, so the answer "duplicate" does not prove that this request is stored.
//
// The guarantees last as long as the events stream keeps its events, 90 days by default.
// Do not repeat a batch later than that.
//
// # Every outcome is found
//
//  1. the events stream's last sequence is read from its leader;
//  2. each request's last event is looked up: its outcome may be stored already;
//  3. requests without an outcome are published;
//  4. outcomes are read from behind the sequence of step 1.
//
// Step 2 finds an outcome at or before that sequence, step 4 finds a later one. Only the
// source's own events are read, and no events from before the batch except by the lookup.
// The ends of jobs ([WaitFinished]) are found in the same way: step 2 looks up those of the
// jobs that an outcome names. An end that is read before its request's outcome waits for it.
//
// # A crash after each step
//
//	step       what the next run finds             what it does
//	validate   nothing                             begins
//	lookup     nothing new                         repeats the lookup
//	publish    a request in the queue, whether or  publishes it again: a duplicate, answered from the
//	           not its acknowledgement came        ledger by the service
//	claim      job-submitting                      as above, and waits for the outcome
//	outcome    job-started or job-failed           counts and prints it, sends nothing
//	rejection  other content under the id          publishes again; gets request-rejected again
//	end        job-finished of some jobs           counts and prints it, waits for the others
//	report     every outcome                       counts and prints them again
//
// A broker restart during a batch only costs time: publications without a clear answer are
// repeated under their message id, and reading continues behind the last event read.
//
// # NATS permissions
//
// Publish permission on backup.request.<source>, with a priority on
// backup.request.<source>.high or .low. Lookups and waiting also need, below
// $JS.API, STREAM.{INFO,MSG.GET}.BACKUP_EVENTS and
// CONSUMER.{CREATE,MSG.NEXT,DELETE}.BACKUP_EVENTS.>.
//
// # Concurrency and failure handling
//
// Lookups run ahead of the publications, up to [inFlight] publications wait for their
// acknowledgement, and one goroutine, the caller of [Run], owns the state and calls the
// [Reporter]. If the server does not answer a request within the batch's timeout, the
// batch ends with a [natsconn.UnreachableError]. An unreadable events stream ends a batch
// that waits; other batches continue without lookups.
package batch
