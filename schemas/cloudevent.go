package schemas

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Header is a message's headers. nats.Header and http.Header convert to it.
type Header map[string][]string

// Get is the first value of the header with this name, in any case. The
// CloudEvents binding calls header names case-insensitive, nats.Header does not.
// Of several spellings it always takes the same one: two replicas that read the
// same message must find the same id.
func (h Header) Get(name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	first := ""
	for key, values := range h {
		if strings.EqualFold(key, name) && len(values) > 0 && (first == "" || key < first) {
			first = key
		}
	}
	if first == "" {
		return ""
	}
	return h[first][0]
}

// Headers that name where a stored message was read from.
const (
	// DeadLetterHeaderPrefix begins the headers that only dead letters have.
	DeadLetterHeaderPrefix = "Backhaul-Dlq-"
	headerReadStream       = "Nats-Stream"
	headerReadPending      = "Nats-Num-Pending"
	headerReadLast         = "Nats-Last-Sequence"
)

// ServerTypePrefix begins the member type of every answer and advisory of a NATS server.
const ServerTypePrefix = "io.nats."

// CopyOf names the message that this one is a copy of, "" for a message that was
// published. A user who may read a stream can have the server store what was read on any
// subject of the account, by naming it as the reply subject: a dead letter would come
// back as a request of another source. A message that a stream republishes is not a copy:
// it has the sequence of the one before it, and is not part of a batch.
func (h Header) CopyOf() string {
	for name := range h {
		if len(name) > len(DeadLetterHeaderPrefix) && strings.EqualFold(name[:len(DeadLetterHeaderPrefix)], DeadLetterHeaderPrefix) {
			return "a dead letter"
		}
	}
	if h.Get("ce-source") == EventSource && strings.HasPrefix(h.Get("ce-type"), eventTypePrefix) {
		return "an event of Backhaul"
	}
	if stream := h.Get(headerReadStream); stream != "" && (h.Get(headerReadLast) == "" || h.Get(headerReadPending) != "") {
		return "a message read from the stream " + clip(strconv.Quote(stream))
	}
	return ""
}

// Attribute returns an attribute of a CloudEvent in binary content mode, from its header
// ce-name, "" if there is none. The value is decoded as the binding says. A value that
// does not decode is returned as it is: many senders do not encode.
func (h Header) Attribute(name string) string {
	value := h.Get("ce-" + name)
	if decoded, ok := percentDecode(value); ok {
		return decoded
	}
	return value
}

// CloudEvent is the context attributes of one CloudEvents 1.0 event and its
// data. See the NATS protocol binding of the CloudEvents specification.
type CloudEvent struct {
	ID      string
	Source  string
	Type    string
	Subject string
	Time    time.Time
	// ContentType is the data's media type. Defaults to application/json.
	ContentType string
	Traceparent string
	// Data is JSON.
	Data []byte
}

// BinaryHeader is the event's attributes as the headers of binary content mode.
// The message's payload is the event's data.
func (e CloudEvent) BinaryHeader() Header {
	h := make(Header)
	e.SetBinary(h)
	return h
}

// SetBinary sets the headers of [CloudEvent.BinaryHeader] in h.
func (e CloudEvent) SetBinary(h Header) {
	values := make([]string, 0, 8)
	set := func(name, value string) {
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	set("ce-specversion", "1.0")
	set("ce-id", percentEncode(e.ID))
	set("ce-source", percentEncode(e.Source))
	set("ce-type", percentEncode(e.Type))
	set("ce-datacontenttype", e.contentType())
	if !e.Time.IsZero() {
		set("ce-time", e.Time.UTC().Format(time.RFC3339Nano))
	}
	if e.Subject != "" {
		set("ce-subject", percentEncode(e.Subject))
	}
	if e.Traceparent != "" {
		set(HeaderTraceparent, e.Traceparent)
	}
}

// Structured is the event as one JSON document (structured content mode).
func (e CloudEvent) Structured() []byte {
	return mustMarshal(struct {
		SpecVersion string         `json:"specversion"`
		ID          string         `json:"id"`
		Source      string         `json:"source"`
		Type        string         `json:"type"`
		Subject     string         `json:"subject,omitempty"`
		Time        time.Time      `json:"time,omitzero"`
		ContentType string         `json:"datacontenttype"`
		Traceparent string         `json:"traceparent,omitempty"`
		Data        jsontext.Value `json:"data"`
	}{"1.0", e.ID, e.Source, e.Type, e.Subject, e.Time, e.contentType(), e.Traceparent, e.Data})
}

func (e CloudEvent) contentType() string { return cmp.Or(e.ContentType, "application/json") }

// attributes are the context attributes of a CloudEvent that carries a request.
type attributes map[string]string

// check applies what CloudEvents requires of every event and what we require
// of a request's data. prefix leads to an attribute's place. Where an attribute means
// nothing for a request, what is wrong with it is a note and no problem.
func (a attributes) check(prefix string, ps, notes *problems) {
	fault := func(name, format string, args ...any) {
		if field := prefix + name; !ps.has(field) {
			ps.add(field, format, args...)
		}
	}
	if v := a["specversion"]; v != "1.0" {
		fault("specversion", "is %.100q, must be \"1.0\"", v)
	}
	for _, name := range []string{"id", "source", "type"} {
		if a[name] == "" {
			fault(name, "is required by CloudEvents and must not be empty")
		}
	}
	if t := a["time"]; t != "" {
		if _, err := time.Parse(time.RFC3339, t); err != nil {
			notes.add(prefix+"time", "is %.100q, no RFC 3339 time; it is not used", t)
		}
	}
	if t := a["datacontenttype"]; t != "" {
		media, _, err := mime.ParseMediaType(t)
		if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) || media != "application/json" && !strings.HasSuffix(media, "+json") {
			fault("datacontenttype", "is %.100q, must be application/json", t)
		}
	}
}

