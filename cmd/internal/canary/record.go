package canary

import (
	"io"
	"strings"
	"sync"
	"time"

	"backhaul/vendorapi"
	"backhaul/vendorapi/recording"
)

// Recorder writes a recording of a canary. It is safe for concurrent use.
type Recorder struct {
	// Names are removed from texts, in addition to what looks like a name.
	Names []string

	began time.Time
	mu    sync.Mutex
	w     *recording.Writer
	last  *recording.Job // nil before the first view
	lines int
	err   error
}

// NewRecorder begins a recording.
func NewRecorder(w io.Writer) (*Recorder, error) {
	writer, err := recording.NewWriter(w)
	return &Recorder{w: writer, began: time.Now()}, err
}

// Answered is for [vendorapi.Config].
func (r *Recorder) Answered(a vendorapi.Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	line := recording.Answer{
		Op: strings.ReplaceAll(a.Call.Op, "/", ""), Method: a.Call.Method, Asked: a.Asked, Status: a.Status, Format: a.Format,
		TookMs: a.Took.Milliseconds(), Code: recording.CleanCode(a.Code), Message: recording.Clean(a.Message, r.Names...), Nested: a.Nested,
	}
	for _, field := range a.Limits {
		line.Limits = append(line.Limits, recording.CleanLimit(field))
	}
	r.write(recording.Line{Answer: &line})
}

// write writes a line, unless one has failed.
func (r *Recorder) write(l recording.Line) {
	if r.err != nil {
		return
	}
	l.AtMs = time.Since(r.began).Milliseconds()
	if r.err = r.w.Write(l); r.err == nil {
		r.lines++
	}
}

// End returns how many lines were written, and the first error.
func (r *Recorder) End() (lines int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lines, r.err
}

// record writes a view of the job if it is the first one or differs from the last one. What the first
// look shows needs no time to be shown.
func (w *watch) record(info vendorapi.JobInfo) {
	r := w.Recorder
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	view := recording.Job{
		Known: w.known, Listed: w.seen.listed > 0, Described: w.seen.marked > 0,
		Status: recording.Clean(info.Status, r.Names...), Code: recording.CleanCode(info.Reason.Code),
		Reason: recording.Clean(info.Reason.Text, r.Names...), Ended: info.State == vendorapi.StateFinished,
	}
	if r.last != nil && view == *r.last {
		return
	}
	r.last = &view
	r.write(recording.Line{Job: &view})
}
