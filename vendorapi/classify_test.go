package vendorapi

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// started stands for a nil error in tables.
const started Verdict = -1

// answerCase is an answer and what a correct client concludes from it.
type answerCase struct {
	name   string
	status int // 0 is 200
	header map[string]string
	body   string
	want   Verdict
	ids    []string // of a start
	task   string
	code   string
	// message is the error's, verbatim; "" is not checked.
	message string
	wait    time.Duration
	named   string // the error's task
	// basis is where the shape was seen; "" is made up, as something that must
	// be read safely.
	basis string
}

// Sources of answers, of which the vendor's own are the page "POST Run Backup
// Job" for object storage, its API reference, the saved answers of its Postman
// collection, and what its Python SDK and Terraform provider read.
const (
	page      = "documented: the vendor's page"
	reference = "documented: the vendor's API reference"
	gateway   = "documented: the vendor's pages on its gateway"
	postman   = "recorded: the vendor's Postman collection"
	sdk       = "recorded: read by the vendor's Python SDK"
	terraform = "recorded: read by the vendor's Terraform provider"
	clients   = "recorded: read by published clients"
)

func (a answerCase) response() response {
	h := make(http.Header)
	for name, value := range a.header {
		h.Set(name, value)
	}
	return response{Status: cmp.Or(a.status, 200), Header: h, Body: []byte(a.body)}
}

func (a answerCase) check(t *testing.T) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("basis: %s", cmp.Or(a.basis, "made up"))
		}
	}()
	job, err := classify(a.response())
	if a.want == started {
		if err != nil {
			t.Fatalf("not started: %v", err)
		}
		if !slices.Equal(job.IDs, a.ids) || job.ID != a.ids[0] || job.TaskID != a.task {
			t.Errorf("job %+v, want %q of task %q", job, a.ids, a.task)
		}
		return
	}
	e := wantVerdict(t, err, a.want)
	if job.ID != "" || len(job.IDs) > 0 {
		t.Errorf("a job beside an error: %+v", job)
	}
	if e.Code != a.code {
		t.Errorf("code %q, want %q", e.Code, a.code)
	}
	if a.message != "" && e.Message != a.message {
		t.Errorf("message %q, want %q", e.Message, a.message)
	}
	if a.named != "" && e.TaskID != a.named || e.TaskID != "" && e.Verdict != Unknown {
		t.Errorf("task %q beside %s, want %q", e.TaskID, e.Verdict, a.named)
	}
	if e.RetryAfter != a.wait {
		t.Errorf("retry after %s, want %s", e.RetryAfter, a.wait)
	}
	if e.Status != cmp.Or(a.status, 200) {
		t.Errorf("status %d", e.Status)
	}
}

func ids(list ...string) []string { return list }

const html503 = "<!DOCTYPE HTML>\r\n<HTML><HEAD><TITLE>Service  Unavailable</TITLE></HEAD>\r\n<BODY><h2>Service Unavailable</h2>\r\n<hr><p>HTTP Error 503.</p>\r\n</BODY></HTML>\r\n"

