// Package consumer turns requests on the stream BACKUP_REQUESTS into jobs at the
// vendor, and reports them with true events on the stream BACKUP_EVENTS.
//
// # Guarantees
//
// For every request that JetStream has accepted there is at most one job at the
// vendor, exactly one terminal event, and that event is true. The vendor's CreateTask
// has no idempotency key, so a ledger keeps this guarantee. The ledger is the events
// stream itself: the last event of a request's key is the request's state, and every
// write to the key is a compare-and-set on that event.
//
//	        claim                      record
//	(none) ───────▶ job-submitting ─────────────▶ job-started | job-failed
//	                │  ▲    │  ▲                  (nothing follows)
//	          renew └──┘    │  │ take over: epoch + 1
//	                release │  │  - a released claim: at once
//	                        ▼  │  - a claim in force: after lease and window
//	               job-submitting, lease 0
//
//	adopt: a job that the vendor shows with the marker is recorded after the last
//	claim, whether the claim's owner is alive or dead.
//
//	deny: a request that the policy denies, or that is invalid, becomes job-failed
//	without a claim, and only if the key has no event yet.
//
//	cancel: an operator ends a request with job-failed CANCELLED, only if the key has no event
//	yet, or its last one is a claim that was released without a doubt ([Canceller]).
//
// A cancellation needs no replica and touches no message: the next delivery finds the outcome,
// keeps the dead letter, and acknowledges. The id is used up; a replay of the dead letter is
// another request. A request that is held or in doubt is never cancelled, because it may have a
// job. An operator's event is written before, so one whose cancellation came too late says what
// was asked for.
//
// A policy ([Policy]) decides whether work begins. A request that was ever claimed goes
// on, even if the policy has changed or this replica has another one: it may have a job,
// and a denial would say that it has none.
//
// A claim is a lease. Its owner may call the vendor only until the lease ends, by a
// clock that was read before the claim was written. A call with an unclear result leaves
// a doubt. The claim carries the doubt on, as the sequence of the claim under which the
// call was made. The job of a request in doubt is looked up at the vendor, by the marker
// in the job's description, before the request is sent again. A task that the vendor
// made without naming a job is part of the doubt; such a request is never sent again.
//
// A lease is renewed by an event. While a job is looked up nothing is sent under the claim, so one
// renewal then covers up to two leases more: a request that is stuck writes about half as many
// events, and the next owner of a dead owner's doubt waits up to two leases longer.
//
// # A crash after each step
//
// The table lists the last step before the crash, what the next owner of the message
// finds, why that is safe, and the test that proves it. TestDocumentsNameTests keeps the
// names of the tests correct.
//
//	step            the next owner finds         why it is safe                       test
//	pull            nothing                      nothing was done                     TestACrashAtEveryStep/decode
//	wait for claim  nothing                      nothing was done; it waits only for  TestFewRequestsAreClaimedAhead
//	                                             its redelivery
//	claim sent      nothing, or a claim          compare-and-set: one claim counts    TestACrashAtEveryStep/claim,_unacknowledged
//	claim           a claim, no job at the       waits for lease and window, takes    TestACrashAtEveryStep/claim
//	                vendor                       over, looks up, sends: one job
//	wire            a claim; a job, or one       looks up the job during the whole    TestACrashAndAJobThatIsVisibleLate
//	                that is visible later        window before it sends
//	wire, hidden    a claim; jobs that may be    records OUTCOME_UNKNOWN, sends       TestACrashWhereNothingProvesTheJob
//	                it, no proof                 nothing
//	wire, no lookup a claim; lookups that fail   a failed lookup does not count as    TestACrashWhileLooksFail
//	                                             "not found": lookups go on
//	answer          a claim, the job             adopts the job                       TestACrashAtEveryStep/submit
//	task only       a doubt with a task          never sends it again                 TestATaskWithoutAJob
//	record sent     the outcome, or as after     the record is refused if another     TestACrashAtEveryStep/record,_unacknowledged
//	                "answer"                     owner's was first
//	record          the outcome                  acknowledges, nothing else           TestACrashAtEveryStep/record
//	refusal         a claim, no job              sends once more, is refused again    TestACrashAtEveryStep/refusal
//	denial sent     nothing, or the outcome      compare-and-set on an empty key      TestACrashAtEveryStep/denial,_unacknowledged
//	denial          the outcome                  one dead letter for each message     TestACrashAtEveryStep/denial
//	dead letter     the outcome                  one dead letter for each message     TestACrashAtEveryStep/dead_letter
//	ack sent        the outcome, or no message   as above                             TestACrashAtEveryStep/ack,_unseen
//
// An operator's process that cancels a request:
//
//	step            the next owner finds         why it is safe                       test
//	look            nothing                      nothing was done                     TestACrashOfACancellation/look
//	asked           nothing, or what it found    the operator's event is none of the  TestACrashOfACancellation/asked
//	                before                       request
//	cancelled,      the outcome                  compare-and-set on the event that    TestACrashOfACancellation/cancelled,_unacknowledged
//	unacknowledged                               was seen; again, it is found
//
// The same where starts are scarce and the message was picked (see Picking below). The next
// owner is a replica that picks, or one to which the durable consumer delivers the message; it
// knows nothing of the picking.
//
//	step            the next owner finds         why it is safe                       test
//	pick            nothing                      the message was only read            TestACrashAtEveryStepOfPicking/decode
//	start reserved  nothing                      the start is lost for an hour, and   TestReserve_crash (package
//	                                             a source loses one turn              budget)
//	claim, wire,    as above                     the claim is the same. One that      TestACrashAtEveryStepOfPicking/claim
//	answer, record                               picks waits for its lease before it  TestACrashOfAPickerAmongOthers
//	                                             looks for the job
//	outcome, not    the outcome                  deletes the message, or              TestACrashAtEveryStepOfPicking/record
//	deleted                                      acknowledges it                      TestACrashOfAPickerAmongOthers
//	deletion sent   the outcome, or no message   the message is deleted only if it    TestACrashAtEveryStepOfPicking/ack,_unseen
//	                                             has the time of the one that was     TestDeleteRequest_anotherMessage
//	                                             picked
//
// The same where the next process on the machine finds the journal of a process that was killed
// ([Config].ClaimsDir, package journal). It ends the claims before it reads requests, for all
// replicas.
//
//	step            the next owner finds         why it is safe                       test
//	claim sent,     nothing, or a claim that     the journal says that no call was    TestACrashThatTheJournalKnows/claim,_unacknowledged
//	claim           was released                 made: it is written before the       TestACrashThatTheJournalKnows/claim
//	                                             claim, and marked before a call
//	wire            a claim in doubt whose       no call is made after the death of   TestACrashThatTheJournalKnows/wire
//	                lease is over                the process, so its job is looked    TestACrashThatTheJournalKnows/wire,_not_arrived
//	                                             up during the window from then on
//	wire, and the   the same doubt               the window of a call does not begin  TestLedgerInherit_onlyThatClaim
//	next one dies                                again with each owner                TestLedgerDoubtOf_aSecondOwnerDies
//	released,       a claim that was released    compare-and-set on the dead          TestInherit_twice
//	unacknowledged                               process's claim; again, it is found
//	a process that  its claim                    it holds the lock of its journal     TestInherit_leavesTheLivingAlone,
//	is only frozen                                                                    TestFindDead_aKilledProcess (package journal)
//
// And for a request of a content group whose requests follow each other (package turn):
//
//	step            the next owner finds         why it is safe                       test
//	claim           the turn is another's or     nothing was sent; it takes the turn  TestACrashOfTheTurnsHolder/turn
//	                free, a claim                again before it sends
//	turn sent       the turn, or not; a claim    compare-and-set: one request has it  TestACrashOfTheTurnsHolder/turn,_unacknowledged
//	wire            its own turn, a claim, a     the turn is held while the claim     TestACrashOfTheTurnsHolder/sent
//	                job                          may have a job; the job is adopted
//	record sent     its own turn, the outcome    as "record sent"; others wait for    TestACrashOfTheTurnsHolder/started,_unseen
//	                or not                       the end of the job
//	a released      a free turn                  its owner takes the turn again       TestTwoReplicasTakeTheTurn
//	claim
//
// The same without a crash:
//
//	case                                         why it is safe                       test
//	all goes well                                two writes, one ack, no read         TestTheHappyPath
//	a frozen owner resumes after a take-over     its lease has ended by its own       TestAFrozenOwner
//	                                             clock; its record is refused
//	the PubAck of the claim or record is lost    the repeated write finds its own     TestALostAcknowledgementOfAClaim
//	                                             nonce
//	another owner's call is in flight            the lookup finds nothing, and the    TestAnotherOwnersCallIsUnderWay
//	                                             lease is waited for nevertheless
//	the answer is lost, the job exists           found by its marker, adopted         TestALostAnswerIsFoundAgain
//	the request never arrived                    looked up during the window, then    TestARequestThatNeverArrivedIsSentAgain
//	                                             sent again
//	the same request again                       attaches, or finds the outcome       TestAHundredCopiesAtOnce
//	other content under a used id                request-rejected, a dead letter      TestTheSameIDWithOtherContent
//	the policy denies a claimed request          it goes on to its outcome            TestADenialComesTooLate
//	thousands of foreign messages on a key       each is read once, backward from     TestThousandsOfForeignMessagesOnAKey
//	                                             the last; what was read is kept
//	a request's events cannot be read            it ends by its age as                TestARequestThatCanNeverBeClaimed
//	                                             OUTCOME_UNKNOWN, under the key of
//	                                             its place in the stream
//	an event is too large for the stream         recorded without a part of its       TestAnEventThatIsTooLarge
//	                                             lists and texts; names stay whole
//	replicas have different policies             the first write decides              TestReplicasWithDifferentPolicies
//	the policy cannot decide                     nothing is claimed; redelivered      TestAPolicyThatCannotTell
//	a stop with requests in every state          calls finish, claims are released    TestDrain
//	a message that the server has forgotten      found below the floor and processed  TestARequestThatTheServerForgot
//	two replicas that pick, or one and the       the claim decides; the other leaves  TestPicking_twoReplicasMeet,
//	consumer's delivery, meet at a message       the owner alone during its lease     TestPicking_manyReplicas
//	a picked request under a second priority     one request: the copy finds its      TestPicking_aPriorityThatComesLater
//	                                             outcome
//	an operator's pause while requests are       nothing is picked                    TestPicking_aPausedQueue
//	picked
//	a replica that picks may not delete          it takes them in the queue's order;  TestPicking_withoutPermission
//	requests                                     deliveries find the outcomes
//	the stream is made again while requests      what was read is forgotten           TestPicking_aStreamThatIsMadeAgain
//	are picked
//	a pause that the vendor asked for            all replicas wait until its end      TestAThrottledReplicaPausesAll
//	a replica without vendor capacity            other replicas take its messages,    TestAReplicaWithoutCapacity
//	                                             in their order
//	the ledger is made again during a call       the claim is gone: a doubt instead   TestALedgerThatIsMadeAgainDuringACall
//	                                             of an outcome; claims stop
//	the ledger is made again, or lost in part    claims stop until Recover has put    TestALedgerThatIsMadeAgain, TestADamagedBlock
//	                                             the waiting requests in doubt
//	the stream's settings remove events          claims stop until they are fixed,    TestAStreamThatForgets
//	                                             and until Recover if events are lost
//	the ledger was restored from a snapshot      Recover puts in doubt what it may    TestRecover
//	                                             have forgotten, so it is looked up
//	an operator ends the vendor's pause          a replica that knows of the pause    TestAResumeDoesNotStartEarly
//	                                             extends it; others keep to the record
//	a sequence repeats in a stream that was      key and marker also contain the      TestAPlaceThatComesAgain
//	made again                                   time when the message was stored
//	an earlier version's request without an id   its key stays, if it is about this   TestAnEarlierVersionsPlace
//	                                             message
//	the same after the consumer was made again,  each request without an id costs a   TestAnEarlierVersionsOutcomeBehindANewConsumer
//	with delivery counts that start at 1         read
//	an earlier version's event that cannot be    nothing is sent; it ends by its age  TestAnEarlierVersionsEventThatCannotBeRead
//	read
//	an earlier version's rejection               it is not recorded again             TestARejectionThatAnEarlierVersionRecorded
//	a foreign message on a key's filter          skipped: neither claim nor outcome   TestAMessageOfAForeignKind
//	two replicas have claimed a request of one   one of them takes the turn, the      TestTwoReplicasTakeTheTurn
//	content group                                other releases its claim
//	a content group's requests wait too long     EXPIRED, and what was waited for     TestARequestThatWaitsTooLong
//	a job runs as its content group gets a rule  it has the first turn                TestAJobFromBeforeTheRule
//	more requests wait for their content group   they are picked, and others too      TestManyRequestsThatWaitDelayNoOthers
//	than the queue delivers
//	cancel against claim                         compare-and-set on the same event:   TestCancel_againstClaims,
//	                                             the other one is refused, or finds   TestCancel_property,
//	                                             the outcome, in every order          TestCancel_everyOrder
//	cancel against release and take-over         a claim is cancelled only as         TestCancel_aClaimThatIsReleased,
//	                                             released, without a doubt            TestCancel_refuses,
//	                                                                                  TestCancel_everyOrder
//	cancel against the claim of a killed         only if the journal says that        TestCancel_everyOrder
//	process                                      nothing was sent
//	cancel against a denial, and against the     as against claim                     TestCancel_everyOrder
//	end of a wait
//	cancel against Recover                       a request in doubt is not cancelled  TestCancel_everyOrder
//	two operators cancel a request               one event; the other is told of it   TestCancel_twice,
//	                                                                                  TestCancel_everyOrder
//	the acknowledgement of a cancellation is     the operator finds its own event     TestCancel_aLostAcknowledgement
//	lost
//	cancel against a replay                      a replay is another request, with    TestCancel_replay
//	                                             an outcome of its own
//	an id is given twice, and cancelled          the copy has the same outcome;       TestCancel_anIDGivenTwice
//	                                             other content is rejected as ever
//	cancel against the picker                    as against claim; a cancelled one    TestCancel_againstClaims/pick
//	                                             takes no start
//	cancel against the sweep                     it finds the outcome and deletes     TestCancel_aRequestThatTheServerForgot
//	                                             the message
//	a request is cancelled that waits for its    looked up with each delivery, so it  TestCancel_whileTheContentGroupWaits
//	content group                                leaves the queue before its turn
//	a request is cancelled in a ledger that      refused: its claim may be forgotten  TestCancel_aLedgerThatForgot
//	has forgotten events
//	an operator pauses a scope                   its requests wait, others go on      TestAPausedScope
//	a pause comes after a claim                  a job that exists is announced       TestAPauseComesAfterAClaim
//	a pause comes after a claim was released     without a doubt it waits, with one   TestAReleasedClaimInAPause
//	                                             its job is looked up before
//	a pause while requests are delivered         what is claimed and not sent is      TestAPauseWhileRequestsAreDelivered
//	                                             released, others are read past
//	a request in doubt is not wanted any more    paused, it is looked up and not      TestAPauseLetsARequestInDoubtBeCancelled
//	                                             sent again; then it is cancelled
//	a paused scope's request waits too long      EXPIRED, and who paused it           TestARequestOfAPausedScopeExpires
//	more requests of a paused scope wait than    they are read past, not delivered    TestManyRequestsOfAPausedScope
//	the queue delivers                           and not kept
//	a dead letter is replayed                    it has a new id, so it is a request  TestAReplayedRequest
//	                                             of its own; its events say replayOf
//
// # The mark of the ledger
//
// The ledger is a stream, and a stream can be deleted, edited or lost in part. So the
// service keeps a mark of it in the stream BACKUP_MARK ([publisher.Mark]): when the ledger
// was made, where it begins and ends, how many messages are missing between, and the time
// of one event. The ledger is compared with the mark, and the mark is updated, at the
// start, after each reconnect and once a second. In addition, the sequence of each write
// is compared with the highest one seen, which costs nothing.
//
// A difference must last for half a second (15 s in a cluster, whose former leader may
// still answer). Then the service stops claiming until [Recover] has accepted the ledger.
// The mark says why, so that every replica knows. A replica that finds no mark accepts
// the ledger as it is. A replica of a version without marks goes on claiming, and may
// start jobs again after a loss. An empty ledger that is made again while replicas run counts as
// lost as well, if a write reaches it before the next comparison.
//
//	crash after                    the next replica finds
//	a write, before the mark       an older mark: the loss of what was written since
//	                               is not noticed (at most one second)
//	the loss, before it is         the difference itself
//	written to the mark
//	the doubts of Recover, before  the difference: Recover is run again, and finds the
//	the mark                       requests in doubt
//
// # What remains open
//
//   - Events that a server loses within a second after they were written, while no
//     replica sees it.
//   - A ledger that is made again within the second in which a replica has first seen an
//     event of it, or in which an operator cancels requests.
//   - A request id of the lost part that is sent again after Recover.
//   - A requests stream that is deleted, made again and filled within the milliseconds between
//     the last reading of a picked or forgotten message and its deletion.
//   - An answer 503 with Retry-After of a server in front of the vendor, although the vendor has
//     taken the task, and whose job the vendor shows later than after that wait. It counts as
//     throttled, and its job is looked up once: if each 503 were a doubt, an overloaded vendor would
//     hold up every request for the visibility window.
//   - A process that is frozen between the last check of its clock and the write to the
//     socket could send after its lease. The connection's write deadline ends with the
//     lease, and the lease ends well before another owner takes over. What remains is a
//     request that spends longer than the visibility window in the kernel or on the
//     network. Only an idempotency key at the vendor could prevent that.
//
// # Content groups
//
// With a rule for its content group ([Config].Rule) a request waits, unclaimed, while another
// request of the group is at the vendor or has a job that runs, or until the group's least interval
// is over. Package turn says how replicas agree. The request is looked at again every few seconds,
// up to [Config].GiveUpAfter or its notAfter; then it ends as EXPIRED with what it waited for. A
// request that waits is in delivery for the server: it counts in max_ack_pending. When half of it
// waits, requests are picked (section Picking), so that other groups' requests do not wait too. A
// content group without a rule costs nothing.
//
// # Paused scopes
//
// An operator can pause the requests of a source, a client or a content group (package scope). Such
// a request waits, unclaimed, until the pause ends, up to [Config].GiveUpAfter or its notAfter; then
// it ends as EXPIRED. The pauses are looked at before each call (permit), so nothing is sent for a
// paused scope, except a call that is under way. A request in doubt is looked up nevertheless: its
// job is announced, or there is none and its claim is released without the doubt. While a scope is
// paused, requests are picked (section Picking), so that those that wait are not delivered: they
// would fill max_ack_pending and hold up the others. The picker reads past them and keeps nothing of
// them but their number. It
// reads a line again from its beginning when the pauses change, when one of them expires, and now
// and then, because a replica that did not know of the pause yet may have claimed one and died.
// Another request that arrives meanwhile is found within pickPause.
//
// # Failure handling
//
// Waits of seconds happen in the handler (vendorapi.Retrier), with progress
// acknowledgements. Waits of minutes happen by redelivery: the claim is released and the
// message is redelivered later. While the vendor is unreachable or throttles, or our own
// rate limit is reached, nothing is pulled and nothing is claimed (Vendor.Capacity), because
// a claim whose owner dies delays the next owner. Messages that an open pull still brings
// are nak'ed at once, for a replica with capacity, and keep their order. A claimed request
// that has to wait longer than [CapacityWait] is released. So is one for which the vendor was
// not available: its next owner looks up its job once. A long pause is shared with the
// other replicas by pausing the durable consumer. A request is given up by its age, never
// by its number of deliveries.
//
// # Picking
//
// While starts are scarce (a budget, a limit of starts or a pause of the vendor holds), a scope is
// paused, or many requests wait for their content group, the queue's order would let a source with
// thousands of requests delay all others. So nothing is pulled from the durable consumer. The next
// request of the source whose turn it is ([backhaul/consumer/order]) is read from the stream
// instead, and handed to the same steps as a delivery. Replicas pick independently and meet at the
// same requests; the claim decides, and costs the loser a write and a read. Replicas that share
// their starts ([Config].Starts) have one order: a start is reserved for the next turn before the
// request is claimed, and a replica that does not get it claims nothing. When the outcome is on
// record, the message is deleted. The consumer skips it then; what it delivered earlier, or delivers
// later, finds the ledger's word. If no request waits, a pull waits for the next one. From 10 s after
// the last of these reasons, none of this is done and nothing is read.
//
// # What it needs from NATS
//
// deploy/nats/roles.conf has the permissions (BACKHAUL_ROLE). Some may be missing:
//
//   - Without those for BACKUP_MARK, a ledger that is lost while no replica runs is not
//     noticed.
//   - Without CONSUMER.PAUSE, each replica finds out about the vendor's pause by itself.
//   - Without STREAM.MSG.DELETE, a request that the server has forgotten stays in the
//     stream after its outcome, and requests are taken in the queue's order while starts are
//     scarce. Those of a paused scope are delivered then, and hold up the others when they fill
//     max_ack_pending.
//
// # Concurrency
//
// A [Consumer] has up to MaxInFlight requests at the vendor at once. Half as many, at most
// 32, are in flight in addition: waiting to be claimed, claimed ahead, or with their outcome on
// its way to the stream, so that the vendor does not wait for the ledger. If the process dies, a
// request that was claimed and not sent waits for lease and window, one that was not claimed only
// for its acknowledgement wait. (If the next process starts on the same machine, it knows what was
// not sent, see above.) So no more are claimed ahead than the vendor finishes during two
// claims, plus two: at 50 ms of the vendor about 8, at a second 3. Each request in flight has a
// goroutine. Claims and outcomes are published asynchronously and share network writes.
// Any number of consumers may share the durable consumer; keep its max_ack_pending well
// above the requests in flight of all of them. Another delivery of a request in flight in
// the same process attaches to it. A stop (the end of [Consumer.Run]'s context) ends
// pulling and waiting at once, lets calls finish until the drain timeout, and releases the
// claims of requests that were not sent.
package consumer
