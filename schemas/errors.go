package schemas

import (
	"fmt"
	"strings"
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

// maxProblems bounds the length of an error, whatever was sent.
const maxProblems = 16

// problems collects what is wrong with one message.
type problems []Problem

func (ps *problems) add(field, format string, args ...any) {
	switch {
	case len(*ps) < maxProblems:
		*ps = append(*ps, Problem{Field: field, Text: fmt.Sprintf(format, args...)})
	case len(*ps) == maxProblems:
		*ps = append(*ps, Problem{Text: "and more"})
	}
}

// err is nil when there are no problems.
func (ps problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	return &InvalidError{Problems: ps}
}
