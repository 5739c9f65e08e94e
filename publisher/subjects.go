package publisher

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"

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
	deadLetterPrefix = "backup.dlq."
)

// Prefixes of keys that are not a request id. An id that starts with one of
// them is hashed, so that nobody can choose another request's key.
const (
	sequencePrefix = "seq-"
	hashPrefix     = "sha256-"
)

var tokenSafe = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_:-]{0,127}$`)

// Key names one request's story on the events stream.
type Key struct {
	// Source is who published the request: the last token of its subject.
	Source string
	// Name is the request id, or what stands for it.
	Name string
}

// NewKey is the key of a request with an id.
func NewKey(source, requestID string) Key {
	if tokenSafe.MatchString(requestID) && !strings.HasPrefix(requestID, sequencePrefix) && !strings.HasPrefix(requestID, hashPrefix) {
		return Key{Source: source, Name: requestID}
	}
	sum := sha256.Sum256([]byte(requestID))
	return Key{Source: source, Name: hashPrefix + hex.EncodeToString(sum[:])}
}

// SequenceKey is the key of a request without an id, and of what is to be said
// about one message only: its sequence in the requests stream.
func SequenceKey(source string, sequence uint64) Key {
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

// ParseEventSubject takes the subject of an event about a request apart.
func ParseEventSubject(subject string) (schemas.Kind, Key, error) {
	rest, ok := strings.CutPrefix(subject, eventPrefix)
	tokens := strings.Split(rest, ".")
	if !ok || len(tokens) != 3 {
		return "", Key{}, fmt.Errorf("subject %q is not %s<kind>.<source>.<key>", subject, eventPrefix)
	}
	return schemas.Kind(tokens[0]), Key{Source: tokens[1], Name: tokens[2]}, nil
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

// RequestSubject is where a source publishes its requests.
func RequestSubject(source string) string { return requestPrefix + source }

// ParseRequestSubject is the source of a request.
func ParseRequestSubject(subject string) (source string, err error) {
	source, ok := strings.CutPrefix(subject, requestPrefix)
	if !ok {
		return "", fmt.Errorf("subject %q is not %s<source>", subject, requestPrefix)
	}
	return source, CheckSource(source)
}

// CheckSource refuses what cannot be one token of a subject.
func CheckSource(source string) error {
	if source == "" || strings.ContainsAny(source, ".*> \t\r\n\f\x00") {
		return fmt.Errorf("source %q must be one token of a subject: not empty, without '.', '*', '>' or spaces", source)
	}
	return nil
}

// DeadLetterSubject is where what could not be done for a source is kept.
func DeadLetterSubject(source string) string { return deadLetterPrefix + source }
