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
// Append returns when JetStream has stored the event, when it is certain that
// another writer was first ([ErrConflict]), or when its context ends. A lost
// acknowledgement and a busy server are answered by the same write again, which
// can take effect once only. After ErrConflict the caller has to read the key:
// the write that was first may be its own.
//
// Dead letters and operators' events ([Publisher.Operator]) are written once by
// JetStream's message ids: only roles of ours may write to these streams.
//
// Requests do not rely on message ids. JetStream compares them across all subjects of
// BACKUP_REQUESTS, so every source could use the id under which another source's request
// or replay would be published, and that request would not be stored. A request that is
// published twice is stored twice, and the ledger recognises its request id. Only the
// repetitions of one [Publisher.Send] share a message id, which cannot be predicted.
//
// Readers of events use [ReadEvent] or [LastEvent]: not every message on
// an event's subject was published as one.
//
// A [Publisher] is safe for concurrent use.
package publisher
