package page_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"backhaul/publisher"
	"backhaul/schemas"
)

// What TestBrowser looks at.

func rowsAppear(w *tab) {
	w.request("billing", "first").submit().start("100")
	w.open("/")
	w.shows("first")
	w.waitFor("live", live)
	evaluate[bool](w, `(window.stayed = document.querySelector("#rows tr")) !== null && document.querySelector("#rows a").focus() === undefined`)
	second := w.request("photos", "second").submit()
	w.waitFor("second row, in front", `document.querySelector("#rows tr th").innerText === "second"`)
	second.start("101")
	w.waitFor("job of the second row", `document.querySelector("#rows tr .job").innerText.includes("101")`)
	if !evaluate[bool](w, `window.stayed.isConnected && document.activeElement.innerText === "first" && performance.getEntriesByType("navigation").length === 1`) {
		w.t.Error("the row that did not change was replaced, or lost the focus")
	}
	w.shows("2 of 2")
}

func filter(w *tab) {
	w.request("billing", "good").start("100")
	w.request("photos", "bad").fail("587207178", "no eligible subclients")
	w.open("/")
	w.shows("good")
	w.run(chromedp.SetValue(chromedp.CSS(`select[name=state]`), "failed"), chromedp.SendKeys(chromedp.CSS(`input[name=q]`), "ELIGIBLE"))
	w.follow(`.filters button`)
	w.shows("bad")
	if address := evaluate[string](w, "location.href"); !strings.Contains(address, "state=failed") || !strings.Contains(address, "q=ELIGIBLE") {
		w.t.Errorf("the address is %s", address)
	}
	w.waitFor("live", live)
	w.request("billing", "also good").start("102")
	w.request("billing", "worse").fail("1", "eligible, not")
	w.waitFor("the new row that matches", `document.querySelectorAll("#rows tr").length === 2 && document.querySelector("#rows tr th").innerText === "worse"`)
	if text := w.text(); strings.Contains(text, "good\n") {
		w.t.Errorf("it shows what does not match:\n%s", text)
	}
}

func detail(w *tab) {
	s := w.request("billing", "inv-1").submit()
	w.open("/")
	w.shows("inv-1")
	w.follow(`#rows th a`)
	w.shows("claimed by host/7")
	w.waitFor("live", live)
	s.start("5976")
	w.shows("started job 5976")
	w.waitFor("outcome", `document.querySelector("#outcome .status").innerText.toLowerCase() === "started"`)
	w.run(chromedp.Click(chromedp.CSS("#timeline summary")))
	w.waitFor("the event as JSON", `document.querySelector("#timeline details[open] pre").innerText.includes("stestgroup")`)
}

func replay(w *tab) {
	s := w.request("billing", "broken").fail("587207178", "no eligible subclients")
	sequence := s.keep("587207178", "no eligible subclients")
	w.open("/dead-letters")
	w.shows("no eligible subclients")
	w.follow(`tbody th a`)
	w.shows("To replay it, sign in")
	w.follow(`#replay ~ p a`)
	w.run(chromedp.SendKeys(chromedp.CSS("input[name=actor]"), "Ann"), chromedp.SendKeys(chromedp.CSS("input[name=token]"), "not the token"))
	w.excused = "403" // the browser says that it was refused, as it should be
	w.follow(`.login button`)
	w.shows("this is not the token")
	if color := evaluate[string](w, `getComputedStyle(document.getElementById("problem")).color`); color != evaluate[string](w, `(() => { const e = document.createElement("p"); e.style.color = "var(--bad)"; document.body.append(e); const color = getComputedStyle(e).color; e.remove(); return color; })()`) {
		w.t.Errorf("a wrong token is told in %s", color)
	}
	w.run(chromedp.SendKeys(chromedp.CSS("input[name=token]"), token))
	w.follow(`.login button`)
	if address := evaluate[string](w, "location.pathname"); address != fmt.Sprintf("/dead-letters/%d", sequence) {
		w.t.Errorf("after the login it is at %s", address)
	}
	if evaluate[string](w, "document.cookie") != "" {
		w.t.Error("scripts can read the cookie")
	}
	w.follow(`.replay button`)
	w.shows("Replayed as broken-replay-1")
	w.shows("Ann (console) replayed it")
	w.follow(`.signed button`)
	w.shows("Sign in")
}

