package publisher

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/schemas"
)

// ReadEvent is the event that a message of the events stream is. What was not published
// as the event that its subject names, and an event of a kind that this version does
// not know, is an error.
func ReadEvent(subject string, header nats.Header, data []byte) (Key, schemas.Event, error) {
	kind, key, _, err := Identify(subject, header)
	if err != nil {
		return key, nil, err
	}
	e, err := schemas.DecodeEvent(kind, data)
	if job, ok := e.(schemas.JobEvent); ok && subject != key.JobSubject(kind, job.Job()) {
		return key, nil, fmt.Errorf("the event on %s is about another job: %q", subject, job.Job())
	}
	return key, e, err
}

// Identify returns the kind and key of a message that was published as an event about a
// request, and the job id if it is about one of its jobs. It needs no data. Every other message
// on such a subject is foreign, and an error:
//
//   - A message without the event's CloudEvents id. A server does not check the reply
//     subject that a client names, so it can store an answer of JetStream on an event's
//     subject (deploy/nats/README.md, Reply subjects).
//   - A message of another kind than [schemas.Kinds]. No version of ours writes another
//     kind under a key's filter: what follows a request's outcome is about one of its
//     jobs, and has a subject of one more token, which the filter does not match.
//   - A message whose subject has a job id though its kind is about the request, or has
//     none though its kind is about a job.
func Identify(subject string, header nats.Header) (kind schemas.Kind, key Key, jobID string, err error) {
	kind, key, jobID, err = ParseEventSubject(subject)
	if err != nil {
		return kind, key, jobID, err
	}
	if !slices.Contains(schemas.Kinds, kind) {
		return kind, key, jobID, fmt.Errorf("the message on %s is not an event: %q is not a kind of event", subject, kind)
	}
	if kind.PerJob() != (jobID != "") {
		return kind, key, jobID, fmt.Errorf("the message on %s is not an event: a subject of kind %s has another number of tokens", subject, kind)
	}
	id := schemas.Header(header).Attribute("id")
	own := id == key.EventID(kind)
	if kind.PerJob() {
		rest, ok := strings.CutPrefix(id, key.jobEventID(kind, jobID))
		own = ok && (rest == "" || kind == schemas.KindJobChanged && strings.HasPrefix(rest, "/"))
	}
	if !own {
		return kind, key, jobID, fmt.Errorf("the message on %s is not an event: its ce-id does not match its subject", subject)
	}
	return kind, key, jobID, nil
}

func isEvent(msg *jetstream.RawStreamMsg) bool {
	_, _, _, err := Identify(msg.Subject, msg.Header)
	return err == nil
}