var startedAnswers = []answerCase{
	{name: "vendor's page", basis: page, body: `<TMMsg_CreateTaskResp taskId="4038"> <jobIds val="5976" /> </TMMsg_CreateTaskResp>`, want: started, ids: ids("5976"), task: "4038"},
	{name: "declaration, BOM, CR", body: "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\" ?>\r<TMMsg_CreateTaskResp taskId='4038'>\r<jobIds val='5976'/>\r</TMMsg_CreateTaskResp>\r", want: started, ids: ids("5976"), task: "4038"},
	{name: "several", basis: clients, body: `<TMMsg_CreateTaskResp taskId="1"><jobIds val="7"/><jobIds val="8"/><jobIds val="9"/></TMMsg_CreateTaskResp>`, want: started, ids: ids("7", "8", "9"), task: "1"},
	{name: "elements", body: `<TMMsg_CreateTaskResp><taskId>1</taskId><jobIds>7</jobIds><jobIds><val>8</val></jobIds></TMMsg_CreateTaskResp>`, want: started, ids: ids("7", "8"), task: "1"},
	{name: "an id in pieces is one id", body: `<TMMsg_CreateTaskResp><jobIds>59<!-- x --><![CDATA[76]]></jobIds></TMMsg_CreateTaskResp>`, want: started, ids: ids("5976")},
	{name: "prefix", body: `<cv:TMMsg_CreateTaskResp xmlns:cv="urn:cv" taskId="1"><cv:jobIds val="7"/></cv:TMMsg_CreateTaskResp>`, want: started, ids: ids("7"), task: "1"},
	{name: "noise", basis: sdk, body: `<TMMsg_CreateTaskResp taskId="1"><processinginstructioninfo><attributes name="exitval" value="0"/></processinginstructioninfo><jobIds val="7"/></TMMsg_CreateTaskResp>`, want: started, ids: ids("7"), task: "1"},
	{name: "noise, JSON", basis: sdk, body: `{"processinginstructioninfo":{"attributes":[{"name":"exitval","value":"0"}]},"taskId":1,"jobIds":["7"]}`, want: started, ids: ids("7"), task: "1"},
	{name: "code 0 beside", body: `<TMMsg_CreateTaskResp taskId="1" errorCode="0" errorMessage=""><jobIds val="7"/><error errorCode="0"/></TMMsg_CreateTaskResp>`, want: started, ids: ids("7"), task: "1"},
	{name: "no task", body: `<TMMsg_CreateTaskResp><jobIds val="7"/></TMMsg_CreateTaskResp>`, want: started, ids: ids("7")},
	{name: "task 0", body: `<TMMsg_CreateTaskResp taskId="0"><jobIds val="7"/></TMMsg_CreateTaskResp>`, want: started, ids: ids("7")},
	{name: "JSON", basis: reference, body: `{"taskId":435,"jobIds":["2294"]}`, want: started, ids: ids("2294"), task: "435"},
	{name: "JSON with bare CR", basis: postman, body: "{\r\"taskId\":435,\r\"jobIds\":[\r\"2294\",\"2295\"\r]\r}", want: started, ids: ids("2294", "2295"), task: "435"},
	{name: "JSON numbers", basis: terraform, body: `{"jobIds":[2294,2295],"taskId":"435"}`, want: started, ids: ids("2294", "2295"), task: "435"},
	{name: "JSON mixed", body: "\xef\xbb\xbf \n" + `{"jobIds":[2294,"2295"]}`, want: started, ids: ids("2294", "2295")},
	{name: "beyond int32", body: `{"taskId":4294967296,"jobIds":["2147483648",9007199254740993]}`, want: started, ids: ids("2147483648", "9007199254740993"), task: "4294967296"},
	{name: "largest", body: `{"jobIds":[9223372036854775807]}`, want: started, ids: ids("9223372036854775807")},
	{name: "leading zeros and spaces", body: `{"jobIds":[" 0005976 "]}`, want: started, ids: ids("5976")},
	{name: "201", status: 201, body: `{"jobIds":["1"]}`, want: started, ids: ids("1")},
	{name: "escaped slash", basis: postman, body: `{"taskName":"a\u002fb","jobIds":["1"],"errorCode":0}`, want: started, ids: ids("1")},
	{name: "warning", basis: postman, body: `{"jobIds":["1"],"response":[{"errorCode":0,"warningCode":4,"warningMessage":"w"}]}`, want: started, ids: ids("1")},
	{name: "places of errors without one", body: `{"jobIds":["1"],"errors":[],"errList":[],"error":{},"err":null,"resp":{"errorCode":0},"response":[{}]}`, want: started, ids: ids("1")},
	{name: "a message in another encoding", body: "{\"jobIds\":[\"1\"],\"note\":\"caf\xe9\"}", want: started, ids: ids("1")},
}

