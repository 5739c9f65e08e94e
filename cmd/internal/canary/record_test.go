package canary

import (
	"bytes"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/doctor"
	"backhaul/vendorapi"
	"backhaul/vendorapi/recording"
	"backhaul/vendorapi/secretstest"
	"backhaul/vendorapi/simulator"
)

// recorded runs a canary at a vendor and returns its result and its recording.
func recorded(t *testing.T, cfg simulator.Config, script func(*simulator.Simulator)) (got Result, text string) {
	t.Helper()
	var file bytes.Buffer
	recorder, err := NewRecorder(&file)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, cfg, func(c *vendorapi.Config) {
		limits := c.Answered
		c.Answered = func(a vendorapi.Answer) {
			limits(a)
			recorder.Answered(a)
		}
	})
	r.Recorder = recorder
	script(r.sim)
	got = r.Run(t.Context())
	if _, err := recorder.End(); err != nil {
		t.Fatal(err)
	}
	// The job's own text, names and ids are no more in it than secrets are.
	secretstest.NotShown(t, append(r.sim.Secrets(), r.Task.Marker, "backhaul-canary:", "s-adhoc-object-storage", "stestgroup", "127.0.0.1", "5976"), file.String())
	secretstest.NotShown(t, r.sim.Secrets(), r.said)
	return got, file.String()
}

// summary is what two recordings have in common that do not differ in time.
type summary struct {
	errors  []recording.Answer // all but the times
	formats map[string]string  // of the first answer of an operation without an error
	limits  map[string][]string
	path    []recording.Job // the statuses
}

// shown is when a job was listed and described, 0 if that was at the first look, -1 for never.
type shown struct{ listed, described time.Duration }

