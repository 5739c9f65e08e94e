// Package recording reads and writes what a canary has seen of a vendor, for
// `backhaul check --canary … --record` and `backhaul simulator --recording`.
//
// # Format
//
// A recording is a file of JSON lines. The first one is
//
//	{"recording":"backhaul-canary","version":1}
//
// Every other line has a time in milliseconds since the beginning, in ascending order, and either an
// answer or a view of the canary's job:
//
//	{"atMs":1204,"answer":{"op":"JobList","method":"GET","asked":"json","status":200,"format":"xml","tookMs":31,"limits":["X-Ratelimit-Limit: 100"]}}
//	{"atMs":2210,"job":{"known":true,"listed":true,"described":true,"status":"Pending","code":"13:30","reason":"No contact with the MediaAgent."}}
//
// The first view is that of the first look at the job; another one is written when it differs from the
// one before. Unknown members, other versions and values
// out of range are errors, which name the line and the member.
//
// # What it does not contain
//
// A recording has no bodies, paths and fields of a header, from which secrets would have to be
// removed. It has the members of [Answer] and [Job] only, and their values have a narrow form:
// numbers, words of an enumeration, and texts of errors and reasons, from which [Clean] has removed
// what looks like a name or a token. The names of the canary's client, content group and user, ids of
// jobs, the description and the endpoint are not in it. A name that is a plain word, as in "killed by
// ann", cannot be told from other words and stays: a recording is to be read before it is passed on.
package recording

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

const (
	kind    = "backhaul-canary"
	version = 1

	maxLine  = 16 << 10
	maxLines = 100_000
	maxText  = 300
	maxAt    = 30 * 24 * 3600 * 1000 // 30 days
)

// A Recording is what was seen, in order.
type Recording struct{ Lines []Line }

// A Line has either an answer or a view of the job.
type Line struct {
	AtMs   int64   `json:"atMs"`
	Answer *Answer `json:"answer,omitempty"`
	Job    *Job    `json:"job,omitempty"`
}

// The formats of an answer's body.
const (
	XML   = "xml"
	JSON  = "json"
	HTML  = "html"
	Text  = "text"
	Empty = "empty"
)

// An Answer is one answer of the vendor.
type Answer struct {
	Op     string `json:"op"` // the vendor's operation, such as "CreateTask"
	Method string `json:"method"`
	// Asked is XML or JSON, "" if the caller has no preference.
	Asked string `json:"asked,omitempty"`
	// Status is 0 if no complete answer came.
	Status int    `json:"status"`
	Format string `json:"format,omitempty"`
	TookMs int64  `json:"tookMs"`
	// Code and Message are those of an error. Nested reports that it was in an inner object.
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	Nested  bool   `json:"nested,omitempty"`
	// Limits has the fields about limits on calls, as "Name: value".
	Limits []string `json:"limits,omitempty"`
}

// A Job is a view of the canary's job.
type Job struct {
	Known     bool   `json:"known,omitempty"`     // GET Job/{id} shows it
	Listed    bool   `json:"listed,omitempty"`    // a list has it
	Described bool   `json:"described,omitempty"` // TaskDetails shows the description
	Status    string `json:"status,omitempty"`
	Code      string `json:"code,omitempty"` // of the reason
	Reason    string `json:"reason,omitempty"`
	Ended     bool   `json:"ended,omitempty"`
}

type head struct {
	Recording string `json:"recording"`
	Version   int    `json:"version"`
}

