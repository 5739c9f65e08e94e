package page_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/console/page"
	"backhaul/cmd/internal/deadletter"
	"backhaul/publisher"
	"backhaul/schemas"
)

// A letter of 20 KB, nested as deep as it can be, took hundreds of megabytes to show. It is not parallel: it counts what the
// process allocates.
func TestALetterIsShownWithABound(t *testing.T) {
	b := newBench(t)
	for name, data := range map[string]string{
		"deep": strings.Repeat("[", 9_999) + strings.Repeat("]", 9_999),
		"long": `"` + strings.Repeat("x", 500_000) + `"`,
		"text": strings.Repeat("x\n", 250_000),
	} {
		err := b.pub.DeadLetter(t.Context(), publisher.DeadLetter{
			Subject: "backup.request.billing", Data: []byte(data), Key: publisher.Key{Source: "billing", Name: name}, RequestID: name,
			Header: schemas.Header{"X-Long": {strings.Repeat("x", 60_000)}}, Sequence: uint64(len(name)), Time: time.Now(), Code: name, Reason: name,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for number := 1; number <= 3; number++ {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		resp, body := b.do(http.MethodGet, fmt.Sprintf("/dead-letters/%d", number), nil)
		runtime.ReadMemStats(&after)
		if resp.StatusCode != http.StatusOK || len(body) > 128<<10 {
			t.Errorf("letter %d: status %d, %d bytes", number, resp.StatusCode, len(body))
		}
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 16<<20 {
			t.Errorf("letter %d: %d bytes allocated", number, allocated)
		}
	}
}

// A vendor's answer may name 50,000 jobs; the event has them all.
func TestAnEventIsShownWithABound(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.request("billing", "long\u200b").submit()
	ids := make([]string, 50_000)
	for i := range ids {
		ids[i] = fmt.Sprint(100_000 + i)
	}
	s.append(&schemas.JobFailed{
		Naming: s.claim.Names(), Message: s.claim.Message, ErrorCode: schemas.CodeOutcomeUnknown, ErrorMessage: strings.Repeat("x", 200_000),
		ErrorSource: schemas.ErrorSourceBackhaul, Candidates: ids, FailedAt: time.Now(),
	})
	_, body := b.do(http.MethodGet, "/requests/"+s.key.String(), nil)
	if len(body) > 512<<10 || !strings.Contains(body, "OUTCOME_UNKNOWN") || !strings.Contains(body, `long\u200b`) {
		t.Errorf("%d bytes", len(body))
	}
}

// Dead letters are found by their code, in either form, and by a text, across pages.
func TestLetters_areFiltered(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 120 {
		code, reason := "587207178", "No eligible subclients"
		if i == 3 {
			code, reason = schemas.CodeExpired, "too late"
		}
		err := b.pub.DeadLetter(t.Context(), publisher.DeadLetter{
			Subject: "backup.request.billing", Data: []byte("{}"), Key: publisher.NewKey("billing", fmt.Sprintf("r-%d", i)), RequestID: fmt.Sprintf("r-%d", i),
			Sequence: uint64(i + 1), Time: time.Now(), Code: code, Reason: reason,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string]struct {
		rows  int
		older bool
	}{
		"":                           {50, true},
		"?code=EXPIRED":              {1, false}, // it is on the third page
		"?code=35:4618":              {50, true},
		"?code=35:4618&before=50":    {48, false},
		"?q=TOO+LATE":                {1, false},
		"?q=r-11":                    {11, false}, // r-11 and r-110 to r-119
		"?q=nothing":                 {0, false},
		"?source=other&code=EXPIRED": {0, false},
	} {
		body := b.get("/dead-letters" + query)
		if rows := strings.Count(body, `data-label="Letter"`); rows != want.rows || strings.Contains(body, ">Older<") != want.older {
			t.Errorf("%q: %d rows, older ones: %t; want %d, %t", query, rows, strings.Contains(body, ">Older<"), want.rows, want.older)
		}
	}
}

// The list names the client and the content group of each dead letter, also of one whose message is
// no valid request as far as it has them, and says why they are missing.
func TestLetters_nameClientAndGroup(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	denied := newBench(t, func(c *page.Config) { c.Letters = unread{c.Letters} })
	for _, b := range []*bench{b, denied} {
		for i, data := range []string{`{"clientName":"s-archive","subclientName":"mail-eu"}`, `{"clientName":"s-odd","subclientName":"x","backupLevel":"full"}`, "not JSON"} {
			id := fmt.Sprint("r-", i)
			err := b.pub.DeadLetter(t.Context(), publisher.DeadLetter{
				Subject: "backup.request.billing", Data: []byte(data), Key: publisher.NewKey("billing", id), RequestID: id,
				Sequence: uint64(i + 1), Time: time.Now(), Code: "587207178", Reason: "No eligible subclients",
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	const missing = "The clients and content groups could not be read: no permission"
	body := b.get("/dead-letters")
	for _, want := range []string{`title="s-archive">s-archive</td>`, `title="mail-eu">mail-eu</td>`, `title="s-odd">s-odd</td>`, `class="c-client" title="">–</td>`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
	if strings.Contains(body, missing) {
		t.Error("what was read is missing")
	}
	if body := denied.get("/dead-letters"); !strings.Contains(body, missing) || strings.Count(body, `data-label="Letter"`) != 3 {
		t.Errorf("without the permission to read messages:\n%s", body)
	}
}

// unread is a box of which only headers can be read.
type unread struct{ page.DeadLetters }

func (unread) AddRequests(context.Context, []deadletter.Message) error {
	return errors.New("no permission")
}

// A request is found by its labels.
func TestList_searchesLabels(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.request("billing", "with").submit().start("1")
	b.request("billing", "without", func(c *schemas.JobSubmitting) { c.Request.Labels = nil }).submit().start("2")
	b.waitForRow("without", "started")
	body := b.get("/?label=Ticket%3Dchg-17")
	if !strings.Contains(body, `title="with ticket=CHG-17"`) || strings.Contains(body, ">without<") || !strings.Contains(body, `name="label" value="Ticket=chg-17"`) {
		t.Errorf("the wrong requests:\n%s", body)
	}
}
