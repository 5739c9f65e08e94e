package simulator

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"backhaul/vendorapi/recording"
)

// recorded is what a recording says about the answers of one endpoint.
type recorded struct {
	script []Fault // for the first calls, one each
	always []Chance
	header map[string]string // of answers without an error
	format string            // of answers without an error, whatever was asked for; "" is by Accept
}

// ReadRecording reads a recording for [Config.Recording]. The error names the line and the member.
func ReadRecording(r io.Reader) (*recording.Recording, error) {
	rec, err := recording.Read(r)
	if err != nil {
		return nil, err
	}
	for i, l := range rec.Lines {
		if l.Answer == nil {
			continue
		}
		if _, known := endpointName(l.Answer.Op); !known || l.Answer.Op == Reads {
			return nil, fmt.Errorf("line %d: answer.op %q is not simulated: must be one of %s", i+2, l.Answer.Op, strings.Join(Endpoints()[:len(endpoints)], ", "))
		}
	}
	return &rec, nil
}

// replay takes the behaviour of a recording over.
func (c *Config) replay(rec recording.Recording) map[string]recorded {
	var start time.Duration
	answers := make(map[string][]recording.Answer)
	var views []recording.Line
	for _, l := range rec.Lines {
		if l.Job != nil {
			views = append(views, l)
			continue
		}
		name, _ := endpointName(l.Answer.Op)
		answers[name] = append(answers[name], *l.Answer)
		if name == "CreateTask" {
			start = millis(l.AtMs - l.Answer.TookMs)
		}
	}
	if len(views) > 0 {
		c.replayJob(views, start)
	}
	all := make(map[string]recorded, len(answers))
	for name, list := range answers {
		all[name] = replayAnswers(name, list, len(views) > 0)
	}
	return all
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// replayJob takes over when a job is shown, and its life.
func (c *Config) replayJob(views []recording.Line, start time.Duration) {
	since := func(l recording.Line) time.Duration { return max(0, millis(l.AtMs)-start) }
	first := func(is func(recording.Job) bool) time.Duration {
		switch i := slices.IndexFunc(views, func(l recording.Line) bool { return is(*l.Job) }); i {
		case -1:
			return never
		case 0: // by the first look: nothing says that it took any time
			return 0
		default:
			return since(views[i])
		}
	}
	c.ListedAfter = first(func(j recording.Job) bool { return j.Listed })
	c.DescribedAfter = first(func(j recording.Job) bool { return j.Described })
	c.VisibleAfter = min(c.ListedAfter, first(func(j recording.Job) bool { return j.Known }))
	l := Life{AsGiven: true}
	var last time.Duration
	for _, view := range views {
		j, at := view.Job, since(view)
		if n := len(l.Steps); j.Status == "" || n > 0 && !j.Ended && l.Steps[n-1].is(j) {
			continue
		} else if n > 0 {
			l.Steps[n-1].For = max(1, at-last)
			last = at
		}
		if j.Ended {
			if len(l.Steps) == 0 { // it had ended when it was first seen
				l.Steps = []Step{{Status: statusRunning, For: max(1, at)}}
			}
			l.End = End{Status: j.Status, Code: j.Code, Reason: j.Reason}
			break
		}
		l.Steps = append(l.Steps, Step{Status: j.Status, Code: j.Code, Reason: j.Reason})
	}
	if len(l.Steps) > 0 {
		c.Lives = []LifeRule{{Life: l, Probability: 1}}
	}
}

func (s Step) is(j *recording.Job) bool {
	return s.Status == j.Status && s.Code == j.Code && s.Reason == j.Reason
}

// replayAnswers returns the behaviour of an endpoint. Errors come at the same calls as in the
// recording, and an endpoint without a success continues with its last error. Errors that follow from
// the simulator's state are left to it: the end of a session, and details of a job that is not shown.
func replayAnswers(name string, list []recording.Answer, hasJob bool) (r recorded) {
	var success []recording.Answer
	var last Fault
	for _, a := range list {
		f := Fault{Kind: None}
		switch {
		case !failed(name, a):
			success = append(success, a)
		case a.Status == 0 && name == "CreateTask" && !hasJob:
			f = Fault{Kind: CutBeforeStart}
		case a.Status == 0:
			f = Fault{Kind: CutAfterStart}
		default:
			f = faultOf(a)
			f.AfterStart = name == "CreateTask" && hasJob
		}
		last = f
		switch {
		case a.Status == http.StatusUnauthorized: // a call without a token takes no fault
		case a.Status == http.StatusOK && hasJob && (name == "Job" || name == "TaskDetails" || name == "Events"):
			r.script = append(r.script, Fault{Kind: None})
		default:
			r.script = append(r.script, f)
		}
	}
	if len(success) == 0 {
		r.always = []Chance{{Fault: last, Endpoint: name, Probability: 1}}
		return r
	}
	for len(r.script) > 0 && r.script[len(r.script)-1].Kind == None {
		r.script = r.script[:len(r.script)-1]
	}
	r.header = headerOf(success[0].Limits)
	one := success[0].Format
	differs := func(a recording.Answer) bool { return a.Format != one }
	unasked := func(a recording.Answer) bool { return a.Asked != "" && a.Format != a.Asked }
	if !slices.ContainsFunc(success, differs) && slices.ContainsFunc(success, unasked) {
		r.format = one
	}
	return r
}

// failed reports whether an answer is an error, or of a form that the simulator does not give.
func failed(name string, a recording.Answer) bool {
	structured := a.Format == recording.XML || a.Format == recording.JSON
	return a.Status < 200 || a.Status > 299 || a.Code != "" || !structured && name != "Logout" && name != "Probe"
}

// faultOf returns the fault with which a call gets a recorded error.
func faultOf(a recording.Answer) Fault {
	f := Fault{Kind: Status, Status: a.Status, Header: headerOf(a.Limits)}
	switch a.Format {
	case recording.HTML:
		p := page(a.Status)
		f.Header["Content-Type"], f.Body = p.contentType, string(p.body)
	case recording.Text:
		f.Body = http.StatusText(a.Status)
	case recording.XML, recording.JSON:
		list := fields{{"errorMessage", a.Message}, {"errorCode", a.Code}}
		if a.Nested {
			list = fields{{"error", list}}
		}
		st := style{json: a.Format == recording.JSON}
		f.Header["Content-Type"], f.Body = st.contentType(), string(message{"TMMsg_GenericResp", list}.encode(st))
	}
	return f
}

func headerOf(limits []string) map[string]string {
	header := make(map[string]string, len(limits))
	for _, field := range limits {
		name, value, _ := strings.Cut(field, ": ")
		header[name] = value
	}
	return header
}

// asRecorded gives an answer without an error the header and the format of the recording.
func (s *Simulator) asRecorded(e *endpoint, a answer) answer {
	r := s.recorded[e.name]
	if a.header == nil {
		a.header = r.header
	}
	a.onlyXML, a.onlyJSON = r.format == recording.XML || r.format == "" && a.onlyXML, r.format == recording.JSON
	return a
}

// replayFaults sets the faults of the recording.
func (s *Simulator) replayFaults() {
	var always []Chance
	for _, r := range s.recorded {
		always = append(always, r.always...)
	}
	s.chaos.set(always)
	for name, r := range s.recorded {
		s.chaos.scripts[name] = slices.Clone(r.script)
	}
}
