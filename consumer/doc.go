// Package consumer turns requests on the stream BACKUP_REQUESTS into jobs at
// the vendor and true events on the stream BACKUP_EVENTS.
//
// # Guarantees
//
// For every request that JetStream accepted: at most one job at the vendor,
// exactly one terminal event, and that event is true. The vendor's CreateTask
// has no idempotency key, so this is kept by a ledger, and the ledger is the
// events stream itself: the last event of a request's key is its state, and
// every write to the key is a compare-and-set on it.
//
//	(none) ──claim──▶ job-submitting ──record──▶ job-started | job-failed
//	                    │        ▲
//	                    └─renew, release, take over (epoch + 1)
//
// A claim is a lease: its owner may call the vendor only until it ends, by a
// clock that was read before the claim was sent. What a call left unclear is a
// doubt, and the claim carries it on: a request in doubt is looked for at the
// vendor, by the marker in the job's description, before it is sent again.
//
// # A crash after each step
//
//	decode            nothing is written: the redelivery starts over
//	claim             the next owner finds a claim; it looks for the job, finds
//	                  none, waits for lease and visibility window, takes over
//	submit            the next owner looks, finds the job and adopts it
//	record            the next owner finds the outcome and acknowledges
//	dead letter       the next owner finds the outcome; the letter is there
//	ack               the message is gone
//
// An owner that was only slow, or frozen, loses: its lease is over by its own
// clock before anybody takes over, and its record is refused because the last
// event of the key is not its claim any more.
//
// # Failure handling
//
// Seconds are waited for in the handler (vendorapi.Retrier), with progress
// acknowledgements. Minutes are waited for by redelivery: the claim is released
// and the message delivered again later. A request is given up by its age, never
// by a number of deliveries.
//
// # Concurrency
//
// A [Consumer] works on up to MaxInFlight requests at once. Any number of
// consumers may share the durable. A further delivery of a request that this
// process is working on attaches to that work. A stop ([Consumer.Run]'s context)
// ends pulling and waiting at once, lets calls finish for the drain timeout, and
// releases the claims of what was not sent.
package consumer
