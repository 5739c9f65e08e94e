package archiver

import (
	"context"
	"time"

	"backhaul/consumer/internal/reader"
	"backhaul/publisher"
	"backhaul/schemas"
)

// sealing publishes checkpoints. It belongs to the goroutine of Run.
type sealing struct {
	// due reports whether the archive has more than the last published checkpoint and the
	// event that published it.
	due  bool
	last time.Time // of the last try, or the process's start
}

// sealed reports whether a message is a checkpoint that was published.
func sealed(subject string) bool { return subject == publisher.OperatorSubject(schemas.ActionSealed) }

// begin decides whether the archive as it is must be published.
func (s *sealing) begin(archive Log) {
	last := archive.Last()
	s.due = last != nil && !sealed(last.Subject)
}

func (s *sealing) appended(b *batch) { s.due = s.due || b.sealable }

// maybe publishes the newest checkpoint if it is time to. What cannot be published is in the
// archive all the same.
func (s *sealing) maybe(ctx context.Context, session *session) {
	if !s.due || session.flying != nil || time.Since(s.last) < session.cfg.SealEvery {
		return
	}
	s.last = time.Now()
	ask, cancel := context.WithTimeout(ctx, reader.AskTimeout)
	defer cancel()
	err := session.pub.Operator(ask, schemas.NewSealed(session.archive.Seal(), s.last))
	s.due = err != nil
	session.sealTrouble.Note(err)
	if session.sealLog.Changed(err) && err != nil {
		session.log.Warn().Err(err).Msg("cannot publish a checkpoint; the archive has it all the same")
	}
}
