// Package archiver keeps every event in an archive, exactly once and in the order of the stream.
//
// # Guarantees
//
// For each sequence of the events stream, from the first one on, the archive has the message, or
// a gap that names it: because the stream no longer had it when it was read. Nothing is in the
// archive twice. The place in the archive counts, and not that of the consumer: a session begins
// with a reset of the durable consumer to the sequence that the archive wants next.
//
// The archiver only reads the stream, so it can delay or break nothing of what the service does.
// What it cannot keep stays in the stream, until the stream's max_age.
//
// What is kept depends on the stream alone, never on a clock or the order of writes, so two
// archivers that archive the same stream have the same archive.
//
// # A batch
//
//	read ──▶ kept and signed ([Log].Append) ──▶ acknowledged, all of it with one acknowledgement
//	  ▲                                              │
//	  └──────────────────────────────────────────────┘
//
// A batch is as much as comes within [Config].Every, at most 4096 events or 8 MiB. The next one is
// read while one is kept. [Log].Append keeps all of a batch or nothing, which is up to the
// archive: its package doc has the steps of it.
//
// # A crash after each step
//
//	step                  the next session finds          why it is safe                       test
//	reset                 the same place in the archive   nothing was done                     TestACrashAtEveryStep/reset
//	read                  the same place                  the consumer is reset to it          TestACrashAtEveryStep/read
//	kept, answer lost     the place behind the batch      what is there is left out            TestACrashAtEveryStep/kept,_unseen
//	kept                  the place behind the batch      the consumer is reset to it          TestACrashAtEveryStep/kept,_unacknowledged
//	acknowledged          the place behind the batch      the next batch follows               TestACrashAtEveryStep/acknowledged
//	a checkpoint sent     its event, or none              it is due again; the archive has it  TestSealed
//
// And without a crash:
//
//	what                              why it is safe                                        test
//	the archive cannot be written     nothing is acknowledged; the session begins again     TestAnArchiveThatCannotBeWritten
//	two replicas                      one reads, the other stands by                        TestTwoReplicas
//	two that both read                the archive lets one write                            TestTwoReplicasAtOnce
//	the server restarts               as a crash                                            TestTheServerRestarts
//	the consumer is ahead             it is reset to the place of the archive               TestAConsumerThatIsAhead
//	a delivery is lost                the consumer's sequence shows it: begins again
//	the stream has lost events        a gap, after the stream's leader has said so          TestAGap
//	the stream was made again, or     nothing is kept until an operator says so; then       TestAnotherStream
//	restored from a snapshot          the archive says so too
//	a consumer with a filter          it is not read                                        TestAConsumerThatDoesNotFit
//	headers of JetStream's answers    it is a message like any other                        TestForeignMessages
//	headers that cannot be read       the message is kept without them                      TestHeadersThatAreNone
//
// # Checkpoints
//
// After a time ([Config].SealEvery), if the archive has more than the last one, its newest
// checkpoint is published as an event (backup.event.operator.sealed). Whoever stores that event is
// a witness: an archive that was made again, with the same key, does not fit it. The event is in the
// archive as well, so the archive is compared with its own earlier checkpoints. An event of this
// kind alone is no reason for another one.
//
// # Replicas
//
// One replica at a time reads the consumer, as package consumer/internal/reader says: it is
// shipped with max_waiting 1. That excludes no other reader for certain. [Log] does: in a
// directory with a lock, in a bucket by a compare-and-set of the checkpoint.
//
// # Failure handling
//
// A session that fails is followed by another one after half a second, then a second, up to 30 s.
// The whole batch is read again.
//
// # Concurrency
//
// An [Archiver] has one goroutine that reads and one that keeps a batch. Its methods may be called
// at any time, Run once.
//
// # NATS
//
// The archiver needs nats-server 2.14 or later for the reset of a consumer. It needs permission to
// publish on backup.event.operator.sealed, $JS.ACK.BACKUP_EVENTS.archiver.> and, below $JS.API, on
// CONSUMER.{INFO,MSG.NEXT,RESET}.BACKUP_EVENTS.archiver, STREAM.INFO.BACKUP_EVENTS and
// STREAM.MSG.GET.BACKUP_EVENTS. Without the first one the archive is complete, but no subscriber is told
// of its checkpoints.
package archiver
