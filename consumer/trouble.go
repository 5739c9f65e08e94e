package consumer

import (
	"strings"
	"time"
)

// trouble is why a request has no outcome yet. People read it, the protocol does not.
type trouble struct {
	err  error
	next time.Time // of the next attempt, zero if that is not known
}

// text returns the error as an event has it, "" for none.
func (t trouble) text() string {
	if t.err == nil {
		return ""
	}
	text := t.err.Error()
	return strings.ToValidUTF8(text[:min(len(text), maxTrouble)], "")
}

// maxTrouble bounds an error in a claim.
const maxTrouble = 1 << 10
