package recording

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

const sample = `{"recording":"backhaul-canary","version":1}
{"atMs":3,"answer":{"op":"JobList","method":"GET","asked":"json","status":200,"format":"xml","tookMs":3,"limits":["X-Ratelimit-Limit: 100"]}}
{"atMs":9,"answer":{"op":"CreateTask","method":"POST","asked":"json","status":500,"format":"json","tookMs":5,"code":"2","message":"Error … cannot run.","nested":true}}
{"atMs":9,"job":{"known":true,"listed":true,"described":true,"status":"Completed w/ one or more errors","code":"13:30","reason":"No contact with the MediaAgent …","ended":true}}
`

func TestRead(t *testing.T) {
	rec, err := Read(strings.NewReader(sample))
	if err != nil || len(rec.Lines) != 3 {
		t.Fatalf("%d lines: %v", len(rec.Lines), err)
	}
	if got := written(t, rec); got != sample {
		t.Errorf("written again:\n%s\nwant\n%s", got, sample)
	}
}

func written(t *testing.T, rec Recording) string {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b)
	for _, l := range rec.Lines {
		if err == nil {
			err = w.Write(l)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// An error names the line and the member.
func TestRead_refuses(t *testing.T) {
	const first = `{"recording":"backhaul-canary","version":1}` + "\n"
	answer := func(members string) string {
		return first + `{"atMs":1,"answer":{"op":"Job","method":"GET","status":200,"format":"xml"` + members + "}}\n"
	}
	if _, err := Read(strings.NewReader(answer(""))); err != nil {
		t.Fatal(err)
	}
	for want, text := range map[string]string{
		"line 1: the file is empty":                   "",
		"line 1: EOF":                                 "\n",
		"line 1: recording \"other\"":                 `{"recording":"other","version":1}`,
		"line 1: version 2 is not known":              `{"recording":"backhaul-canary","version":2}`,
		"line 2: must be one JSON object":             first + `{"atMs":1,"job":{}} {}`,
		"line 2: unexpected EOF":                      first + `{"atMs":1`,
		`line 2: unknown field "authtoken"`:           answer(`,"authtoken":"x"`),
		"line 2: must have one of answer and job":     first + `{"atMs":1}`,
		"line 3: atMs 0 must be between":              answer("") + `{"atMs":0,"job":{}}`,
		"line 2: atMs must be of the type int64":      first + `{"atMs":"1","job":{}}`,
		"line 2: answer.status must be of the type":   answer(`,"status":"x"`),
		"line 2: answer.status 42":                    answer(`,"status":42`),
		`line 2: answer.op "a b"`:                     answer(`,"op":"a b"`),
		`line 2: answer.method "HEAD"`:                answer(`,"method":"HEAD"`),
		`line 2: answer.asked "yaml"`:                 answer(`,"asked":"yaml"`),
		`line 2: answer.format "yaml"`:                answer(`,"format":"yaml"`),
		"line 2: answer.tookMs -1":                    answer(`,"tookMs":-1`),
		`line 2: answer.code "x"`:                     answer(`,"code":"x"`),
		`line 2: answer.message "by ann@example.com"`: answer(`,"message":"by ann@example.com"`),
		`line 2: answer.limits[0] "Authtoken: 5ec7"`:  answer(`,"limits":["Authtoken: 5ec7"]`),
		`line 2: job.reason "[ann]"`:                  first + `{"atMs":1,"job":{"reason":"[ann]"}}`,
		`line 2: job.status "[ann]"`:                  first + `{"atMs":1,"job":{"status":"[ann]"}}`,
		"line 2: must have one of answer and jo":      first + `{"atMs":1,"job":{},"answer":{"op":"Job","method":"GET","status":200,"format":"xml","tookMs":1}}`,
		`line 2: job.code "ann"`:                      first + `{"atMs":1,"job":{"code":"ann"}}`,
		`line 2: job.status ""`:                       first + `{"atMs":1,"job":{"ended":true}}`,
		"line 2: must be UTF-8":                       first + "\xff",
		"line 2: must be shorter than":                first + strings.Repeat(" ", 20_000),
	} {
		if _, err := Read(strings.NewReader(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.80q: %v, want %s", text, err, want)
		}
	}
}

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "",
		"The job is waiting.":          "The job is waiting.",
		"Killed by [ann maria smith].": "Killed by …",
		"user 'ann maria smith' has \"left the house\" now":   "user … has … now",
		"Killed by [ann smith].":                              "Killed by …",
		`Access to "C:\x" denied`:                             "Access to … denied",
		"user 'ann smith' has failed":                         "user … has failed",
		"Job of ann@example.com on host-7.example.com failed": "Job of … on … failed",
		`EXAMPLE\ann has suspended it`:                        "… has suspended it",
		"token eyJhbGciOiJIUzI1NiJ9 is bad":                   "token … is bad",
		"token QSDKabcdefghijklmnopqrstuvwxyzabcdef":          "token …",
		"Please ask Anna first":                               "Please ask … first",
		"Please ask ANNA first":                               "Please ask … first",
		"Completed w/ one or more errors":                     "Completed w/ one or more errors",
		"job 5976 of 120 files":                               "job … of 120 files",
		"two\nlines":                                          "two lines",
		"not \xff UTF":                                        "not … UTF",
	} {
		if got := Clean(text, "Anna", ""); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := Clean(strings.Repeat("one two ", 100)); len(got) > maxText || !strings.HasPrefix(got, "one two one two") {
		t.Errorf("a long text has %d bytes: %s", len(got), got)
	}
	for text, want := range map[string]string{"13:30": "13:30", "2": "2", "ann": "", "2 ann": ""} {
		if got := CleanCode(text); got != want {
			t.Errorf("the code %q: %q", text, got)
		}
	}
	if got := CleanLimit("Retry-After: 7"); got != "Retry-After: 7" {
		t.Error(got)
	}
	if got := CleanLimit("X-Ratelimit-User: ann"); got != "X-Ratelimit-User: …" {
		t.Error(got)
	}
}

// A line that cannot be read again is not written.
func TestWriter_refuses(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w, err := NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	head := b.String()
	for want, l := range map[string]Line{
		"answer.message": {Answer: &Answer{Op: "Job", Method: "GET", Status: 500, Format: JSON, Message: "by ann@example.com"}},
		"answer.limits":  {Answer: &Answer{Op: "Job", Method: "GET", Status: 500, Format: JSON, Limits: []string{"Authtoken: 5ec7"}}},
		"job.reason":     {Job: &Job{Reason: "[ann]"}},
		"must have one":  {},
	} {
		if err := w.Write(l); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", l, err, want)
		}
	}
	if b.String() != head {
		t.Errorf("written: %s", b.String())
	}
}

func TestRead_bounds(t *testing.T) {
	t.Parallel()
	const first = `{"recording":"backhaul-canary","version":1}` + "\n"
	if _, err := Read(strings.NewReader(first + strings.Repeat(`{"atMs":1,"job":{}}`+"\n", maxLines))); err == nil || !strings.Contains(err.Error(), "a recording has at most 100000 lines") {
		t.Errorf("one line too many: %v", err)
	}
	fields := strings.TrimSuffix(strings.Repeat(`"Retry-After: 1",`, 21), ",")
	if _, err := Read(strings.NewReader(first + `{"atMs":1,"answer":{"op":"Job","method":"GET","status":200,"format":"xml","tookMs":1,"limits":[` + fields + `]}}`)); err == nil || !strings.Contains(err.Error(), "has 21 fields") {
		t.Errorf("too many fields: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(sample)
	f.Fuzz(func(t *testing.T, text string) {
		rec, err := Read(strings.NewReader(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "line ") || rec.Lines != nil {
				t.Errorf("%v, with %d lines", err, len(rec.Lines))
			}
			return
		}
		again, err := Read(strings.NewReader(written(t, rec)))
		if err != nil || !reflect.DeepEqual(rec, again) {
			t.Errorf("%+v becomes %+v: %v", rec, again, err)
		}
	})
}

// What was removed stays removed: a text that is clean is accepted as it is.
func FuzzClean(f *testing.F) {
	f.Add("Killed by [ann] on 'host a' because of \"x\" … ")
	f.Fuzz(func(t *testing.T, text string) {
		got := Clean(text)
		if !clean(got) || len(got) > maxText || strings.ContainsAny(got, "\n\r@\\_") {
			t.Errorf("%q: %q", text, got)
		}
	})
}
