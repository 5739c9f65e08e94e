// Package follower follows every started job to its end, and reports it with one event: a job
// that was started is not yet a backup.
//
// # Guarantees
//
// For every job of an event job-started there is exactly one job-finished or job-unfollowed, or
// the message of the job-started stays unacknowledged and the job is followed. A job-finished is
// true: the vendor showed the job with a status that ends it, or with a status that is unknown,
// among the finished jobs and with an end time (outcome "ended"). Not being shown is no end: a
// job may not be visible yet, may be aged or pruned, or may go on under a new id. Such a job is
// given up after [Config].For and a last look at it, with a job-unfollowed.
//
// The unacknowledged messages of the durable consumer "follower" are the only state. Every event
// about a job is written by compare-and-set on the last one about the same job, whatever its kind
// (backup.event.*.<source>.<key>.<jobId>), so a reader that was frozen writes nothing behind an
// end, and of two ends one is stored:
//
//	                        job-changed                     job-finished
//	(job-started) ──▶ followed ⇄ told: queued, waiting, ─────────────────▶ acknowledged
//	                        │    pending, suspended,         job-unfollowed      ▲
//	                        │    interrupted │ running ─────────────────────────┤
//	                        └───────────────────────────────────────────────────┘
//	                              (the message, when all its jobs are over)
//
// A job-changed is written when two looks running have shown the job in a state in which it does
// not run, with the vendor's reason; and once when it runs again.
//
// # A crash after each step
//
//	step              the next reader finds            why it is safe                        test
//	reset             every message that is not        nothing was done                      TestACrashAtEveryStep/reset
//	                  acknowledged
//	look              the same                         it lists what ended since the oldest  TestACrashAtEveryStep/finished
//	                                                   of its jobs was started
//	finished sent     no end, or the end               compare-and-set: one end counts       TestACrashAtEveryStep/finished,_unacknowledged
//	finished          the end                          what is stored is read: acknowledges  TestACrashAtEveryStep/some_finished
//	one of several    an end, and an open job          follows the other job                 TestACrashBetweenTwoEndsOfARequest
//	changed sent      the change or not                tells it once                         TestACrashAtEveryStep/changed,_unacknowledged
//	changed           the change, with its reason      tells what differs from it            TestACrashAfterAChange
//	unfollowed sent   nothing, or the event            as finished                           TestACrashAtEveryStep/unfollowed,_unacknowledged
//	acks sent         no message, or as after          what is stored is read                TestACrashAtEveryStep/acks,_unseen
//	                  finished
//
// And without a crash:
//
//	what                                      why it is safe                                  test
//	a frozen reader wakes up                  it writes nothing behind an end                 TestAFrozenReader
//	a reader is cut off                       its pull expires after 10 s, the next one       TestAReaderThatIsCutOff
//	                                          reads
//	two replicas                              one reads, the other stands by                  TestTwoReplicas
//	the server restarts                       as a crash                                      TestTheServerRestarts
//	the vendor does not show the job yet      it is no end                                    TestAJobThatIsNotVisibleYet
//	the job is pruned, or has a new id        it is no end; given up after a time             TestAJobThatIsGone
//	the id is given again to another job      names that differ are no end                    TestAnIDThatIsGivenAgain
//	an end before the longest list            the job is read by itself                       TestAnOutageOfDays
//	a status that is unknown                  an end only among the finished, with a time     TestAnUnknownStatus
//	a list is cut, or has several pages       a list counts when it is whole                  TestListsOfSeveralPages
//	more jobs are counted than shown          those are read by themselves                    TestATotalThatLies
//	a read of one job is refused              it is no end; the others have their turn        TestAJobThatCannotBeRead
//	clocks differ by hours                    ours decides what is looked for                 TestStartOf
//	the job-started is removed                nothing can be reported: the log says so        TestWrite_withoutAnOrigin
//	a foreign message is on a job's subject   it is no event                                  TestAForeignMessageIsNoEnd
//	the vendor throttles reads                reads are held, and nothing else                TestAThrottledVendor
//	reads fail                                they are repeated; the end is late              TestReadsThatFail
//
// # Looks and their cost
//
// The vendor is only read. One list (GET Job) serves every followed job: all jobs that are active
// or ended since the last list without a gap, plus 5 min. If they do not fit into one page, the
// finished jobs are listed at every interval, and the pages of the active ones as often as the
// budget allows. A list reaches back 24 h at most. A job that no list has shown is read by itself,
// not before it is 2 min old, then after 2, 4, 8 … 60 min.
//
// The interval is [Config].IntervalMin after a change and while a job is younger than 2 min, and
// grows to IntervalMax while nothing changes. Without a followed job nothing is read.
//
// [Config].ReadsPerHour bounds all reads of a process in any hour. Lists have 60 % of it, which is
// one list in 30 s at the default of 200. The rest is for jobs that are read by themselves and for
// the reasons of bad ends; if it is used up, ends are reported without the vendor's events. A read
// that the vendor answers with 429 or 503 stops all reads for as long as it asks for, and longer
// each time. It does not stop requests.
//
// # Reasons
//
// A job that did not end as completed has the reasons that the vendor gave: the last pending
// reason that was seen, the error code of its submission, and its events, which cost one read.
// While that read fails the end waits for it, at most 20 s. If all of that says nothing and
// [Config].SpareWrite permits, the reason of its delay is asked for with a writing call.
//
// # Replicas
//
// One replica at a time reads the consumer, as package consumer/internal/reader says: the consumer
// is shipped with max_waiting 1. A reader that ends is replaced within 3 s; one that is cut off, when
// its pull expires after 10 s. A reader begins with a reset of the consumer to its acknowledgement
// floor. Messages above the floor that were acknowledged are delivered again, and cost one read of
// the stream for each job.
//
// New messages are pulled at most once a second, up to 1000 at once: in a burst of starts most of
// them wait on the stream until it is over, and cost the starts nothing.
//
// # The state for other processes
//
// The replica that reads publishes its [State] once a second on backup.follower.state, as a plain
// message that no stream stores. [Listen] receives it in any process.
//
// # Memory
//
// About 200 bytes are kept of each message, and about 300 bytes for each job. The event job-started
// is read again, from the leader of the stream, when something about its job is to be written. The
// consumer's max_ack_pending (100,000) bounds them: further jobs are followed when others have ended.
//
// # Concurrency
//
// A [Follower] has one goroutine that reads the consumer and owns what is followed, one that reads
// the vendor, and at most 16 that write events or read what is stored. Its methods may be called
// at any time, Run once.
//
// # NATS
//
// The follower needs nats-server 2.14 or later for the reset of a consumer; with an older one
// following is off, and nothing else changes. It needs permission to publish on
// backup.event.job-finished.>, backup.event.job-changed.>, backup.event.job-unfollowed.>,
// $JS.ACK.BACKUP_EVENTS.follower.> and, below $JS.API, on
// CONSUMER.{INFO,MSG.NEXT,RESET}.BACKUP_EVENTS.follower, STREAM.INFO.BACKUP_EVENTS and
// STREAM.MSG.GET.BACKUP_EVENTS. Without permission to publish on backup.follower.state its state
// is not visible to other processes.
package follower
