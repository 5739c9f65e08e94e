package vendorapi

import (
	"cmp"
	"context"
	"net/http"
)

// read makes a call that changes nothing. It asks for JSON unless the call asks for another format.
func (c *Client) read(ctx context.Context, cl call) (response, error) {
	cl.accept, cl.limit = cmp.Or(cl.accept, "application/json"), maxList
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
