package vendorapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
)

// AnswerHead is what the head of an answer says. It contains no secret.
type AnswerHead struct {
	Call   Call
	Status int
	// Limits has the fields about limits on calls, such as "X-Ratelimit-Limit: 100", by name.
	Limits []string
}

func headOf(cl Call, status int, h http.Header) AnswerHead {
	head := AnswerHead{Call: cl, Status: status}
	for name, values := range h {
		if isLimit(name) {
			for _, value := range values {
				head.Limits = append(head.Limits, name+": "+value)
			}
		}
	}
	slices.Sort(head.Limits)
	return head
}

// isLimit reports whether a field is about limits on calls. Basis: the SaaS gateway's X-RateLimit-…
// (https://docs.metallic.io/metallic/rest_api.html), and the fields that other gateways use.
func isLimit(name string) bool {
	name = strings.TrimPrefix(strings.ToLower(name), "x-")
	return strings.HasPrefix(name, "ratelimit") || strings.HasPrefix(name, "rate-limit") || name == "retry-after"
}

// ListWay is one way to list jobs.
type ListWay struct {
	Method string
	// Asked and Answered are FormatXML or FormatJSON.
	Asked, Answered string
	// Err is why the answer is not a list.
	Err error
}

// ListWays tries the ways to list jobs, each with a short list: GET in both formats and, only if GET
// is not answered, POST, which counts against the vendor's limit on writing calls.
func (c *Client) ListWays(ctx context.Context) []ListWay {
	const short = 10
	ways := make([]ListWay, 0, 3)
	for _, format := range []string{FormatJSON, FormatXML} {
		cl := listCall(AllJobs, lookupMargin, short, 0)
		cl.accept = bodies[format].mediaType
		way := ListWay{Method: http.MethodGet, Asked: format}
		resp, err := c.read(ctx, cl)
		if way.Err = err; err == nil {
			way.Answered = formatOf(resp)
			_, way.Err = readJobList[jobSummary](opJobList, resp, false)
		}
		ways = append(ways, way)
	}
	if unanswered(ways[0].Err) {
		_, err := c.searchJobsPage(ctx, 0, lookupMargin)
		ways = append(ways, ListWay{Method: http.MethodPost, Asked: FormatJSON, Err: err})
	}
	return ways
}

func formatOf(resp response) string {
	if isXML(trimmed(resp.Body)) {
		return FormatXML
	}
	return FormatJSON
}
