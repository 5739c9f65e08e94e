package vendorapi

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const opCreateTask = "CreateTask"

// classify says what an answer to CreateTask means. It is the only place where
// that is decided. A nil error means: started, with at least one job id above 0.
func classify(resp response) (Job, error) {
	env, readErr := readEnvelope(resp.body)
	fail := func(v Verdict) (Job, error) {
		return Job{}, &Error{
			Verdict: v, Op: opCreateTask, Status: resp.status,
			Code: env.code, Message: env.message, RetryAfter: retryAfter(resp.header, v), Err: readErr,
		}
	}
	refusedByHTTP := func() (Job, error) {
		env.code = "HTTP_" + strconv.Itoa(resp.status)
		return fail(Refused)
	}
	ok := resp.status >= 200 && resp.status < 300
	switch {
	case len(env.jobIDs) > 0:
		// A job, whatever else the answer says. With an error beside it, or under a
		// status that is none of success, it is better looked at than believed.
		if !ok || env.failed() {
			return fail(Unknown)
		}
		return Job{ID: env.jobIDs[0], IDs: env.jobIDs, TaskID: env.taskID}, nil

	case resp.status == http.StatusUnauthorized, ok && env.code == accessDenied:
		return fail(AuthRefused)
	case resp.status == http.StatusTooManyRequests,
		resp.status == http.StatusServiceUnavailable && resp.header.Get("Retry-After") != "":
		return fail(Throttled)

	case env.failed() && env.taskID == "" && (ok || resp.status >= 400 && resp.status < 500):
		return fail(Refused)
	case env.failed() && env.taskID == "" && resp.status == http.StatusInternalServerError && !env.nested:
		// The Job Manager's own refusals come as HTTP 500 with the code on top.
		// Basis: recorded answer of Subclient/{id}/action/backup, code 2.
		return fail(Refused)

	case readErr != nil && resp.status == http.StatusBadRequest:
		// "Request body is empty or format is invalid.", as bare text.
		return refusedByHTTP()
	case readErr != nil && neverArrived(resp.status):
		return fail(NotSent)
	}
	return fail(Unknown)
}

// accessDenied is the code of "Access denied": token expired or no permission.
const accessDenied = "5"

// neverArrived tells whether a status without an envelope of the vendor means
// that something in front of the API answered: a wrong path, a proxy, a redirect
// that a POST must not follow (303 is another matter: it follows a POST that was
// carried out).
func neverArrived(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect,
		http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusProxyAuthRequired:
		return true
	}
	return false
}

// isAccessDenied tells whether the vendor did not accept the token.
func isAccessDenied(resp response) bool {
	if resp.status == http.StatusUnauthorized {
		return true
	}
	if resp.status < 200 || resp.status > 299 || !bytes.Contains(resp.body, []byte("errorCode")) {
		return false
	}
	env, err := readEnvelope(resp.body)
	return err == nil && env.code == accessDenied && len(env.jobIDs) == 0 && env.taskID == ""
}

// defaultRetryAfter is the pause after a throttling answer that names none.
const defaultRetryAfter = 10 * time.Second

// retryAfter reads how long a throttled caller has to wait: Retry-After in
// seconds or as a date, or the gateway's X-RateLimit-Period, taken as seconds
// (its unit is not documented).
func retryAfter(h http.Header, v Verdict) time.Duration {
	if v != Throttled {
		return 0
	}
	for _, name := range []string{"Retry-After", "X-RateLimit-Period"} {
		value := strings.TrimSpace(h.Get(name))
		if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
			return time.Duration(seconds) * time.Second
		}
		if at, err := http.ParseTime(value); err == nil {
			return max(0, time.Until(at))
		}
	}
	return defaultRetryAfter
}

// envelope is what any of the vendor's answers is read into.
type envelope struct {
	taskID  string   // "" when there is none
	jobIDs  []string // decimal, above 0
	code    string   // "" when there is none
	message string
	nested  bool // the error stood in an "error" object, as the web service puts it
}

// failed tells whether the answer names an error.
func (e envelope) failed() bool { return e.code != "" && strings.Trim(e.code, "0") != "" }

// errNoEnvelope: the body is not one of the vendor's answers.
var errNoEnvelope = errors.New("not an answer of the API")

// readEnvelope reads an answer, XML or JSON by its first character. With an
// error the envelope has at most a message that shows what came instead.
func readEnvelope(body []byte) (envelope, error) {
	text := bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	var env envelope
	var err error
	switch {
	case len(text) == 0:
		return envelope{}, errors.New("the answer is empty")
	case text[0] == '<':
		env, err = readXML(text)
	case text[0] == '{':
		env, err = readJSON(text)
	default:
		err = errNoEnvelope
	}
	if err != nil {
		return envelope{message: excerpt(text)}, err
	}
	return env, nil
}

