package page_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"backhaul/cmd/internal/protection"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
)

// goldFor promises an hour for content groups of one client.
type goldFor string

const gold = goldFor("s-adhoc-object-storage")

var promised = protection.Objective{Name: "gold", Owner: "team-billing", RPO: time.Hour, MaxAge: 26 * time.Hour}

func (g goldFor) For(of protection.Group) (protection.Objective, bool) {
	return promised, of.Client == string(g)
}

func (goldFor) All() []protection.Objective { return []protection.Objective{promised} }

// change writes the claim and the start of a request for changes of a content group since a
// time.
func (b *bench) change(group string, since time.Duration) *events {
	b.t.Helper()
	b.changes++
	s := b.request("storage", fmt.Sprintf("changes-%d", b.changes), func(c *schemas.JobSubmitting) {
		c.Request.SubclientName = group
		c.Request.Labels = map[string]string{"trigger.since": time.Now().Add(-since).UTC().Format(time.RFC3339Nano)}
	})
	return s.submit().start(fmt.Sprint(7000 + b.changes))
}

// over writes the end of the job of the newest request for changes.
func (s *events) over(outcome schemas.Outcome, reason string) {
	s.b.t.Helper()
	var reasons []schemas.Reason
	if reason != "" {
		reasons = []schemas.Reason{{Code: "13:30", Text: reason, From: schemas.ReasonFromEvent}}
	}
	s.end(fmt.Sprint(7000+s.b.changes), outcome, reasons...)
}

// standings writes content groups of every status.
func (b *bench) standings() {
	b.t.Helper()
	b.change("ledger", 3*time.Hour).over(schemas.OutcomeFailed, "No contact with the MediaAgent")
	b.change("invoices", 20*time.Minute)
	b.change("images-eu", 30*time.Minute).over(schemas.OutcomeCompleted, "")
	first := b.request("billing", "plain-1", func(c *schemas.JobSubmitting) { c.Request.SubclientName = "archive" })
	first.submit().start("1")
	b.change("scratch", 50*time.Hour)
	waittest.Eventually(b.t, "all groups on the page", func() bool { return strings.Count(b.get("/protection"), `<tr role="row" id="g`) == 5 })
}

// rowsOf returns the texts of the rows of the page, in their order.
func rowsOf(body string) (rows []string) {
	for row := range strings.SplitSeq(body, `<tr role="row" id="g`) {
		if strings.HasPrefix(row, "<!") {
			continue
		}
		text := regexp.MustCompile(`(?s)<svg.*?</svg>`).ReplaceAllString(row, " ")
		text = regexp.MustCompile(`<[^>]*>`).ReplaceAllString(text, " ")
		rows = append(rows, strings.Join(strings.Fields(text), " "))
	}
	return rows
}

func TestProtection_worstFirst(t *testing.T) {
	t.Parallel()
	b := newPromising(t, gold)
	b.standings()
	rows := rowsOf(b.get("/protection"))
	if len(rows) != 5 {
		t.Fatalf("the rows are %q", rows)
	}
	for i, want := range []string{"scratch", "ledger", "invoices", "archive", "images-eu"} {
		if !strings.Contains(rows[i], " "+want+" ") {
			t.Errorf("row %d is %q, want %s", i, rows[i], want)
		}
	}
	for i, want := range []string{"breached", "breached", "exposed", "no backup yet", "covered"} {
		if !strings.Contains(rows[i], want) {
			t.Errorf("row %d is %q, want %s", i, rows[i], want)
		}
	}
	if !strings.Contains(rows[1], "ended as failed") || !strings.Contains(rows[1], "team-billing") || !strings.Contains(rows[2], "its job has not ended") {
		t.Errorf("the rows are %q", rows)
	}
}

