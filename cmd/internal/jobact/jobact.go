// Package jobact suspends, resumes and kills jobs at the vendor for an operator.
//
// Only a job that is on our ledger is touched: one of a job-started event, whose client and content
// group are those that the vendor shows for the job. If it shows none, the job is not touched. What
// is asked for is recorded as an operator's event first, and nothing is asked of the vendor without
// that record. The action is one writing call, counted in the tenant's budget; it is never repeated,
// because a job that was resumed by another person meanwhile would be suspended again. What became of
// it is read from the vendor afterwards, also where the call had no answer. The follower reports
// job-changed or job-finished as for any job.
//
//	crash after             what is found
//	the event               an event of an action that was not asked for
//	the call                the vendor did it or not: the events of the job say so, and a repetition
//	                        is refused by the vendor if it did
package jobact

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/eventlog"
	"backhaul/cmd/internal/operator"
	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// Vendor is the part of [vendorapi.Client] that this package needs.
type Vendor interface {
	Job(ctx context.Context, id string) (vendorapi.JobInfo, error)
	Act(ctx context.Context, id string, action vendorapi.JobAction) error
}

// Desk finds jobs and acts on them, through one connection and one client of the vendor.
type Desk struct {
	js     jetstream.JetStream
	pub    *publisher.Publisher
	vendor Vendor
}

// New returns a desk behind a connection.
func New(nc *nats.Conn, vendor Vendor) (*Desk, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	pub, err := publisher.New(nc)
	if err != nil {
		return nil, err
	}
	return &Desk{js: js, pub: pub, vendor: vendor}, nil
}

// Find is like the function [Find], for one job.
func (d *Desk) Find(ctx context.Context, id string) (Job, error) {
	jobs, err := Find(ctx, d.js, id)
	if err != nil {
		return Job{}, err
	}
	return jobs[0], nil
}

// Act is like the function [Act].
func (d *Desk) Act(ctx context.Context, job Job, action vendorapi.JobAction, by operator.By) (Result, error) {
	return Act(ctx, d.pub, d.vendor, job, action, by)
}

// Job is a job that a request has started.
type Job struct {
	ID  string
	Key publisher.Key
	// Started is the event on the ledger.
	Started *schemas.JobStarted
}

// NotOursError is returned for a job that no request has started.
type NotOursError struct{ ID string }

func (e *NotOursError) Error() string {
	return fmt.Sprintf("job %s is on record for no request, and only such jobs are touched: see `backhaul events --job-id %s`, or act on it at the vendor", e.ID, e.ID)
}

// Find returns the jobs with these ids, in their order and each once: those of the newest
// job-started, because a vendor that was installed again gives ids again. It reads the stream from
// its end, and no further than the jobs need. The error is a [*NotOursError] if there is none for an
// id.
func Find(ctx context.Context, js jetstream.JetStream, ids ...string) ([]Job, error) {
	newest := make(map[string]eventlog.Event)
	q := eventlog.Query{Filters: []string{publisher.EventFilter(schemas.KindJobStarted, "")}, UpToLeader: true}
	visit := func(e eventlog.Event) error {
		started := e.Data.(*schemas.JobStarted)
		for _, id := range append(started.JobIDs, started.JobID) {
			if slices.Contains(ids, id) && e.Sequence > newest[id].Sequence {
				newest[id] = e
			}
		}
		return nil
	}
	found := func() bool {
		return !slices.ContainsFunc(ids, func(id string) bool { return newest[id].Sequence == 0 })
	}
	if err := eventlog.ReadNewest(ctx, js, q, visit, found); err != nil {
		return nil, err
	}
	var jobs []Job
	for _, id := range ids {
		e, ours := newest[id]
		if !ours {
			return nil, &NotOursError{ID: id}
		}
		if !slices.ContainsFunc(jobs, func(j Job) bool { return j.ID == id }) {
			jobs = append(jobs, Job{ID: id, Key: e.Key, Started: e.Data.(*schemas.JobStarted)})
		}
	}
	return jobs, nil
}

