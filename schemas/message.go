package schemas

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// HeaderMsgID is JetStream's header for the publisher's own message id.
const HeaderMsgID = "Nats-Msg-Id"

// Headers of a request that is sent again for an operator. A publisher may set
// them as well; they mean nothing more than what they say.
const (
	// HeaderRequestID is the request id, before any that the payload, its
	// CloudEvent or Nats-Msg-Id give: a dead letter is sent again byte for byte,
	// and the id that is in it has its outcome. Both headers may be encoded, see
	// [EncodeHeader].
	HeaderRequestID = "Backhaul-Request-Id"
	// HeaderReplayOf names the request whose dead letter this is, as <source>/<key>.
	// Its events repeat it.
	HeaderReplayOf = "Backhaul-Replay-Of"
)

// HeaderTraceparent is the W3C trace context of a message.
const HeaderTraceparent = "traceparent"

var traceparentForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)
})

// RequestMessage is a request as it arrived.
type RequestMessage struct {
	Request BackupRequest
	// ReplayOf is the header of that name, "" without a valid one.
	ReplayOf string
	// Traceparent is the trace context that came with it, "" without a valid one.
	Traceparent string
	// Notes are faults of its CloudEvent that mean nothing for the request.
	Notes []Problem
}

// DecodeRequest reads a request in any of its three forms. The request id is
// the header Backhaul-Request-Id, else the member requestId, else the CloudEvents
// id, else the header Nats-Msg-Id, else "". Any error is an [*InvalidError]; what could be read is returned
// with it, without defaults.
//
// A message that is a copy of another one ([Header.CopyOf]) is not a request, and what it
// names is not returned: its id may be that of a request of another source.
func DecodeRequest(h Header, data []byte) (RequestMessage, error) {
	if of := h.CopyOf(); of != "" {
		var ps problems
		ps.add("", "is a copy of %s, stored by naming this subject as a reply subject", of)
		return RequestMessage{}, ps.err()
	}
	var (
		m       RequestMessage
		ps      problems
		notes   problems
		given   bool // adHocBackup was given
		event   attributes
		id      = h.Get(HeaderMsgID)
		idField = "header " + HeaderMsgID
	)
	mode := modeOf(h, data)
	if mode == binaryMode {
		event = binaryAttributes(h, &ps, &notes)
		if event["id"] != "" {
			id, idField = event["id"], "header ce-id"
		}
	}
	switch {
	case len(data) > MaxRequestSize:
		ps.add("", "has %d bytes, the limit is %d", len(data), MaxRequestSize)
	case mode == batchMode:
		ps.add("header Content-Type", "is a batch of CloudEvents; publish each as a message of its own")
	default:
		r := &requestReader{reader: newReader(data, "", &ps), notes: &notes}
		if mode == structuredMode {
			event = make(attributes)
			r.document(func() error { return r.event(event) })
			if event["id"] != "" {
				id, idField = event["id"], "/id"
			}
		} else {
			r.document(r.request)
		}
		m.Request, given = r.req, r.adHocGiven
	}

	if m.Request.RequestID == "" && id != "" {
		if fault := textFault(id, maxName); fault == "" {
			m.Request.RequestID = id
		} else {
			ps.add(idField, "%s", fault)
		}
	}
	m.Notes = notes
	m.readReplay(h, &ps)
	for _, t := range []string{h.Get(HeaderTraceparent), event[HeaderTraceparent]} {
		if m.Traceparent == "" && traceparentForm().MatchString(t) {
			m.Traceparent = t
		}
	}
	if err := ps.err(); err != nil {
		return m, err
	}
	m.Request.normalise(given)
	return m, nil
}

