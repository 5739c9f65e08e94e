package vendorapi

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"backhaul/vendorapi/secretstest"
)

// FuzzClassify checks what must be true of every answer, valid or not: no
// panic, never started without a job id above 0, never refused with code 0, and
// never "no job" where the answer names one.
func FuzzClassify(f *testing.F) {
	for _, list := range [][]answerCase{startedAnswers, ambiguousAnswers, refusedAnswers, unreadableAnswers, statusAnswers} {
		for _, a := range list {
			r := a.response()
			if len(r.Body) > 4<<10 {
				continue // deep nesting is tested by itself; here it would only slow the search
			}
			f.Add(r.Status, r.Header.Get("Retry-After"), r.Body)
		}
	}
	f.Fuzz(func(t *testing.T, status int, wait string, body []byte) {
		resp := response{Status: status, Header: http.Header{}, Body: body}
		if wait != "" {
			resp.Header.Set("Retry-After", wait)
		}
		before := bytes.Clone(body)
		job, err := classify(resp)
		if !bytes.Equal(before, body) {
			t.Fatal("the answer was changed")
		}
		if err == nil {
			if status < 200 || status > 299 {
				t.Fatalf("started by HTTP %d", status)
			}
			if len(job.IDs) == 0 || job.ID != job.IDs[0] {
				t.Fatalf("started without an id: %+v", job)
			}
			for _, id := range job.IDs {
				n, err := strconv.ParseInt(id, 10, 64)
				if err != nil || n <= 0 || strconv.FormatInt(n, 10) != id {
					t.Fatalf("started with id %q", id)
				}
				// An id is never made up or put together from several places.
				if !bytes.Contains(body, []byte(id)) && !bytes.ContainsAny(body, `&\<`) {
					t.Fatalf("id %s is not in the answer", id)
				}
			}
			return
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || job.ID != "" || len(job.IDs) > 0 {
			t.Fatalf("job %+v, error %T", job, err)
		}
		env, _ := readEnvelope(body)
		if e.Verdict == Refused {
			n, err := strconv.ParseInt(e.Code, 10, 64)
			if (err != nil || n == 0) && (e.Code != "HTTP_400" || env.code != "") {
				t.Fatalf("refused with code %q, of %q", e.Code, env.code)
			}
		}
		// Every other verdict says that there is no job.
		if e.Verdict != Unknown && (len(env.jobIDs) > 0 || env.taskID != "" || e.TaskID != "") {
			t.Fatalf("%s, and the answer names task %q, jobs %q", e.Verdict, env.taskID, env.jobIDs)
		}
		if (e.RetryAfter != 0) && e.Verdict != Throttled || e.RetryAfter < 0 || e.RetryAfter > longestRetryAfter {
			t.Fatalf("%s with a wait of %s", e.Verdict, e.RetryAfter)
		}
		if !utf8.ValidString(e.Message) || len(e.Message) > maxMessage+len("…") {
			t.Fatalf("message of %d bytes", len(e.Message))
		}
		// A page that shows the request does not show its token to our readers.
		value := Secret("QSDK 5ec7e75ec7e75ec7e7")
		echo := &token{value: &value}
		_, err = classify(response{Status: status, Header: resp.Header, Body: echo.hide(slices.Concat(body, []byte(value)))})
		if err != nil && strings.Contains(err.Error(), "5ec7e7") { // asked first, for speed
			secretstest.NotShown(t, []string{"5ec7e75ec7e75ec7e7"}, err)
		}

		// An answer that is not a start with a status of success is not one with any status.
		for _, other := range []int{200, 302, 400, 401, 404, 429, 500, 503} {
			if _, err := classify(response{Status: other, Header: resp.Header, Body: body}); err == nil && other != 200 {
				t.Fatalf("started by HTTP %d", other)
			}
		}
	})
}

// FuzzNames checks that a name is written so that it is read back, or not at all.
func FuzzNames(f *testing.F) {
	for _, text := range slices.Concat(nasty, []string{"\x00", "\ufffe", "\xff"}) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" {
			return // an element without a value is left out
		}
		task := testTask()
		task.SubclientName = text
		document, err := bodies[FormatXML].write(nil, task)
		if err != nil {
			return
		}
		dec := xml.NewDecoder(bytes.NewReader(document))
		var got strings.Builder
		elements, inside := 0, false
		for {
			token, err := dec.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%v for %q", err, text)
			}
			switch token := token.(type) {
			case xml.StartElement:
				elements++
				inside = token.Name.Local == "subclientName"
			case xml.EndElement:
				inside = false
			case xml.CharData:
				if inside {
					got.Write(token)
				}
			}
		}
		if got.String() != text || elements != sampleElements {
			t.Fatalf("%q came back as %q among %d elements", text, got.String(), elements)
		}
	})
}

// sampleElements is how many elements testTask has: the 53 of the sample and ours.
const sampleElements = 54
