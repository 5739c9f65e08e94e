// Package turn makes the requests of one content group follow each other: at most one of them
// is at the vendor or has a job that runs.
//
// # The turn of a content group
//
// A content group with a [Rule] has a turn, which one request holds. The turn is the last
// message on a subject of the group on the events stream (publisher.TurnSubject), written by
// compare-and-set on the message before it. A replica claims a request, then takes the turn for
// it, and only then sends it:
//
//	look ──▶ claim ──▶ take the turn ──▶ send ──▶ record
//	 │                  │
//	 └ waits, unclaimed └ taken by another request meanwhile: the claim is released
//
// The turn is never given back. Whether its holder still needs it follows from events that exist
// anyway, so it cannot be forgotten by a crash:
//
//	the holder's last event               the turn is
//	none, or a claim that was released    free: nothing was sent
//	and leaves no doubt
//	any other claim                       held: a job may start, or may have started
//	job-failed                            free
//	job-started                           held while one of its jobs is followed and has no
//	                                      job-finished or job-unfollowed, with [Rule].Queue
//
// # Why two jobs of a group never run at once
//
// Every send needs a turn that was taken after the request was claimed, by the same claim. Of
// two replicas that take the turn at the same time, one write is refused. Its request looks again
// and finds the other one's. A holder whose turn is free because its claim was released can send
// again only after it has been claimed again and has taken the turn again, and that write is
// refused if another request was faster. An outcome and the end of a job are never revoked.
//
// A job that is not followed has no end: it counts as ended if the consumer of the follower has
// passed its job-started, or does not exist.
//
// Jobs of a group that ran when it got its first rule are waited for too: the newest that is
// followed and runs has the turn until a request takes it.
//
// # What remains open
//
//   - Jobs that are not followed: those of a request that ended as OUTCOME_UNKNOWN, and those that
//     were started by hand or by the vendor's schedules.
//   - Replicas with different rules: one that has no rule for a group neither waits nor takes
//     turns. Neither does a version without rules.
//   - A claim whose request was deleted from the queue holds the turn until it is [Abandoned] old.
//
// # Concurrency
//
// A [Turns] is safe for concurrent use.
package turn
