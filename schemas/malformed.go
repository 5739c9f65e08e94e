package schemas

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// Malformed says in words why data is not JSON, from the error of its decoder, and at which
// offset of data: -1 if that says nothing. It knows the mistakes that people and Windows make, so
// that the command, the validator and the service name them alike.
func Malformed(data []byte, err error) (text string, offset int) {
	syntax, ok := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return "is not valid JSON: it begins with a byte order mark, save it as UTF-8 without one", -1
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")),
		len(data) > 1 && (data[0] == 0) != (data[1] == 0):
		return "is not valid JSON: it is UTF-16, save it as UTF-8", -1
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "is not valid JSON: it does not end", len(data)
	case !ok:
		return "is not valid JSON: " + err.Error(), -1
	case strayComma(data, int(syntax.ByteOffset)):
		return "is not valid JSON: there is a comma before the closing bracket", int(syntax.ByteOffset)
	}
	return "is not valid JSON: " + syntax.Err.Error(), int(syntax.ByteOffset)
}

// strayComma reports whether the fault at an offset is a comma before a closing bracket. Decoders
// report the one or the other.
func strayComma(data []byte, at int) bool {
	if at < 0 || at >= len(data) {
		return false
	}
	before := bytes.TrimRight(data[:at], " \t\r\n")
	if data[at] == ',' {
		rest := bytes.TrimLeft(data[at+1:], " \t\r\n")
		return len(rest) > 0 && closes(rest[0])
	}
	return closes(data[at]) && bytes.HasSuffix(before, []byte(","))
}

func closes(c byte) bool { return c == '}' || c == ']' }
