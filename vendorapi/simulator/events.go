package simulator

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// event is an event of a job.
type event struct {
	at       time.Time
	code     string // such as "19:1081"
	severity int    // 0 information, 3 minor, 6 major, 9 critical
	text     string
}

// events returns the events of a job up to a time, the newest first.
//
// Recorded: the codes and severities, except 19:1917 (Postman collection, SDK). Only 19:1081
// says who killed a job, and why. Assumed: 19:1917, the texts, and which events a job has.
func (j *job) events(now time.Time) []event {
	list := slices.Clone(j.log)
	if !j.runs.IsZero() {
		at := j.runs
		for _, step := range j.course.steps {
			if step.Status == statusSuspended && step.By != "" {
				list = append(list, event{at, "19:1086", 0, "The job was suspended by user [" + step.By + "]. Reason:[" + step.Reason + "]"})
			} else if step.Code != "" {
				list = append(list, event{at, step.Code, 6, step.Reason})
			}
			if step.For < 0 {
				break
			}
			at = at.Add(step.For)
		}
	}
	if end := j.end(); !end.IsZero() {
		list = append(list, j.course.end.events(end)...)
	}
	list = slices.DeleteFunc(list, func(e event) bool { return e.at.After(now) })
	slices.SortStableFunc(list, func(a, b event) int { return a.at.Compare(b.at) })
	slices.Reverse(list)
	return list
}

// events returns the events of an end, the oldest first.
func (e End) events(at time.Time) []event {
	switch e.Status {
	case statusKilled:
		by := e.By
		if by == "" {
			by = "admin"
		}
		return []event{
			{at, "19:182", 0, "The job is being killed."},
			{at, "19:1081", 0, "The job was killed by user [" + by + "]. Reason:[" + e.Reason + "]"},
		}
	case statusWithErrors:
		return []event{
			{at, "19:857", 6, "Failed to back up some items."},
			{at, "19:1916", 3, "The backup has completed with one or more errors."},
		}
	case statusFailedToStart:
		if e.SubmitError == 8 {
			return []event{{at, "80:19", 9, e.Reason}}
		}
		return []event{{at, "19:168", 9, e.Reason}}
	case statusFailed:
		code := e.Code
		if code == "" {
			code = "13:30"
		}
		return []event{{at, code, 6, e.Reason}, {at, "19:1917", 9, "The backup has failed. " + e.Reason}}
	}
	if e.Code != "" {
		return []event{{at, e.Code, 3, e.Reason}}
	}
	return nil
}

// number returns a code as eventCode has it. Recorded: facility<<24 | number.
func (e event) number() string {
	facility, number, _ := strings.Cut(e.code, ":")
	high, _ := strconv.Atoi(facility)
	low, _ := strconv.Atoi(number)
	return strconv.Itoa(high<<24 | low)
}

// severityNames are the parameters that select events by severity.
var severityNames = map[int]string{0: "showInfo", 3: "showMinor", 6: "showMajor", 9: "showCritical"}

// eventList answers GET Events?jobId=.
//
// Recorded: the members; the parameters fromTime, toTime, showInfo, showMinor, showMajor
// and showCritical (Postman collection and others). Assumed: without a show parameter all
// severities are shown, with one only those that are true; without jobId there are none here.
func (s *Simulator) eventList(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	values := c.r.URL.Query()
	c.args = []string{values.Get("jobId")}
	chosen := slices.ContainsFunc([]int{0, 3, 6, 9}, func(severity int) bool { return values.Has(severityNames[severity]) })
	from, to := scalar(values.Get("fromTime")).number(0), scalar(values.Get("toTime")).number(1<<40)
	list := []fields{}
	j := s.jobOf(c)
	if j == nil {
		return ok("CVGui_CommservEventsResp", fields{{"commservEvents", list}})
	}
	events := j.events(c.now)
	for i, e := range events {
		at := int(e.at.Unix())
		if chosen && !scalar(values.Get(severityNames[e.severity])).isTrue() || at < from || at > to {
			continue
		}
		subsystem := "JobManager"
		if !strings.HasPrefix(e.code, "19:") {
			subsystem = "clBackup"
		}
		client := j.group.set.client
		list = append(list, fields{
			{"id", 100*j.id + len(events) - i},
			{"jobId", j.id},
			{"eventCode", e.number()},
			{"eventCodeString", e.code},
			{"severity", e.severity},
			{"acknowledge", 0},
			{"type", 0},
			{"subsystem", subsystem},
			{"description", e.text},
			{"timeSource", at},
			{"clientEntity", fields{{"clientId", client.id}, {"clientName", client.name}, {"displayName", client.name}}},
		})
	}
	return ok("CVGui_CommservEventsResp", fields{{"commservEvents", list}})
}
