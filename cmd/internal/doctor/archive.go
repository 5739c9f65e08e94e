package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/queue"
	"backhaul/publisher"
)

// archiving compares what is archived with what the events stream keeps. Without the archiver's
// consumer nothing is archived, which is a choice, and nothing is said.
func (d *natsDoctor) archiving(ctx context.Context) []Finding {
	const check = "archive"
	var info *jetstream.ConsumerInfo
	var events *jetstream.StreamInfo
	err := d.ask(ctx, func(ctx context.Context) error {
		c, err := d.js.Consumer(ctx, publisher.EventsStream, publisher.ArchiverConsumer)
		if err != nil {
			return err
		}
		info = c.CachedInfo()
		stream, err := d.js.Stream(ctx, publisher.EventsStream)
		if err == nil {
			events = stream.CachedInfo()
		}
		return err
	})
	if err != nil {
		return nil // events are not archived, or the error is said by streams or permissions
	}
	findings := archiveFindings(check, info, events)
	var seen *queue.Archive
	err = d.ask(ctx, func(ctx context.Context) (err error) {
		seen, err = queue.LookAtArchive(ctx, d.js)
		return err
	})
	if err == nil && seen != nil && !seen.Read && findings[0].Level == OK {
		return []Finding{finding(Warning, check, "no replica of `backhaul archive` reads events", archiveFix)}
	}
	return findings
}

const archiveFix = "see that `backhaul archive` runs and what its /readyz says; until then raise the stream's max_age (nats stream edit BACKUP_EVENTS --max-age)"

// archiveFindings says how far the archiver is behind. Its first event that is not archived may be
// no older than half of what the stream keeps.
func archiveFindings(check string, info *jetstream.ConsumerInfo, events *jetstream.StreamInfo) []Finding {
	next, state, age := info.AckFloor.Stream+1, events.State, events.Config.MaxAge
	switch {
	case next < state.FirstSeq:
		return []Finding{finding(Warning, check, fmt.Sprintf("the stream has lost %d events that were not archived: they will be a gap", state.FirstSeq-next), archiveFix)}
	case next > state.LastSeq:
		return []Finding{ok(check, "every event that the stream has is archived")}
	}
	lag := state.LastSeq + 1 - next
	// Of the first event that is not archived only the bounds of its age are known; that of the
	// first event of the stream is the safe one.
	if oldest := events.TimeStamp.Sub(state.FirstTime); next == state.FirstSeq && age > 0 && oldest > age/2 {
		return []Finding{finding(Warning, check, fmt.Sprintf("%d events are not archived, the oldest for %s, and the stream drops them after %s", lag, oldest.Round(time.Minute), age), archiveFix)}
	}
	if info.AckFloor.Last != nil && events.TimeStamp.Sub(*info.AckFloor.Last) > lateArchiver && events.TimeStamp.Sub(state.LastTime) > lateArchiver {
		return []Finding{finding(Warning, check, fmt.Sprintf("%d events are not archived, and nothing was for %s", lag, events.TimeStamp.Sub(*info.AckFloor.Last).Round(time.Minute)), archiveFix)}
	}
	return []Finding{ok(check, "%d events are still to be archived", lag)}
}

// lateArchiver is how long an archiver may need to archive an event.
const lateArchiver = 15 * time.Minute
