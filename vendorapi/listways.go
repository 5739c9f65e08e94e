package vendorapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"backhaul/vendorapi/internal/http1"
)

// Answer is what is told of an answer. It contains no token and no password.
type Answer struct {
	Call Call
	// Asked is FormatXML or FormatJSON, "" if the call accepts any.
	Asked string
	// Status is 0 if a call was sent and no complete answer came.
	Status int
	Took   time.Duration
	// Format is FormatXML, FormatJSON, "html", "text" or "empty".
	Format string
	// Code and Message are those of an error. Message is "" for operations whose answers may repeat
	// credentials. Nested reports that the error was in an inner object.
	Code, Message string
	Nested        bool
	// Limits has the fields about limits on calls, such as "X-Ratelimit-Limit: 100", by name.
	Limits []string
}

// noteAnswer tells the observer of answers about one. The header is that of the request.
func (c *Client) noteAnswer(cl call, began time.Time, resp response, header []http1.Field) {
	if c.answered == nil {
		return
	}
	a := Answer{Call: Call{Op: cl.op, Method: cl.method, URL: c.endpoint + cl.path}, Asked: askedFormat(cl.accept), Status: resp.Status, Took: time.Since(began)}
	if resp.Status != 0 {
		body := resp.Body
		for _, field := range header {
			if _, token, both := strings.Cut(field.Value, " "); both && field.Name == "Authorization" {
				field.Value = token
			}
			if field.Name == "Authorization" || field.Name == "Authtoken" {
				body = hidden(body, field.Value)
			}
		}
		env, _ := readEnvelope(body)
		if a.Format, a.Limits = shapeOf(body), limitsOf(resp.Header); env.failed() {
			a.Code, a.Nested = env.code, env.nested
			if tellsMessage(cl.op) {
				a.Message = env.message
			}
		}
	}
	c.answered(a)
}

// tellsMessage reports whether the errors of an operation are free of credentials: those of other
// operations may repeat what they were sent.
func tellsMessage(op string) bool {
	switch op {
	case opCreateTask, opJob, opJobList, opJobs, opTaskDetails, opEvents, opClients:
		return true
	}
	return false
}

func askedFormat(accept string) string {
	for format, b := range bodies {
		if accept == b.mediaType {
			return format
		}
	}
	return ""
}

// shapeOf returns the format of a body.
func shapeOf(body []byte) string {
	switch text := trimmed(body); {
	case len(text) == 0:
		return "empty"
	case isPage(text):
		return "html"
	case isXML(text):
		return FormatXML
	case text[0] == '{' || text[0] == '[':
		return FormatJSON
	}
	return "text"
}

func limitsOf(h http.Header) (limits []string) {
	for name, values := range h {
		if isLimit(name) {
			for _, value := range values {
				limits = append(limits, name+": "+value)
			}
		}
	}
	slices.Sort(limits)
	return limits
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
