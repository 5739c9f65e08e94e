// Package scope pauses a part of the requests: those of a source, a client or a content group.
//
// The paused scopes are the last message on a subject of the events stream
// (publisher.PausesSubject). It lists all of them, so one read returns them, and each change is a
// compare-and-set on the list before it: two operators cannot lose each other's pause. The whole
// queue is paused at its durable consumer instead, which knows no scopes. Both survive a restart
// of every process, because the server keeps them.
//
//	operator's event ──▶ list, by compare-and-set ──▶ each replica reads it once a second ([Watch])
//
// A pause ends at its time by the server's clock, or when an operator resumes the scope. A replica
// converts the end to its own monotonic clock when it reads the list.
//
// Operators may pause the same names: the longest pause is in force, and the list keeps those of
// the others with it ([Pause.Also]). A resume ends all of them.
//
// Package consumer sends nothing for a paused scope. A request that may have a job is looked up: the
// job is announced, or there is none and the request waits. Others are not claimed, but read past.
//
//	crash after                      what is found
//	the event, before the list       an event of a pause that was not made: what an operator's event
//	                                 promises (schemas.OperatorEvent)
//	the list was sent, no answer     the same write is repeated; if it was stored, the list has the
//	                                 operation's id
//
// # What remains open
//
//   - A replica acts on a list that is up to a second old: it may claim a request in that time.
//   - A list that was removed with the events stream: the pauses are gone with it. They are also
//     gone when the stream keeps its messages for a shorter time than they last, so package queue
//     refuses such a pause.
//   - Replicas of a version without scopes do not wait.
package scope
