package vendorapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
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
// the connection: nothing is sent after it. Without room (see [Client.Capacity])
// there is no attempt; the error says for how long.
func (c *Client) CreateTask(ctx context.Context, t Task) (Job, error) {
	slot, err := c.takeSlot(ctx, ctx, time.Now())
	if err != nil {
		return Job{}, err
	}
	job, err := c.createTask(ctx, t)
	slot.used(err)
	return job, err
}

// createTask is CreateTask for who has a turn.
func (c *Client) createTask(ctx context.Context, t Task) (Job, error) {
	buffer, _ := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	rendered, err := c.body.render((*buffer)[:0], t)
	*buffer = rendered.Body
	if err != nil {
		return Job{}, &Error{Verdict: NotSent, Op: opCreateTask, Err: err}
	}
	resp, err := c.authorised(ctx, call{
		op: opCreateTask, method: http.MethodPost, path: rendered.Path,
		contentType: rendered.ContentType, accept: rendered.ContentType, body: rendered.Body,
	})
	if err != nil {
		_, refused := errors.AsType[*LoginError](err) // the session knows for how long
		if e, ok := errors.AsType[*Error](err); ok && e.Op == opLogin && !refused {
			c.loginThrottled.extend(e.RetryAfter)
		}
		return Job{}, err
	}
	job, err := classify(resp)
	err = c.notAtBase(resp, err)
	for _, id := range job.IDs {
		c.known.put(id, t.Marker)
	}
	return job, err
}

// buffers are for bodies: once a call has ended, nobody reads its body any more.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// Rendered is what CreateTask posts, but for what authorises it.
type Rendered struct {
	// Path is below the endpoint.
	Path        string
	ContentType string
	Body        []byte
}

// Render is the call that a client with this format (see [Config]) would make
// for a task. Nothing is sent.
func Render(format string, t Task) (Rendered, error) {
	body, err := bodyOf(format)
	if err != nil {
		return Rendered{}, err
	}
	return body.render(nil, t)
}

// render writes the body to dst.
func (b body) render(dst []byte, t Task) (Rendered, error) {
	if t.ClientName == "" || t.SubclientName == "" {
		// Left out, it would be a backup of every content group there is.
		return Rendered{}, errors.New("a task needs the names of a client and a content group")
	}
	data, err := b.write(dst, t)
	return Rendered{Path: "/CreateTask", ContentType: b.mediaType, Body: data}, err
}

func bodyOf(format string) (body, error) {
	b, ok := bodies[cmp.Or(format, FormatXML)]
	if !ok {
		return body{}, fmt.Errorf("vendor format %q must be %s or %s", format, FormatXML, FormatJSON)
	}
	return b, nil
}