// ambiguousAnswers speak of a job or a task, and of something else as well.
var ambiguousAnswers = []answerCase{
	{name: "task without jobs", basis: sdk, body: `{"taskId":435}`, named: "435"},
	{name: "task without jobs, XML", body: `<TMMsg_CreateTaskResp taskId="435"/>`},
	{name: "task and no jobs", body: `{"taskId":435,"jobIds":[]}`, named: "435"},
	{name: "task and null", body: `{"taskId":435,"jobIds":null}`},
	{name: "task and error", body: `{"taskId":435,"errorCode":2,"errorMessage":"x"}`, code: "2", message: "x", named: "435"},
	{name: "task and access denied", body: `{"taskId":435,"errorCode":5,"errorMessage":"Access denied"}`, code: "5"},
	{name: "task, 401", status: 401, body: `{"taskId":435}`},
	{name: "task, 404", status: 404, body: `{"taskId":435}`},
	{name: "task, 429", status: 429, body: `{"taskId":435}`},
	{name: "task, 503", status: 503, header: map[string]string{"Retry-After": "1"}, body: `{"taskId":435}`},
	{name: "job and error", body: `{"jobIds":["1"],"errorCode":2,"errorMessage":"x"}`, code: "2"},
	{name: "job and nested error", body: `{"jobIds":["1"],"error":{"errorCode":2}}`, code: "2"},
	{name: "job and odd error", body: `{"jobIds":["1"],"errorCode":"E_FAIL"}`, code: "E_FAIL"},
	{name: "job and error in a list", body: `{"jobIds":["1"],"errList":[{"errorCode":0},{"errorCode":7,"errLogMessage":"seven"}]}`, code: "7", message: "seven"},
	{name: "job and response", body: `{"jobIds":["1"],"response":[{"errorCode":"0"},{"errorCode":7,"errorString":"seven"}]}`, code: "7", message: "seven"},
	{name: "job and err", body: `{"jobIds":["1"],"err":{"errorCode":2,"errLogMessage":"m"}}`, code: "2", message: "m"},
	{name: "job and resp", body: `{"jobIds":["1"],"resp":{"errorCode":2}}`, code: "2"},
	{name: "job and errors", body: `{"jobIds":["1"],"errors":[{"errList":[{"errorCode":0},{"errorCode":2,"errLogMessage":"m"}]}]}`, code: "2", message: "m"},
	{name: "job and errors, XML", body: `<A_Resp><jobIds val="1"/><errors><errList errorCode="2" errLogMessage="m"/></errors></A_Resp>`, code: "2", message: "m"},
	{name: "job and an error that is a text", body: `{"jobIds":["1"],"error":"failed"}`},
	{name: "job and errors that are texts", body: `{"jobIds":["1"],"errors":["failed"]}`},
	{name: "job and an error too deep", body: `{"jobIds":["1"],"error":{"error":{"error":{"error":{"error":{"errorCode":2}}}}}}`},
	{name: "job and error, XML", body: `<A_Resp errorCode="2"><jobIds val="1"/></A_Resp>`, code: "2"},
	{name: "a later 0 does not undo an error", body: `<A_Resp errorCode="2"><jobIds val="1"/><error errorCode="0"/></A_Resp>`, code: "2"},
	{name: "job and response, XML", body: `<A_Resp><jobIds val="1"/><response errorCode="2" errorString="two"/></A_Resp>`, code: "2", message: "two"},
	{name: "two roots", body: `<TMMsg_CreateTaskResp><jobIds val="1"/></TMMsg_CreateTaskResp><TMMsg_GenericResp errorCode="2"/>`},
	{name: "two roots, the second harmless", body: `<TMMsg_CreateTaskResp><jobIds val="1"/></TMMsg_CreateTaskResp><A_Resp/>`},
	{name: "text after the end", body: `<TMMsg_CreateTaskResp><jobIds val="1"/></TMMsg_CreateTaskResp>Internal error`},
	{name: "text after the end, JSON", body: `{"jobIds":["1"]}{"errorCode":2}`},
	{name: "job inside another element", body: `<A_Resp><x><jobIds val="1"/></x></A_Resp>`},
	{name: "job, 500", status: 500, body: `{"jobIds":["1"]}`},
	{name: "job, 500 and code", status: 500, body: `{"jobIds":["1"],"errorCode":2}`, code: "2"},
	{name: "job, 302", status: 302, body: `{"jobIds":["1"]}`},
	{name: "job, 400", status: 400, body: `{"jobIds":["1"]}`},
	{name: "job, 401", status: 401, body: `{"jobIds":["1"]}`},
	{name: "job, 404", status: 404, body: `<TMMsg_CreateTaskResp><jobIds val="1"/></TMMsg_CreateTaskResp>`},
	{name: "job, 429", status: 429, header: map[string]string{"X-RateLimit-Period": "60"}, body: `{"jobIds":["1"]}`},
	{name: "job, 503", status: 503, header: map[string]string{"Retry-After": "1"}, body: `{"jobIds":["1"]}`},
	{name: "half a job, 400", status: 400, body: `{"jobIds":["1"`},
	{name: "half a job, 401", status: 401, body: `<TMMsg_CreateTaskResp><jobIds val=`},
	{name: "half a job, 404", status: 404, body: `<TMMsg_CreateTaskResp><jobIds`},
	{name: "half a job, 429", status: 429, body: `{"jobIds":["1",`},
	{name: "bad id, 400", status: 400, body: `{"jobIds":["x"]}`},
	{name: "jobIds as one id", body: `{"jobIds":"5976"}`},
	{name: "jobIds twice", body: `{"jobIds":["1"],"jobIds":[]}`},
	{name: "objects in jobIds", body: `{"jobIds":[{"val":"1"}]}`},
	{name: "root-wrapped JSON of old releases", basis: clients, body: `{"TMMsg_CreateTaskResp":{"@taskId":"4038","jobIds":{"@val":"5976"}}}`},
	{name: "root-wrapped, 404", status: 404, body: `{"TMMsg_CreateTaskResp":{"@taskId":"4038","jobIds":{"@val":"5976"}}}`},
	{name: "root-wrapped task, 401", status: 401, body: `{"TMMsg_CreateTaskResp":{"@taskId":"4038"}}`},
	{name: "half a task, 404", status: 404, body: `{"taskId":435,`},
	{name: "HTML that mentions jobIds", status: 404, body: `<html><body>jobIds</body></html>`},
}

