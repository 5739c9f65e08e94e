// Package trigger turns the notifications of object stores into backup requests. It decodes
// them, finds the content groups that they concern, collects the changes of each group in a
// window, and publishes one request for each window.
//
// # Guarantees
//
// Every change that JetStream accepted and a route takes is part of exactly one request: it
// is neither lost nor requested twice. This holds for killed and frozen processes, several
// replicas, lost acknowledgements and a restarted server. A request is published before its
// notifications are acknowledged. The notifications that are not acknowledged are the only
// buffer.
//
// Acknowledgements do not exclude other replicas, and redelivered messages are mixed with new
// ones. So the trigger remembers, for each content group, up to which message it was
// requested: the group's last decision, one message on the stream STORAGE_WINDOWS, written by
// compare-and-set. It names the first and last notification of the window and has the request
// itself:
//
//	collect ──▶ directive file ──▶ decision ──▶ request ──▶ acknowledgements
//	            (may be written     (one of       (the same,  (each message when all
//	            again, same name)   many wins)    repeated)   of its groups are done)
//
// A decision covers every message of its group up to its last one. This needs messages to be
// read in the order of the stream without a gap. A reader therefore begins with a reset of the
// consumer, which delivers all messages that are not acknowledged from the first on, and
// begins again when the consumer's own sequence shows that another client received a delivery.
// It also needs the same routes: by other routes, a message that still waits may concern
// another group. A decision therefore has the mark of its routes, and covers nothing under
// other routes.
//
// The request id is a hash of the content group, of the stream sequences of the window's first
// and last notification, and of the time of the last.
//
// # A crash after each step
//
//	step              the next reader finds            why it is safe                           test
//	reset             what was there                   nothing was done                         TestACrashAtEveryStep/reset
//	set aside, sent   the message, or a dead letter    one dead letter is kept per message      TestACrashAtEveryStep/dead_letter,_unseen
//	set aside         the dead letter and the message  the same                                 TestACrashAtEveryStep/dead_letter
//	collect           all messages                     it collects them again                   TestARestartInTheMiddleOfAWindow
//	directive file    the file, no decision            no request names the file; it is unused  TestACrashAtEveryStep/directive
//	decision sent     nothing, or the decision         compare-and-set: one of them counts      TestACrashAtEveryStep/record,_unacknowledged
//	decision          the decision, no request         publishes the decision's own request     TestACrashAtEveryStep/record
//	request sent      the decision, maybe a request    the same id and content: one request     TestACrashAtEveryStep/request,_unacknowledged
//	request           the decision and the request     the same                                 TestACrashAtEveryStep/request
//	some acks         messages up to the decision      they are covered: acknowledged, no more  TestACrashAtEveryStep/acks,_unseen
//	all cancelled     a decision without a request     the creation does not come back alone    TestACrashWhileNothingIsAskedFor
//	look, held        all messages, and the decision   it looks at the same last request, and   TestACrashWhileAWindowIsHeld/held
//	                  that names the last request      holds the window too
//	decision of what  the decision, and maybe its      its request is published, and the next   TestACrashWhileAWindowIsHeld/decision,_unacknowledged
//	was held          request                          window waits for that one
//
// And without a crash:
//
//	what                                      why it is safe                                  test
//	a frozen reader wakes up                  its decision is refused, it begins again        TestAFrozenReader
//	a decision's PubAck is lost               known by its nonce                              TestALostAcknowledgementOfARecord
//	two replicas                              one reads, the other stands by; if both should  TestTwoReplicas
//	                                          read, one of two decisions counts
//	a group of several in one message         acknowledged when each has asked                TestANotificationForSeveralGroups
//	messages are delivered again              they are the same messages                      TestRedeliveries
//	the server restarts                       as a crash                                      TestTheServerRestarts
//	the stream is created again, or restored  what was stored after a decision is not in it   TestDecisionsAreAboutOneStream
//	the routes are changed                    decisions of other routes cover nothing         TestRoutesAreChanged
//	they are changed while it reads           it lets requests finish, begins again, and      TestRoutesAreChangedWhileRunning
//	                                          remembers what it acknowledged                  TestSettled
//	a group's request waits or its job runs   its window collects, and is requested once      TestAContentGroupIsAskedForOnce
//	another source's request has the turn     the same                                        TestAnotherSourceHasTheTurn
//	what is held is all that the server       windows end, and their requests wait            TestAFullConsumerEndsWhatIsHeld
//	delivers
//	a reader is killed in a blackout          the next one collects the same, and waits       TestABlackout
//	the store takes no files                  nothing is acknowledged; after 10 min a plain   TestAStoreThatIsAway
//	                                          INCREMENTAL is requested
//
// Two cases remain. If the routes are changed right after a crash, changes whose request was
// published and whose notifications were not acknowledged are requested again. And a published
// request whose ledger has been forgotten (90 days) is published again if its notifications
// are still not acknowledged.
//
// # Windows
//
// A window ends when nothing has changed for its quiet time, when its first change is too
// old, or, if its route has a directive, when it has its number of paths. The times are those at
// which JetStream stored the messages. While there is more to read, as after an outage, only the
// number of paths ends a window, or its longest time counted from the reading (at least five
// minutes): eight hours of changes become one request, not one for each quiet minute.
//
// If the creation and the deletion of an object are in one window, and deletions start no
// backup, the object is not requested. This needs an order that is sure (section Order):
// otherwise the change that asks for a backup counts. If deletions start a backup, the object
// counts, because it may have existed before. The deletion of one version removes only the
// creation of that version: if the window has other versions of the object, one of them is its
// content again, and is requested. A delete marker removes no version, so it does not cancel the
// creation of one: it may be removed in a later window, and MinIO reports that with the event of
// its creation. A delete marker that is made and removed in one window brings the object back, and
// it is requested. A window without remaining changes is decided without a
// request.
//
// A directive file lists the changed paths, sorted, one on each line. The request is a plain
// INCREMENTAL instead, with the reason in its label [LabelDirective], if a path cannot be
// listed, something was deleted, one notification has more paths than a window may, or the
// store accepts no file for [Config].StoreGivesUp. [LabelDirectiveWhy] and the log have the number
// of changes that cannot be listed, the first of them and the reason.
//
// # One job at a time
//
// A window of a route with a rule ([Route].Rule) ends only after a look at the events stream that
// found nothing of its content group waiting or running: neither the group's last request, which the
// decision names, nor a request that has the group's turn (package turn). Until then it stays open
// and collects, so all that changes while a job runs is requested once, after it. Windows that ended
// by their number of paths are requested one after the other. A look costs a few reads of NATS and
// comes every [Config].LookAgain.
//
// A window is held for [Config].HoldFor at most, and ends without a look if memory is needed.
//
// # Blackouts
//
// While a blackout of its route is in force (package blackout), a window stays open and collects;
// those that ended by their number of paths wait. A blackout is about the time of requests, so it
// needs nothing that is stored: after a crash the next reader collects the same and waits as well.
// It does not count as time that a window is held. If memory is needed, windows in a blackout end
// last, so that other groups go on.
//
// # Replicas
//
// One replica at a time reads the consumer, as package consumer/internal/reader says: the consumer
// is shipped with max_waiting 1. A reader that ends is replaced at once; one that is cut off, when
// its pull expires after 10 s.
//
// # The state for other processes
//
// Open windows are in the memory of the replica that reads. It publishes its [State] twice a
// second on storage.state, as a plain message that no stream stores, so the state costs no
// write. [Listen] receives it in any process, and returns nil if no replica reads. The last
// decision, and how many changes its request has, is on STORAGE_WINDOWS ([LastDecision]).
//
// # Memory
//
// The trigger keeps the sequence, times and reply subject of a notification, and of a change
// its object and what orders it. The consumer's max_ack_pending (250,000) bounds the
// notifications. When it is reached, the largest windows end, until a quarter of what is held can be
// let go: each window that ends early may cost one request more. The same happens with a million
// changes in windows, when no more is pulled. 200,000 notifications of 20,000 content groups need
// one request for each group (make trigger-backlog).
//
// # Decoding
//
// [Decode] returns the changes in one NATS message. It recognises a format by the content, in
// this order; the first that fits counts:
//
//	an array                                   each element by itself
//	Event "s3:TestEvent"                       the test of AWS S3 and of the Versity gateway
//	Records                                    AWS S3 2.x and what writes the same: see senders;
//	                                           AWS Lambda's events of SQS and SNS
//	specversion, or the header ce-specversion  CloudEvents: Azure storage, Cloud Storage (Eventarc), OCI;
//	                                           any other type: its data, as a notification
//	eventType Microsoft.Storage.*              Azure Event Grid's own schema
//	eventType com.oraclecloud.objectstorage.*  OCI, CloudEvents 0.1
//	eventType b2:*                             Backblaze B2
//	eventName and s3                           one record of S3 by itself
//	eventSource acs:oss, with oss              Alibaba OSS
//	eventSource aws:sqs, with body             SQS through EventBridge Pipes: its content
//	detail-type, with source aws.s3            AWS EventBridge
//	events                                     each element by itself (OSS, B2)
//	action and object                          Cloudflare R2
//	notification, object_name                  IBM Cloud Object Storage
//	message, attributes; headers eventType …   Cloud Storage through Pub/Sub, pushed or pulled
//	Type and Message                           SNS: its content
//	Body, Messages                             SQS: its content
//	a short text with the word test            the test of NooBaa and others
//
// Each kind of envelope is unwrapped once: SQS around SNS around S3 is decoded, SQS around SQS
// is not. An envelope must have a member that its sender always writes: subscription or ackId
// (Pub/Sub), TopicArn (SNS), MessageId (SQS).
//
// Answers of the NATS server (type io.nats.…), copies of dead letters and events of Backhaul
// are refused: a server stores them on any subject that a client names as the reply subject,
// and no store sent their content.
//
// For every change:
//
//   - The key has the bytes of the object's name, without Unicode normalisation or cleaning of
//     paths. It is decoded exactly once, and only if the format encodes it: AWS S3, MinIO and
//     RustFS form encode keys. Section Keys has the senders of which it is not known. The others
//     do not encode keys.
//   - Every event is returned. A test, a change of metadata, a folder marker and an unknown
//     event are changes of [KindNone] with the reason in Note. EventBridge, for example, sends
//     every event of a bucket.
//   - A rename is a creation and a deletion. A renamed or deleted directory is one change with
//     Tree: it concerns everything below it.
//   - The deletion of one version has that version. Cloud Storage reports content that was
//     overwritten as deleted: that is not a deletion of the name.
//   - On Azure Data Lake and SFTP a file counts when it is closed (FlushWithClose, SftpCommit),
//     not when it is created and empty.
//
// Unknown members are ignored, members of a wrong type count as absent, and size may be a
// number or a string. JSON that is invalid, not UTF-8 or has a member twice is refused, and so
// is a notification without a container or key, or beyond [MaxSize] or [MaxChanges]. The error
// is a [*DecodeError]: the message becomes a dead letter, because it always fails again. The
// changes that could be decoded are returned with the error. What is close to a known format is
// refused with the name of that format.
//
// A record that names its container and no readable key becomes a dead letter, and a change of
// everything in the container ([Change].Broken): each route of the container requests a plain
// INCREMENTAL.
//
// # Keys of what imitates S3
//
// AWS and MinIO encode keys. Others send the same document with raw keys, some as aws:s3. AWS is
// known by what only AWS writes: a region, and sequencers of 18 digits that begin with 00; the
// Versity gateway by the name of its configuration, and others by their eventSource (senders.go).
// From any other sender of records, and in events of OCI and Alibaba OSS, a blank, a control character or a byte beyond ASCII proves that a key is raw,
// and so does a percent sign that encodes nothing. If the key of such a sender has a plus or
// percent sign, both readings are possible ([Change].Raw). The routes of both are asked, and
// nothing is listed, because the list could name another file. [Route].Keys settles it.
//
// # Order and duplicates
//
// Every store sends at least once and in any order. An object is identified by its system,
// account, container and key. The system is what the notification says of it, if no other
// system says the same: MinIO's deployment, the region of AWS, OCI and Alibaba, Azure, Cloud
// Storage, Cloudflare R2, Backblaze B2, IBM. Otherwise
// the subject belongs to the identity: two sites may have a bucket of one name.
//
// The order of the changes of an object is that of its sequencers, by the store's own rule: hex
// for S3, text for Azure, a number for Cloud Storage, the time for Ceph, whose sequencers cannot be
// compared. It is sure only between sequencers of one format and of the form that the store
// writes (of one length, except for numbers), and if the times do not say the opposite.
// Imitators write counters without padding (9, A, 10) and times of modification. It is never
// sure for Scality, NooBaa, RustFS and the Versity gateway, nor where there is no sequencer (OCI,
// OSS, IBM, R2, B2): then only the deletion of a version cancels its creation.
//
// A deletion cancels a creation only if it was received after it, and is surely later, or is
// that of the version created. A creation that is received after a deletion counts, whatever
// its sequencer says, unless it is the second notification of what was deleted.
//
// # Routes
//
// [NewRoutes] takes the routes, which the program reads from a file
// (cmd/internal/routes). [Routes.Match] finds the first route whose system, subject, source, account,
// container, prefix, suffix, size and events fit, with one lookup for each length of a prefix and each
// form of a pattern: 20,000 routes cost what 50 cost.
//
// A route may be a template ([Placeholders]). For each set of values that occurs, it is a route of its
// own ([Routes.Match] returns that one). A route takes no change that has no value for one of its
// placeholders, or a value that no request can have.
//
// One content group has one window, and one window makes one request. So the routes of a
// content group must have the same window, directive, level, plan and labels; NewRoutes
// refuses others.
//
// A directive file is written into the storage that is watched, and causes a notification.
// Therefore everything below the prefix of a directive starts nothing, regardless of the
// routes ([ReasonDirective]), and no loop is possible. Such a prefix is required, ends in a
// slash, and should be used for nothing else.
//
// [Route.Path] reports keys that cannot be a line of a directive file.
//
// # Concurrency
//
// Decoding and routes are pure functions of their arguments and safe for concurrent use. A
// [Trigger] has one goroutine that reads and owns the windows, and one for each of at most 16
// requests that are being made. Its methods may be called at any time, Run once.
//
// # NATS
//
// The trigger needs nats-server 2.14 or later, for the reset of a consumer; permission to publish on
// backup.request.<source>, backup.dlq.<source>, storage.window.*,
// $JS.ACK.STORAGE_EVENTS.trigger.> and, below $JS.API, on CONSUMER.{INFO,MSG.NEXT,RESET}.STORAGE_EVENTS.trigger,
// STREAM.{INFO,MSG.GET}.{STORAGE_EVENTS,STORAGE_WINDOWS}, and to subscribe
// to its inbox prefix. Without permission to publish on storage.state its open windows are not visible.
// Routes with a rule need STREAM.{INFO,MSG.GET}.BACKUP_EVENTS and CONSUMER.INFO.BACKUP_EVENTS.follower too.
package trigger
