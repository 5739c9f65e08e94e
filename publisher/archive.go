package publisher

import "time"

// ArchiverConsumer is the durable consumer of the events stream that `backhaul archive` reads.
const ArchiverConsumer = "archiver"

// Place is a place in a stream.
type Place struct {
	Stream string
	// Created is when the stream was made: one that is made again begins its sequences again.
	Created time.Time
	// Next is the sequence of the message that is wanted next.
	Next uint64
}
