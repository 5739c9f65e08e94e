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
//	        claim                      record
//	(none) ───────▶ job-submitting ─────────────▶ job-started | job-failed
//	                │  ▲    │  ▲                  (nothing follows)
//	          renew └──┘    │  │ take over: epoch + 1
//	                release │  │  - a released claim: at once
//	                        ▼  │  - one that holds: after lease and window
//	               job-submitting, lease 0
//
//	adopt: a job that the vendor shows with the marker is recorded on top of
//	whatever claim is last, its owner dead or alive.
//
//	deny: what the policy does not allow, as what is no request at all, is
//	job-failed without a claim, and only where the key has no event yet.
//
// A policy ([Policy]) decides whether work begins. A request that was ever claimed
// goes on, whatever the policy has become or is on this replica: there may be a job
// of it, and a denial would say that there is none.
//
// A claim is a lease: its owner may call the vendor only until it ends, by a
// clock that was read before the claim was sent. What a call left unclear is a
// doubt, and the claim carries it on, as the sequence of the claim under which
// the call was made: a request in doubt is looked for at the vendor, by the
// marker in the job's description, before it is sent again. A task that the
// vendor made without naming a job is part of the doubt, and never sent again.
//
// # A crash after each step
//
// What was last done before the crash, what the next owner of the message sees,
// why that is safe, and the test that proves it. TestDocumentsNameTests keeps the
// names true.
//
//	step           the next owner finds          why it is safe                       test
//	pull           nothing                       nothing was done                     TestACrashAtEveryStep/decode
//	claim sent     nothing, or a claim           compare-and-set: one of them counts  TestACrashAtEveryStep/claim,_unacknowledged
//	claim          a claim, no job               waits out lease and window, takes    TestACrashAtEveryStep/claim
//	               at the vendor                 over, looks, sends: one job
//	wire           a claim; a job, or one        looks before it sends, for the       TestACrashAndAJobThatIsVisibleLate
//	               that is visible later         whole window
//	wire, hidden   a claim; jobs that may be     says OUTCOME_UNKNOWN, sends nothing  TestACrashWhereNothingProvesTheJob
//	               the one, no proof
//	wire, no looks a claim; looks that fail      not to be able to look is not to     TestACrashWhileLooksFail
//	                                             find nothing: it goes on looking
//	answer         a claim, the job              adopts the job                       TestACrashAtEveryStep/submit
//	task only      a doubt with a task           never sends it again                 TestATaskWithoutAJob
//	record sent    the outcome, or the row       the record is refused if somebody    TestACrashAtEveryStep/record,_unacknowledged
//	               above                         else's was first
//	record         the outcome                   acknowledges, nothing else           TestACrashAtEveryStep/record
//	refusal        a claim, no job               sends once more, is refused again    TestACrashAtEveryStep/refusal
//	denial sent    nothing, or the outcome       compare-and-set on nothing           TestACrashAtEveryStep/denial,_unacknowledged
//	denial         the outcome                   the letter is kept once per message  TestACrashAtEveryStep/denial
//	dead letter    the outcome                   the letter is kept once per message  TestACrashAtEveryStep/dead_letter
//	ack sent       the outcome, or no message    as above                             TestACrashAtEveryStep/ack,_unseen
//
// And without a crash:
//
//	what                                         why it is safe                       test
//	nothing goes wrong                           two writes, one ack, no read         TestTheHappyPath
//	a frozen owner wakes up after a take-over    its lease is over by its own clock,  TestAFrozenOwner
//	                                             its record is refused
//	the claim's or the record's PubAck is lost   the same write again, known by its   TestALostAcknowledgementOfAClaim
//	                                             nonce
//	another owner's call is under way            looks, finds nothing, waits for the  TestAnotherOwnersCallIsUnderWay
//	                                             lease all the same
//	the answer is lost, the job is there         found by its marker, adopted         TestALostAnswerIsFoundAgain
//	the request never arrived                    looked for through the window, then  TestARequestThatNeverArrivedIsSentAgain
//	                                             sent again
//	the same request again                       one work, or the outcome on record   TestAHundredCopiesAtOnce
//	other content under a used id                request-rejected, a dead letter      TestTheSameIDWithOtherContent
//	the policy denies what was claimed before    it goes on to its outcome            TestADenialComesTooLate
//	thousands of foreign messages on a key       each is read once, backward from     TestThousandsOfForeignMessagesOnAKey
//	                                             the last; what was read is kept
//	a request's events cannot be read            it ends by its age as                TestARequestThatCanNeverBeClaimed
//	                                             OUTCOME_UNKNOWN, under the key of
//	                                             its place in the stream
//	an event is too large for the stream         recorded without a part of its       TestAnEventThatIsTooLarge
//	                                             lists and texts; names stay whole
//	replicas with different policies             whoever writes first decides         TestReplicasWithDifferentPolicies
//	the policy cannot tell                       nothing is claimed, asked again      TestAPolicyThatCannotTell
//	a stop with work in every state              calls are finished, claims released  TestDrain
//	a message that the server forgot             found below the floor and done       TestARequestThatTheServerForgot
//	a pause that the vendor asked for            no replica sends before it is over   TestAThrottledReplicaPausesAll
//	a replica that has no room                   others do its work, in its order     TestAReplicaWithoutCapacity
//	the ledger is made again during a call       the claim is gone: no outcome, but   TestALedgerThatIsMadeAgainDuringACall
//	                                             a doubt, and nothing is claimed
//	the ledger is made again, or lost in part    nothing is claimed until Recover     TestALedgerThatIsMadeAgain, TestADamagedBlock
//	                                             has put in doubt what waits
//	the stream is edited so that it forgets      nothing is claimed until it is set   TestAStreamThatForgets
//	                                             back, and Recover if it forgot
//	the ledger was restored from a snapshot      what it may have forgotten is put    TestRecover
//	                                             in doubt (Recover), so looked for
//	an operator ends that pause                  who knows of it makes it longer      TestAResumeDoesNotStartEarly
//	a sequence comes again in a stream that      key and marker also have the time when the  TestAPlaceThatComesAgain
//	was made again                               message was stored
//	an earlier version's request without an id   its key stays, if it is about this message  TestAnEarlierVersionsPlace
//	the same behind a consumer that was made     each request without an id costs a read     TestAnEarlierVersionsOutcomeBehindANewConsumer
//	again, with delivery counts that start at 1
//	an earlier version's event that cannot be    nothing is sent; it ends by its age         TestAnEarlierVersionsEventThatCannotBeRead
//	read
//	an earlier version's rejection               it is not recorded again                    TestARejectionThatAnEarlierVersionRecorded
//	a foreign message on a key's filter          skipped: neither a claim nor an outcome     TestAMessageOfAForeignKind
//	a dead letter is replayed                    a new id, and so a request of its    TestAReplayedRequest
//	                                             own; its events say replayOf
//
// # The ledger that is known
//
// The ledger is a stream that somebody can delete, edit or lose a part of. So the service
// keeps a mark of it in the stream BACKUP_MARK ([publisher.Mark]): when it was made, where it
// begins and ends, how many messages are missing between. The ledger is compared with the
// mark, and the mark renewed, at the start, after each reconnect and once a second. The
// sequence of each write is compared with the highest that was seen, which costs nothing.
// What differs must do so for half a second (15 s in a cluster, whose former leader may
// still answer). Then the service claims nothing, for good: the mark says why, so that
// every replica knows, until [Recover] records the ledger as it is. A replica that finds no
// mark takes the ledger as it is. One of an earlier version knows none of this: it goes
// on claiming, and what it does behind a lost ledger may start jobs again.
//
//	crash after                   the next one finds
//	a write, before the mark      an older mark: a loss of what was written since is not
//	                              noticed (a second at most)
//	the loss, before the mark     the difference itself
//	says so
//	the doubt of Recover, before  the difference: Recover is run again, and finds the
//	the mark                      requests in doubt
//
// # What cannot be closed
//
// Events that a server loses within a second after they were written, while no replica
// sees it. A ledger that is made again within the second in which a replica has first seen an
// event of it. A request id of the lost part that is sent again after Recover.
//
// A process that is frozen between the last look at its clock and the write to
// the socket could send after its lease. The connection's write deadline ends
// with the lease, and the lease ends well before anybody takes over; what is left
// is a request that spends longer than the visibility window in the kernel or on
// the way. Only an idempotency key at the vendor could close that.
//
// # Failure handling
//
// Seconds are waited for in the handler (vendorapi.Retrier), with progress
// acknowledgements. Minutes are waited for by redelivery: the claim is released
// and the message delivered again later. While the vendor is out of reach, asks
// for a pause, or our own rate limit is used up, nothing is pulled and nothing
// claimed (Vendor.Capacity): a claim whose owner dies makes the next one wait. What an
// open pull brings nevertheless goes back to the queue at once, for a replica that
// has room, and keeps its place there. A claimed
// request that has to wait longer than [CapacityWait] is given back, and so is one
// that the vendor was not available for: whoever has it next looks for its job
// once. A long pause is passed on to the other replicas by pausing the durable
// consumer. A request is given up by its age, never by a number of deliveries.
//
// # What it asks of NATS
//
// Publish permission on backup.event.>, backup.dlq.*, $JS.ACK.BACKUP_REQUESTS.backhaul.>
// and, below $JS.API, on CONSUMER.{INFO,MSG.NEXT,PAUSE}.BACKUP_REQUESTS.backhaul,
// STREAM.{INFO,MSG.GET,MSG.DELETE}.BACKUP_REQUESTS and STREAM.{INFO,MSG.GET}.BACKUP_EVENTS,
// STREAM.{INFO,MSG.GET}.BACKUP_MARK, on backup.mark,
// and to subscribe to its inbox prefix. On servers with js_ack_fc_v2 acknowledgements
// go to $JS.ACK.*.*.BACKUP_REQUESTS.backhaul.>; `backhaul run` also asks for
// STREAM.INFO.BACKUP_DLQ at its start. deploy/nats/roles.conf has all of it.
// Without those of BACKUP_MARK a ledger that is lost while no replica runs is not noticed.
// Without PAUSE each replica meets the vendor's pause by itself; without MSG.DELETE
// a request that the server forgot stays in the stream after its outcome. What a
// policy asks is its own affair.
// `backhaul run` also compares the streams at its start: STREAM.INFO.BACKUP_DLQ. Logins
// at the vendor are shared on backup.event.vendor.logins, with the same permissions.
//
// Operators have a user of their own. Its reply subjects beside, `backhaul dlq`,
// `pause` and `resume` publish on
//
//	to look     $JS.API.STREAM.{INFO,MSG.GET}.{BACKUP_DLQ,BACKUP_EVENTS}
//	            $JS.API.CONSUMER.{CREATE,INFO,MSG.NEXT,DELETE}.{BACKUP_DLQ,BACKUP_EVENTS}.>
//	            $JS.API.CONSUMER.INFO.BACKUP_REQUESTS.backhaul
//	to act      backup.event.operator.*, the record of it
//	to pause    $JS.API.CONSUMER.PAUSE.BACKUP_REQUESTS.backhaul
//	to replay   backup.request.<source>
//	to drop     $JS.API.STREAM.MSG.DELETE.BACKUP_DLQ
//
// and `backhaul check`, which runs with the service's settings, asks for
// $SYS.REQ.USER.INFO and $JS.API.INFO as well; what it may not ask it says.
//
// # Concurrency
//
// A [Consumer] has up to MaxInFlight requests at the vendor at once. Half as many
// again are in hand beside them, claimed ahead or with their outcome on the way to
// the stream, so that the vendor does not wait for the ledger: each request has a
// goroutine, claims and outcomes are published asynchronously and share what is
// sent and received. Any number of consumers may share the durable; keep its
// max_ack_pending well above what all of them have in hand. A further delivery of
// a request that this process is working on attaches to that work. A stop
// ([Consumer.Run]'s context) ends pulling and waiting at once, lets calls finish
// for the drain timeout, and releases the claims of what was not sent.
package consumer
