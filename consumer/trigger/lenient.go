package trigger

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Members are read leniently: one of another type than documented counts as absent. Required
// members are checked afterwards, so that errors can name them.

// text is a JSON string. A value of another type is read as "".
type text string

func (t *text) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() != '"' {
		return dec.SkipValue()
	}
	token, err := dec.ReadToken()
	if err == nil {
		*t = text(token.String())
	}
	return err
}

// present is set by a member of any type.
type present bool

func (p *present) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*p = true
	return dec.SkipValue()
}

// number is a whole number, which JSON may have as a string.
type number struct {
	value int64
	given bool
}

func (n *number) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if kind := dec.PeekKind(); kind != '"' && kind != '0' {
		return dec.SkipValue()
	}
	token, err := dec.ReadToken()
	if err != nil {
		return err
	}
	if value, err := strconv.ParseInt(token.String(), 10, 64); err == nil && value >= 0 {
		n.value, n.given = value, true
	}
	return nil
}

// or returns the number, or fallback if none was given.
func (n number) or(fallback int64) int64 {
	if n.given {
		return n.value
	}
	return fallback
}

// timeOf returns the time that a text has, or zero.
func timeOf(t text) time.Time {
	parsed, err := time.Parse(time.RFC3339Nano, string(t))
	if err != nil {
		return time.Time{}
	}
	return parsed
}

// list is an array of at most [MaxChanges] items. Further items are skipped: otherwise a
// small payload would need a hundred times its size in memory.
type list[T any] struct {
	items []T
	given bool
	more  bool
}

func (l *list[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() != '[' {
		return dec.SkipValue()
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	l.given = true
	for dec.PeekKind() != ']' {
		if l.more = len(l.items) == MaxChanges; l.more {
			if err := dec.SkipValue(); err != nil {
				return err
			}
			continue
		}
		var item T
		if err := json.UnmarshalDecode(dec, &item); err != nil {
			return err
		}
		l.items = append(l.items, item)
	}
	_, err := dec.ReadToken()
	return err
}