// excerpt is what an error shows of a body that is none of the vendor's: a
// page's title, else its beginning.
func excerpt(text []byte) string {
	s := string(text)
	lower := strings.ToLower(s)
	if i := strings.Index(lower, "<title>"); i >= 0 && len(lower) == len(s) {
		if j := strings.Index(lower[i:], "</title>"); j > 0 {
			s = s[i+len("<title>") : i+j]
		}
	}
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "\uFFFD")), " ")
	const limit = 200
	if utf8.RuneCountInString(s) > limit {
		s = string([]rune(s)[:limit]) + "…"
	}
	return s
}

// readXML reads <TMMsg_CreateTaskResp>, <…GenericResp> and their relatives:
// values as attributes of the root, of <error> or of <jobIds>, or as elements.
func readXML(text []byte) (envelope, error) {
	dec := xml.NewDecoder(bytes.NewReader(text))
	var env envelope
	var jobs []string
	var path []string
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) && len(path) == 0 {
			break
		}
		if err != nil {
			return env, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			path = append(path, token.Name.Local)
			if len(path) == 1 && !strings.HasSuffix(token.Name.Local, "Resp") {
				return env, errNoEnvelope
			}
			for _, a := range token.Attr {
				env.set(&jobs, path, a.Name.Local, a.Value)
			}
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			if len(path) > 1 && len(bytes.TrimSpace(token)) > 0 {
				env.set(&jobs, path[:len(path)-1], path[len(path)-1], string(token))
			}
		}
	}
	return env, env.takeJobs(jobs)
}

// set takes one value of an XML answer: its name and the elements around it.
func (e *envelope) set(jobs *[]string, path []string, name, value string) {
	in := path[len(path)-1]
	nested := in == "error" || in == "errList"
	switch {
	case len(path) == 2 && in == "jobIds" && name == "val", len(path) == 1 && name == "jobIds":
		*jobs = append(*jobs, value)
	case len(path) == 1 && name == "taskId":
		e.taskID = positive(value)
	case len(path) == 1 && name == "errorCode", nested && name == "errorCode":
		e.code, e.nested = strings.TrimSpace(value), nested
	case len(path) == 1 && name == "errorMessage", nested && (name == "errorMessage" || name == "errLogMessage"):
		e.message = value
	}
}

// readJSON reads the same answers as JSON.
func readJSON(text []byte) (envelope, error) {
	var answer struct {
		TaskID       flexibleText   `json:"taskId"`
		JobIDs       []flexibleText `json:"jobIds"`
		ErrorCode    flexibleText   `json:"errorCode"`
		ErrorMessage string         `json:"errorMessage"`
		Error        struct {
			errorJSON
			ErrList []errorJSON `json:"errList"`
		} `json:"error"`
		ErrList  []errorJSON    `json:"errList"`
		Response jsontext.Value `json:"response"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return envelope{}, err
	}
	env := envelope{taskID: positive(string(answer.TaskID)), code: string(answer.ErrorCode), message: answer.ErrorMessage}
	nested := append([]errorJSON{answer.Error.errorJSON}, answer.Error.ErrList...)
	nested = append(append(nested, answer.ErrList...), responses(answer.Response)...)
	for _, e := range nested {
		if !env.failed() && e.Code != "" {
			env.code, env.message, env.nested = string(e.Code), e.text(), true
		}
	}
	var jobs []string
	for _, id := range answer.JobIDs {
		jobs = append(jobs, string(id))
	}
	return env, env.takeJobs(jobs)
}

// errorJSON is an error in one of the places that the product has for it.
type errorJSON struct {
	Code       flexibleText `json:"errorCode"`
	Message    string       `json:"errorMessage"`
	LogMessage string       `json:"errLogMessage"`
	String     string       `json:"errorString"`
}

func (e errorJSON) text() string {
	return cmp.Or(e.Message, e.LogMessage, e.String)
}

// responses reads the "response" member, which is an object or an array.
func responses(value jsontext.Value) []errorJSON {
	var list []errorJSON
	switch value.Kind() {
	case '[':
		_ = json.Unmarshal(value, &list) // unreadable: no error found, hence unknown
	case '{':
		list = make([]errorJSON, 1)
		_ = json.Unmarshal(value, &list[0])
	}
	return list
}

// takeJobs keeps the job ids, or says that there is one which cannot be right.
func (e *envelope) takeJobs(ids []string) error {
	for _, id := range ids {
		id = strings.TrimSpace(id)
		if positive(id) == "" {
			e.jobIDs = nil
			return fmt.Errorf("job id %q is not a number above 0", id)
		}
		e.jobIDs = append(e.jobIDs, id)
	}
	return nil
}

// positive is id if it is a decimal number above 0, else "".
func positive(id string) string {
	if n, err := strconv.ParseUint(strings.TrimSpace(id), 10, 63); err != nil || n == 0 {
		return ""
	}
	return strings.TrimSpace(id)
}