// requestAttributes are those that mean something for a request.
var requestAttributes = []string{"specversion", "id", "source", "type", "time", "datacontenttype", HeaderTraceparent}

// binaryAttributes reads the headers of a message in binary content mode.
func binaryAttributes(h Header, ps, notes *problems) attributes {
	a := make(attributes)
	for _, name := range requestAttributes {
		a[name] = h.Attribute(name)
	}
	a.check("header ce-", ps, notes)
	return a
}

var attributeName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9]+$`) })

// event reads a JSON-format event with a request as its data. Extension
// attributes are allowed.
func (r *requestReader) event(a attributes) error {
	if !r.is('{', "a CloudEvent, a JSON object") {
		return r.dec.SkipValue()
	}
	hasData := false
	data := func(read func() error) error {
		if hasData {
			r.problem("must not be used together with other data")
			return nil
		}
		hasData = true
		return read()
	}
	err := r.object(func(name string) error {
		switch {
		case name == "data":
			return data(r.request)
		case name == "data_base64":
			return data(r.base64Request)
		case !attributeName().MatchString(name):
			r.problem("is not a CloudEvents attribute name: lower case letters and digits only")
		case slices.Contains(requestAttributes, name):
			return r.attribute(name, a)
		case r.dec.PeekKind() == '{' || r.dec.PeekKind() == '[':
			const text = "must be a string, number or boolean: only data is structured"
			if memberNames.has(name) { // that belongs into the data
				r.problem(text)
			} else {
				r.note(text + "; it is not used")
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	a.check("/", r.problems, r.notes)
	if !hasData {
		r.problems.add("/data", "is required: the backup request")
	}
	return nil
}

// attribute reads a string attribute. The JSON format allows null for "not set".
func (r *requestReader) attribute(name string, a attributes) error {
	kind := r.dec.PeekKind()
	switch {
	case kind == 'n':
		return nil
	case kind != '"' && (name == "time" || name == HeaderTraceparent):
		if kindName, ok := kindNames[kind]; ok {
			r.note("must be a string, not " + kindName + "; it is not used")
		}
		return nil
	}
	s, ok, err := r.str()
	if ok {
		a[name] = s
	}
	return err
}

// base64Request reads a request that is the data_base64 of an event. Pointers
// into it start with /data, as if it were plain.
func (r *requestReader) base64Request() error {
	s, ok, err := r.str()
	if !ok {
		return err
	}
	data, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		r.problem("is not base64: %v", err)
		return nil
	}
	outer := r.reader
	r.reader = newReader(data, "/data", r.problems)
	r.document(r.request)
	r.reader = outer
	return nil
}

// percentEncode writes a header value as the binding asks: space, quote,
// percent and everything outside printable ASCII.
func percentEncode(s string) string {
	if !slices.ContainsFunc([]byte(s), mustEncode) {
		return s // nearly every value
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; mustEncode(c) {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func mustEncode(c byte) bool { return c <= ' ' || c >= 0x7f || c == '"' || c == '%' }

// percentDecode reverts percentEncode, once. A value may stand in double quotes. ok is
// false for a value that was not encoded.
func percentDecode(s string) (decoded string, ok bool) {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
		s = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(s)
	}
	decoded, err := url.PathUnescape(s)
	return decoded, err == nil && utf8.ValidString(decoded)
}
