// Package show makes the text of other people fit to be shown: on a terminal, in a
// pipeline, on a page. Requests, notifications, headers and the vendor's answers may hold
// anything, and all of it is shown to somebody sooner or later.
//
// # What it guarantees
//
//   - Nothing that is shown moves the cursor, changes colours or the direction of a line:
//     control characters (C0, DEL, C1) and bidirectional controls are replaced or escaped.
//   - Nothing is invisible: characters without a width are written as escapes, so that two
//     names that differ look different.
//   - In JSON all of this is done with JSON's own escapes: a parser gets the same value.
//   - What is shown has a bound, and so has the memory that it takes: [JSON], [Line] and
//     [Cell] stop while they write. Indenting nests no deeper than [MaxDepth], because
//     with each level indented the output grows with the square of the depth.
//
// All of it is safe for concurrent use, but a [Writer] should have one kind of output.
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
	// MaxCell bounds a cell that others stand behind: each row is as wide as the widest.
	MaxCell = 512
)

// Line returns text as one line: what a terminal would obey is replaced by U+FFFD, and what
// has no width is written as an escape. It is cut at [MaxLine] bytes.
func Line(s string) string { return line(s, MaxLine) }

// Cell is [Line], cut at [MaxCell] bytes.
func Cell(s string) string { return line(s, MaxCell) }

// Lines is [Line] for each line of a text, which is cut at a limit in bytes.
// A tab is four spaces.
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
		case isObeyed(c):
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

// isObeyed reports whether a terminal does something about a character instead of showing
// it: controls, what changes the direction of a line, and what ends one.
func isObeyed(c rune) bool {
	if c < 0x80 {
		return c < ' ' || c == 0x7f
	}
	return unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) || c == '\u2028' || c == '\u2029'
}

// isHidden reports whether a character takes no room.
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

// appendEscaped appends text in which everything that must not be seen raw is written as
// JSON's escape. Line breaks and tabs stay. It returns how much of the text it took: a
// character that is cut off at its end is left.
func appendEscaped(b, text []byte) (escaped []byte, taken int) {
	for taken < len(text) {
		c, size := rune(text[taken]), 1
		if c >= utf8.RuneSelf {
			if !utf8.FullRune(text[taken:]) {
				break
			}
			c, size = utf8.DecodeRune(text[taken:])
		}
		switch {
		case c == '\n' || c == '\t':
			b = append(b, byte(c))
		case c == utf8.RuneError && size == 1:
			b = append(b, "\uFFFD"...) // alone it may be a control, too
		case isObeyed(c) || isHidden(c):
			b = appendEscape(b, c)
		default:
			b = append(b, text[taken:taken+size]...)
		}
		taken += size
	}
	return b, taken
}

// Escape returns JSON with escapes for all that must not be seen raw. Its value is the same.
// Between values there may be spaces, tabs and line feeds, as encoders write them.
func Escape(json []byte) []byte {
	if isPlain(json) {
		return json
	}
	escaped, taken := appendEscaped(make([]byte, 0, len(json)+16), json)
	return append(escaped, json[taken:]...)
}
