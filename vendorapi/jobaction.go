package vendorapi

import (
	"context"
	"net/http"
)

// opJobAction acts on a job that runs.
const opJobAction = "JobAction"

// JobAction is what the vendor can be asked to do with an active job.
type JobAction string

// The actions, by the words of the vendor's paths.
const (
	SuspendJob JobAction = "pause"
	ResumeJob  JobAction = "resume"
	KillJob    JobAction = "kill"
)

// Act asks the vendor for an action on a job. Without an error the vendor has accepted it; the job's
// status says when it is done. The error is an [*Error]: with the verdict Refused, AuthRefused,
// Throttled or NotSent the job is as before, with Unknown the action may be carried out, so that
// [Client.Job] is to be asked. The call is a writing call, and is never repeated here.
//
// Basis: {} for success, else errors[0].errList[0] or errorCode and errorMessage, by saved answers
// in the vendor's Postman collection and https://github.com/Commvault/cvpysdk.
func (c *Client) Act(ctx context.Context, id string, action JobAction) error {
	number := positive(id)
	if number == "" {
		return notAJobID(opJobAction, id)
	}
	resp, err := c.authorised(ctx, call{op: opJobAction, method: http.MethodPost, path: "/Job/" + number + "/action/" + string(action), accept: "application/json"})
	if err != nil {
		return err
	}
	return readJobAction(resp)
}

func readJobAction(resp response) error {
	env, err := readEnvelope(resp.Body)
	e := &Error{Op: opJobAction, Status: resp.Status, load: loadOf(resp.Status, resp.Header)}
	e.Code, e.Message = wordsOf(resp)
	switch {
	case resp.Status == http.StatusOK && err == nil && !env.failed():
		return nil
	case e.load.pauses():
		e.Verdict, e.RetryAfter = Throttled, retryAfter(resp.Header)
	case isAccessDenied(resp), resp.Status == http.StatusForbidden:
		e.Verdict = AuthRefused
	case err == nil && env.refuses(), isClientError(resp.Status):
		e.Verdict = Refused
	default:
		e.Err = err
	}
	return e
}
