package schemas

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Problem is one reason why a message is not a valid request.
type Problem struct {
	// Field is the JSON pointer of the offending member, "" for the document
	// as a whole, or "header NAME" for a message header.
	Field string
	// Text says what is wrong and what would be right.
	Text string
}

func (p Problem) String() string {
	if p.Field == "" {
		return p.Text
	}
	return p.Field + ": " + p.Text
}

// InvalidError says why a message is not a valid request. The same bytes will
// never become valid: the message must be answered and set aside, not retried.
type InvalidError struct {
	Problems []Problem
}

func (e *InvalidError) Error() string {
	texts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		texts[i] = p.String()
	}
	return "invalid request: " + strings.Join(texts, "; ")
}

// An error ends up in an event, in logs and on pages. These bound its size,
// whatever was sent.
const (
	maxProblems    = 16
	maxProblemPart = 300 // bytes of a field or a text
)

// problems collects what is wrong with one message, at most maxProblems of it.
type problems []Problem

// full reports whether there are maxProblems problems. Callers that have to compute
// something for a problem ask first: a message may have 30,000 faults, and
// only the first few may cost more than reading past them.
func (ps *problems) full() bool { return len(*ps) >= maxProblems }

// add notes a problem. The arguments are formatted only if the problem is kept.
func (ps *problems) add(field, format string, args ...any) {
	switch {
	case !ps.full():
		*ps = append(*ps, Problem{Field: clip(field), Text: clip(fmt.Sprintf(format, args...))})
	case len(*ps) == maxProblems:
		ps.more()
	}
}

// more notes, once, that there are more problems than are kept.
func (ps *problems) more() {
	if len(*ps) == maxProblems {
		*ps = append(*ps, Problem{Text: "and more"})
	}
}

// addSyntax notes that the document at the pointer at is broken JSON.
func (ps *problems) addSyntax(at string, data []byte, err error) {
	if errors.Is(err, io.EOF) {
		ps.add(at, "is empty, must be a JSON object")
		return
	}
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		at += string(syntax.JSONPointer)
	}
	text, offset := Malformed(data, err)
	if offset >= 0 {
		text += fmt.Sprintf(", at byte %d", offset)
	}
	ps.add(at, "%s", text)
}

// has reports whether the field already has a problem.
func (ps problems) has(field string) bool {
	return slices.ContainsFunc(ps, func(p Problem) bool { return p.Field == field })
}

// err is nil when there are no problems.
func (ps problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	return &InvalidError{Problems: ps}
}

func clip(s string) string {
	if len(s) <= maxProblemPart {
		return s
	}
	return strings.ToValidUTF8(s[:maxProblemPart], "") + "…"
}