func TestClassify_invalidJobIDs(t *testing.T) {
	for _, id := range []string{`"0"`, `0`, `"-1"`, `-1`, `""`, `" "`, `"x"`, `"5976x"`, `"59 76"`, `"5,976"`, `"0x10"`, `"+7"`, `"7.0"`, `7.5`, `7e3`,
		`"٧"`, `"9223372036854775808"`, `99999999999999999999`, `null`, `true`, `[]`, `{}`, `["7"]`} {
		for _, list := range []string{id, `"7",` + id, id + `,"7"`} {
			answerCase{body: `{"taskId":1,"jobIds":[` + list + `]}`, want: Unknown}.check(t)
		}
		if text := strings.Trim(id, `"`); strings.HasPrefix(id, `"`) {
			answerCase{body: `<TMMsg_CreateTaskResp taskId="1"><jobIds val="7"/><jobIds val="` + text + `"/></TMMsg_CreateTaskResp>`, want: Unknown}.check(t)
		}
	}
}

var refusedAnswers = []answerCase{
	{name: "vendor's page", basis: page, body: `<TMMsg_GenericResp errorMessage="Failed to start backups as no eligible subclients were found. " errorCode="587207178" />`, want: Refused, code: "587207178", message: "Failed to start backups as no eligible subclients were found. "},
	{name: "attribute order", basis: clients, body: `<TMMsg_GenericResp errorCode="587207178" errorMessage="m"/>`, want: Refused, code: "587207178", message: "m"},
	{name: "other root", basis: postman, body: `<CVGui_GenericResp errorCode="2" errorMessage="m"/>`, want: Refused, code: "2", message: "m"},
	{name: "nested", basis: postman, body: `<App_CreateTaskResp><error errorMessage="m" errorCode="2"/></App_CreateTaskResp>`, want: Refused, code: "2", message: "m"},
	{name: "elements", body: `<App_GenericResp><errorCode>2</errorCode><errorMessage> m </errorMessage></App_GenericResp>`, want: Refused, code: "2", message: " m "},
	{name: "errList", body: `<A_Resp><errList errLogMessage="m" errorCode="2"/></A_Resp>`, want: Refused, code: "2", message: "m"},
	{name: "JSON", basis: clients, body: `{"errorMessage":"m","errorCode":587204050}`, want: Refused, code: "587204050", message: "m"},
	{name: "JSON text code", body: `{"errorMessage":"m","errorCode":" 2 "}`, want: Refused, code: "2", message: "m"},
	{name: "JSON nested", basis: postman, body: `{"error":{"errorMessage":"m","errorCode":2}}`, want: Refused, code: "2", message: "m"},
	{name: "JSON nested, 404", basis: postman, status: 404, body: `{"error":{"errorMessage":"m","errorCode":2}}`, want: Refused, code: "2", message: "m"},
	{name: "error.errList", basis: sdk, body: `{"error":{"errList":[{"errorCode":2,"errLogMessage":"m"}]}}`, want: Refused, code: "2", message: "m"},
	{name: "errList, JSON", basis: sdk, body: `{"errList":[{"errorCode":2,"errLogMessage":"m"}]}`, want: Refused, code: "2", message: "m"},
	{name: "response[]", basis: postman, body: `{"response":[{"errorCode":2,"errorString":"m"}]}`, want: Refused, code: "2", message: "m"},
	{name: "the first error counts", body: `{"errList":[{"errorCode":0},{"errorCode":2,"errLogMessage":"m"},{"errorCode":3,"errLogMessage":"n"}]}`, want: Refused, code: "2", message: "m"},
	{name: "the top error counts", body: `<A_Resp errorCode="2" errorMessage="m"><error errorCode="3" errorMessage="n"/></A_Resp>`, want: Refused, code: "2", message: "m"},
	{name: "response{}", basis: sdk, body: `{"response":{"errorCode":2,"errorMessage":"m"}}`, want: Refused, code: "2", message: "m"},
	{name: "err", basis: sdk, body: `{"err":{"errorCode":2,"errLogMessage":"m"}}`, want: Refused, code: "2", message: "m"},
	{name: "resp", basis: sdk, body: `{"resp":{"errorCode":2,"errorMessage":"m"}}`, want: Refused, code: "2", message: "m"},
	{name: "genericResp", basis: sdk, body: `{"genericResp":{"errorCode":2,"errorMessage":"m"}}`, want: Refused, code: "2", message: "m"},
	{name: "genericResp, XML", body: `<A_Resp><genericResp errorCode="2" errorMessage="m"/></A_Resp>`, want: Refused, code: "2", message: "m"},
	{name: "genericError", basis: sdk, body: `{"genericError":{"errorCode":2,"errorMessage":"m"}}`, want: Refused, code: "2", message: "m"},
	{name: "errorDetail", basis: sdk, body: `{"errorDetail":{"errorCode":2,"errorMessage":"m"}}`, want: Refused, code: "2", message: "m"},
	{name: "errors[0].errList[0]", basis: sdk, body: `{"errors":[{"errList":[{"errorCode":2,"errLogMessage":"m"}]}]}`, want: Refused, code: "2", message: "m"},
	{name: "errors[0].errList[0], XML", body: `<A_Resp><errors><errList errorCode="2" errLogMessage="m"/></errors></A_Resp>`, want: Refused, code: "2", message: "m"},
	{name: "empty lists beside it", body: `{"taskId":0,"jobIds":[],"errList":[],"errorCode":2,"errorMessage":"m"}`, want: Refused, code: "2", message: "m"},
	{name: "negative", body: `{"errorCode":-1,"errorMessage":"m"}`, want: Refused, code: "-1", message: "m"},
	{name: "no message", body: `{"errorCode":2}`, want: Refused, code: "2", message: `{"errorCode":2}`},
	{name: "message that is no text", body: `{"errorCode":2,"errorMessage":{"a":1}}`, want: Refused, code: "2"},
	{name: "message in another encoding", body: "{\"errorCode\":2,\"errorMessage\":\"caf\xe9\"}", want: Refused, code: "2", message: "caf\uFFFD"},
	{name: "message in another encoding, XML", body: "<A_Resp errorCode=\"2\" errorMessage=\"caf\xe9\"/>", want: Refused, code: "2", message: "caf\uFFFD"},
	{name: "entities", body: `<A_Resp errorCode="2" errorMessage="a &amp; b &lt;c&gt; &#x41;"/>`, want: Refused, code: "2", message: "a & b <c> A"},
	{name: "top level of 500", basis: postman, status: 500, body: `{"errorMessage":"Error 0x10c: Synthetic Full cannot run because no Incremental or Differential backup was run after last Full backup for the subclient.","errorCode":2}`, want: Refused, code: "2"},
	{name: "top level of 500, XML", status: 500, body: `<TMMsg_GenericResp errorCode="2" errorMessage="m"/>`, want: Refused, code: "2"},
	{name: "400 with a code", status: 400, body: `{"errorCode":2,"errorMessage":"m"}`, want: Refused, code: "2"},
	{name: "400 bare text", basis: reference, status: 400, body: "Request body is empty or format is invalid.", want: Refused, code: "HTTP_400", message: "Request body is empty or format is invalid."},
	{name: "400 quoted text", status: 400, body: `"Request body is empty or format is invalid."`, want: Refused, code: "HTTP_400"},
	{name: "400 of the framework", status: 400, body: `{"Message":"The request is invalid."}`, want: Refused, code: "HTTP_400", message: `{"Message":"The request is invalid."}`},
	{name: "400 of the framework, XML", status: 400, body: `<Error><Message>The request is invalid.</Message></Error>`, want: Refused, code: "HTTP_400"},
}

