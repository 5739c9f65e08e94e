// Package show makes foreign text safe to display on a terminal, in a pipeline or on a
// page. Requests, notifications, headers and the vendor's answers may contain any
// characters, and users see them.
//
// # Guarantees
//
//   - Output never moves the cursor, changes colours or changes the direction of a line:
//     control characters (C0, DEL, C1) and bidirectional controls are replaced or escaped.
//   - Every character is visible: characters without a width are written as escapes, so
//     that two different names look different.
//   - JSON uses JSON's own escapes, so a parser reads the same value.
//   - The output and the memory for it are bounded: [JSON], [Line] and [Cell] stop writing
//     at their limit. Indentation is not deeper than [MaxDepth], because the size of fully
//     indented output grows with the square of the depth.
//
// # Concurrency
//
// All functions and the methods of [Writer] are safe for concurrent use. A Writer keeps an
// incomplete character until the next write, so concurrent writes should end with whole
// characters.
package show

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxLine bounds a line of text, and the last cell of a row, in bytes.
	MaxLine = 8 << 10
	// MaxCell bounds the other cells of a row in bytes: the widest cell sets the width of
	// its column.
	MaxCell = 512
)

// Line returns text as one line, cut at [MaxLine] bytes. Characters that a terminal
// interprets are replaced by U+FFFD; characters without a width are written as escapes.
func Line(s string) string { return line(s, MaxLine) }

// Cell returns text as [Line] does, cut at [MaxCell] bytes.
func Cell(s string) string { return line(s, MaxCell) }

// Lines formats each line of a text as [Line] does, and cuts the text at a limit in bytes.
// A tab becomes four spaces.
func Lines(s string, limit int) string {
	var b strings.Builder
	first := true
	for text := range strings.SplitSeq(s, "\n") {
		if !first {
			b.WriteByte('\n')
		}
		first = false
		text = strings.ReplaceAll(strings.TrimSuffix(text, "\r"), "\t", "    ")
		if left := limit - b.Len(); len(text) > left {
			b.WriteString(line(text, left))
			fmt.Fprintf(&b, "\n… cut, of %d bytes", len(s))
			break
		}
		b.WriteString(line(text, limit))
	}
	return b.String()
}

func line(s string, limit int) string {
	if len(s) <= limit && isPlain(s) {
		return s
	}
	var b strings.Builder
	for _, c := range s {
		if b.Len() >= limit {
			b.WriteString("…")
			break
		}
		switch {
		case isControl(c):
			b.WriteRune('\uFFFD')
		case isHidden(c):
			b.Write(appendEscape(nil, c))
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

// isPlain reports whether a text is printable ASCII.
func isPlain[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// isPlainLines reports whether a text is printable ASCII in lines.
func isPlainLines(s []byte) bool {
	for _, c := range s {
		if (c < ' ' || c > '~') && c != '\n' {
			return false
		}
	}
	return true
}

// isControl reports whether a terminal interprets a character instead of displaying it:
// controls, and characters that end a line or change its direction.
func isControl(c rune) bool {
	if c < 0x80 {
		return c < ' ' || c == 0x7f
	}
	return unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) || c == '\u2028' || c == '\u2029'
}

// isHidden reports whether a character has no width.
func isHidden(c rune) bool {
	if c < 0x80 {
		return false
	}
	return unicode.Is(unicode.Cf, c) && !unicode.Is(unicode.Prepended_Concatenation_Mark, c) ||
		unicode.Is(unicode.Other_Default_Ignorable_Code_Point, c) || unicode.Is(unicode.Variation_Selector, c)
}

// appendEscape appends a character as JSON writes it in a string.
func appendEscape(b []byte, c rune) []byte {
	if c > 0xffff {
		high, low := utf16Pair(c)
		return fmt.Appendf(b, `\u%04x\u%04x`, high, low)
	}
	return fmt.Appendf(b, `\u%04x`, c)
}

func utf16Pair(c rune) (high, low rune) {
	c -= 0x10000
	return 0xd800 + c>>10, 0xdc00 + c&0x3ff
}

// appendEscaped appends text, with control and hidden characters written as JSON escapes.
// Line breaks and tabs are kept. It returns how many bytes it consumed; an incomplete
// character at the end is not consumed.
func appendEscaped(b, text []byte) (escaped []byte, consumed int) {
	for consumed < len(text) {
		c, size := rune(text[consumed]), 1
		if c >= utf8.RuneSelf {
			if !utf8.FullRune(text[consumed:]) {
				break
			}
			c, size = utf8.DecodeRune(text[consumed:])
		}
		switch {
		case c == '\n' || c == '\t':
			b = append(b, byte(c))
		case c == utf8.RuneError && size == 1:
			b = append(b, "\uFFFD"...) // a single byte may be a C1 control
		case isControl(c) || isHidden(c):
			b = appendEscape(b, c)
		default:
			b = append(b, text[consumed:consumed+size]...)
		}
		consumed += size
	}
	return b, consumed
}

// Escape returns JSON with control and hidden characters escaped. Its value is the same if
// only spaces, tabs and line feeds separate values, as encoders write them.
func Escape(json []byte) []byte {
	if isPlain(json) {
		return json
	}
	escaped, consumed := appendEscaped(make([]byte, 0, len(json)+16), json)
	return append(escaped, json[consumed:]...)
}
