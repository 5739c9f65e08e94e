package show

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// MaxDepth is how deep [JSON] indents. Deeper values are shown as […] or {…}.
	MaxDepth = 24
	// MaxJSON bounds the output of [JSON] in bytes, without the line that reports the cut.
	MaxJSON = 64 << 10
)

var (
	errCut     = errors.New("the output is full")
	asItIs     = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}
	errTooMany = errors.New("more than one document")
)

// JSON returns indented JSON with the escapes of [Escape]. Text that is not JSON is
// formatted by [Lines] instead. For any data, the length and depth of the result and the
// memory for it are bounded.
func JSON(data []byte) string {
	p := printer{dec: jsontext.NewDecoder(bytes.NewBuffer(data), asItIs...)}
	err := p.value(0)
	if err == nil {
		if _, err = p.dec.ReadToken(); errors.Is(err, io.EOF) {
			return p.out.String()
		}
		err = errTooMany
	}
	if errors.Is(err, errCut) {
		fmt.Fprintf(&p.out, "\n… cut, of %d bytes", len(data))
		return p.out.String()
	}
	return Lines(strings.ToValidUTF8(string(data[:min(len(data), MaxJSON+1)]), "\uFFFD"), MaxJSON)
}

// printer writes one document.
type printer struct {
	dec *jsontext.Decoder
	out strings.Builder
}

// write appends to the output. If the text exceeds the limit, it writes a part of it and
// returns errCut.
func (p *printer) write(text []byte) error {
	left := MaxJSON - p.out.Len()
	text = text[:min(len(text), left+1)] // escaping never makes it shorter
	escaped, _ := appendEscaped(make([]byte, 0, len(text)), text)
	if len(escaped) > left {
		p.out.WriteString(strings.ToValidUTF8(string(escaped[:left]), "") + "…")
		return errCut
	}
	p.out.Write(escaped)
	return nil
}

func (p *printer) indent(depth int) error {
	return p.write([]byte("\n" + strings.Repeat("  ", depth)))
}

// value writes the next value.
func (p *printer) value(depth int) error {
	kind := p.dec.PeekKind()
	switch {
	case kind != '{' && kind != '[':
		value, err := p.dec.ReadValue()
		if err != nil {
			return err
		}
		return p.write(value)
	case depth == MaxDepth:
		if err := p.dec.SkipValue(); err != nil {
			return err
		}
		if kind == '{' {
			return p.write([]byte("{…}"))
		}
		return p.write([]byte("[…]"))
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return err
	}
	closing := byte('}')
	if kind == '[' {
		closing = ']'
	}
	if err := p.write([]byte{byte(kind)}); err != nil {
		return err
	}
	empty := true
	for ; ; empty = false {
		if next := p.dec.PeekKind(); next == '}' || next == ']' {
			break
		}
		if !empty {
			if err := p.write([]byte{','}); err != nil {
				return err
			}
		}
		if err := p.indent(depth + 1); err != nil {
			return err
		}
		if kind == '{' {
			name, err := p.dec.ReadValue()
			if err != nil {
				return err
			}
			if err := p.write(append(bytes.Clone(name), ':', ' ')); err != nil {
				return err
			}
		}
		if err := p.value(depth + 1); err != nil {
			return err
		}
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return err
	}
	if !empty {
		if err := p.indent(depth); err != nil {
			return err
		}
	}
	return p.write([]byte{closing})
}
