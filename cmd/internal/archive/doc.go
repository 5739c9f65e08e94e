// Package archive keeps messages of a stream in a log of which every change shows.
//
// # Format
//
// An archive is a tree of hashes (RFC 6962) in the files of C2SP tlog-tiles, in a directory:
//
//	checkpoint               the head of the tree: name, size, root, place in the stream; signed
//	tile/<level>/<number>    256 hashes; the last one of a level has <number>.p/<width>
//	tile/entries/<number>    256 leaves, each behind its length in 2 bytes
//
// A leaf is a line, and for an event what follows it, as in [leaf]: the stored message with its
// subject, headers, payload, sequence and time; a gap; or the beginning of a stream. A message that
// is larger than 64 KiB has several leaves.
//
// A checkpoint is a note (C2SP signed-note) with an Ed25519 key, whose name is that of the log.
// Behind what C2SP tlog-checkpoint asks for it has one line: the stream, when that was made, and
// the sequence that the archive wants next.
//
// All of it depends on the messages and the key alone: no clock of ours, no order of writes. So the
// same messages make the same files, regardless of who writes them and how often.
//
// # Guarantees
//
// [Log.Append] keeps all of its messages or none. Messages that are there already are left out.
// What a checkpoint says is on the disk when the checkpoint is, and is never changed after it: no
// file but the checkpoint is ever overwritten with other content, also if the checkpoint was removed or
// rolled back ([OccupiedError]). What was changed is not appended to, and [Reader.Messages] yields
// nothing that was not signed.
//
// # A crash after each step of Append
//
//	step                        the next process finds                    why it is safe
//	some bundles or tiles       the former checkpoint; files beyond it    they do not count, and are written
//	                                                                      again, with the same bytes
//	all of them                 the same                                  the same
//	the checkpoint, unseen      the new checkpoint                        the messages are there: left out
//	the checkpoint              the new checkpoint                        the same
//	partial tiles removed       the new checkpoint                        the full ones are there
//
// TestLog_aCrashAtEveryWrite ends Append before and after each of its writes, and
// TestArchiveKilledAtEveryWrite (cmd/internal/chaos) the process. A file is written
// under another name, synced and renamed, so none is torn.
//
// # Two writers
//
// A directory is locked; the lock ends with its process.
//
// # What verifying finds
//
// [Verify] reads everything. It compares each leaf with its hash, each tile with the one above,
// the root with the checkpoint, and the checkpoint with its signature; earlier checkpoints that are
// in the log as events with the tree at their size; sequences with those before; and the
// events with the rules of the ledger. It names what does not fit: the leaf, its sequence and
// subject, and what was done to it where that shows.
//
// Times that go back are listed, and are no fault of the archive: they are those of the NATS servers' clocks.
//
// What no key can show: an archive that was cut back to an earlier checkpoint of its own, or made
// again by the owner of the key. A checkpoint that someone else has kept shows both.
//
// # Concurrency
//
// A [Log] belongs to one goroutine. A [Reader] is safe for concurrent use.
package archive
