package vendorapi

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// envelope is the common content of the vendor's answers.
type envelope struct {
	taskID  string   // decimal, above 0; "" when there is none
	jobIDs  []string // decimal, above 0
	code    string   // "" when there is none
	message string
	nested  bool // the error is in an inner object, as the web service writes it
}

// failed reports whether the answer has an error code.
func (e envelope) failed() bool { return e.code != "" && !isZero(e.code) }

// refuses reports whether the code is one that the vendor decided on: a number other than 0. Codes
// 500 to 599 are those of a web service that crashed.
func (e envelope) refuses() bool {
	n := e.number()
	return n != 0 && (n < 500 || n > 599)
}

// number returns the code, 0 when it is not a number.
func (e envelope) number() int64 {
	n, err := strconv.ParseInt(e.code, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func isZero(code string) bool {
	n, err := strconv.ParseInt(code, 10, 64)
	return err == nil && n == 0
}

// note records the first fault with an error code. Without one it records a code of 0 and a
// message.
func (e *envelope) note(f fault) {
	f.code = strings.TrimSpace(f.code)
	switch {
	case e.failed():
	case f.code != "" && (e.code == "" || !isZero(f.code)):
		e.code, e.message, e.nested = f.code, shortened(f.message), f.nested
	case e.message == "":
		e.message = shortened(f.message)
	}
}

// errorPlaces are the members or elements in which the product's answers have an error or a list of
// errors, which may be nested (error.errList, errors[0].errList[0]). Basis: saved answers in the
// vendor's Postman collection (https://github.com/BrandonLundt/commvault-powershell-extentions),
// and https://github.com/Commvault/cvpysdk, which reads all of them. CreateTask is known to use
// only the first three.
var errorPlaces = []string{"error", "errList", "response", "err", "errors", "resp", "genericResp", "genericError", "errorDetail"}

// maxErrorDepth bounds the nesting, because each level is decoded again. Known answers have at most
// 2 levels.
const maxErrorDepth = 4

// fault is an error in one of these places, or at the top of an answer.
type fault struct {
	code, message string
	nested        bool
}

// maxMessage is the longest message in bytes that is passed on. An event has to fit into one NATS
// message.
const maxMessage = 8 << 10

func shortened(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	return strings.ToValidUTF8(message[:maxMessage], "") + "…"
}

// takeJobs records the job ids. It returns an error if one of them is not valid.
func (e *envelope) takeJobs(ids []string) error {
	for _, id := range ids {
		n := positive(id)
		if n == "" {
			return fmt.Errorf("job id %q is not a number above 0", shortened(id))
		}
		e.jobIDs = append(e.jobIDs, n)
	}
	return nil
}

// positive returns id without leading zeros if it is a decimal number above 0, else "".
func positive(id string) string {
	n, err := strconv.ParseUint(strings.TrimSpace(id), 10, 63)
	if err != nil || n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

// errNoEnvelope means that the body is not one of the vendor's answers.
var errNoEnvelope = errors.New("not an answer of the API")

var utf8BOM = []byte("\xef\xbb\xbf")

// readEnvelope reads an answer, XML or JSON by its first character. The name of an XML root ends in
// "Resp" or in one of the roots. With an error the envelope has at most an excerpt of the body as
// its message.
func readEnvelope(body []byte, roots ...string) (envelope, error) {
	// A message in another encoding must not hide a refusal.
	text := bytes.TrimSpace(bytes.TrimPrefix(body, utf8BOM))
	if !utf8.Valid(text) {
		text = bytes.ToValidUTF8(text, []byte("\uFFFD"))
	}
	var env envelope
	var err error
	switch {
	case len(text) == 0:
		return envelope{}, errors.New("the answer is empty")
	case text[0] == '<':
		env, err = readXML(text, append(roots, "Resp"))
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

// excerpt returns a short form of a body that is not an answer of the API, for an error: the title
// of a page, else the beginning. The rest of a page is markup, and some pages repeat the request.
func excerpt(body []byte) string {
	s := string(body[:min(len(body), maxMessage)])
	if title := pageTitle().FindStringSubmatch(s); title != nil {
		s = title[1]
	} else if isPage(body) {
		s = "a page without a title"
	}
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "\uFFFD")), " ")
	const limit = 200
	if utf8.RuneCountInString(s) > limit {
		s = string([]rune(s)[:limit]) + "…"
	}
	return s
}

var pageTitle = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?is)<title(?:\s[^>]*)?>(.*?)</title>`) })

// isPage reports whether a body is HTML: it comes from a proxy or from the web server, not from the
// API.
func isPage(body []byte) bool {
	text := bytes.ToLower(bytes.TrimSpace(body[:min(len(body), maxMessage)]))
	return bytes.HasPrefix(text, []byte("<!doctype")) || bytes.HasPrefix(text, []byte("<html"))
}

// readXML reads <TMMsg_CreateTaskResp>, <…GenericResp> and similar roots: values are attributes of
// the root, of <error> or of <jobIds>, or elements. There is one root and nothing after it; an
// answer with more is an error.
func readXML(text []byte, roots []string) (envelope, error) {
	dec := xml.NewDecoder(bytes.NewReader(text))
	var answer xmlAnswer
	seen := 0
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) && seen == 1 {
			return answer.envelope()
		}
		if err != nil {
			return envelope{}, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			if len(answer.open) == 0 {
				isRoot := func(end string) bool { return strings.HasSuffix(token.Name.Local, end) }
				if seen++; seen > 1 || !slices.ContainsFunc(roots, isRoot) {
					return envelope{}, errNoEnvelope
				}
			}
			answer.enter(token)
		case xml.EndElement:
			answer.leave()
		case xml.CharData:
			if n := len(answer.open); n > 0 {
				answer.open[n-1].text = append(answer.open[n-1].text, token...)
			} else if len(bytes.TrimSpace(token)) > 0 {
				return envelope{}, errNoEnvelope
			}
		}
	}
}

// xmlAnswer is the state of reading an XML answer.
type xmlAnswer struct {
	open   []xmlElement
	taskID string
	jobs   []string
	top    fault
	nested []fault
}

// xmlElement is an element that has not ended yet.
type xmlElement struct {
	name  string
	text  []byte
	fault fault
}

func (a *xmlAnswer) enter(start xml.StartElement) {
	a.open = append(a.open, xmlElement{name: start.Name.Local})
	for _, attr := range start.Attr {
		a.set(attr.Name.Local, attr.Value)
	}
}

// leave ends an element. Its text is a value of the enclosing element.
func (a *xmlAnswer) leave() {
	last := a.open[len(a.open)-1]
	a.open = a.open[:len(a.open)-1]
	switch {
	case len(a.open) == 0:
		a.top = last.fault
	case last.fault != (fault{}):
		last.fault.nested = true
		a.nested = append(a.nested, last.fault)
	}
	if len(a.open) > 0 && len(bytes.TrimSpace(last.text)) > 0 {
		a.set(last.name, string(last.text))
	}
}

// set records one value of the innermost open element.
func (a *xmlAnswer) set(name, value string) {
	depth := len(a.open)
	in := &a.open[depth-1]
	isFault := depth == 1 || slices.Contains(errorPlaces, in.name)
	switch {
	case depth == 1 && name == "taskId":
		a.taskID = positive(value)
	case depth == 1 && name == "jobIds", depth == 2 && in.name == "jobIds" && name == "val":
		a.jobs = append(a.jobs, value)
	case isFault && name == "errorCode":
		in.fault.code = value
	case isFault && (name == "errorMessage" || name == "errLogMessage" || name == "errorString"):
		in.fault.message = value
	}
}

func (a *xmlAnswer) envelope() (envelope, error) {
	env := envelope{taskID: a.taskID}
	env.note(a.top)
	for _, f := range a.nested {
		env.note(f)
	}
	return env, env.takeJobs(a.jobs)
}

// readJSON reads the same answers as JSON.
func readJSON(text []byte) (envelope, error) {
	var answer struct {
		TaskID flexibleText   `json:"taskId"`
		JobIDs []flexibleText `json:"jobIds"`
		errorJSON
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return envelope{}, err
	}
	env := envelope{taskID: positive(string(answer.TaskID))}
	if err := answer.noteIn(&env, 0); err != nil {
		return envelope{}, err
	}
	var jobs []string
	for _, id := range answer.JobIDs {
		jobs = append(jobs, string(id))
	}
	return env, env.takeJobs(jobs)
}

// errorJSON is an error, or an object that contains errors, or both.
type errorJSON struct {
	Code       flexibleText              `json:"errorCode"`
	Message    flexibleText              `json:"errorMessage"`
	LogMessage flexibleText              `json:"errLogMessage"`
	String     flexibleText              `json:"errorString"`
	Rest       map[string]jsontext.Value `json:",embed"` //nolint:staticcheck // an option of go-json-experiment, not of encoding/json
}

// noteIn records the error, and those nested in it. depth is 0 for the answer itself. A member of
// errorPlaces that cannot be read as an error is an error: ignoring it could turn a failure into a
// start.
func (e errorJSON) noteIn(env *envelope, depth int) error {
	if depth > maxErrorDepth {
		return errNoEnvelope
	}
	message := cmp.Or(e.Message, e.LogMessage, e.String)
	env.note(fault{code: string(e.Code), message: string(message), nested: depth > 0})
	for _, place := range errorPlaces {
		value, ok := e.Rest[place]
		if !ok || value.Kind() == 'n' {
			continue
		}
		list := make([]errorJSON, 1)
		var err error
		if value.Kind() == '[' {
			err = json.Unmarshal(value, &list)
		} else {
			err = json.Unmarshal(value, &list[0])
		}
		if err != nil {
			return fmt.Errorf("%s: %w", place, err)
		}
		for _, inner := range list {
			if err := inner.noteIn(env, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
