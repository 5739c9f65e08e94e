// Package canary starts one real job at the vendor and observes it, to learn what the documents of
// the vendor do not say: how long a job takes to be listed, whether its description is shown, which
// ways to list jobs there are, which limits the answers name, and the statuses up to the end.
//
// The job is started by at most one accepted call of CreateTask. If the answer is lost, the job is
// searched by its marker and never started again. The marker is not that of any request, so neither
// a lookup of a request nor the follower takes the job for theirs. Nothing is written to NATS but
// the calls in the tenant's budget.
//
//	end of the process after    what is left
//	the call                    a job that runs, with the marker that was printed before the call
//	the answer                  the same; its id was printed
package canary

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"backhaul/cmd/internal/doctor"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// Vendor is the part of [vendorapi.Client] that this package needs.
type Vendor interface {
	CreateTask(ctx context.Context, t vendorapi.Task) (vendorapi.Job, error)
	Find(ctx context.Context, t vendorapi.Task, since time.Time) (vendorapi.Found, error)
	ListWays(ctx context.Context) []vendorapi.ListWay
	ListJobs(ctx context.Context, q vendorapi.JobQuery) (vendorapi.JobPage, error)
	Job(ctx context.Context, id string) (vendorapi.JobInfo, error)
	JobEvents(ctx context.Context, id string) ([]vendorapi.JobEvent, error)
	Description(ctx context.Context, id string) (string, error)
	Clients(ctx context.Context) ([]string, error)
}

// markerPrefix differs from that of requests, "backhaul:", so that no request has the marker.
const markerPrefix = "backhaul-canary:"

// NewTask returns the task of a canary: an incremental backup of a content group.
func NewTask(client, group string) vendorapi.Task {
	return vendorapi.Task{Marker: markerPrefix + rand.Text(), BackupRequest: schemas.BackupRequest{
		ClientName: client, InstanceName: client, BackupsetName: schemas.DefaultBackupsetName, SubclientName: group,
		AppName: schemas.DefaultAppName, BackupLevel: schemas.DefaultBackupLevel,
	}}
}

// Canary is one job at the vendor.
type Canary struct {
	Vendor Vendor
	Task   vendorapi.Task
	// Timeout bounds the observation. The job goes on after it.
	Timeout time.Duration
	// Window and InDoubt are the settings BACKHAUL_VENDOR_VISIBILITY_WINDOW and BACKHAUL_IN_DOUBT.
	Window  time.Duration
	InDoubt string
	// Interval is the wait between the first calls about the job. Defaults to 1 s.
	Interval time.Duration
	// Limits has what the answers said about limits, nil if that is not observed.
	Limits *Limits
	// Recorder records the views of the job, nil for no recording.
	Recorder *Recorder
	// Say is called with what happens meanwhile, in order.
	Say func(line string)
}

// Result is what was learned.
type Result struct {
	Findings []doctor.Finding
	// JobID is "" if no job is known.
	JobID string
}

func (r *Result) add(level doctor.Level, check, what, fix string) {
	r.Findings = append(r.Findings, doctor.Finding{Check: "canary " + check, Level: level, What: what, Fix: fix})
}

// Run starts the job and observes it until its end, the timeout, or the end of ctx.
func (c *Canary) Run(ctx context.Context) Result {
	var r Result
	c.run(ctx, &r)
	if c.Limits != nil {
		r.limits(c.Limits.lines())
	}
	return r
}

func (c *Canary) run(ctx context.Context, r *Result) {
	ways := c.Vendor.ListWays(ctx)
	byPost := r.lists(ways)
	if ctx.Err() != nil {
		return
	}
	c.Say(fmt.Sprintf("starting a job with the description %s", c.Task.Marker))
	watch := watch{Canary: c, began: time.Now(), byPost: byPost}
	// The answer is waited for also after an interrupt: it has the job's id.
	job, err := c.Vendor.CreateTask(context.WithoutCancel(ctx), c.Task)
	e, known := errors.AsType[*vendorapi.Error](err)
	switch {
	case err == nil:
		r.add(doctor.OK, "start", fmt.Sprintf("job %s, answered in %s", job.ID, watch.since()), "")
	case known && !e.LookupFirst():
		c.refused(ctx, r, e)
		return
	default:
		c.Say("the answer is not clear, and the job is searched by its description: " + err.Error())
		if job = watch.search(ctx); job.ID == "" {
			r.add(doctor.Error, "start", fmt.Sprintf("no clear answer, and no job was found with the description %s: %v", c.Task.Marker, err),
				"look for the description at the vendor; nothing was started again")
			return
		}
		r.add(doctor.Warning, "start", fmt.Sprintf("the answer was not clear (%v); job %s was found by its description after %s, and was not started again", err, job.ID, watch.since()), "")
	}
	if r.JobID = job.ID; len(job.IDs) > 1 {
		r.add(doctor.Warning, "jobs", "one call started several jobs, and only the first is observed: "+strings.Join(job.IDs, ", "), "give the name of one content group")
	}
	c.Say("job " + job.ID)
	watch.id = job.ID
	watch.run(ctx)
	watch.report(ctx, r)
}

// lists adds what is known of the ways to list jobs. byPost reports whether only POST is answered.
func (r *Result) lists(ways []vendorapi.ListWay) (byPost bool) {
	for _, w := range ways {
		what := fmt.Sprintf("%s, asked for %s: ", w.Method, strings.ToUpper(w.Asked))
		level := doctor.OK
		if w.Err != nil {
			level, what = doctor.Note, what+w.Err.Error()
		} else if what += "a list"; w.Answered != "" {
			what += " in " + strings.ToUpper(w.Answered)
		}
		r.add(level, "job list", what, "")
		byPost = byPost || w.Method != "GET" && w.Err == nil
	}
	if byPost {
		r.add(doctor.Warning, "job list", "only POST is answered: each lookup costs a writing call, and jobs are not followed to their end",
			"update the vendor, or set BACKHAUL_FOLLOW=false")
	}
	return byPost
}

// refused adds why there certainly is no job.
func (c *Canary) refused(ctx context.Context, r *Result, e *vendorapi.Error) {
	switch {
	case e.Code == vendorapi.CodeNoEligible:
		r.add(doctor.Error, "start", fmt.Sprintf("no client or content group matches %s/%s: %v", c.Task.ClientName, c.Task.SubclientName, e), doctor.NamesFix(ctx, c.Vendor, c.Task.ClientName))
	case e.NotAsked():
		r.add(doctor.Error, "start", "no call was made: "+e.Error(), fmt.Sprintf("try again in %s", e.RetryAfter.Round(time.Second)))
	case e.Verdict == vendorapi.AuthRefused:
		r.add(doctor.Error, "start", e.Error(), "give the vendor's user the permission to start backups (Data Protection/Management Operations)")
	default:
		r.add(doctor.Error, "start", "no job was started: "+e.Error(), "")
	}
}