func withoutScript(w *tab) {
	w.request("billing", "plain").submit().start("100")
	w.waitForRow("plain")
	w.run(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
	w.open("/?q=plain")
	text, err := chromedp.Run(w.ctx, chromedp.Text(chromedp.CSS("#rows")))
	w.do("read the rows", err)
	if !strings.Contains(text, "plain") || !strings.Contains(strings.ToLower(text), "started") {
		w.t.Errorf("the table is %q", text)
	}
	refresh, err := chromedp.Run(w.ctx, chromedp.AttributeValue(chromedp.CSS(`meta[http-equiv=refresh]`), "content", chromedp.NodeReady))
	w.do("read the refresh", err)
	if refresh.Value != "15" {
		w.t.Errorf("it reloads after %q s", refresh.Value)
	}
	w.follow(`#rows th a`)
	timeline, err := chromedp.Run(w.ctx, chromedp.Text(chromedp.CSS("#timeline")))
	w.do("read the timeline", err)
	if !strings.Contains(timeline, "started job 100") {
		w.t.Errorf("the timeline is %q", timeline)
	}
}

// Hostile text comes through the stream of changes too, where a script handles it.
func hostileText(w *tab) {
	w.open("/")
	w.waitFor("live", live)
	s := w.request(`a"<b&'/?#%`, hostile, func(c *schemas.JobSubmitting) {
		c.Request.ClientName, c.Request.SubclientName, c.Request.BackupLevel = hostile, hostile, hostile
	}).submit()
	w.shows("<script>alert(1)</script>")
	w.request("billing", "x").fail(hostile, hostile)
	w.waitFor("second row", `document.querySelectorAll("#rows tr").length === 2`)
	w.open("/requests/" + url.PathEscape(s.key.Source) + "/" + s.key.Name)
	w.shows("<script>alert(1)</script>")
	w.waitFor("live", live)
	s.fail(hostile, hostile)
	w.waitFor("outcome", `document.querySelector("#outcome .status").innerText.toLowerCase() === "failed"`)
	if n := evaluate[int](w, `document.querySelectorAll("script:not([src^='/assets/']), img:not([src^='/assets/']), [onerror]").length`); n != 0 {
		w.t.Errorf("%d elements that are not ours", n)
	}
}

func brokerAway(w *tab) {
	w.request("billing", "known").start("100")
	w.open("/")
	w.shows("known")
	w.waitFor("live", live)
	w.nats.Stop()
	w.shows("not connected")
	w.shows("Requests that it has accepted stay in the queue and go on when it is back.")
	w.shows("known")
	w.excused = "503"
	w.open("/dead-letters")
	w.shows("The dead letters could not be read: NATS is not connected; try again when it is back")
	w.open("/")
	w.nats.Restart()
	w.waitFor("word that all is well", `document.querySelector("#lights .l-ok b").innerText === "connected"`)
}

func holdUpdates(w *tab) {
	w.open("/")
	w.waitFor("live", live)
	w.run(chromedp.Click(chromedp.ID("hold"), chromedp.NodeVisible))
	w.shows("Updates are paused")
	w.request("billing", "while away").start("1")
	w.waitForRow("while away") // for everybody else
	if strings.Contains(w.text(), "while away") {
		w.t.Error("it goes on although it was told not to")
	}
	w.run(chromedp.Click(chromedp.ID("hold")))
	w.shows("while away")
}

// fits fails if a page is wider than the screen.
func (w *tab) fits(where string) {
	w.t.Helper()
	if over := evaluate[int](w, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); over > 0 {
		wide := evaluate[string](w, `[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 5).map(e => e.outerHTML.slice(0, 120)).join("\n")`)
		w.t.Errorf("%s is %d px wider than the screen:\n%s", where, over, wide)
	}
}

func phone(w *tab) {
	s := populate(w.bench)
	sequence := s.keep("587207178", "no eligible subclients were found "+strings.Repeat("x", 300))
	w.run(chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile))
	for _, path := range []string{
		"/", "/?state=failed&q=a", "/dead-letters", fmt.Sprintf("/dead-letters/%d", sequence), "/dead-letters/drop?all=yes", "/requests/" + s.key.String(), "/login", "/requests/a/b",
	} {
		if path == "/requests/a/b" {
			w.excused = "404"
		}
		w.open(path)
		w.fits(path)
		if path == "/" {
			rows := evaluate[float64](w, `document.querySelector("#rows").getBoundingClientRect().height / document.querySelectorAll("#rows tr").length`)
			if rows > 110 {
				w.t.Errorf("a request is %.0f px high on a phone; 50 of them must not fill 16,000 px", rows)
			}
		}
		if path == "/dead-letters" {
			if high := evaluate[float64](w, `document.querySelector(".letters tbody tr").getBoundingClientRect().height`); high > 110 {
				w.t.Errorf("a dead letter is %.0f px high on a phone", high)
			}
		}
	}
}

