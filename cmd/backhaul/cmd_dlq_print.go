package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"backhaul/cmd/internal/deadletter"
	"backhaul/cmd/internal/history"
	"backhaul/cmd/internal/show"
	"backhaul/schemas"
)

// letterView is a dead letter in JSON.
type deadLetterView struct {
	Sequence     uint64    `json:"sequence"`
	KeptAt       time.Time `json:"keptAt"`
	Source       string    `json:"source"`
	Key          string    `json:"key"`
	RequestID    string    `json:"requestId"`
	ErrorCode    string    `json:"errorCode"`
	ErrorLogCode string    `json:"errorLogCode,omitempty"`
	// State is open, replayed or succeeded.
	State           deadletter.State `json:"state"`
	Reason          string           `json:"reason"`
	ClientName      string           `json:"clientName,omitempty"`
	SubclientName   string           `json:"subclientName,omitempty"`
	RequestedAt     time.Time        `json:"requestedAt,omitzero"`
	RequestSequence uint64           `json:"requestSequence"`
	Subject         string           `json:"subject"`
	Replays         []replayView     `json:"replays,omitempty"`
	*messageView
}

// messageView is the message as it arrived; only of a dead letter that is shown alone.
type messageView struct {
	Headers map[string][]string `json:"headers"`
	// Payload is text; PayloadBase64 stands in its place if it is none.
	Payload       string `json:"payload,omitempty"`
	PayloadBase64 []byte `json:"payloadBase64,omitempty"`
}

type replayView struct {
	schemas.DeadLetterReplay
	Actor  string       `json:"actor"`
	Reason string       `json:"reason,omitempty"`
	At     time.Time    `json:"at"`
	State  schemas.Kind `json:"state,omitempty"`
	Detail string       `json:"detail,omitempty"`
}

func viewOf(l deadletter.Message) deadLetterView {
	v := deadLetterView{
		Sequence: l.Number, KeptAt: l.Kept, Source: l.Key.Source, Key: l.Key.Name, RequestID: l.RequestID, ErrorCode: l.Code, ErrorLogCode: schemas.LogCode(l.Code), State: l.State(), Reason: l.Reason,
		ClientName: l.Request.ClientName, SubclientName: l.Request.SubclientName, RequestedAt: l.Time, RequestSequence: l.Sequence, Subject: l.Subject,
	}
	for _, r := range l.Replays {
		view := replayView{DeadLetterReplay: r.DeadLetterReplay, Actor: r.Actor, Reason: r.Reason, At: r.At}
		if r.Last != nil {
			view.State, view.Detail = r.Last.Kind(), history.Line(r.Last)
		}
		v.Replays = append(v.Replays, view)
	}
	return v
}

func printDeadLetters(w io.Writer, output string, deadLetters []deadletter.Message) error {
	if output == outputJSON {
		for _, l := range deadLetters {
			if err := printJSON(w, viewOf(l)); err != nil {
				return err
			}
		}
		return nil
	}
	if len(deadLetters) == 0 {
		return nil
	}
	t := newTable(w)
	t.row("SEQUENCE", "KEPT", "SUBJECT", "REQUEST", "CLIENT/GROUP", "CODE", "STATE", "REPLAYED", "REASON")
	for _, l := range deadLetters {
		t.row(fmt.Sprint(l.Number), stamp(l.Kept), l.Subject, dash(l.RequestID),
			dash(l.Request.ClientName)+"/"+dash(l.Request.SubclientName), l.CodeText(), string(l.State()), replayed(l), shortText(l.Reason, 80))
	}
	return t.flush()
}

// replayed says in a word or two what became of the last replay.
func replayed(l deadletter.Message) string {
	n := len(l.Replays)
	if n == 0 {
		return "-"
	}
	if l.Notification() {
		return "put back"
	}
	last := l.Replays[n-1].Last
	if last == nil {
		return "no outcome yet"
	}
	if job := history.ResultOf(last).JobID; job != "" {
		return "job " + job
	}
	return string(last.Kind())
}

func printDeadLetter(w io.Writer, output string, l deadletter.Message) error {
	if output == outputJSON {
		v := viewOf(l)
		v.messageView = &messageView{Headers: l.Header}
		if utf8.Valid(l.Data) {
			v.Payload = string(l.Data)
		} else {
			v.PayloadBase64 = l.Data
		}
		return printJSON(w, v)
	}
	t := newTable(w)
	row := func(name, format string, args ...any) { t.row(name, fmt.Sprintf(format, args...)) }
	row("sequence", "%d", l.Number)
	row("kept", "%s", stamp(l.Kept))
	row("request", "%s/%s", l.Key.Source, l.RequestID)
	row("requested", "%s, message %d", stamp(l.Time), l.Sequence)
	row("client/group", "%s/%s", dash(l.Request.ClientName), dash(l.Request.SubclientName))
	row("code", "%s", l.CodeText())
	row("state", "%s", l.State())
	row("reason", "%s", l.Reason)
	for _, r := range l.Replays {
		if l.Notification() {
			row("put back", "%s by %s", stamp(r.At), r.Actor)
			continue
		}
		state := "no outcome yet"
		if r.Last != nil {
			state = fmt.Sprintf("%s, %s", r.Last.Kind(), history.Line(r.Last))
		}
		row("replayed", "%s by %s as %s: %s", stamp(r.At), r.Actor, r.RequestID, state)
	}
	row("subject", "%s", l.Subject)
	for _, name := range slices.Sorted(maps.Keys(l.Header)) {
		row("header", "%s: %s", name, strings.Join(l.Header[name], ", "))
	}
	if err := t.flush(); err != nil {
		return err
	}
	body := string(l.Data)
	if !utf8.ValidString(body) {
		body = fmt.Sprintf("%q", body[:min(len(body), maxPayload)])
	}
	_, err := fmt.Fprintf(w, "\n%s\n", show.Lines(body, maxPayload))
	return err
}

// maxPayload bounds what a table shows of a payload. In JSON it is whole.
const maxPayload = 64 << 10

func shortText(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit-1]) + "…"
}
