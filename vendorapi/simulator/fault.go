package simulator

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Kind names a fault. Behaviours describes each.
type Kind string

// The kinds of faults. Those of the first group replace the answer: without effect, or with
// AfterStart after a job was started. At endpoints other than CreateTask, "the job exists"
// means that the call has had its effect.
const (
	Status          Kind = "status"      // Status, Header and Body as given
	Unauthorised    Kind = "401"         // the session has ended
	TooManyRequests Kind = "429"         // X-RateLimit-Period is For (1 s)
	Crash           Kind = "500"         // the web service crashed: nested error
	Refused500      Kind = "500-refused" // the Job Manager's refusal, code 2, with status 500
	Unavailable     Kind = "503"         // Retry-After is For (1 s)
	HTML            Kind = "html"        // 503 with an HTML page and no Retry-After

	None           Kind = "none"             // no fault: a placeholder in a script
	CutBeforeStart Kind = "cut-before-start" // the connection is closed, no job
	Delay          Kind = "delay"            // wait For (1 s), then start, unless the client has disconnected
	LateStart      Kind = "late-start"       // the job is created and answered after For (5 s)

	Slow            Kind = "slow"                  // the job exists, the answer takes For (1 s)
	HangAfterStart  Kind = "hang-after-start"      // the job exists, the connection is closed after For (10 min)
	CutAfterStart   Kind = "cut-after-start"       // the job exists, the connection is closed
	ResetAfterStart Kind = "reset-after-start"     // the job exists, the connection is reset
	HalfBody        Kind = "half-body"             // the job exists, half of the answer, then closed
	Trickle         Kind = "trickle"               // the job exists, the answer comes byte by byte, each after For (1 s)
	PlainText       Kind = "plain-text"            // the job exists, plain text declared as JSON
	Empty           Kind = "empty"                 // the job exists, 200 without a body
	Malformed       Kind = "malformed-after-start" // the job exists, an answer that is not well-formed

	TaskOnly       Kind = "task-only"        // a taskId, no jobIds, no job
	FailedToStart  Kind = "failed-to-start"  // the job has an id and the status Failed to Start
	EndsFailed     Kind = "ends-failed"      // the job ends as Failed
	EndsWithErrors Kind = "ends-with-errors" // the job ends as Completed w/ one or more errors
	EndsCommitted  Kind = "ends-committed"   // the job ends as Committed
	OddSpelling    Kind = "odd-spelling"     // the right answer in another recorded spelling

	CutList     Kind = "cut-list"     // a job list lacks the second half of its page; the total counts it
	OneObject   Kind = "one-object"   // JSON: a list of one is an object
	TextNumbers Kind = "text-numbers" // JSON: numbers and booleans are text
	OldJSON     Kind = "old-json"     // JSON made from XML: the root's name, and "@" before the names of values
)

// A Fault is one misbehaviour that affects one call.
type Fault struct {
	Kind Kind
	// For is the fault's time: how long to wait, or what Retry-After and
	// X-RateLimit-Period announce. Zero is the kind's own default.
	For time.Duration
	// AfterStart makes a kind that replaces the answer do so after the job was started, as
	// a gateway in between may do.
	AfterStart bool
	// Status, Header and Body define the answer of a Status fault.
	Status int
	Header map[string]string
	Body   string
}

// String returns the fault as ParseFaults reads it, without its time.
func (f Fault) String() string {
	name := string(f.Kind)
	switch f.Kind {
	case "":
		return string(None)
	case Status:
		name = strconv.Itoa(f.Status)
	}
	if f.AfterStart {
		name += afterStart
	}
	return name
}

// A Chance is a fault with the probability that a call gets it.
type Chance struct {
	Fault
	// Endpoint is the fault's endpoint, such as "Jobs". Empty means CreateTask, and Reads
	// every endpoint with the method GET that needs a token.
	Endpoint    string
	Probability float64 // 0 to 1
}

const afterStart = "-after-start"

// answersInstead reports whether the kind replaces the answer. AfterStart applies to these.
func (k Kind) answersInstead() bool {
	switch k {
	case Status, Unauthorised, TooManyRequests, Crash, Refused500, Unavailable, HTML:
		return true
	}
	return false
}

// ParseFaults reads a specification such as
//
//	cut-after-start=0.05,503=0.05:10s,slow=3s,Jobs/503=0.1,504-after-start=0.01
//
// Each part is kind=probability, kind=duration (always), or kind=probability:duration,
// prefixed with endpoint/ for endpoints other than CreateTask, or Reads/ for every call by
// GET. A kind is one of the constants or any status from 300 to 599; those that replace the answer may have the
// suffix "-after-start". The empty text and "none" mean no faults.
func ParseFaults(spec string) ([]Chance, error) {
	if spec = strings.TrimSpace(spec); spec == "" || spec == string(None) {
		return nil, nil
	}
	var chances []Chance
	for part := range strings.SplitSeq(spec, ",") {
		c, err := parseChance(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("fault %q: %w", part, err)
		}
		chances = append(chances, c)
	}
	return chances, nil
}