// oneLine checks that a request, and a dead letter, is one line of a usual window.
func oneLine(w *tab) {
	long := strings.Repeat("long-", 20)
	populate(w.bench)
	s := w.request("billing", long, func(c *schemas.JobSubmitting) {
		c.Request.ClientName, c.Request.SubclientName = strings.Repeat("client", 20), strings.Repeat("group ", 20)
	}).submit().fail("587207178", strings.Repeat("a long error ", 20))
	s.keep("587207178", strings.Repeat("a long error ", 20))
	w.waitForRow(long, "failed")
	w.run(chromedp.EmulateViewport(1280, 960))
	for _, path := range []string{"/", "/dead-letters"} {
		w.open(path)
		w.fits(path)
		if high := evaluate[float64](w, `Math.max(...[...document.querySelectorAll(".list tbody tr")].map((row) => row.getBoundingClientRect().height))`); high > 34 {
			w.t.Errorf("%s: a row is %.0f px high", path, high)
		}
		if over := evaluate[int](w, `document.querySelector(".scroll").scrollWidth - document.querySelector(".scroll").clientWidth`); over > 0 {
			w.t.Errorf("%s: the table is %d px wider than the window", path, over)
		}
	}
}

// contrasts gives the lowest contrast of any text to what is behind it.
const contrasts = `(() => {
	const channels = (c) => c.match(/[\d.]+/g).map(Number);
	const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
		.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	let least = {ratio: 99, text: "nothing"};
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walker.nextNode()) {
		const text = walker.currentNode.data.trim(), e = walker.currentNode.parentElement;
		if (!text || !e.checkVisibility() || e.closest("noscript, svg, option")) continue;
		let behind = e;
		while (behind && channels(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
		const [a, b] = [light(channels(getComputedStyle(e).color)), light(channels(getComputedStyle(behind ?? document.body).backgroundColor))];
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < least.ratio) least = {ratio, text: text.slice(0, 60) + " (" + e.tagName + " " + e.className + ")"};
	}
	for (const e of document.querySelectorAll("input[placeholder]")) {
		if (!e.checkVisibility()) continue;
		const [a, b] = [light(channels(getComputedStyle(e, "::placeholder").color)), light(channels(getComputedStyle(e).backgroundColor))];
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < least.ratio) least = {ratio, text: "the placeholder " + e.placeholder};
	}
	return least;
})()`

func (w *tab) scheme(name string) {
	w.t.Helper()
	w.run(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return err
	}))
}