func TestProtection_filtersInTheAddress(t *testing.T) {
	t.Parallel()
	b := newPromising(t, gold)
	b.standings()
	for address, want := range map[string]int{
		"/protection?state=breached": 2, "/protection?state=covered": 1, "/protection?group=IMAGES": 1, "/protection?client=adhoc": 5, "/protection?client=x": 0,
		"/protection?owner=billing": 5, "/protection?owner=nobody": 0, "/protection?state=unproven&group=arch": 1, "/protection?state=nonsense": 5,
		"/protection?page=7": 0, "/protection?page=-1": 5,
	} {
		if rows := rowsOf(b.get(address)); len(rows) != want {
			t.Errorf("%s: %d rows, want %d", address, len(rows), want)
		}
	}
	if body := b.get("/protection?state=breached&owner=billing"); !strings.Contains(body, `href="/protection?owner=billing&amp;state=covered"`) || !strings.Contains(body, `<option value="breached" selected>`) {
		t.Error("the filter is not in the form and the links")
	}
}

func TestProtection_pages(t *testing.T) {
	t.Parallel()
	b := newPromising(t, gold)
	for i := range 53 {
		b.change(fmt.Sprintf("group-%02d", i), time.Duration(i)*time.Second)
	}
	waittest.Eventually(t, "all groups", func() bool { return strings.Contains(b.get("/protection"), "1–50 of 53") })
	if rows := rowsOf(b.get("/protection")); len(rows) != 50 || !strings.Contains(rows[0], "group-52") {
		t.Errorf("%d rows, the first is %q", len(rows), rows[0])
	}
	body := b.get("/protection?page=2")
	if rows := rowsOf(body); len(rows) != 3 || !strings.Contains(rows[2], "group-00") || !strings.Contains(body, `href="/protection"`) || strings.Contains(body, "data-live=") {
		t.Errorf("the second page has %q", rows)
	}
}

