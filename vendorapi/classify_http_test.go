package vendorapi

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// bomb doubles its text twenty times, if entities are ever expanded.
const bomb = `<!DOCTYPE x [<!ENTITY a "jjjjjjjj"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>`

// unreadableAnswers are none of the API's under a status of success, or not
// clearly one thing. The job may be there.
var unreadableAnswers = []answerCase{
	{name: "empty", basis: sdk, body: ""},
	{name: "white space", body: " \r\n\t"},
	{name: "BOM", body: "\xef\xbb\xbf"},
	{name: "204", status: 204},
	{name: "plain text as JSON", basis: postman, header: map[string]string{"Content-Type": "application/json"}, body: "Created storage policy successfully.", message: "Created storage policy successfully."},
	{name: "plain text as XML", basis: postman, header: map[string]string{"Content-Type": "application/xml"}, body: "Task created successfully."},
	{name: "HTML: the title only", basis: sdk, body: "<html><head><title>\n Sign  in </title></head><body>SECRET</body></html>", message: "Sign in"},
	{name: "HTML: a title with attributes", body: "<HTML><HEAD><TITLE lang=\"en\">Sign in</TITLE></HEAD></HTML>", message: "Sign in"},
	{name: "HTML without a title", body: "<html><body>SECRET</body></html>", message: "a page without a title"},
	{name: "XHTML", body: `<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title>Sign in</title></head><body errorCode="2"/></html>`, message: "Sign in"},
	{name: "no attributes", basis: postman, body: `<App_GenericResp />`},
	{name: "no members", basis: sdk, body: `{}`},
	{name: "code 0 with a message", basis: postman, body: `{"errorCode":0,"errorMessage":"Success"}`, code: "0", message: "Success"},
	{name: "code 0", basis: postman, body: `<TMMsg_GenericResp errorMessage="" errorCode="0"/>`, code: "0"},
	{name: "message without a code", body: `{"errorMessage":"something"}`, message: "something"},
	{name: "message without a code, in err", basis: sdk, body: `{"err":{"errLogMessage":"something"}}`, message: "something"},
	{name: "error that is a text", body: `{"error":"something"}`},
	{name: "error in a place that is none", body: `{"result":{"errorCode":2}}`},
	{name: "warning only", basis: postman, body: `{"response":[{"errorCode":0,"warningCode":7,"warningMessage":"w"}]}`, code: "0"},
	{name: "code that is empty", body: `{"errorCode":"","errorMessage":"m"}`, message: "m"},
	{name: "code of spaces", body: `{"errorCode":"  ","errorMessage":"m"}`, message: "m"},
	{name: "code of zeros", body: `{"errorCode":"00","errorMessage":"m"}`, code: "00"},
	{name: "code 0.0", body: `{"errorCode":0.0,"errorMessage":"m"}`, code: "0.0"},
	{name: "code -0", body: `{"errorCode":-0,"errorMessage":"m"}`, code: "-0"},
	{name: "code that is a word", body: `{"errorCode":"E_FAIL","errorMessage":"m"}`, code: "E_FAIL", message: "m"},
	{name: "code too large", body: `{"errorCode":99999999999999999999,"errorMessage":"m"}`, code: "99999999999999999999"},
	{name: "code null", body: `{"errorCode":null,"errorMessage":"m"}`, message: "m"},
	{name: "code object", body: `{"errorCode":{"value":2}}`},
	{name: "crash nested in 200", body: `{"error":{"errorCode":500,"errorMessage":"m"}}`, code: "500", message: "m"},
	{name: "JSON array", body: `[{"errorCode":2}]`},
	{name: "JSON null", body: `null`},
	{name: "JSON of another case", body: `{"JobIds":["1"],"ErrorCode":2}`},
	{name: "two errors with one name", body: `{"errorCode":2,"errorCode":0}`},
	{name: "comment only", body: `<!-- nothing -->`},
	{name: "declaration only", body: `<?xml version="1.0"?>`},
	{name: "another root", body: `<TMMsg_CreateTaskReq errorCode="2"/>`},
	{name: "mismatched end", body: `<A_Resp errorCode="2"></B_Resp>`},
	{name: "UTF-16", body: "\xff\xfe<\x00A\x00"},
	{name: "DOCTYPE with an entity", body: `<!DOCTYPE x [<!ENTITY a "2">]><A_Resp errorCode="&a;"/>`},
	{name: "entity bomb", body: bomb + `<A_Resp errorCode="2" errorMessage="&c;"/>`},
	{name: "external entity", body: `<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><A_Resp errorCode="2" errorMessage="&a;"/>`},
	{name: "deep XML", body: `<A_Resp errorCode="2">` + strings.Repeat("<a>", 20_000)},
	{name: "deep JSON", body: `{"errorCode":2,"a":` + strings.Repeat("[", 20_000)},
	{name: "deep whole JSON", body: `{"errorCode":2,"a":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`},
	{name: "binary", body: "\x00\x01\x02\xff"},
}

