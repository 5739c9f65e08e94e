// Package protection computes, from the events alone, until when each content group is
// protected: which of its changes are part of a finished backup, and since when changes are
// exposed.
//
// # Rules
//
// All times are those at which JetStream stored a message. No clock of a replica or of the
// vendor takes part, so a wrong clock changes nothing.
//
//   - A change is known by its window: the trigger's request for the window has the times of
//     the first and the last change in its labels, and every event about the request repeats
//     them. Without the last one, the window ends when its request was stored.
//   - A backup covers what changed before it started. Its start is the time of the last claim
//     (job-submitting) before the job was announced. If the job was found after a lost answer,
//     it is the time of the first claim, because the job may be as old. Without a claim on
//     record it is the time of the request. The vendor never starts a job before these times.
//   - It covers the changes of its own window in any case: they were the reason for the request.
//   - Only a job with an accepted outcome covers anything, and only from the time of its
//     job-finished on. Accepted are the outcomes that kept everything
//     ([schemas.Outcome.KeptAll]), unless an [Objective] accepts others that kept a part.
//   - A job that moved nothing covers nothing if changes were exposed when it started. It is a
//     finding ([State.Empty]).
//   - A job with a directive file backs up its paths only. It covers its own window if the file
//     lists all of the window's changes, and is no good start of the group.
//   - A request with several jobs counts when all of them have ended, as the worst of them.
//
// A window that begins before a backup's start and ends after it is covered up to the start: it
// is exposed from the start on.
//
// # Late, missing and repeated events
//
// A [Fold] keeps a short record of each request, and applies the rules to the records in the
// order of their times. So the result does not depend on the order in which events are added,
// and an event that is added twice counts once. Each event names its request, so an event that
// has expired, or was never written, is missed only where no other event says the same.
//
// # Digests
//
// A [Digest] has what the events with 4,096 consecutive sequences say, in few bytes. Replicas that
// watch write them ([Digester]), and a new reader reads them instead of the events
// ([Past]). A digest is used if it names the stream's time of creation, and its last event was
// stored when the stream's event with this sequence was. So one of a stream that was made again, or
// has lost its end, is not read but replaced. Events of which there is no digest are read as they
// are, so a fold is the same with digests and without.
//
// # Concurrency
//
// A Fold is not safe for concurrent use.
package protection