func TestClassify(t *testing.T) {
	for group, list := range map[string][]answerCase{
		"started": startedAnswers, "ambiguous": ambiguousAnswers, "refused": refusedAnswers, "unreadable": unreadableAnswers, "status": statusAnswers,
	} {
		for _, a := range list {
			t.Run(group+"/"+a.name, a.check)
		}
	}
}

// TestClassify_truncated: an answer cut anywhere is neither a start nor a refusal; a
// refusal cut anywhere is not one either.
func TestClassify_truncated(t *testing.T) {
	whole := slices.Concat(startedAnswers, refusedAnswers)
	for _, a := range whole {
		body := strings.TrimRight(a.body, " \r\n")
		for n := range len(body) {
			for _, status := range []int{200, 201, 500, 502} {
				_, err := classify(response{Status: status, Body: []byte(body[:n])})
				if v := VerdictOf(err); err == nil || v != Unknown {
					t.Fatalf("%s: HTTP %d, %d of %d bytes: %v, want unknown: %q", a.name, status, n, len(body), err, body[:n])
				}
			}
			// What speaks of jobs must not end in "no job" under any status.
			for _, status := range []int{301, 302, 400, 401, 403, 404, 405, 429, 503} {
				_, err := classify(response{Status: status, Header: http.Header{"Retry-After": {"1"}}, Body: []byte(body[:n])})
				if strings.Contains(body[:n], "jobIds") && a.want == started && (err == nil || VerdictOf(err) != Unknown) {
					t.Fatalf("%s: HTTP %d, %d of %d bytes: %v, want unknown: %q", a.name, status, n, len(body), err, body[:n])
				}
			}
		}
	}
}

func TestVerdictOf(t *testing.T) {
	for v, name := range map[Verdict]string{Unknown: "unknown", Refused: "refused", Throttled: "throttled", AuthRefused: "auth refused", NotSent: "not sent", 99: "unknown"} {
		if v.String() != name {
			t.Errorf("verdict %d is %q, want %q", v, v.String(), name)
		}
		if got := VerdictOf(fmt.Errorf("submit: %w", &Error{Verdict: v})); got != v {
			t.Errorf("wrapped %s is %s", v, got)
		}
	}
	var zero Verdict
	if zero != Unknown || VerdictOf(errors.New("other")) != Unknown || VerdictOf(nil) != Unknown {
		t.Error("what is not known is not unknown")
	}
}