func TestClassify_deepXML(t *testing.T) {
	answerCase{
		body: `<A_Resp errorCode="2" errorMessage="m">` + strings.Repeat("<a>", 20_000) + strings.Repeat("</a>", 20_000) + `</A_Resp>`,
		want: Refused, code: "2", message: "m",
	}.check(t)
}

const (
	denied  = `{"errorMessage":"Access denied","errorCode":5}`
	crashed = `{"error":{"errorMessage":"The web service has failed.","errorCode":500}}`
)

func location(target string) map[string]string { return map[string]string{"Location": target} }

// statusAnswers are those whose HTTP status matters.
var statusAnswers = []answerCase{
	{name: "401", basis: reference, status: 401, body: denied, want: AuthRefused, code: "5", message: "Access denied"},
	{name: "401 empty", status: 401, want: AuthRefused},
	{name: "401 HTML", status: 401, body: "<html><title>Unauthorized</title></html>", want: AuthRefused, message: "Unauthorized"},
	{name: "401 with another code", status: 401, body: `{"errorCode":2}`, want: AuthRefused, code: "2"},
	{name: "access denied in 200", body: denied, want: AuthRefused, code: "5"},
	{name: "access denied in 200, XML", body: `<CVGui_GenericResp errorMessage="Access denied" errorCode="5"/>`, want: AuthRefused, code: "5"},
	{name: "access denied in 200, nested", basis: sdk, body: `{"error":{"errorCode":5,"errorMessage":"Access denied"}}`, want: AuthRefused, code: "5"},
	{name: "access denied in 403", status: 403, body: denied, want: AuthRefused, code: "5"},
	{name: "access denied in 500", status: 500, body: denied, want: AuthRefused, code: "5"},
	{name: "access denied in a crash", status: 500, body: `{"error":{"errorCode":5}}`, want: Unknown, code: "5"},

	{name: "400 HTML", status: 400, body: "<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head></html>", want: NotSent, message: "400 The plain HTTP request was sent to HTTPS port"},
	{name: "400 empty", status: 400, want: NotSent},
	{name: "400 with code 0", status: 400, body: `{"errorCode":0,"errorMessage":"m"}`, want: Unknown, code: "0", message: "m"},
	{name: "400 with a code that is a word", status: 400, body: `{"errorCode":"E_FAIL"}`, want: Unknown, code: "E_FAIL"},
	{name: "403: may be a firewall's, in the place of an answer", status: 403, body: "<html><title>Forbidden</title></html>", want: Unknown, message: "Forbidden"},
	{name: "403 empty", status: 403, want: Unknown},
	{name: "403 refusal", status: 403, body: `{"errorCode":2,"errorMessage":"m"}`, want: Refused, code: "2"},
	{name: "404", status: 404, body: "<!DOCTYPE html><html><head><title>404 - File or directory not found.</title></head></html>", want: NotSent},
	{name: "404 empty", status: 404, want: NotSent},
	{name: "404 of the gateway", status: 404, body: `{"statusCode":404,"message":"Resource not found"}`, want: NotSent, message: `{"statusCode":404,"message":"Resource not found"}`},
	{name: "404 of a framework", status: 404, body: `{"status":404,"error":"Not Found","path":"/api/CreateTask"}`, want: NotSent},
	{name: "404 with code 0", status: 404, body: `{"errorCode":0}`, want: Unknown, code: "0"},
	{name: "405", status: 405, want: NotSent},
	{name: "407", status: 407, want: NotSent},
	{name: "408: may be that of an idle connection", status: 408, body: "<html><body><h1>408 Request Time-out</h1></body></html>", want: Unknown},
	{name: "409", status: 409, want: Unknown},

	{name: "301: the POST may have been carried out", status: 301, header: location("https://other.example/api/CreateTask"), want: Unknown, message: "redirected to https://other.example/api/CreateTask"},
	{name: "302: an old framework after success, or a login page", status: 302, header: location("https://u:p@sso.example/login?token=abc#x"), body: "<html><title>Moved</title></html>", want: Unknown, message: "redirected to https://sso.example/login"},
	{name: "302 relative", status: 302, header: location("/login"), want: Unknown, message: "redirected to /login"},
	{name: "303: the POST was carried out", status: 303, header: location("/tasks/1"), want: Unknown, message: "redirected to /tasks/1"},
	{name: "304", status: 304, want: Unknown},
	{name: "307", status: 307, header: location("//other.example/x"), want: NotSent, message: "redirected to //other.example/x"},
	{name: "308", status: 308, want: NotSent},
	{name: "302 with an error", status: 302, body: `{"errorCode":2}`, want: Unknown, code: "2"},

	{name: "500 empty", status: 500, want: Unknown},
	{name: "500 HTML", status: 500, body: "<html><title>Runtime Error</title></html>", want: Unknown, message: "Runtime Error"},
	{name: "500 nested", basis: postman, status: 500, body: crashed, want: Unknown, code: "500", message: "The web service has failed."},
	{name: "500 nested code 2", status: 500, body: `{"error":{"errorMessage":"m","errorCode":2}}`, want: Unknown, code: "2"},
	{name: "500 nested, XML", status: 500, body: `<A_Resp><error errorMessage="m" errorCode="2"/></A_Resp>`, want: Unknown, code: "2"},
	{name: "500 nested in resp", status: 500, body: `{"resp":{"errorMessage":"m","errorCode":2}}`, want: Unknown, code: "2"},
	{name: "500 of a framework", status: 500, body: `{"status":500,"error":"Internal Server Error"}`, want: Unknown},
	{name: "500 code 500 on top", status: 500, body: `{"errorMessage":"m","errorCode":500}`, want: Unknown, code: "500"},
	{name: "500 code 0", status: 500, body: `{"errorMessage":"m","errorCode":0}`, want: Unknown, code: "0"},
	{name: "502", status: 502, body: "<html><title>Bad Gateway</title></html>", want: Unknown},
	{name: "502 with a code", status: 502, body: `{"errorMessage":"m","errorCode":2}`, want: Unknown, code: "2"},
	{name: "504", status: 504, want: Unknown},
	{name: "504 with Retry-After", status: 504, header: map[string]string{"Retry-After": "1"}, want: Unknown},

	{name: "429", basis: gateway, status: 429, header: map[string]string{"X-RateLimit-Limit": "100", "X-RateLimit-Period": "36"}, body: `{"statusCode":429,"message":"Rate limit is exceeded."}`, want: Throttled, wait: 36 * time.Second},
	{name: "429 without a time", status: 429, want: Throttled, wait: defaultRetryAfter},
	{name: "429 with both", status: 429, header: map[string]string{"X-RateLimit-Period": "36", "Retry-After": "7"}, want: Throttled, wait: 7 * time.Second},
	{name: "429 with another unit", status: 429, header: map[string]string{"X-RateLimit-Period": "3600000"}, want: Throttled, wait: time.Hour},
	{name: "429 with a code", status: 429, body: `{"errorCode":2}`, want: Throttled, code: "2", wait: defaultRetryAfter},
	{name: "503", status: 503, body: html503, want: Unknown, message: "Service Unavailable"},
	{name: "503 with a period only", status: 503, header: map[string]string{"X-RateLimit-Period": "36"}, want: Unknown},
	{name: "503 with Retry-After", status: 503, header: map[string]string{"Retry-After": "120"}, body: html503, want: Throttled, wait: 2 * time.Minute, message: "Service Unavailable"},
	{name: "503 Retry-After 0", status: 503, header: map[string]string{"Retry-After": "0"}, want: Throttled},
	{name: "503 Retry-After of nonsense", status: 503, header: map[string]string{"Retry-After": "soon"}, want: Throttled, wait: defaultRetryAfter},
	{name: "503 Retry-After below 0", status: 503, header: map[string]string{"Retry-After": "-1"}, want: Throttled, wait: defaultRetryAfter},
	{name: "503 Retry-After of years", status: 503, header: map[string]string{"Retry-After": "2147483647"}, want: Throttled, wait: 24 * time.Hour},
	{name: "503 Retry-After too large", status: 503, header: map[string]string{"Retry-After": "99999999999"}, want: Throttled, wait: defaultRetryAfter},
	{
		name: "503 Retry-After as a date, by the clock that wrote it", status: 503, want: Throttled, wait: 90 * time.Second,
		header: map[string]string{"Date": "Mon, 23 Nov 2020 15:00:00 GMT", "Retry-After": "Mon, 23 Nov 2020 15:01:30 GMT"},
	},
	{
		name: "503 Retry-After as a date in years", status: 503, want: Throttled, wait: 24 * time.Hour,
		header: map[string]string{"Date": "Mon, 23 Nov 2020 15:00:00 GMT", "Retry-After": "Sat, 23 Nov 2030 15:00:00 GMT"},
	},
	{
		name: "503 Retry-After in the past", status: 503, want: Throttled,
		header: map[string]string{"Date": "Mon, 23 Nov 2020 15:00:00 GMT", "Retry-After": "Mon, 23 Nov 2020 14:00:00 GMT"},
	},
}

