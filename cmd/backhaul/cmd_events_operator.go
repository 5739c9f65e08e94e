package main

import (
	"fmt"
	"io"
	"time"

	"backhaul/cmd/internal/eventlog"
	"backhaul/cmd/internal/show"
	"backhaul/schemas"
)

// kindOperator stands in the place of a kind for the events about what operators
// did: they are about no request.
const kindOperator = "operator"

// printOperatorEvent writes one event about what an operator did as a line.
func printOperatorEvent(w io.Writer, output string, e eventlog.OperatorEvent) error {
	if output == outputJSON {
		_, err := fmt.Fprintf(w, "%s\n", e.CloudEvent().Structured())
		return err
	}
	_, err := fmt.Fprintln(w, show.Line(fmt.Sprintf("%s  %-16s  %-10s  %-26s  %s", e.Stored.UTC().Format(time.RFC3339), kindOperator,
		e.Action, e.Actor, operatorGist(e.OperatorEvent))))
	return err
}

// operatorGist is what a person wants to know of it first.
func operatorGist(e schemas.OperatorEvent) string {
	var text string
	switch e.Action {
	case schemas.ActionPause:
		text = "until " + e.Pause.Until.UTC().Format(time.RFC3339)
	case schemas.ActionResume:
		text = "instead of at " + e.Pause.Until.UTC().Format(time.RFC3339)
	case schemas.ActionDeadLetterReplay:
		text = fmt.Sprintf("letter %d (%s/%s, %s) as %s", e.DeadLetter.Sequence, e.DeadLetter.Source, e.DeadLetter.RequestID, e.DeadLetter.ErrorCode, e.Replay.RequestID)
	case schemas.ActionDeadLetterDrop:
		text = fmt.Sprintf("letter %d (%s/%s, %s)", e.DeadLetter.Sequence, e.DeadLetter.Source, e.DeadLetter.RequestID, e.DeadLetter.ErrorCode)
	}
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}
