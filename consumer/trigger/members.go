package trigger

import (
	"bytes"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxMembers is how many members of one object are looked at. No known notification has more.
const maxMembers = 64

// members are the members of one JSON object. Their values are checked and not parsed: each
// format parses what it needs. Names are case-sensitive.
type members struct {
	data []byte
	list []member
	// records has the member Records. Most notifications are nothing else, so it is parsed as
	// it is read.
	records list[record]
}

type member struct {
	name  []byte
	value jsontext.Value
}

// UnmarshalJSONFrom reads an object. The values share the memory of m.data.
func (m *members) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != '}' {
		quoted, err := m.read(dec)
		if err != nil {
			return err
		}
		name := unquoted(quoted)
		if string(name) == "Records" && dec.PeekKind() == '[' {
			if err := json.UnmarshalDecode(dec, &m.records); err != nil {
				return err
			}
			continue
		}
		value, err := m.read(dec)
		if err != nil {
			return err
		}
		if len(m.list) < maxMembers {
			m.list = append(m.list, member{name, value})
		}
	}
	_, err := dec.ReadToken()
	return err
}

func (m *members) read(dec *jsontext.Decoder) (jsontext.Value, error) {
	value, err := dec.ReadValue()
	end := dec.InputOffset()
	return m.data[end-int64(len(value)) : end], err
}

// unquoted returns the content of a JSON string.
func unquoted(value jsontext.Value) []byte {
	if bytes.IndexByte(value, '\\') < 0 {
		return value[1 : len(value)-1]
	}
	plain, _ := jsontext.AppendUnquote(make([]byte, 0, len(value)), value) // it is valid
	return plain
}

// value returns the value of a member, or nil.
func (m *members) value(name string) jsontext.Value {
	for i := range m.list {
		if string(m.list[i].name) == name {
			return m.list[i].value
		}
	}
	return nil
}

// has reports whether there is such a member, of whatever type.
func (m *members) has(name string) bool { return m.value(name) != nil }

// is reports whether there is such a member of the kind '{' or '['.
func (m *members) is(name string, kind jsontext.Kind) bool {
	value := m.value(name)
	return value != nil && value.Kind() == kind
}

// filled reports whether there is such a member that is a string, and not empty.
func (m *members) filled(name string) bool {
	value := m.value(name)
	return len(value) > len(`""`) && value[0] == '"'
}

// text returns the value of a member that is a string, or "".
func (m *members) text(name string) text { return text(m.content(name)) }

// content returns the bytes of a member that is a string. They may share the memory of m.data.
func (m *members) content(name string) []byte {
	if !m.filled(name) {
		return nil
	}
	return unquoted(m.value(name))
}

// parse parses a member, and leaves v as it is if there is none.
func (m *members) parse(name string, v any) error {
	value := m.value(name)
	if value == nil {
		return nil
	}
	return json.Unmarshal(value, v, checked)
}

// checked are the options for values that were checked when their object was read.
var checked = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
