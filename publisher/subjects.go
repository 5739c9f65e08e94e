package publisher

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"backhaul/schemas"
)

// Streams and the consumer that all replicas share.
const (
	RequestsStream   = "BACKUP_REQUESTS"
	EventsStream     = "BACKUP_EVENTS"
	DeadLetterStream = "BACKUP_DLQ"
	RequestsConsumer = "backhaul"
)

const (
	requestPrefix    = "backup.request."
	eventPrefix      = "backup.event."
	operatorPrefix   = eventPrefix + "operator."
	deadLetterPrefix = "backup.dlq."
)

// Prefixes of keys that are not a request id. An id that starts with one of
// them is hashed, so that no sender can choose another request's key.
const (
	sequencePrefix = "seq-"
	hashPrefix     = "sha256-"
)

// tokenSafe are the request ids that are keys themselves, up to maxToken. The length
// is not part of the expression: it would be compiled into that many states.
var tokenSafe = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_:-]*$`) })

const maxToken = 128

// Key names one request's history on the events stream.
type Key struct {
	// Source is who published the request: a token of its subject.
	Source string
	// Name is the request id, or what stands for it.
	Name string
}

// NewKey is the key of a request with an id.
func NewKey(source, requestID string) Key {
	if len(requestID) <= maxToken && tokenSafe().MatchString(requestID) && !strings.HasPrefix(requestID, sequencePrefix) && !strings.HasPrefix(requestID, hashPrefix) {
		return Key{Source: source, Name: requestID}
	}
	sum := sha256.Sum256([]byte(requestID))
	return Key{Source: source, Name: hashPrefix + hex.EncodeToString(sum[:])}
}

// SequenceKey returns the key of a request without an id, and of an event that is about
// one message only: the message's sequence in the requests stream and the time when
// JetStream stored it. A stream that is deleted and made again begins its sequences again;
// the time keeps the key, and the marker made of it, unique for ever.
func SequenceKey(source string, sequence uint64, stored time.Time) Key {
	return Key{Source: source, Name: fmt.Sprintf("%s%d-%d", sequencePrefix, sequence, stored.UnixNano())}
}

// EarlierSequenceKey returns the key that versions without the time gave to the message.
func EarlierSequenceKey(source string, sequence uint64) Key {
	return Key{Source: source, Name: sequencePrefix + strconv.FormatUint(sequence, 10)}
}

// Subject is where an event of this kind about the key's request is published.
func (k Key) Subject(kind schemas.Kind) string {
	return eventPrefix + string(kind) + "." + k.Source + "." + k.Name
}

// Filter matches every event about the key's request, and nothing else.
func (k Key) Filter() string { return eventPrefix + "*." + k.Source + "." + k.Name }

// EventID is the CloudEvents id of the key's event of this kind.
func (k Key) EventID(kind schemas.Kind) string {
	return k.Source + "/" + k.Name + "/" + string(kind)
}

// Marker is the text by which the vendor's job is recognised as this request's.
func (k Key) Marker() string { return "backhaul:" + k.String() }

func (k Key) String() string { return k.Source + "/" + k.Name }

// JobSubject is where an event of this kind about one job of the key's request is
// published. It has one token more than [Key.Subject], so [Key.Filter] does not match it.
func (k Key) JobSubject(kind schemas.Kind, jobID string) string {
	return k.Subject(kind) + "." + jobID
}

// JobFilter matches every event about one job of the key's request, and nothing else.
func (k Key) JobFilter(jobID string) string { return k.Filter() + "." + jobID }

// JobsFilter matches every event about a job of the key's request, and nothing else.
func (k Key) JobsFilter() string { return k.Filter() + ".*" }

// EventID is the CloudEvents id of an event about the key's request or one of its jobs. A
// job can change more than once; the id of a job-changed event has its time.
func EventID(key Key, e schemas.Event) string {
	job, ok := e.(schemas.JobEvent)
	if !ok {
		return key.EventID(e.Kind())
	}
	id := key.jobEventID(e.Kind(), job.Job())
	if changed, ok := e.(*schemas.JobChanged); ok {
		id += "/" + strconv.FormatInt(changed.ChangedAt.UnixNano(), 10)
	}
	return id
}

// jobEventID is the id of an event about a job, and how the id of a job-changed event begins.
func (k Key) jobEventID(kind schemas.Kind, jobID string) string {
	return k.EventID(kind) + "/" + jobID
}

// ParseEventSubject takes the subject of an event about a request apart. The job id is ""
// unless the event is about one job of the request.
func ParseEventSubject(subject string) (kind schemas.Kind, key Key, jobID string, err error) {
	rest, ok := strings.CutPrefix(subject, eventPrefix)
	tokens := strings.Split(rest, ".")
	if !ok || len(tokens) < 3 || len(tokens) > 4 {
		return "", Key{}, "", fmt.Errorf("subject %q is not %s<kind>.<source>.<key>[.<jobId>]", subject, eventPrefix)
	}
	if len(tokens) == 4 {
		jobID = tokens[3]
	}
	return schemas.Kind(tokens[0]), Key{Source: tokens[1], Name: tokens[2]}, jobID, nil
}

// AnyOperator matches the events about what operators did. No filter of a key
// matches one of them: they have a token less.
const AnyOperator = operatorPrefix + "*"

// OperatorSubject is where an event about what an operator did is published.
func OperatorSubject(action schemas.Action) string { return operatorPrefix + string(action) }

// ParseOperatorSubject is the action of an event about what an operator did.
func ParseOperatorSubject(subject string) (action schemas.Action, ok bool) {
	rest, ok := strings.CutPrefix(subject, operatorPrefix)
	return schemas.Action(rest), ok && rest != "" && !strings.Contains(rest, ".")
}

// EventFilter matches events by kind and source; "" stands for any.
func EventFilter(kind schemas.Kind, source string) string {
	return eventPrefix + anyToken(string(kind)) + "." + anyToken(source) + ".>"
}

func anyToken(token string) string {
	if token == "" {
		return "*"
	}
	return token
}

// AnyRequest matches the requests of every source and priority.
const AnyRequest = requestPrefix + ">"

// NoSource stands for the source of a request whose subject names none: NATS
// stores what is published on the literal subject "backup.request.*".
const NoSource = "no-source"

// maxSource is the longest source in bytes. A server's control line holds 4 KiB.
const maxSource = 128

// CheckSource refuses what cannot be one token of a subject, and what would not
// come back unchanged from the vendor's XML: the source is part of the marker by
// which a job is found again.
func CheckSource(source string) error {
	switch {
	case len(source) > maxSource:
		return fmt.Errorf("source %.40q… has %d bytes, the limit is %d", source, len(source), maxSource)
	case source == "" || strings.ContainsAny(source, ".*> ") || strings.ContainsFunc(source, unfit):
		return fmt.Errorf("source %q must be one token of a subject: not empty, without '.', '*', '>', spaces or control characters", source)
	}
	return nil
}

// unfit finds what is not to be seen, and what is not UTF-8.
func unfit(c rune) bool { return c == utf8.RuneError || !unicode.IsPrint(c) }

// DeadLetterSubject is where what could not be done for a source is kept.
func DeadLetterSubject(source string) string { return deadLetterPrefix + source }

// AnyDeadLetter matches the dead letters of every source.
const AnyDeadLetter = deadLetterPrefix + "*"
