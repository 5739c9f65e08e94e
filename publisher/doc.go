// Package publisher is the only writer of Backhaul's subjects: requests, events
// and dead letters. It also is the only place that builds and reads subjects.
//
// # Guarantees
//
// An event is appended with compare-and-set ([Publisher.Append]): only if the
// last event of its request ([Key]) is the one that the writer knows. Every
// write to a key uses the same filter, [Key.Filter]; a cluster does not
// serialise two writes that check different filters. That is what makes one
// stream both the audit trail and the ledger.
//
// Append returns when JetStream has stored the event, when it can tell that
// somebody else wrote first ([ErrConflict]), or when its context ends. A lost
// acknowledgement and a busy server are answered by the same write again, which
// can take effect once only. After ErrConflict the caller has to read the key:
// the write that was first may be its own.
//
// What is no part of a request's story is written once by JetStream's message ids:
// dead letters, what operators do ([Publisher.Operator]), and the message of a dead
// letter that is sent again under a new id ([Publisher.Replay]).
//
// A request that has an id is published under it ([Publisher.Send]) and may be
// sent again until the stream has acknowledged it: JetStream drops the copies
// within its duplicate window, and the ledger answers those that come later.
//
// Whoever reads events takes them from [ReadEvent] or [LastEvent]: not every message on
// an event's subject was published as one.
//
// A [Publisher] is safe for concurrent use.
package publisher