func TestRetryAfter_dateByOurClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat)
		answerCase{status: 503, header: map[string]string{"Retry-After": at}, want: Throttled, wait: 90 * time.Second}.check(t)
	})
}

// TestClassify_boundsAMessage: the message goes into an event, which has to fit into one
// NATS message.
func TestClassify_boundsAMessage(t *testing.T) {
	for _, body := range []string{
		`{"errorCode":2,"errorMessage":"` + strings.Repeat("ä", 20_000) + `"}`,
		`<A_Resp errorCode="2" errorMessage="` + strings.Repeat("ä", 20_000) + `"/>`,
	} {
		_, err := classify(response{Status: 200, Body: []byte(body)})
		e := wantVerdict(t, err, Refused)
		if n := len(e.Message); n < maxMessage/2 || n > maxMessage+len("…") {
			t.Errorf("the message has %d bytes", n)
		}
		if strings.Contains(e.Message, "\uFFFD") || !strings.HasSuffix(e.Message, "ä…") {
			t.Errorf("the message is cut inside a character: %q", e.Message[len(e.Message)-10:])
		}
	}
	_, err := classify(response{Status: 502, Body: []byte(strings.Repeat("x ", 20_000))})
	if n := len(err.Error()); n > 1000 {
		t.Errorf("an error of %d bytes for a page", n)
	}
}