func summarise(t *testing.T, text string) (s summary, when shown) {
	t.Helper()
	rec, err := simulator.ReadRecording(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	s.formats, s.limits = make(map[string]string), make(map[string][]string)
	when = shown{-1, -1}
	var start int64
	first := true
	note := func(at *time.Duration, seen bool, ms int64) {
		switch {
		case !seen || *at >= 0:
		case first:
			*at = 0
		default:
			*at = time.Duration(ms-start) * time.Millisecond
		}
	}
	for _, l := range rec.Lines {
		if j := l.Job; j != nil {
			note(&when.listed, j.Listed, l.AtMs)
			note(&when.described, j.Described, l.AtMs)
			first = false
			view := recording.Job{Status: j.Status, Code: j.Code, Reason: j.Reason, Ended: j.Ended}
			if n := len(s.path); j.Status != "" && (n == 0 || s.path[n-1] != view) {
				s.path = append(s.path, view)
			}
			continue
		}
		a := l.Answer
		if a.Op == "CreateTask" {
			start = l.AtMs - a.TookMs
		}
		one := *a
		one.TookMs = 0
		if a.Op == "TaskDetails" && a.Code != "" {
			continue // the job is not shown yet: how often depends on the time
		}
		if a.Status != http.StatusOK || a.Code != "" {
			s.errors = append(s.errors, one)
		} else if _, had := s.formats[a.Op+a.Asked]; !had {
			s.formats[a.Op+a.Asked], s.limits[a.Op] = a.Format, a.Limits
		}
	}
	return s, when
}

// A canary at a simulator that plays a recording sees what the recording has.
func TestRecorder_roundTrip(t *testing.T) {
	limits := map[string]string{"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "7", "X-RateLimit-User": "ann.smith", "Set-Cookie": "session=5ec7e75ec7e7", "Authtoken": "5ec7e75ec7e7"}
	for name, c := range map[string]struct {
		cfg    simulator.Config
		script func(*simulator.Simulator)
		level  doctor.Level
		check  string
		says   string
	}{
		"a late list, a late description, and a pending job": {
			simulator.Config{VisibleAfter: 150 * time.Millisecond, ListedAfter: 500 * time.Millisecond, DescribedAfter: 900 * time.Millisecond},
			func(sim *simulator.Simulator) {
				sim.ScriptLives(simulator.MustParseLife("queued:900ms(not now),pending:700ms(13:30 No contact with [media7] for ann@example.com),running:700ms,completed-with-errors(9:64 Some files failed)"))
			}, doctor.Warning, "end", "13:30 No contact with … for …",
		},
		"lists by POST only": { // polled every 200 ms
			simulator.Config{JobDuration: time.Second}, func(sim *simulator.Simulator) {
				sim.SetFaults([]simulator.Chance{{Endpoint: "JobList", Probability: 1, Fault: simulator.Fault{Kind: simulator.Status, Status: 405, Header: limits, Body: "no"}}})
			}, doctor.Warning, "job list", "only POST is answered",
		},
		"no such content group": {
			simulator.Config{}, func(sim *simulator.Simulator) {
				sim.Script(simulator.Fault{Kind: simulator.Status, Status: 200, Header: limits, Body: `{"errorMessage":"No eligible subclients for [ann.smith] were found.","errorCode":587207178}`})
			}, doctor.Error, "start", "no client or content group matches",
		},
		"a lost answer": {
			simulator.Config{JobDuration: 2 * time.Second}, func(sim *simulator.Simulator) { sim.Script(simulator.Fault{Kind: simulator.CutAfterStart}) },
			doctor.Warning, "start", "was found by its description",
		},
		"a throttled read, a page, and no description": {
			simulator.Config{HideDescriptions: true, JobDuration: time.Second}, func(sim *simulator.Simulator) {
				sim.ScriptFor("Job", simulator.Fault{Kind: simulator.None}, simulator.Fault{Kind: simulator.TooManyRequests}, simulator.Fault{Kind: simulator.Status, Status: 502})
			}, doctor.Warning, "description", "is not shown",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.cfg.Conflict = simulator.ConflictIgnore
			_, first := recorded(t, c.cfg, c.script)
			for _, leak := range []string{"ann", "media7", "5ec7e7"} {
				if strings.Contains(first, leak) {
					t.Errorf("%q is recorded:\n%s", leak, first)
				}
			}
			rec, err := simulator.ReadRecording(strings.NewReader(first))
			if err != nil {
				t.Fatalf("%v in\n%s", err, first)
			}
			got, second := recorded(t, simulator.Config{Recording: rec}, func(*simulator.Simulator) {})
			(&rig{t: t}).want(got, c.level, c.check, c.says)
			want, when := summarise(t, first)
			again, whenAgain := summarise(t, second)
			if !reflect.DeepEqual(want.path, again.path) || !reflect.DeepEqual(want.formats, again.formats) || !reflect.DeepEqual(want.limits, again.limits) {
				t.Errorf("got\n%s\nwant\n%s", second, first)
			}
			if !reflect.DeepEqual(want.errors, again.errors) {
				t.Errorf("errors %+v, want %+v", again.errors, want.errors)
			}
			if whenAgain.listed < when.listed || whenAgain.described < when.described || (when.described < 0) != (whenAgain.described < 0) {
				t.Errorf("shown after %+v; recorded %+v", whenAgain, when)
			}
		})
	}
}

// The format of lists and the fields about limits are those of the recording.
func TestRecorder_formats(t *testing.T) {
	t.Parallel()
	const text = `{"recording":"backhaul-canary","version":1}
{"atMs":1,"answer":{"op":"JobList","method":"GET","asked":"json","status":200,"format":"xml","tookMs":1,"limits":["X-Ratelimit-Limit: 100"]}}
{"atMs":2,"answer":{"op":"JobList","method":"GET","asked":"xml","status":200,"format":"xml","tookMs":1}}
`
	rec, err := simulator.ReadRecording(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	got, second := recorded(t, simulator.Config{Recording: rec}, func(*simulator.Simulator) {})
	r := &rig{t: t}
	r.want(got, doctor.OK, "job list", "GET, asked for JSON: a list in XML")
	r.want(got, doctor.Note, "limits", "JobList: X-Ratelimit-Limit: 100")
	if s, _ := summarise(t, second); s.formats["JobListjson"] != "xml" {
		t.Errorf("formats %v", s.formats)
	}
	if _, err := simulator.ReadRecording(strings.NewReader(strings.ReplaceAll(text, "JobList", "Reboot"))); err == nil || !strings.Contains(err.Error(), `line 2: answer.op "Reboot"`) {
		t.Errorf("an unknown operation: %v", err)
	}
}

// The names that are given are in no text, in whatever case, and a view is recorded once.
func TestRecorder_names(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	r, err := NewRecorder(&file)
	if err != nil {
		t.Fatal(err)
	}
	r.Names = []string{"Ann", "commserve"}
	r.Answered(vendorapi.Answer{Call: vendorapi.Call{Op: "Job", Method: http.MethodGet}, Status: 500, Format: recording.JSON, Code: "2", Message: "ann has no right on CommServe now"})
	w := &watch{Canary: &Canary{Recorder: r}}
	info := vendorapi.JobInfo{Status: "Waiting for ANN", Reason: vendorapi.JobReason{Code: "13:30", Text: "Commserve has asked Ann"}}
	w.record(info)
	w.record(info)
	if _, err := r.End(); err != nil {
		t.Fatal(err)
	}
	const want = `"message":"… has no right on … now"`
	if text := file.String(); strings.Contains(strings.ToLower(text), "ann") || strings.Contains(strings.ToLower(text), "commserve") || !strings.Contains(text, want) || strings.Count(text, "\n") != 3 {
		t.Errorf("recorded:\n%s", text)
	}
}

// full is a disk that takes one line.
type full struct{ lines int }

func (f *full) Write(p []byte) (int, error) {
	if f.lines++; f.lines == 2 {
		return 0, errors.New("no space left on device")
	}
	return len(p), nil
}

// After a line that could not be written there is no other one: the recording would have a gap.
func TestRecorder_aFailedWrite(t *testing.T) {
	t.Parallel()
	disk := &full{}
	r, err := NewRecorder(disk)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r.Answered(vendorapi.Answer{Call: vendorapi.Call{Op: "Job", Method: http.MethodGet}, Status: 200, Format: recording.JSON})
	}
	if lines, err := r.End(); lines != 0 || err == nil || !strings.Contains(err.Error(), "no space left") || disk.lines != 2 {
		t.Errorf("%d lines, %v, %d writes", lines, err, disk.lines)
	}
}