// actions are the operator's actions by what the vendor is asked for.
var actions = map[vendorapi.JobAction]schemas.Action{
	vendorapi.SuspendJob: schemas.ActionJobSuspend,
	vendorapi.ResumeJob:  schemas.ActionJobResume,
	vendorapi.KillJob:    schemas.ActionJobKill,
}

// Result is what became of an action.
type Result struct {
	JobID     string `json:"jobId"`
	Source    string `json:"source"`
	RequestID string `json:"requestId"`
	// Before and After are the job's statuses at the vendor, After is "" if it could not be read.
	Before string `json:"statusBefore"`
	After  string `json:"statusAfter,omitempty"`
	// Unclear is why it is not known whether the vendor accepted the action, "" if it did.
	Unclear string `json:"unclear,omitempty"`
}

// RefusedError is returned for an action that was not asked for, or that the vendor has refused. The
// job is as before.
type RefusedError struct {
	Why error
}

func (e *RefusedError) Error() string { return e.Why.Error() }
func (e *RefusedError) Unwrap() error { return e.Why }

// lookTimeout bounds the look at the job after the action.
const lookTimeout = 30 * time.Second

// Act asks the vendor for an action on a job, and returns what is known of the job then. The error is
// a [*RefusedError] if the job is as before.
func Act(ctx context.Context, pub *publisher.Publisher, vendor Vendor, job Job, action vendorapi.JobAction, by operator.By) (Result, error) {
	r := Result{JobID: job.ID, Source: job.Key.Source, RequestID: job.Started.RequestID}
	if by.Reason == "" {
		return r, &RefusedError{errors.New("the reason is missing: the record says why the job was touched")}
	}
	if err := by.Check(); err != nil {
		return r, &RefusedError{err}
	}
	info, err := vendor.Job(ctx, job.ID)
	if err != nil {
		return r, &RefusedError{fmt.Errorf("the job cannot be looked at, and nothing was done: %w", err)}
	}
	r.Before = info.Status
	names := vendorapi.JobNames{Client: job.Started.ClientName, Subclient: job.Started.SubclientName}
	switch {
	case info.Names.Client == "" || info.Names.Subclient == "":
		return r, &RefusedError{fmt.Errorf("the vendor does not show whose backup job %s is, and nothing was done: act on it at the vendor", job.ID)}
	case !info.Names.Match(names):
		return r, &RefusedError{fmt.Errorf("job %s at the vendor is a backup of %s/%s, and the request's is of %s/%s: the vendor has given the id again, and nothing was done",
			job.ID, info.Names.Client, info.Names.Subclient, names.Client, names.Subclient)}
	case info.State == vendorapi.StateFinished:
		return r, &RefusedError{fmt.Errorf("job %s has ended already: %s", job.ID, info.Status)}
	}
	err = pub.Operator(ctx, schemas.OperatorEvent{
		Action: actions[action], OperationID: rand.Text(), Actor: by.Actor, Reason: by.Reason, At: time.Now().UTC(), JobID: job.ID,
		Request: schemas.RequestRef{Source: job.Key.Source, Key: job.Key.Name, RequestID: job.Started.RequestID, RequestedAt: job.Started.RequestedAt},
	})
	if err != nil {
		return r, &RefusedError{fmt.Errorf("nothing was done: %w", err)}
	}
	err = vendor.Act(ctx, job.ID, action)
	if err != nil && vendorapi.VerdictOf(err) != vendorapi.Unknown {
		return r, &RefusedError{fmt.Errorf("recorded, but not done: %w", err)}
	}
	if err != nil {
		r.Unclear = err.Error()
	}
	// Also after an interrupt: what is known of the job is the point of the answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
	defer cancel()
	if info, err := vendor.Job(ctx, job.ID); err == nil {
		r.After = info.Status
	}
	return r, nil
}