func parseChance(part string) (Chance, error) {
	name, value, found := strings.Cut(part, "=")
	if !found {
		return Chance{}, fmt.Errorf("must be kind=probability or kind=duration")
	}
	c := Chance{Probability: 1}
	var err error
	if c.Endpoint, c.Fault, err = parseFault(name); err != nil {
		return Chance{}, err
	}
	first, second, both := strings.Cut(value, ":")
	if c.Probability, err = strconv.ParseFloat(first, 64); err != nil {
		c.Probability = 1
		if both {
			return Chance{}, fmt.Errorf("%q is not a probability", first)
		}
		second, both = first, true
	}
	if !(c.Probability >= 0 && c.Probability <= 1) {
		return Chance{}, fmt.Errorf("the probability %s must be between 0 and 1", first)
	}
	if both {
		if c.For, err = time.ParseDuration(second); err != nil || c.For < 0 {
			return Chance{}, fmt.Errorf("%q is not a probability or a duration", second)
		}
	}
	return c, nil
}

// ParseScript reads faults for ScriptFor, by endpoint:
//
//	cut-after-start,none,503:10s,Jobs/502
//
// Each part is kind or kind:duration, prefixed with endpoint/ for endpoints other than
// CreateTask. The kinds are those of ParseFaults. The empty text means no script.
func ParseScript(spec string) (map[string][]Fault, error) {
	if spec = strings.TrimSpace(spec); spec == "" {
		return nil, nil
	}
	script := make(map[string][]Fault)
	for part := range strings.SplitSeq(spec, ",") {
		name, span, timed := strings.Cut(strings.TrimSpace(part), ":")
		endpoint, f, err := parseFault(name)
		if err == nil && timed {
			if f.For, err = time.ParseDuration(span); err != nil || f.For < 0 {
				err = fmt.Errorf("%q is not a duration", span)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("fault %q: %w", part, err)
		}
		script[endpoint] = append(script[endpoint], f)
	}
	return script, nil
}

// parseFault reads a kind with an optional endpoint before it.
func parseFault(name string) (endpoint string, f Fault, err error) {
	endpoint = "CreateTask"
	if before, kind, found := strings.Cut(name, "/"); found {
		var known bool
		if endpoint, known = endpointName(before); !known {
			return "", Fault{}, fmt.Errorf("unknown endpoint %q: must be one of %s", before, strings.Join(Endpoints(), ", "))
		}
		name = kind
	}
	if Kind(name).known() && name != "" && Kind(name) != Status {
		return endpoint, Fault{Kind: Kind(name)}, nil
	}
	base, after := strings.CutSuffix(name, afterStart)
	if Kind(base).answersInstead() && Kind(base) != Status {
		return endpoint, Fault{Kind: Kind(base), AfterStart: after}, nil
	}
	if n, err := strconv.Atoi(base); err == nil && len(base) == 3 && n >= 300 && n <= 599 {
		return endpoint, Fault{Kind: Status, Status: n, AfterStart: after}, nil
	}
	return "", Fault{}, fmt.Errorf("unknown kind %q: must be one of %s, or a status from 300 to 599", name, strings.Join(kindNames(), ", "))
}

// span returns the fault's time.
func (f Fault) span() time.Duration {
	byDefault := time.Second
	switch f.Kind {
	case LateStart:
		byDefault = 5 * time.Second
	case HangAfterStart:
		byDefault = 10 * time.Minute
	}
	return cmp.Or(f.For, byDefault)
}

// answer returns the answer of a kind that replaces the endpoint's.
func (f Fault) answer() answer {
	switch f.Kind {
	case TooManyRequests: // see limiter.check
		return tooManyRequests(100, f.span())
	case Crash:
		// Recorded: status 500 with the error nested (Postman collection). Assumed: the text.
		return answer{status: http.StatusInternalServerError, preferJSON: true, message: &message{"App_GenericResp", fields{
			{"error", fields{{"errorMessage", "The web service has failed with an internal error."}, {"errorCode", 500}}}}}}
	case Refused500: // Recorded: the Postman collection has this answer, word for word
		return answer{status: http.StatusInternalServerError, preferJSON: true, message: &message{"TMMsg_GenericResp", fields{
			{"errorMessage", "Error 0x10c: Synthetic Full cannot run because no Incremental or Differential backup was run after last Full backup for the subclient."},
			{"errorCode", 2}}}}
	case Unavailable: // Assumed: the vendor's API declares 503 without describing it
		a := page(http.StatusServiceUnavailable)
		a.header = map[string]string{"Retry-After": strconv.Itoa(seconds(f.span()))}
		return a
	case HTML:
		return page(http.StatusServiceUnavailable)
	}
	status := cmp.Or(f.Status, http.StatusBadGateway)
	if f.Body == "" && f.Header == nil {
		return page(status)
	}
	return answer{status: status, contentType: "text/plain; charset=utf-8", header: f.Header, body: []byte(f.Body)}
}

// page returns an HTML page as IIS or a gateway sends it. Assumed.
func page(status int) answer {
	body := fmt.Sprintf("<!DOCTYPE HTML>\r\n<HTML><HEAD><TITLE>%s</TITLE></HEAD>\r\n<BODY><h2>%[1]s</h2>\r\n<hr><p>HTTP Error %d.</p>\r\n</BODY></HTML>\r\n",
		http.StatusText(status), status)
	return answer{status: status, contentType: "text/html; charset=us-ascii", body: []byte(body)}
}
