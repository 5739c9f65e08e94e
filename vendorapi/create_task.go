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
	// Found reports whether the job was found by its marker, and not named by the answer.
	Found bool
}

// CreateTask starts a job, in one attempt. The error is an [*Error]; unless its verdict is Unknown,
// there certainly is no job. A deadline of ctx is also set on the connection: nothing is sent after
// it. Without capacity (see [Client.Capacity]) CreateTask makes no attempt, and RetryAfter of the
// error is the time to wait.
func (c *Client) CreateTask(ctx context.Context, t Task) (Job, error) {
	slot, err := c.takeSlot(ctx, ctx, time.Now())
	if err != nil {
		return Job{}, err
	}
	job, err := c.createTask(ctx, t)
	slot.used(err)
	return job, err
}

// createTask is CreateTask for the owner of a slot.
func (c *Client) createTask(ctx context.Context, t Task) (Job, error) {
	buffer := bodyBuffers.Get().(*[]byte)
	defer bodyBuffers.Put(buffer)
	rendered, err := c.body.render(*buffer, t)
	if err != nil {
		return Job{}, &Error{Verdict: NotSent, Op: opCreateTask, Err: err}
	}
	resp, err := c.authorised(ctx, call{
		op: opCreateTask, method: http.MethodPost, path: rendered.Path,
		contentType: rendered.ContentType, accept: rendered.ContentType, body: rendered.Body,
	})
	if err != nil {
		_, refused := errors.AsType[*LoginError](err) // the session keeps it
		if e, ok := errors.AsType[*Error](err); ok && e.Op == opLogin && !refused && !e.notAsked {
			c.loginThrottled.Extend(e.RetryAfter)
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

// bodySize is enough for a request with names of usual length, in bytes.
const bodySize = 3 << 10

// bodyBuffers has the buffers of requests, which nothing refers to after the exchange.
var bodyBuffers = sync.Pool{New: func() any {
	buffer := make([]byte, 0, bodySize)
	return &buffer
}}

// Rendered is the request of CreateTask, without its authorisation.
type Rendered struct {
	// Path is below the endpoint.
	Path        string
	ContentType string
	Body        []byte
}

// Render returns the request that a client with this format (see [Config]) sends for a task. It
// sends nothing.
func Render(format string, t Task) (Rendered, error) {
	body, err := bodyOf(format)
	if err != nil {
		return Rendered{}, err
	}
	return body.render(nil, t)
}

// render returns the request for a task. Its body is in the buffer if that is large enough.
func (b body) render(buffer []byte, t Task) (Rendered, error) {
	if t.ClientName == "" || t.SubclientName == "" {
		// Without these names the vendor backs up every content group.
		return Rendered{}, errors.New("a task must have clientName and subclientName (the content group)")
	}
	data, err := b.write(buffer[:0], t)
	return Rendered{Path: "/CreateTask", ContentType: b.mediaType, Body: data}, err
}

func bodyOf(format string) (body, error) {
	b, ok := bodies[cmp.Or(format, FormatXML)]
	if !ok {
		return body{}, fmt.Errorf("vendor format %q must be %s or %s", format, FormatXML, FormatJSON)
	}
	return b, nil
}
