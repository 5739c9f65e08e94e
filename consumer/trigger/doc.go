// Package trigger turns the notifications of object stores into backup requests:
// it decodes them, finds the content groups that they concern, collects the changes
// of each in a window, and publishes one request for each window.
//
// # Guarantees
//
// Every change that JetStream accepted and a route takes is part of the change set
// of exactly one request: it is neither lost nor asked for twice, through killed and
// frozen processes, several replicas, lost acknowledgements and a restarted server.
// A request is published before its notifications are acknowledged; what is not
// acknowledged is the buffer, and there is no other.
//
// Acknowledgements fence nothing, and what is delivered again comes mixed with what
// is new, so one thing has to be remembered: for each content group, up to where it
// was asked for. That is the group's last decision, one message on the stream
// STORAGE_WINDOWS, written by compare-and-set. It names the first and last
// notification of the window and has the request itself:
//
//	collect ──▶ directive file ──▶ decision ──▶ request ──▶ acknowledgements
//	            (may be written     (one of       (the same,  (each message when all
//	            again, same name)   many wins)    repeated)   of its groups are done)
//
// A decision covers every message of its group up to its last one. That is true
// because messages are read in the order of the stream with none left out: a reader
// begins by a reset of the consumer, by which all that is not acknowledged comes
// again from the first on, and it begins anew when the consumer's own sequence shows
// that a delivery went elsewhere. It is true of one set of routes: by others a message
// that is still waiting may have been another group's. So a decision has the mark of
// its routes, and one that was made by others covers nothing.
//
// The request id is a hash of the content group and of the places of the window's
// first and last notification, and of the time of the last.
//
// # A crash after each step
//
//	step              the next reader finds            why it is safe                           test
//	reset             what was there                   nothing was done                         TestACrashAtEveryStep/reset
//	set aside, sent   the message, or a letter         the letter is kept once per message      TestACrashAtEveryStep/dead_letter,_unseen
//	set aside         the letter and the message       the same                                 TestACrashAtEveryStep/dead_letter
//	collect           all messages                     it collects them again                   TestARestartInTheMiddleOfAWindow
//	directive file    the file, no decision            nobody names the file; it stays unused   TestACrashAtEveryStep/directive
//	decision sent     nothing, or the decision         compare-and-set: one of them counts      TestACrashAtEveryStep/record,_unacknowledged
//	decision          the decision, no request         publishes the decision's own request     TestACrashAtEveryStep/record
//	request sent      the decision, maybe a request    the same id and content: one request     TestACrashAtEveryStep/request,_unacknowledged
//	request           the decision and the request     the same                                 TestACrashAtEveryStep/request
//	some acks         messages up to the decision      they are covered: acknowledged, no more  TestACrashAtEveryStep/acks,_unseen
//	all cancelled     a decision without a request     the creation does not come back alone    TestACrashWhileNothingIsAskedFor
//
// And without a crash:
//
//	what                                      why it is safe                                  test
//	a frozen reader wakes up                  its decision is refused, it begins anew         TestAFrozenReader
//	a decision's PubAck is lost               known by its nonce                              TestALostAcknowledgementOfARecord
//	two replicas                              one reads, the other stands by; if both should  TestTwoReplicas
//	                                          read, one of two decisions counts
//	a group of several in one message         acknowledged when each has asked                TestANotificationForSeveralGroups
//	messages are delivered again              they are the same messages                      TestRedeliveries
//	the server restarts                       as a crash                                      TestTheServerRestarts
//	the stream is made anew, or restored      what was stored after a decision is not in it   TestDecisionsAreAboutOneStream
//	the routes are changed                    decisions of other routes cover nothing         TestRoutesAreChanged
//	the store takes no files                  waited for, nothing is let go; after 10 min a   TestAStoreThatIsAway
//	                                          plain INCREMENTAL is asked for
//
// What is left: where routes were changed right after a crash, changes whose request was
// published and not acknowledged are asked for once more. And a request that was
// published but whose ledger has been forgotten (90 days), while its notifications are
// still not acknowledged, would be published again.
//
// # Windows
//
// A window ends when nothing has changed for its quiet time, when its first change
// is too old, or when it has its number of paths. The times are those at which
// JetStream stored the messages. While there is more to read, as after an outage,
// only the number of paths ends a window, and the longest time as counted from the
// reading: eight hours of changes become one request, not one for each quiet minute.
//
// The creation of an object and its deletion in one window are nothing to ask for
// where the deletion itself starts nothing; where it starts a backup it counts, because
// the object may have been there before. A deletion of one version only takes out the
// creation of that version: if the window has other versions of the object, one of them
// is its content again, and is asked for. A window in which nothing is left is decided
// without a request. An object whose delete marker is removed again, which no store says
// in so many words, is not asked for: if its creation was taken out by the marker, it
// waits for its next change.
//
// A directive file lists what changed, sorted, one path a line. The request is a plain
// INCREMENTAL instead, and its label [LabelDirective] says why, when a path cannot be
// listed, something was deleted, one notification has more paths than a window may,
// or the store takes no file for [Config].StoreGivesUp.
//
// # Replicas
//
// The consumer is shipped with max_waiting 1: it takes one open pull, and who has it
// reads. The others look once a second whether there is one. A reader that dies is
// replaced at once, one that is cut off when its pull runs out, after 10 s.
//
// # What others can know
//
// Open windows are in the memory of the replica that reads. It says twice a second
// on storage.state what it is doing, as a plain message that no stream keeps, so it
// costs no write and is never older than the process. [Listen] hears it from any
// process, and hears nothing where nobody reads. What was decided last, and how many
// changes became one request, is on STORAGE_WINDOWS ([LastDecision]).
//
// # Memory
//
// Of a notification its place, times and reply subject are kept, of a change what it
// takes to tell which of two is later. The consumer's max_ack_pending (100,000) bounds
// the first, and when it is reached all windows end; with a million changes in
// windows no more is pulled.
//
// # Decoding
//
// [Decode] takes one NATS message and says what changed. It knows a format by
// its content, in this order; the first that fits counts:
//
//	an array                                   each element by itself
//	Event "s3:TestEvent"                       the test of AWS S3
//	Records                                    AWS S3 2.x, MinIO, Ceph, what imitates them;
//	                                           AWS Lambda's events of SQS and SNS
//	specversion, or the header ce-specversion  CloudEvents: Azure storage, Cloud Storage (Eventarc);
//	                                           any other type: its data, as a notification
//	eventType Microsoft.Storage.*              Azure Event Grid's own schema
//	detail-type, with source aws.s3            AWS EventBridge
//	message, attributes; headers eventType …   Cloud Storage through Pub/Sub, pushed or pulled
//	Type and Message                           SNS: what it holds
//	Body, Messages                             SQS: what it holds
//
// Each kind of envelope is taken off once, so SQS around SNS around S3 is read,
// and SQS around SQS is not. An envelope must have what its sender always writes:
// subscription or ackId (Pub/Sub), TopicArn (SNS), MessageId (SQS).
//
// Answers of the NATS server (type io.nats.…), copies of dead letters and events of
// Backhaul are refused: a server stores them on any subject that a client names as
// the reply subject, and what is in them was not sent by a store.
//
// What holds for every change:
//
//   - The key has the bytes of the object's name: no Unicode normalisation, no
//     cleaning of paths. It is decoded exactly once, and only where the format
//     encodes: form encoding for S3 notifications and what imitates them. Ceph
//     (eventSource "ceph:s3") writes keys as they are, as do EventBridge,
//     Cloud Storage and the subject of Azure.
//   - Nothing that was said is dropped. A test, a change of metadata, a folder
//     marker and an event that is not known are changes of [KindNone] with the
//     reason in words. An event of a name that nobody knows is one of these:
//     EventBridge sends whatever a bucket does.
//   - A rename is a creation and a deletion. A renamed or deleted directory is one
//     change with Tree: it concerns everything below it.
//   - The deletion of one version says which. GCS says "deleted" of content that
//     was overwritten: that is no deletion of the name.
//   - On Azure Data Lake and SFTP the file counts when it is closed
//     (FlushWithClose, SftpCommit), not when it is made, still empty.
//
// Members that are not known are ignored, members of a wrong type are as good as
// absent, and size may be a number or a string. JSON that is broken, not UTF-8 or
// has a member twice is refused, as is a notification without a container or key,
// and one beyond [MaxSize] or [MaxChanges]. The error is a [*DecodeError]: set the
// message aside, it will never be better. What could be read comes beside it.
//
// # Order and duplicates
//
// Every store sends at least once and in any order. [Change.Replaces] says which
// of two changes of an object is its state, by the store's own rule: hex padded
// on the right for S3, text for Azure, a number for Cloud Storage, the time for
// Ceph, whose sequencer does not compare.
//
// # Routes
//
// [Load] reads routes from YAML, strictly, and reports everything that is wrong
// at once, with lines. [Routes.Match] finds the first route whose container,
// prefix, suffix and events fit: by a look-up for each length of prefix, so that
// 5,000 routes cost what 50 cost.
//
// One content group has one window, and one window makes one request. So routes
// to one content group must have the same window, directive, level, plan and
// labels; Load refuses others. [Routes.Check] finds what can be loaded but was
// hardly meant.
//
// A directive file is written into the storage that is watched, and so raises a
// notification itself. Whatever lies below the prefix of a directive therefore
// starts nothing, whatever the routes say ([ReasonDirective]): there is nothing
// to remember, and no loop to forget. That is why such a prefix is required, ends
// in a slash and should be used for nothing else.
//
// A key that no line of a directive file can stand for is told by [Route.Path].
//
// # Concurrency
//
// Decoding and routes are pure functions of their arguments, except Load, and safe
// for concurrent use. A [Trigger] has one goroutine that reads and owns the windows,
// and one for each request on its way, of which 16 may be; its methods may be called
// at any time, Run once.
//
// # What it asks of NATS
//
// nats-server 2.14 or later, for the reset of a consumer. Publish permission on
// backup.request.<source>, backup.dlq.<source>, storage.window.*,
// $JS.ACK.STORAGE_EVENTS.trigger.> and, below $JS.API, on CONSUMER.{INFO,MSG.NEXT,RESET}.STORAGE_EVENTS.trigger,
// STREAM.INFO.{STORAGE_EVENTS,STORAGE_WINDOWS} and STREAM.MSG.GET.STORAGE_WINDOWS, and to subscribe
// to its inbox prefix. Without storage.state it works, and nobody sees its open windows.
package trigger
