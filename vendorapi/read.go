package vendorapi

import (
	"context"
	"net/http"
)

// read makes a call that changes nothing and whose answer is JSON.
func (c *Client) read(ctx context.Context, cl call) (response, error) {
	cl.accept, cl.limit = "application/json", maxList
	resp, err := c.authorised(ctx, cl)
	if err != nil {
		return resp, err
	}
	if resp.Status == http.StatusOK {
		return resp, nil
	}
	e := &Error{Op: cl.op, Status: resp.Status, load: loadOf(resp.Status, resp.Header)}
	e.Code, e.Message = wordsOf(resp)
	if e.load.pausesReads() {
		e.Verdict = Throttled
		e.RetryAfter = retryAfter(resp.Header)
	}
	return resp, e
}
