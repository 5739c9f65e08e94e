package schemas

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Header is a message's headers. nats.Header and http.Header convert to it.
type Header map[string][]string

// Get is the first value of the header with this name, in any case. The
// CloudEvents binding calls header names case-insensitive, nats.Header does not.
func (h Header) Get(name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	for key, values := range h {
		if strings.EqualFold(key, name) && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

// CloudEvent is the context attributes of one CloudEvents 1.0 event and its
// data. See the NATS protocol binding of the CloudEvents specification.
type CloudEvent struct {
	ID      string
	Source  string
	Type    string
	Subject string
	Time    time.Time
	// ContentType is the data's media type, "" for JSON.
	ContentType string
	Traceparent string
	Data        []byte
}

// HeaderTraceparent is the W3C trace context of a message.
const HeaderTraceparent = "traceparent"

// BinaryHeader is the event's attributes as the headers of binary content mode.
// The message's payload is the event's data.
func (e CloudEvent) BinaryHeader() Header {
	h := Header{
		"ce-specversion":     {"1.0"},
		"ce-id":              {percentEncode(e.ID)},
		"ce-source":          {percentEncode(e.Source)},
		"ce-type":            {percentEncode(e.Type)},
		"ce-time":            {e.Time.UTC().Format(time.RFC3339Nano)},
		"ce-datacontenttype": {"application/json"},
	}
	if e.Subject != "" {
		h["ce-subject"] = []string{percentEncode(e.Subject)}
	}
	if e.Traceparent != "" {
		h[HeaderTraceparent] = []string{e.Traceparent}
	}
	return h
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
	}{"1.0", e.ID, e.Source, e.Type, e.Subject, e.Time.UTC(), "application/json", e.Traceparent, e.Data})
}

// binaryEvent reads the attributes of a message in binary content mode.
func binaryEvent(h Header, data []byte) (CloudEvent, problems) {
	var ps problems
	attribute := func(name string) string {
		raw := h.Get("ce-" + name)
		value, err := percentDecode(raw)
		if err != nil {
			ps.add("header ce-"+name, "%v", err)
		}
		return value
	}
	e := CloudEvent{
		ID:          attribute("id"),
		Source:      attribute("source"),
		Type:        attribute("type"),
		Subject:     attribute("subject"),
		ContentType: attribute("datacontenttype"),
		Traceparent: h.Get(HeaderTraceparent),
		Data:        data,
	}
	if t := attribute("time"); t != "" {
		var err error
		if e.Time, err = time.Parse(time.RFC3339Nano, t); err != nil {
			ps.add("header ce-time", "is %q, must be an RFC 3339 time", t)
		}
	}
	ps = append(ps, e.check("header ce-", attribute("specversion"))...)
	return e, ps
}

// check applies what CloudEvents requires of every event and what we require
// of a request's data. prefix leads to an attribute's place.
func (e CloudEvent) check(prefix, specVersion string) problems {
	var ps problems
	if specVersion != "1.0" {
		ps.add(prefix+"specversion", "is %q, must be \"1.0\"", specVersion)
	}
	for _, a := range []struct{ name, value string }{{"id", e.ID}, {"source", e.Source}, {"type", e.Type}} {
		if a.value == "" {
			ps.add(prefix+a.name, "is required by CloudEvents and must not be empty")
		}
	}
	if media, _, err := mime.ParseMediaType(e.ContentType); e.ContentType != "" &&
		(err != nil || media != "application/json" && !strings.HasSuffix(media, "+json")) {
		ps.add(prefix+"datacontenttype", "is %q, must be application/json", e.ContentType)
	}
	return ps
}

var attributeName = regexp.MustCompile(`^[a-z0-9]+$`)

// structuredEvent reads a JSON-format event. Extension attributes are allowed.
func structuredEvent(data []byte) (CloudEvent, problems) {
	var attributes map[string]jsontext.Value
	if err := json.Unmarshal(data, &attributes); err != nil {
		var ps problems
		ps.add("", "%s", syntaxText(err))
		return CloudEvent{}, ps
	}
	var ps problems
	text := func(name string) string {
		value, ok := attributes[name]
		if !ok || value.Kind() == 'n' { // the JSON format allows null for "not set"
			return ""
		}
		var s string
		if value.Kind() != '"' || json.Unmarshal(value, &s) != nil {
			ps.add("/"+name, "must be a string, not %s", kindName(value.Kind()))
		}
		return s
	}
	e := CloudEvent{
		ID: text("id"), Source: text("source"), Type: text("type"), Subject: text("subject"),
		ContentType: text("datacontenttype"), Traceparent: text(HeaderTraceparent),
		Data: attributes["data"],
	}
	ps = append(ps, e.check("/", text("specversion"))...)
	for name, value := range attributes {
		switch {
		case name == "data" || name == "data_base64":
		case !attributeName.MatchString(name):
			ps.add(string(jsontext.Pointer("").AppendToken(name)), "is not a CloudEvents attribute name: lower case letters and digits only")
		case value.Kind() == '{' || value.Kind() == '[':
			ps.add("/"+name, "must be a string, number or boolean: only data is structured")
		}
	}
	if encoded, ok := attributes["data_base64"]; ok {
		if e.Data != nil {
			ps.add("/data_base64", "must not stand beside data")
		}
		var s string
		if json.Unmarshal(encoded, &s) != nil {
			ps.add("/data_base64", "must be a string")
		} else if decoded, err := base64.StdEncoding.DecodeString(s); err != nil {
			ps.add("/data_base64", "is not base64: %v", err)
		} else {
			e.Data = decoded
		}
	}
	if e.Data == nil && len(ps) == 0 {
		ps.add("/data", "is required: the backup request")
	}
	return e, ps
}

// isStructured tells whether a message is a CloudEvent in structured mode. Its
// content type says so; since a plain request has no member "specversion", that
// member says so too, for publishers that cannot set headers.
func isStructured(h Header, data []byte) bool {
	media, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	if media == "application/cloudevents" || media == "application/cloudevents+json" {
		return true
	}
	return bytes.Contains(data, []byte(`"specversion"`)) && hasMember(data, "specversion")
}

func hasMember(data []byte, name string) bool {
	dec := jsontext.NewDecoder(bytes.NewBuffer(data))
	if token, err := dec.ReadToken(); err != nil || token.Kind() != '{' {
		return false
	}
	for dec.PeekKind() == '"' {
		token, err := dec.ReadToken()
		if err != nil {
			return false
		}
		if token.String() == name {
			return true
		}
		if dec.SkipValue() != nil {
			return false
		}
	}
	return false
}

// percentEncode writes a header value as the binding asks: space, quote,
// percent and everything outside printable ASCII.
func percentEncode(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// percentDecode reverts percentEncode, once. A value may stand in double quotes.
func percentDecode(s string) (string, error) {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
		s = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(s)
	}
	decoded, err := url.PathUnescape(s)
	if err != nil {
		return "", fmt.Errorf("is %q: %w", s, err)
	}
	if !utf8.ValidString(decoded) {
		return "", fmt.Errorf("is %q, which is not UTF-8 when decoded", s)
	}
	return decoded, nil
}