func TestProtection_ofOneGroup(t *testing.T) {
	t.Parallel()
	b := newPromising(t, gold)
	b.standings()
	path := regexp.MustCompile(`href="(/protection/[0-9a-f]{32})">ledger<`).FindStringSubmatch(b.get("/protection"))
	if path == nil {
		t.Fatal("the page has no link to the group")
	}
	waittest.Eventually(t, "the group's request", func() bool { return strings.Contains(b.get(path[1]), "changes-1") })
	body := b.get(path[1])
	for _, want := range []string{
		"<h1>ledger</h1>", "breached", "team-billing", "No contact with the MediaAgent", "its job ended with an outcome that is not accepted", "Breaches in the last 7 days", "it lasts",
		`href="https://cc.example.com/#/jobs/7001"`, `href="/requests/storage/changes-1"`, `<svg class="bar7"`, "7001</a>: failed", `data-live="/live/protection/`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page of the group does not have %q", want)
		}
	}
	for _, path := range []string{"/protection/00000000000000000000000000000000", "/protection/x"} {
		if resp, _ := b.do(http.MethodGet, path, nil); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

// Without objectives the groups are shown, and the page says that nothing is promised.
func TestProtection_withoutObjectives(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.standings()
	body := b.get("/protection")
	if rows := rowsOf(body); strings.Contains(strings.Join(rows, ""), "breached") || !strings.Contains(body, "nothing is promised") || !strings.Contains(rows[0], "scratch") {
		t.Errorf("the rows are %q", rows)
	}
}

func TestProtection_hostileNames(t *testing.T) {
	t.Parallel()
	b := newPromising(t, gold)
	b.request("billing", "x", func(c *schemas.JobSubmitting) {
		c.Request.SubclientName, c.Request.ClientName = hostile, hostile
	}).submit().start("1")
	waittest.Eventually(t, "the group", func() bool { return len(rowsOf(b.get("/protection"))) == 1 })
	path := regexp.MustCompile(`href="(/protection/[0-9a-f]{32})"`).FindStringSubmatch(b.get("/protection"))[1]
	for _, body := range []string{b.get("/protection"), b.get(path)} {
		if strings.Contains(body, "<script>alert") {
			t.Errorf("it is not escaped:\n%s", body)
		}
	}
}

func protectionLive(w *tab) {
	w.standings()
	w.open("/protection")
	w.waitFor("live", live)
	w.waitFor("the worst first", `document.querySelector("#rows tr th").innerText === "scratch"`)
	w.follow(`#rows tr:nth-child(2) th a`)
	w.shows("No contact with the MediaAgent")
	w.waitFor("live", live)
	w.change("ledger", time.Minute).over(schemas.OutcomeCompleted, "")
	w.waitFor("the group is covered", `document.querySelector("#standing .status").innerText.toLowerCase() === "covered" && performance.getEntriesByType("navigation").length === 1`)
	w.open("/protection?state=covered")
	w.shows("ledger")
}

func protectionWithoutScript(w *tab) {
	w.standings()
	w.run(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
	w.open("/protection?state=breached")
	text, err := chromedp.Run(w.ctx, chromedp.Text(chromedp.CSS("#rows")))
	w.do("read the rows", err)
	if !strings.Contains(text, "scratch") || !strings.Contains(text, "ledger") || strings.Contains(text, "invoices") {
		w.t.Errorf("the table is %q", text)
	}
	w.follow(`#rows th a`)
	text, err = chromedp.Run(w.ctx, chromedp.Text(chromedp.CSS("#standing")))
	w.do("read the group", err)
	if !strings.Contains(strings.ToLower(text), "breached") {
		w.t.Errorf("the group is %q", text)
	}
}

// paths are the pages of content groups.
func (w *tab) paths() []string {
	w.t.Helper()
	w.standings()
	return []string{
		"/protection", "/protection?state=exposed", "/protection?group=nothing",
		regexp.MustCompile(`href="(/protection/[0-9a-f]{32})">ledger<`).FindStringSubmatch(w.get("/protection"))[1],
	}
}

func protectionOnAPhone(w *tab) {
	w.run(chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile))
	w.request("billing", "long", func(c *schemas.JobSubmitting) {
		c.Request.SubclientName, c.Request.ClientName = strings.Repeat("long-name-", 20), strings.Repeat("x", 200)
	}).submit().start("1")
	w.waitForRow("long")
	waittest.Eventually(w.t, "the long name", func() bool { return strings.Contains(w.get("/protection"), "long-name-long") })
	long := regexp.MustCompile(`href="(/protection/[0-9a-f]{32})">long`).FindStringSubmatch(w.get("/protection"))[1]
	w.fitsOn(long)
	w.fitsOn("/protection")
	for _, state := range []string{"ledger", "invoices"} {
		w.change(state, 3*time.Hour).over(schemas.OutcomeFailed, "No contact with the MediaAgent "+strings.Repeat("y", 300))
	}
	waittest.Eventually(w.t, "the groups", func() bool { return len(rowsOf(w.get("/protection"))) == 3 })
	w.fitsOn("/protection")
	if below := evaluate[int](w, `[...document.querySelectorAll('#rows td > *')].filter(e => e.getBoundingClientRect().left < 120).length`); below > 0 {
		w.t.Errorf("%d values are below their labels, not beside them", below)
	}
	w.fitsOn(regexp.MustCompile(`href="(/protection/[0-9a-f]{32})">ledger<`).FindStringSubmatch(w.get("/protection"))[1])
}

func (w *tab) fitsOn(path string) {
	w.t.Helper()
	w.open(path)
	w.fits(path)
}

func protectionLegible(w *tab) {
	paths := w.paths()
	for _, scheme := range []string{"light", "dark"} {
		w.scheme(scheme)
		for _, path := range paths {
			w.open(path)
			least := evaluate[struct {
				Ratio float64 `json:"ratio"`
				Text  string  `json:"text"`
			}](w, contrasts)
			if least.Ratio < 4.5 {
				w.t.Errorf("%s, %s: contrast %.2f at %s, AA wants 4.5", path, scheme, least.Ratio, least.Text)
			}
		}
		w.fits("the page of a group")
	}
}

func protectionPictures(w *tab) {
	paths := w.paths()
	w.eachLook(func(look string) {
		for name, path := range map[string]string{"protection": paths[0], "protection-group": paths[len(paths)-1]} {
			w.open(path)
			w.waitFor("live", live)
			w.picture(name, look)
		}
	})
}