var (
	operation = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z]{1,40}$`) })
	code      = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9]{1,12}(:[0-9]{1,12})?$`) })
	limit     = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(?i:x-)?[Rr][A-Za-z-]{1,40}: ([0-9]{1,12}([,;] ?([a-z]{1,9}=)?[0-9]{1,12}){0,9}|[A-Z][a-z]{2}, [0-9A-Za-z :]{20} GMT|…)$`)
	})
)

// check returns an error that names the member.
func (l Line) check(before int64) error {
	switch {
	case l.AtMs < before || l.AtMs > maxAt:
		return fmt.Errorf("atMs %d must be between that of the line before, %d, and %d", l.AtMs, before, int64(maxAt))
	case (l.Answer == nil) == (l.Job == nil):
		return errors.New("must have one of answer and job")
	case l.Job != nil:
		return l.Job.check()
	}
	return l.Answer.check()
}

func (a *Answer) check() error {
	switch {
	case !operation().MatchString(a.Op):
		return fmt.Errorf("answer.op %.60q must be the name of an operation", a.Op)
	case !slices.Contains([]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete}, a.Method):
		return fmt.Errorf("answer.method %.60q must be GET, POST, PUT or DELETE", a.Method)
	case !slices.Contains([]string{"", XML, JSON}, a.Asked):
		return fmt.Errorf("answer.asked %.60q must be xml, json or missing", a.Asked)
	case a.Status != 0 && (a.Status < 200 || a.Status > 599):
		return fmt.Errorf("answer.status %d must be 0, or between 200 and 599", a.Status)
	case (a.Status == 0) != (a.Format == "") || !slices.Contains([]string{"", XML, JSON, HTML, Text, Empty}, a.Format):
		return fmt.Errorf("answer.format %.60q must be xml, json, html, text or empty, and missing with status 0", a.Format)
	case a.TookMs < 0 || a.TookMs > maxAt:
		return fmt.Errorf("answer.tookMs %d must be between 0 and %d", a.TookMs, int64(maxAt))
	case a.Code != "" && !code().MatchString(a.Code):
		return fmt.Errorf("answer.code %.60q must be a number", a.Code)
	case !clean(a.Message):
		return fmt.Errorf("answer.message %.60q must be a line of at most %d bytes, without what looks like a name or a token", a.Message, maxText)
	case len(a.Limits) > 20:
		return fmt.Errorf("answer.limits has %d fields: must be at most 20", len(a.Limits))
	}
	for i, field := range a.Limits {
		if !limit().MatchString(field) {
			return fmt.Errorf("answer.limits[%d] %.60q must be a field about limits and its numbers", i, field)
		}
	}
	return nil
}

func (j *Job) check() error {
	switch {
	case !clean(j.Status) || j.Ended && j.Status == "":
		return fmt.Errorf("job.status %.60q must be a status, and of a job that has ended not empty", j.Status)
	case j.Code != "" && !code().MatchString(j.Code):
		return fmt.Errorf("job.code %.60q must be a number such as 13:30", j.Code)
	case !clean(j.Reason):
		return fmt.Errorf("job.reason %.60q must be a line of at most %d bytes, without what looks like a name or a token", j.Reason, maxText)
	}
	return nil
}

// removed takes the place of what was removed from a text.
const removed = "…"

// Clean returns a vendor's text without what looks like a name or a token: text in brackets or quotes,
// words with a character that names of users, hosts and files have, words with a digit, long words,
// and the given names, in upper or lower case.
func Clean(text string, names ...string) string {
	text = strings.ToValidUTF8(text, removed)
	for _, name := range names {
		if name != "" && utf8.ValidString(name) {
			text = regexp.MustCompile("(?i)"+regexp.QuoteMeta(name)).ReplaceAllLiteralString(text, removed)
		}
	}
	text = bracketed().ReplaceAllString(text, " "+removed+" ")
	words := strings.Fields(text)
	for i, word := range words {
		if !plain().MatchString(word) {
			words[i] = removed
		}
	}
	text = strings.Join(slices.Compact(words), " ")
	for len(text) > maxText {
		text = text[:strings.LastIndexByte(text[:maxText], ' ')]
	}
	return text
}

var (
	bracketed = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile("\\[[^]]*(\\]|$)|\"[^\"]*(\"|$)|`[^`]*(`|$)|<[^>]*(>|$)|\\{[^}]*(\\}|$)|(^|\\s)'[^']*('|$)")
	})
	// plain is a word of at most 24 letters with punctuation around it.
	plain = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^[(]?(\pL{1,24}([/'-]\pL{1,24}){0,2}|[0-9]{1,3}|[-…&]|w/)[.,;:!?)]{0,3}$`)
	})
)

func clean(text string) bool { return Clean(text) == text }

// CleanLimit returns a field about limits, as "Name: value", with its value only if that is numbers
// or a date.
func CleanLimit(field string) string {
	if name, _, _ := strings.Cut(field, ":"); !limit().MatchString(field) {
		return name + ": " + removed
	}
	return field
}

// CleanCode returns a code, "" unless it is a number or two.
func CleanCode(text string) string {
	if !code().MatchString(text) {
		return ""
	}
	return text
}

// A Writer writes a recording.
type Writer struct {
	w  io.Writer
	at int64
}

// NewWriter writes the first line.
func NewWriter(w io.Writer) (*Writer, error) { return &Writer{w: w}, writeLine(w, head{kind, version}) }

// Write writes a line. A line that Read would refuse is an error.
func (w *Writer) Write(l Line) error {
	l.AtMs = max(l.AtMs, w.at)
	if err := l.check(w.at); err != nil {
		return fmt.Errorf("recording: %w", err)
	}
	w.at = l.AtMs
	return writeLine(w.w, l)
}

func writeLine(w io.Writer, value any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Read reads a recording. The error names the line and the member.
func Read(r io.Reader) (rec Recording, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	n, at := 0, int64(0)
	for lines.Scan() {
		if n++; n > maxLines {
			return Recording{}, fmt.Errorf("line %d: a recording has at most %d lines", n, maxLines)
		}
		if n == 1 {
			if err := readHead(lines.Bytes()); err != nil {
				return Recording{}, fmt.Errorf("line 1: %w", err)
			}
			continue
		}
		var l Line
		if err = decode(lines.Bytes(), &l); err == nil {
			err = l.check(at)
		}
		if err != nil {
			return Recording{}, fmt.Errorf("line %d: %w", n, err)
		}
		at = l.AtMs
		rec.Lines = append(rec.Lines, l)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return Recording{}, fmt.Errorf("line %d: must be shorter than %d bytes", n+1, maxLine)
	case err != nil:
		return Recording{}, fmt.Errorf("line %d: %w", n+1, err)
	case n == 0:
		return Recording{}, fmt.Errorf("line 1: the file is empty: must be %s", headLine())
	}
	return rec, nil
}

func headLine() string { return fmt.Sprintf(`{"recording":%q,"version":%d}`, kind, version) }

func readHead(line []byte) error {
	var h head
	err := decode(line, &h)
	switch {
	case err != nil:
		return fmt.Errorf("%w: the first line of a recording is %s", err, headLine())
	case h.Recording != kind:
		return fmt.Errorf("recording %.60q must be %q", h.Recording, kind)
	case h.Version != version:
		return fmt.Errorf("version %d is not known: must be %d", h.Version, version)
	}
	return nil
}

// decode reads one JSON value strictly.
func decode(line []byte, into any) error {
	if !utf8.Valid(line) {
		return errors.New("must be UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return fmt.Errorf("%s must be of the type %s, not %s", wrong.Field, wrong.Type, wrong.Value)
		}
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("must be one JSON object")
	}
	return nil
}
