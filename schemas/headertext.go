package schemas

import (
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

// How a text begins whose other bytes are percent-encoded, as in RFC 8187.
const (
	utf8Text   = "UTF-8''"
	latin1Text = "ISO-8859-1''" // for bytes that are not UTF-8, whatever they are
)

// EncodeHeader returns a text as the value of a header: in ASCII, because one public
// client of NATS loses all headers of a message with another byte in one of them. A text
// of ASCII stays as it is. The headers of a CloudEvent are encoded as its binding says,
// not so.
func EncodeHeader(text string) string {
	if !strings.ContainsFunc(text, notInHeader) && !strings.HasPrefix(text, utf8Text) && !strings.HasPrefix(text, latin1Text) {
		return text
	}
	var b strings.Builder
	if utf8.ValidString(text) {
		b.WriteString(utf8Text)
	} else {
		b.WriteString(latin1Text)
	}
	for i := range len(text) {
		if c := text[i]; c == '%' || notInHeader(rune(c)) {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// DecodeHeader reverts [EncodeHeader]. Any other text stays as it is.
func DecodeHeader(value string) string {
	encoded, ok := strings.CutPrefix(value, utf8Text)
	if !ok {
		encoded, ok = strings.CutPrefix(value, latin1Text)
	}
	if text, err := url.PathUnescape(encoded); ok && err == nil {
		return text
	}
	return value
}

// notInHeader reports whether a character needs encoding; a tab does not.
func notInHeader(c rune) bool { return (c < ' ' && c != '\t') || c >= 0x7f }