// requestKey is a source and a key, each of maxPart characters at most. A source may
// have a slash in it, a key not.
var requestKey = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[^\s.*>]+/[A-Za-z0-9][A-Za-z0-9_:-]*$`) })

// maxPart is not part of the expression: it would be compiled into that many states.
const maxPart = 128

func isRequestKey(s string) bool {
	slash := strings.LastIndexByte(s, '/')
	return requestKey().MatchString(s) && utf8.RuneCountInString(s[:slash]) <= maxPart && len(s[slash+1:]) <= maxPart
}

// readReplay takes what the headers of a replayed request say, also of one that
// is otherwise not valid: its outcome belongs to the new id.
func (m *RequestMessage) readReplay(h Header, ps *problems) {
	if id := DecodeHeader(h.Get(HeaderRequestID)); id != "" {
		if fault := textFault(id, maxName); fault == "" {
			m.Request.RequestID = id
		} else {
			ps.add("header "+HeaderRequestID, "%s", fault)
		}
	}
	switch of := DecodeHeader(h.Get(HeaderReplayOf)); {
	case of == "":
	case isRequestKey(of) && textFault(of, maxName+1) == "":
		m.ReplayOf = of
	default:
		ps.add("header "+HeaderReplayOf, "is %.100q, must be a source and a key such as billing/inv-7", of)
	}
}

// A mode is how a message carries its request.
type mode int

const (
	plainMode mode = iota
	binaryMode
	structuredMode
	batchMode
)

// modeOf follows the CloudEvents binding for NATS and goes one step further: as
// a plain request has no member "specversion", that member makes a structured
// event of messages whose publisher cannot set headers.
func modeOf(h Header, data []byte) mode {
	media, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	switch {
	case media == "application/cloudevents" || media == "application/cloudevents+json":
		return structuredMode
	case media == "application/cloudevents-batch+json":
		return batchMode
	case len(data) <= MaxRequestSize && hasSpecVersion(data):
		return structuredMode
	case h.Get("ce-specversion") != "":
		return binaryMode
	default:
		return plainMode
	}
}

func hasSpecVersion(data []byte) bool {
	if !bytes.Contains(data, []byte(`"specversion"`)) {
		return false // nearly every plain request
	}
	r := newReader(data, "", new(problems))
	if r.dec.PeekKind() != '{' {
		return false
	}
	found := errors.New("found")
	return errors.Is(r.object(func(name string) error {
		if name == "specversion" {
			return found
		}
		return nil
	}), found)
}

// reader reads one JSON document. It goes on after a problem, so that one error
// names everything that has to be fixed. Its methods return errors of syntax
// only: behind one of those nothing can be read.
type reader struct {
	data     []byte
	dec      *jsontext.Decoder
	at       string // pointer of the document inside the message
	problems *problems
}

func newReader(data []byte, at string, ps *problems) reader {
	// object reports names given twice, and reads on.
	twice := jsontext.AllowDuplicateNames(true)
	return reader{data: data, dec: jsontext.NewDecoder(bytes.NewBuffer(data), twice), at: at, problems: ps}
}

// pointer leads to the value that was read last, or to the member whose name was.
func (r *reader) pointer() string { return r.at + string(r.dec.StackPointer()) }

// problem notes what is wrong at the pointer.
func (r *reader) problem(format string, args ...any) {
	if r.problems.full() {
		r.problems.more() // the pointer is not computed
		return
	}
	r.problems.add(r.pointer(), format, args...)
}

// is reports whether a value of this kind comes next. Any other value is noted as
// not being what is wanted, and left to be skipped; bad syntax comes up then.
func (r *reader) is(kind jsontext.Kind, wanted string) bool {
	next := r.dec.PeekKind()
	if next == kind {
		return true
	}
	if name, ok := kindNames[next]; ok {
		r.problem("must be %s, not %s", wanted, name)
	}
	return false
}

var kindNames = map[jsontext.Kind]string{
	'n': "null", 't': "a boolean", 'f': "a boolean", '"': "a string", '0': "a number", '[': "an array", '{': "an object",
}

// str reads a string. ok is false when something else is there, see is.
func (r *reader) str() (s string, ok bool, err error) {
	if !r.is('"', "a string") {
		return "", false, nil
	}
	token, err := r.dec.ReadToken()
	if err != nil {
		return "", false, err
	}
	return token.String(), true, nil
}

// nameSet has the names of an object's members: the first ones without a map, because few
// objects have more.
type nameSet struct {
	few  [16]string
	n    int
	many map[string]bool
}

// add reports whether a name is new.
func (s *nameSet) add(name string) bool {
	if s.many[name] || slices.Contains(s.few[:s.n], name) {
		return false
	}
	if s.n < len(s.few) {
		s.few[s.n] = name
		s.n++
		return true
	}
	if s.many == nil {
		s.many = make(map[string]bool)
	}
	s.many[name] = true
	return true
}

// object calls read with the name of each member of the object that comes next.
// A value that read does not take is skipped.
func (r *reader) object(read func(name string) error) error {
	if _, err := r.dec.ReadToken(); err != nil {
		return err
	}
	var seen nameSet
	for r.dec.PeekKind() == '"' {
		token, err := r.dec.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		if !seen.add(name) {
			r.problem("is given twice")
		} else if err := read(name); err != nil {
			return err
		}
		if _, length := r.dec.StackIndex(r.dec.StackDepth()); length%2 == 1 { // a name without its value
			if err := r.dec.SkipValue(); err != nil {
				return err
			}
		}
	}
	_, err := r.dec.ReadToken() // the closing brace, or what stands in its place
	return err
}

// document reads one value with nothing behind it.
func (r *reader) document(read func() error) {
	err := read()
	if err == nil {
		switch _, err = r.dec.ReadToken(); {
		case err == nil:
			err = errors.New("more than one JSON document")
		case errors.Is(err, io.EOF):
			return
		}
	}
	r.problems.addSyntax(r.at, r.data, err)
}
