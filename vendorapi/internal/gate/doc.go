// Package gate has what limits the starts of jobs: a [Pause] that an answer asked for, a [Breaker]
// for outages, and the [Limits] of a rate. It knows no verdicts and no sessions: the client gives
// the breaker the meaning of an error, and combines the three.
//
// All types are safe for concurrent use.
package gate
