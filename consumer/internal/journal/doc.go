// Package journal keeps in a file which claims a process has not sent yet, so that they are known
// after the process was killed.
//
// A claim in the ledger does not say whether a call was made under it. So the next owner of a dead
// process's claim waits until a call that was made at the last moment must have shown. The journal
// has one bit more: whether a call was about to begin. It costs two small writes to the page cache
// for each request and nothing else; it is not synced.
//
// # Why it can be believed
//
//   - An entry is written before the claim, and marked before the first byte of the call may be
//     written. What a process has written to a file outlives the process.
//   - The process locks its file (flock) as long as it lives. The kernel ends the lock when the last
//     thread of the process has ended. A process that is frozen has its lock.
//   - A file outlives a crash of the machine only in part. So it has the id of the boot, and is
//     ignored after another one. It has its inode as well: a copy that was restored is ignored.
//   - Only file systems of this machine are used: a lock on a network's file system can be lost.
//   - Each entry has a checksum over all of it. One that was written in part is ignored.
//   - If a mark cannot be written, the file is removed. If that fails too, no call is made.
//
// What is ignored, or was never written, is waited for as without a journal. Only Linux has all of
// this; elsewhere there is no journal.
package journal
