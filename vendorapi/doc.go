// Package vendorapi is Commvault's job API as Backhaul needs it: log in, start
// a backup job, find a job again. The vendor's wire format never leaves it.
//
// # Guarantees
//
// CreateTask has no idempotency key, so the one thing that must never happen is
// that an answer is misread. Every call therefore ends in exactly one [Verdict],
// and the zero verdict is [Unknown]: whatever is not clearly something else may
// have started a job, and must be looked for ([Client.Find]) before it is sent
// again. Answers are judged by their body, not by their content type, which the
// vendor does not set reliably.
//
// One call of [Client.CreateTask] is one HTTP attempt; only a token that is not
// accepted is replaced and the call repeated, because a refused token starts no
// job. Repeating is the business of [Retrier], and it repeats only what
// certainly started nothing.
//
// # Sent or not
//
// A failure before the first byte of a request was written (name resolution,
// connection, TLS) is [NotSent]. Every failure after it is Unknown. The request
// never carries an Idempotency-Key header, because net/http would then send a
// POST again by itself after a broken connection.
//
// # Ways in
//
// [Auth] knows three. Whichever it is, one caller gets a token and the others
// wait for that one; a failure that an operator has to see is a [LoginError],
// kept for 30 seconds and told to every caller, so that nothing is repeated in a
// loop. What was waiting to be sent stays where it is.
//
//   - [AuthLogin]: a QSDK token by user and password (Authtoken header). It is got
//     again before the vendor's idle limit of 30 minutes, and once when it is
//     refused. The vendor locks accounts, so a refused login waits as long as it
//     says. [Client.Close] logs out.
//   - [AuthToken]: a token that somebody else looks after, read again when it is
//     refused.
//   - [AuthBearer]: an access token (Authorization: Bearer) and the refresh token
//     that renews it, both in one file. It is renewed when it is refused: how long
//     it lives differs from 2 minutes to 2 hours, and only the answer to a renewal
//     says so.
//
// When a token is refused that was just made, or that cannot be replaced, the
// vendor is asked whose it is. If it knows, the call is not permitted
// ([AuthRefused]); if not, the token is at fault and nothing is said about the
// call ([NotSent]).
//
// # The token pair
//
//	{"accessToken":"…","refreshToken":"…"}
//
// Renewing ends the old pair, and using an old pair again makes the vendor delete
// the whole chain (documented). So there may be one holder of a pair: this file,
// on one volume that all replicas mount, with file locks that work across them.
// Processes that cannot share it need an access token each, or AuthLogin. Nobody
// else may use the pair, and the file must not be restored from a backup. Its
// directory has to be writable; the file itself, not a link to it, is replaced.
//
// One process renews, under a lock on FILE.lock. It notes that in the file before
// it asks, and the new pair is on disk before it is used. The others find the new
// pair there. If the answer to a renewal is lost, with the process or without,
// the note stays: nobody tries again, every call ends with a LoginError, and an
// operator puts a new pair in its place, which is picked up without a restart. A
// file that is missing is waited for.
//
// # What the vendor's user needs
//
// Documented: to run an on-demand backup, the permission "Data Protection/
// Management Operations" on the backup set; the vendor's minimal role for end
// users adds "Job Management", "Browse" and "End User Access". Inferred: the
// first suffices to start jobs and to see those that one started; if a job that
// exists is not found again, add "Job Management".
//
// An access token can be limited to operations, by the beginning of their paths,
// one a line ("Custom"), and to addresses: those of all replicas. It needs
// (inferred from what this package calls):
//
//	/CreateTask  /Job  /Jobs  /JobDetails  /WhoAmI  /V4/AccessToken/Renew
//
// Not /Login and /Logout. Without /WhoAmI a call that is not permitted cannot be
// told from a token that has ended, and holds up the others. A token cannot make
// or change tokens (documented), so its pair is made by hand: renewable until a
// date, at the longest for ever, and within 14 days of its last expiry.
//
// # Concurrency and secrets
//
// A [Client] is safe for concurrent use; all its calls share one login. No
// secret is part of any error, and none is logged: the package does not log.
package vendorapi
