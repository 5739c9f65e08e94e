package vendorapi

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Job is a started backup job. Ids are decimal numbers as text.
type Job struct {
	ID string
	// IDs is every job that the one call started, ID first.
	IDs    []string
	TaskID string
	// Found tells that the job was found by its marker instead of answered.
	Found bool
}

// CreateTask starts a job, in one attempt. The error is an [*Error]; unless its
// verdict is Unknown there certainly is no job. A deadline of ctx is also set on
// the connection: nothing is sent after it. Without room (see [Client.Room])
// there is no attempt; the error says for how long.
func (c *Client) CreateTask(ctx context.Context, t Task) (Job, error) {
	turn, err := c.takeTurn(ctx, ctx, time.Now())
	if err != nil {
		return Job{}, err
	}
	job, err := c.createTask(ctx, t)
	turn.used(err)
	return job, err
}

// createTask is CreateTask for who has a turn.
func (c *Client) createTask(ctx context.Context, t Task) (Job, error) {
	data, err := c.body.write(t)
	if err == nil && (t.ClientName == "" || t.SubclientName == "") {
		// Left out, it would be a backup of every content group there is.
		err = errors.New("a task needs the names of a client and a content group")
	}
	if err != nil {
		return Job{}, &Error{Verdict: NotSent, Op: opCreateTask, Err: err}
	}
	resp, err := c.authorised(ctx, call{
		op: opCreateTask, method: http.MethodPost, path: "/CreateTask",
		contentType: c.body.mediaType, accept: c.body.mediaType, body: data,
	})
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok && e.Op == opLogin {
			c.noLogin.extend(e.RetryAfter)
		}
		return Job{}, err
	}
	job, err := classify(resp)
	for _, id := range job.IDs {
		c.known.put(id, t.Marker)
	}
	return job, err
}