func legible(w *tab) {
	s := populate(w.bench)
	sequence := s.keep("1", "reason")
	backgrounds := map[string]bool{}
	for _, scheme := range []string{"light", "dark"} {
		w.scheme(scheme)
		for _, path := range []string{"/", "/requests/" + s.key.String(), fmt.Sprintf("/dead-letters/%d", sequence), "/login"} {
			w.open(path)
			least := evaluate[struct {
				Ratio float64 `json:"ratio"`
				Text  string  `json:"text"`
			}](w, contrasts)
			if least.Ratio < 4.5 {
				w.t.Errorf("%s, %s: contrast %.2f at %s, AA wants 4.5", path, scheme, least.Ratio, least.Text)
			}
			backgrounds[evaluate[string](w, "getComputedStyle(document.body).backgroundColor")] = true
		}
	}
	if len(backgrounds) != 2 {
		w.t.Errorf("the schemes have the backgrounds %v", backgrounds)
	}
}

// populate makes requests in every state and returns one that failed.
func populate(b *bench) *events {
	b.t.Helper()
	sources := []string{"billing", "photos", "archive"}
	groups := []string{"stestgroup", "invoices", "images-eu", "mail-archive"}
	ago := func(i int) func(*schemas.JobSubmitting) {
		return func(c *schemas.JobSubmitting) {
			c.Request.SubclientName = groups[i%len(groups)]
			c.Request.BackupLevel = []string{"INCREMENTAL", "INCREMENTAL", "FULL"}[i%3]
			c.RequestedAt = time.Now().UTC().Add(-time.Duration(80+(i*i*37)%2600) * time.Millisecond)
		}
	}
	for i := range 24 {
		b.request(sources[i%3], fmt.Sprintf("inv-2026-11-24-%04d", i), ago(i)).submit().start(fmt.Sprint(5976 + i))
	}
	failed := b.request("photos", "img-batch-118", ago(7)).submit().fail("587207178", "Failed to start backups as no eligible subclients were found.")
	b.request("archive", "mail-q3", ago(9)).submit().fail(schemas.CodeOutcomeUnknown, "the answer was lost and jobs 6011 and 6012 may be the one")
	released := b.request("archive", "mail-q4", ago(3))
	released.claim.LeaseMillis = 0
	released.submit()
	doubt := b.request("billing", "inv-2026-11-24-0024", ago(4))
	doubt.claim.DoubtSequence = released.last
	doubt.submit()
	rejected := b.request("photos", "img-batch-117", ago(2))
	rejected.key = publisher.SequenceKey("photos", 77, rejected.claim.RequestedAt)
	rejected.append(&schemas.RequestRejected{
		Naming: rejected.claim.Names(), Message: rejected.claim.Message, First: rejected.claim.Message, RejectedAt: time.Now(),
		Reason: "the request id was used before, with other content",
	})
	b.request("billing", "inv-2026-11-24-0025", ago(1)).submit()
	b.request("photos", "img-batch-119", ago(0)).submit().start("6013")
	b.waitForRow("img-batch-119", "started")
	return failed
}

// withoutToken looks at the views of a page without a token: nothing can be changed, and it says so.
func withoutToken(w *tab) {
	s := populate(w.bench)
	sequence := s.keep("587207178", "no eligible subclients")
	w.queued("crm", "CHG-17", "waits")
	for _, path := range []string{
		"/", "/requests/" + s.key.String(), "/requests/photos/img-batch-119", "/dead-letters", fmt.Sprintf("/dead-letters/%d", sequence),
		"/cancel?all=yes", "/dead-letters/replay?all=yes", "/dead-letters/drop?all=yes", "/protection",
	} {
		w.open(path)
		w.shows("read-only")
		if n := evaluate[int](w, `document.querySelectorAll("form[method=post], a[href^='/login']").length`); n != 0 {
			w.t.Errorf("%s offers %d actions or sign-ins", path, n)
		}
		w.looksRight(path)
	}
}
