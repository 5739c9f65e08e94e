package simulator

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A message is an answer in the internal form of Commvault's web service: named fields
// under a root. It is written as XML or JSON, depending on Accept, by one rule:
//
//	scalar     attribute         "name": 1
//	fields     child element     "name": {…}
//	[]fields   repeated element  "name": [{…}, …]
//	[]string   repeated <name val="…"/>  "name": ["…", …]
//
// Recorded: the vendor's samples and the Postman collection follow this rule.
// Assumed: the roots of XML answers that are in neither, such as that of TaskDetails.
type message struct {
	root   string // used only in XML
	fields fields
}

type fields []field

type field struct {
	name  string
	value any
}

// enum is a value that is a word in XML and a number in JSON.
type enum struct {
	word   string
	number int
}

// percent is a whole number in JSON and has six decimals in XML.
type percent int

// style selects how a message is encoded.
type style struct {
	json bool
	// spelling is the kind of fault that selects another spelling. OddSpelling: JSON with
	// bare CR between the tokens, "/" escaped and numbers for ids; XML with a declaration
	// and the attributes in reverse order.
	spelling Kind
}

func (s style) contentType() string {
	if s.json {
		return "application/json; charset=utf-8" // Recorded: Postman collection
	}
	return "application/xml; charset=utf-8"
}

func (m message) encode(s style) []byte {
	e := encoder{odd: s.spelling == OddSpelling, out: make([]byte, 0, 256)}
	if s.json {
		e.spelling = s.spelling
		if s.spelling == OldJSON && m.root != "" {
			e.jsonObject(fields{{m.root, m.fields}})
			return e.out
		}
		e.jsonObject(m.fields)
		return e.out
	}
	if e.odd {
		e.text("<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\" ?>\r")
	}
	e.element(m.root, m.fields)
	return e.out
}

type encoder struct {
	odd      bool
	spelling Kind // of JSON
	out      []byte
}

func (e *encoder) text(s string) { e.out = append(e.out, s...) }

// open and closing write a JSON bracket, with the CR of the odd spelling.
func (e *encoder) open(bracket byte) {
	e.out = append(e.out, bracket)
	if e.odd {
		e.out = append(e.out, '\r')
	}
}

func (e *encoder) closing(bracket byte) {
	if e.odd {
		e.out = append(e.out, '\r')
	}
	e.out = append(e.out, bracket)
}

func (e *encoder) jsonObject(list fields) {
	e.open('{')
	for i, f := range list {
		if i > 0 {
			e.text(",")
		}
		name := f.name
		if e.spelling == OldJSON && isScalar(f.value) {
			name = "@" + name
		}
		e.jsonString(name)
		e.text(":")
		e.jsonValue(f.value)
	}
	e.closing('}')
}

func isScalar(value any) bool {
	switch value.(type) {
	case fields, []fields, []string:
		return false
	}
	return true
}

func (e *encoder) jsonValue(value any) {
	_, isText := value.(string)
	if (e.spelling == TextNumbers || e.spelling == OldJSON) && isScalar(value) && !isText {
		e.out = append(e.out, '"')
		defer func() { e.out = append(e.out, '"') }()
	}
	switch v := value.(type) {
	case fields:
		e.jsonObject(v)
	case []fields:
		if len(v) == 1 && (e.spelling == OneObject || e.spelling == OldJSON) {
			e.jsonObject(v[0])
			break
		}
		e.open('[')
		for i, item := range v {
			if i > 0 {
				e.text(",")
			}
			e.jsonObject(item)
		}
		e.closing(']')
	case []string:
		e.open('[')
		for i, item := range v {
			if i > 0 {
				e.text(",")
			}
			if e.odd {
				e.text(item) // Recorded: the Terraform provider reads jobIds as numbers in one place
			} else {
				e.jsonString(item)
			}
		}
		e.closing(']')
	case enum:
		e.out = strconv.AppendInt(e.out, int64(v.number), 10)
	case percent:
		e.out = strconv.AppendInt(e.out, int64(v), 10)
	case int:
		e.out = strconv.AppendInt(e.out, int64(v), 10)
	case int64:
		e.out = strconv.AppendInt(e.out, v, 10)
	case bool:
		e.out = strconv.AppendBool(e.out, v)
	case string:
		e.jsonString(v)
	default:
		panic(fmt.Sprintf("message has a field of type %T", value))
	}
}

func (e *encoder) jsonString(s string) {
	if !e.odd && isPlain(s) {
		e.out = append(append(append(e.out, '"'), s...), '"')
		return
	}
	quoted, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always marshals
	}
	if e.odd {
		e.text(strings.ReplaceAll(string(quoted), "/", `\u002f`)) // Recorded: Postman collection
		return
	}
	e.out = append(e.out, quoted...)
}

// isPlain reports whether JSON and XML contain a text unchanged, which is the common case.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' || c == '\'' {
			return false
		}
	}
	return true
}

func (e *encoder) element(name string, list fields) {
	e.text("<" + name)
	attributes, children := split(list)
	if e.odd {
		slices.Reverse(attributes)
	}
	for _, f := range attributes {
		e.attribute(f.name, f.value)
	}
	if len(children) == 0 {
		e.text("/>")
		return
	}
	e.text(">")
	for _, f := range children {
		switch v := f.value.(type) {
		case fields:
			e.element(f.name, v)
		case []fields:
			for _, item := range v {
				e.element(f.name, item)
			}
		case []string:
			for _, item := range v {
				e.element(f.name, fields{{"val", item}})
			}
		}
	}
	e.text("</" + name + ">")
}

// split separates the fields that are attributes in XML from those that are elements.
func split(list fields) (attributes, children fields) {
	for _, f := range list {
		switch v := f.value.(type) {
		case fields:
			children = append(children, f)
		case []fields:
			if len(v) > 0 {
				children = append(children, f)
			}
		case []string:
			if len(v) > 0 {
				children = append(children, f)
			}
		default:
			attributes = append(attributes, f)
		}
	}
	return attributes, children
}

func (e *encoder) attribute(name string, value any) {
	e.text(" " + name + `="`)
	switch v := value.(type) {
	case enum:
		e.text(v.word)
	case percent:
		e.out = strconv.AppendFloat(e.out, float64(v), 'f', 6, 64)
	case int:
		e.out = strconv.AppendInt(e.out, int64(v), 10)
	case int64:
		e.out = strconv.AppendInt(e.out, v, 10)
	case bool:
		if v { // Recorded: booleans in XML answers are 0 and 1
			e.text("1")
		} else {
			e.text("0")
		}
	case string:
		if isPlain(v) {
			e.text(v)
			break
		}
		var b strings.Builder
		_ = xml.EscapeText(&b, []byte(v)) // a strings.Builder does not fail
		e.text(b.String())
	default:
		panic(fmt.Sprintf("message has a field of type %T", value))
	}
	e.text(`"`)
}