// TestClient_boundsACompressedAnswer: what counts is the size unpacked.
func TestClient_boundsACompressedAnswer(t *testing.T) {
	v := startVendor(t, map[string]http.HandlerFunc{"CreateTask": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		packed := gzip.NewWriter(w)
		_, _ = packed.Write([]byte(`{"jobIds":["1"],"x":"`))
		_, _ = packed.Write(bytes.Repeat([]byte("x"), 64*maxBody))
		_, _ = packed.Write([]byte(`"}`))
		_ = packed.Close() // the client is gone before the end
	}})
	_, err := newTestClient(t, v.url).CreateTask(t.Context(), testTask())
	wantVerdict(t, err, Unknown)
	if !strings.Contains(err.Error(), "more than 1048576 bytes") {
		t.Errorf("%v does not say why", err)
	}
}

// TestClient_largestAnswer: exactly 1 MiB is read, one byte more is not understood.
func TestClient_largestAnswer(t *testing.T) {
	const open, end = `{"jobIds":["1"],"x":"`, `"}`
	fits := open + strings.Repeat("x", maxBody-len(open)-len(end)) + end
	for _, tt := range []struct {
		body string
		want Verdict
	}{{fits, started}, {fits + " ", Unknown}, {fits + strings.Repeat(" ", 4*maxBody), Unknown}} {
		v := startVendor(t, map[string]http.HandlerFunc{"CreateTask": always(200, tt.body)})
		c := newTestClient(t, v.url)
		job, err := c.CreateTask(t.Context(), testTask())
		if tt.want == started {
			wantJob(t, job, err)
		} else {
			wantVerdict(t, err, tt.want)
		}
	}
}
