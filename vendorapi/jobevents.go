package vendorapi

import (
	"cmp"
	"context"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"backhaul/schemas"
)

// JobEvent is one of the vendor's events about a job.
type JobEvent struct {
	// Code is as in "19:1081"; "" if the event has none.
	Code string
	// Text is plain text.
	Text string
	// Severity is one of the Severity constants; 0 if the vendor does not say.
	Severity int
	At       time.Time
}

// The vendor's severities.
const (
	SeverityInfo     = 0
	SeverityMinor    = 3
	SeverityMajor    = 6
	SeverityCritical = 9
)

// Codes of the vendor's Job Manager, whose facility is 19. Basis:
// https://github.com/splunk-soar-connectors/commvaultcloud and the Postman collection.
const (
	jobManager    = "19:"
	killedByUser  = "19:1081"
	maxJobReasons = 2
)

// eventList is the answer of Events.
type eventList struct {
	Events oneOrMany[eventRow] `json:"commservEvents" xml:"commservEvents"` // nil when the answer has no list
}

type eventRow struct {
	Job      flexibleText `json:"jobId" xml:"jobId,attr"`
	Code     flexibleText `json:"eventCodeString" xml:"eventCodeString,attr"`
	Number   flexibleText `json:"eventCode" xml:"eventCode,attr"`
	Severity flexibleText `json:"severity" xml:"severity,attr"`
	Text     flexibleText `json:"description" xml:"description,attr"`
	Time     flexibleText `json:"timeSource" xml:"timeSource,attr"`
}

// JobEvents reads the vendor's events about a job, in the order of the answer. The error is an
// [*Error].
func (c *Client) JobEvents(ctx context.Context, id string) ([]JobEvent, error) {
	number := positive(id)
	if number == "" {
		return nil, notAJobID(opEvents, id)
	}
	resp, err := c.read(ctx, call{op: opEvents, method: http.MethodGet, path: "/Events?jobId=" + number})
	if err != nil {
		return nil, err
	}
	return readJobEvents(number, resp)
}

// readJobEvents leaves out the events of other jobs, which a vendor sends that does not know the
// parameter.
func readJobEvents(id string, resp response) ([]JobEvent, error) {
	text := modernJSON(trimmed(resp.Body))
	var list eventList
	err := decode(text, &list)
	if err == nil && list.Events == nil {
		env, failed := readEnvelope(text, "Response")
		if failed != nil || env.failed() {
			return nil, &Error{Op: opEvents, Status: resp.Status, Code: env.code, Message: cmp.Or(env.message, excerpt(resp.Body)), Err: failed}
		}
	}
	if err != nil {
		return nil, &Error{Op: opEvents, Status: resp.Status, Message: excerpt(resp.Body), Err: err}
	}
	events := make([]JobEvent, 0, len(list.Events))
	for _, row := range list.Events {
		if of := positive(string(row.Job)); of != "" && of != id {
			continue
		}
		events = append(events, JobEvent{
			Code: cmp.Or(strings.TrimSpace(string(row.Code)), schemas.LogCode(string(row.Number)), strings.TrimSpace(string(row.Number))),
			Text: plainText(string(row.Text)), Severity: smallNumber(row.Severity), At: unixTime(string(row.Time)),
		})
	}
	return events, nil
}

// JobReasons picks from a job's events why it ended as it did, at most two: what the Job Manager
// says, and one event of another part of the vendor; of each the most severe and then the newest.
// by is who killed the job, "" if no event says it.
func JobReasons(events []JobEvent) (reasons []schemas.Reason, by string) {
	sorted := slices.Clone(events)
	slices.SortStableFunc(sorted, func(a, b JobEvent) int {
		return cmp.Or(-cmp.Compare(a.weight(), b.weight()), -a.At.Compare(b.At))
	})
	picked := make(map[bool]bool)
	for _, e := range sorted {
		manager := strings.HasPrefix(e.Code, jobManager)
		if e.Code == killedByUser && by == "" {
			by = killer(e.Text)
		}
		if e.Text == "" || picked[manager] || e.weight() == SeverityInfo && !manager {
			continue
		}
		picked[manager] = true
		if reasons = append(reasons, schemas.Reason{Code: e.Code, Text: e.Text, From: schemas.ReasonFromEvent}); len(reasons) == maxJobReasons {
			break
		}
	}
	return reasons, by
}

// weight is the severity, but who killed a job and why comes before everything else: the vendor
// calls it information.
func (e JobEvent) weight() int {
	if e.Code == killedByUser {
		return SeverityCritical + 1
	}
	return e.Severity
}

// byUser finds the user in the text of 19:1081, such as "killed by user [admin]. Reason:[…]".
var byUser = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)\bby\s+(?:the\s+)?(?:user\s*)?(?:\[([^\]]+)\]|"([^"]+)"|user\s+([^\s,;\[\]]+))`)
})

func killer(text string) string {
	found := byUser().FindStringSubmatch(text)
	if found == nil {
		return ""
	}
	return strings.TrimRight(strings.TrimSpace(cmp.Or(found[1], found[2], found[3])), ".")
}

// JobDelayReason reads why a job is delayed from its details, "" if the vendor does not say. It is
// a POST and counts against the vendor's limit on writing calls. The error is an [*Error].
func (c *Client) JobDelayReason(ctx context.Context, id string) (string, error) {
	number := positive(id)
	if number == "" {
		return "", notAJobID(opJobDetails, id)
	}
	n, _ := strconv.ParseInt(number, 10, 64) // positive has read it
	body, err := json.Marshal(map[string]any{"jobId": n, "showAttempt": true})
	if err != nil {
		return "", err
	}
	resp, err := c.read(ctx, call{op: opJobDetails, method: http.MethodPost, path: "/JobDetails", contentType: "application/json", body: body})
	if err != nil {
		return "", err
	}
	return readDelayReason(resp)
}

func readDelayReason(resp response) (string, error) {
	type progress struct {
		Reason flexibleText `json:"reasonForJobDelay" xml:"reasonForJobDelay,attr"`
	}
	var details struct {
		Job struct {
			Detail struct {
				Progress progress `json:"progressInfo" xml:"progressInfo"`
			} `json:"jobDetail" xml:"jobDetail"`
		} `json:"job" xml:"job"`
	}
	if err := decode(modernJSON(trimmed(resp.Body)), &details); err != nil {
		return "", &Error{Op: opJobDetails, Status: resp.Status, Message: excerpt(resp.Body), Err: err}
	}
	return plainText(string(details.Job.Detail.Progress.Reason)), nil
}
