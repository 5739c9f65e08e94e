package vendorapi

import (
	"bytes"
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
)

// inUnicode returns the text of an answer in UTF-8, without a byte order mark and without an XML
// declaration. The bytes decide: products leave "utf-16" or "ISO-8859-1" in the declaration of a
// document that another layer has converted to UTF-8. A label counts only for bytes that are not
// valid UTF-8.
//
// Go's XML decoder rejects a document with another label or version, and an unread answer may have
// started a job.
func inUnicode(body []byte, header http.Header) []byte {
	if utf16 := utf16Of(body); utf16 != nil {
		body = decoded(utf16, body)
	}
	body = bytes.TrimPrefix(body, utf8BOM)
	declaration := xmlDeclaration().FindSubmatch(body)
	if !utf8.Valid(body) {
		label := ""
		if declaration != nil {
			label = string(declaration[1])
		}
		body = decoded(charsetOf(body, label, header), body)
	}
	body = body[len(xmlDeclaration().Find(body)):]
	if isXML(bytes.TrimSpace(body)) {
		body = withoutControls(body)
	}
	return body
}

// xmlDeclaration matches an XML declaration. Its group is the label in it.
var xmlDeclaration = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^\s*<\?xml\s(?:[^>]*?\bencoding\s*=\s*["']([^"'>]*)["'])?[^>]*\?>`)
})

// utf16Of returns the encoding of text in UTF-16, nil for other text. Without a byte order mark,
// the first character decides: all answers begin with an ASCII character.
func utf16Of(body []byte) encoding.Encoding {
	if len(body) < 2 {
		return nil
	}
	first, second := body[0], body[1]
	switch {
	case first == 0xFF && second == 0xFE, first != 0 && second == 0:
		return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	case first == 0xFE && second == 0xFF, first == 0 && second != 0:
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	}
	return nil
}

// charsetOf returns the encoding of bytes that are not valid UTF-8: that of the label in the XML
// declaration, else of the header, else windows-1252, which contains Latin-1. A nil encoding is
// UTF-8 with some invalid bytes, such as a message that was cut within a character.
func charsetOf(body []byte, label string, header http.Header) encoding.Encoding {
	_, params, _ := mime.ParseMediaType(header.Get("Content-Type"))
	for _, label := range []string{label, params["charset"]} {
		charset, err := htmlindex.Get(label)
		if err != nil || charset == encoding.Replacement {
			continue
		}
		switch name, _ := htmlindex.Name(charset); name {
		case "utf-8", "utf-16le", "utf-16be":
			continue // the bytes contradict the label
		}
		return charset
	}
	if hasMultibyte(body) {
		return nil
	}
	return charmap.Windows1252
}

// hasMultibyte reports whether the body has a valid UTF-8 character beyond ASCII.
func hasMultibyte(body []byte) bool {
	for len(body) > 0 {
		_, size := utf8.DecodeRune(body)
		if size > 1 {
			return true
		}
		body = body[size:]
	}
	return false
}

func decoded(charset encoding.Encoding, body []byte) []byte {
	if charset == nil {
		return bytes.ToValidUTF8(body, replacement)
	}
	text, err := charset.NewDecoder().Bytes(body)
	if err != nil { // half a character at the end
		return bytes.ToValidUTF8(body, replacement)
	}
	return text
}

var replacement = []byte("\uFFFD")

// withoutControls replaces characters that XML forbids, literal or as references. The product puts
// them into messages, and the decoder rejects the whole answer for one.
func withoutControls(text []byte) []byte {
	isBad := func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
	}
	if bytes.IndexFunc(text, isBad) >= 0 {
		text = bytes.Map(func(r rune) rune {
			if isBad(r) {
				return utf8.RuneError
			}
			return r
		}, text)
	}
	if !bytes.Contains(text, []byte("&#")) {
		return text
	}
	return xmlReference().ReplaceAllFunc(text, func(reference []byte) []byte {
		digits, base := string(reference[2:len(reference)-1]), 10
		if digits[0] == 'x' {
			digits, base = digits[1:], 16
		}
		if n, err := strconv.ParseUint(digits, base, 21); err == nil && !isBad(rune(n)) {
			return reference
		}
		return replacement
	})
}

var xmlReference = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`&#(?:[0-9]{1,8}|x[0-9a-fA-F]{1,8});`) })
