package page_test

import (
	"fmt"
	"strings"

	"github.com/chromedp/chromedp"
)

// unnamed lists what a reader of the screen could not use, in the manner of axe: elements without a
// name or role, ids that occur twice, references that lead nowhere, headings that skip a level.
const unnamed = `(() => {
	const wrong = [], say = (what, e) => wrong.push(what + ": " + (e ? e.outerHTML.slice(0, 100) : ""));
	const shown = (e) => e.checkVisibility() || e.closest(".unseen, .skip, thead");
	const nameOf = (e) => (e.getAttribute("aria-label") || (e.getAttribute("aria-labelledby") || "").split(" ").map((id) => document.getElementById(id)?.textContent || "").join("") ||
		[...(e.labels || [])].map((l) => l.textContent).join("") || e.textContent || e.getAttribute("title") || "").trim();
	if (!document.documentElement.lang || !document.title) say("no language or title");
	for (const [what, n] of [["main", 1], ["h1", 1], ["header", 1], ["footer", 1]])
		if (document.querySelectorAll("body " + what).length !== n) say("not one " + what);
	for (const e of document.querySelectorAll("a, button, summary, input:not([type=hidden]), select, textarea")) if (shown(e) && !nameOf(e)) say("no name", e);
	for (const e of document.querySelectorAll("nav, section, figure svg[role=img], form[role=search]"))
		if (shown(e) && e.childElementCount && !e.getAttribute("aria-label") && !e.getAttribute("aria-labelledby")) say("no label", e);
	for (const e of document.querySelectorAll("img:not([alt])")) say("no alt", e);
	for (const e of document.querySelectorAll("table")) if (!e.caption || [...e.rows].some((r) => r.getAttribute("role") !== "row")) say("a table without a caption or roles", e);
	for (const e of document.querySelectorAll("[aria-labelledby], [aria-describedby], label[for]"))
		for (const id of (e.getAttribute("aria-labelledby") || e.getAttribute("aria-describedby") || e.htmlFor).split(" ")) if (!document.getElementById(id)) say("a reference to nothing", e);
	for (const e of document.querySelectorAll("[tabindex]")) if (e.tabIndex > 0) say("its own order of keys", e);
	const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
	for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) say("an id twice " + id);
	let before = 0;
	for (const e of document.querySelectorAll("h1, h2, h3, h4")) { const level = +e.tagName[1]; if (level > before + 1) say("a heading that skips a level", e); before = level; }
	for (const e of document.querySelectorAll("dl > :not(div):not(dt):not(dd), ul > :not(li), ol > :not(li)")) say("not allowed here", e);
	return wrong;
})()`

// rolesAndNames checks every view, without a session and with one.
func rolesAndNames(w *tab) {
	failed := populate(w.bench)
	sequence := failed.keep("587207178", "no eligible subclients")
	w.queued("crm", "CHG-17", "waits")
	check := func(path string) {
		w.open(path)
		w.looksRight(path)
	}
	views := []string{"/", "/requests/" + failed.key.String(), "/dead-letters", fmt.Sprintf("/dead-letters/%d", sequence), "/protection", "/cancel", "/cancel?all=yes", "/dead-letters/replay?all=yes", "/dead-letters/drop?all=yes", "/requests/crm/waits"}
	for _, path := range append(views, "/login") {
		check(path)
	}
	w.signIn("/")
	for _, scheme := range []string{"light", "dark"} {
		w.scheme(scheme)
		for _, path := range views {
			check(path)
		}
	}
}

// looksRight checks roles, names and contrast of what is shown.
func (w *tab) looksRight(what string) {
	w.t.Helper()
	if wrong := evaluate[[]string](w, unnamed); len(wrong) > 0 {
		w.t.Errorf("%s:\n%s", what, strings.Join(wrong, "\n"))
	}
	least := evaluate[struct {
		Ratio float64 `json:"ratio"`
		Text  string  `json:"text"`
	}](w, contrasts)
	if least.Ratio < 4.5 {
		w.t.Errorf("%s: contrast %.2f at %s, AA wants 4.5", what, least.Ratio, least.Text)
	}
}

// signIn gets a session, with the keyboard only.
func (w *tab) signIn(next string) {
	w.t.Helper()
	w.open("/login?next=" + next)
	w.tabTo("input[name=actor]")
	w.keys("Ann")
	w.tabTo("input[name=token]")
	w.keys(token + "\r")
	w.shows("Sign out")
}

func (w *tab) keys(text string) {
	w.t.Helper()
	w.run(chromedp.KeyEvent(text))
}

// tabTo presses the tabulator until something has the focus, and checks that the focus is seen.
func (w *tab) tabTo(selector string) {
	w.t.Helper()
	for range 80 {
		w.keys("\t")
		if evaluate[bool](w, fmt.Sprintf("document.activeElement.matches(%q)", selector)) {
			if evaluate[string](w, "getComputedStyle(document.activeElement).outlineStyle") == "none" {
				w.t.Errorf("the focus on %s is not seen", selector)
			}
			return
		}
	}
	w.t.Fatalf("80 times the tabulator does not lead to %s; the page is\n%s", selector, w.text())
}

// keyboardOnly does every action with the keyboard, after it was refused without a session.
func keyboardOnly(w *tab) {
	s := w.request("billing", "broken").fail("587207178", "no eligible subclients")
	sequence := s.keep("587207178", "no eligible subclients")
	w.request("billing", "other").fail("587207178", "no eligible subclients").keep("587207178", "no eligible subclients")
	w.open("/")
	w.shows("broken")
	if n := evaluate[int](w, `document.querySelectorAll("form[method=post]").length`); n != 0 {
		w.t.Errorf("%d forms without a session", n)
	}
	w.keys("\t")
	if !evaluate[bool](w, `document.activeElement.matches(".skip")`) {
		w.t.Error("the first tabulator does not lead to the link that skips the head of the page")
	}
	w.signIn("/")
	w.tabTo(`form[action="/pause"] select`)
	w.tabTo(`form[action="/pause"] input[name=reason]`)
	w.keys("CHG-17\r")
	w.shows("by Ann (console)")
	w.tabTo(`form[action="/resume"] button`)
	w.keys("\r")
	w.waitFor("the form to pause", `document.querySelector('form[action="/pause"]') !== null`)
	w.open(fmt.Sprintf("/dead-letters/%d", sequence))
	w.tabTo(".replay button")
	w.keys("\r")
	w.shows("Replayed as broken-replay-1")
	w.open("/dead-letters?state=open")
	w.tabTo("#replay-all")
	w.keys("\r")
	w.shows("would replay: as other-replay-2")
	w.tabTo(".replay input[name=reason]")
	w.keys("CHG-17")
	w.tabTo(".replay button")
	w.keys("\r")
	w.shows("1 replayed.")
	w.open("/dead-letters?code=35:4618")
	w.tabTo("#drop-all")
	w.keys("\r")
	w.shows("2 dead letters are selected: 2 of billing; 2 replayed.")
	w.tabTo(".replay button")
	w.keys("\r") // without a reason the browser sends nothing
	w.waitFor("the field without a reason", `document.activeElement.matches(".replay input[name=reason]:invalid")`)
	w.keys("done since")
	w.tabTo(".replay button")
	w.keys("\r")
	w.shows("2 dropped.")
	w.looksRight("what was dropped")
	w.request("billing", "third").keep("587207178", "no eligible subclients")
	w.open("/dead-letters/3")
	w.tabTo(`form[action="/dead-letters/3/drop"] button`)
	w.keys("\r")
	w.waitFor("the field without a reason", `document.activeElement.matches("form[action='/dead-letters/3/drop'] input[name=reason]:invalid")`)
	w.looksRight("a dead letter with both forms")
	w.keys("test data\r")
	w.shows("Dead letter 3 was dropped.")
	w.looksRight("after the drop of one")
	w.tabTo(".signed button")
	w.keys("\r")
	w.shows("Sign in")
}

// keyboardCancel cancels requests and pauses a part of them with the keyboard, and no session is no way
// around.
func keyboardCancel(w *tab) {
	w.queued("crm", "CHG-17", "waits-1", "waits-2")
	w.queued("billing", "CHG-18", "stays")
	w.open("/cancel?label=ticket%3DCHG-17")
	w.shows("2 requests wait: 2 of crm.")
	w.tabTo("#do ~ p a")
	w.keys("\r")
	w.shows("Admin token")
	w.tabTo("input[name=actor]")
	w.keys("Ann")
	w.tabTo("input[name=token]")
	w.keys(token + "\r")
	w.shows("Sign out")
	w.tabTo(".replay input[name=reason]")
	w.keys("sent by mistake")
	w.tabTo(".replay button")
	w.keys("\r")
	w.shows("2 cancelled, 0 cancelled before, 0 refused.")
	w.looksRight("what was cancelled")
	if n := len(w.outcomes()); n != 2 {
		w.t.Errorf("%d requests were cancelled", n)
	}
	w.open("/")
	w.waitFor("live", live)
	w.tabTo(`form[action="/pause"] input[name=reason]`)
	w.keys("CHG-19")
	w.tabTo(`form[action="/pause"] summary`)
	w.keys("\r")
	w.tabTo(`form[action="/pause"] input[name=source]`)
	w.keys("billing")
	w.tabTo(`form[action="/pause"] button`)
	w.looksRight("the pause of a part")
	w.keys("\r")
	w.shows("source billing is paused until")
	w.looksRight("a part that is paused")
	w.tabTo(`ul.paused button`)
	w.keys("\r")
	w.waitFor("the end of the pause", `document.querySelector("ul.paused") === null`)
}

// keyboardWrongToken signs in after a wrong token, without a key to find the field again.
func keyboardWrongToken(w *tab) {
	w.open("/login?next=/protection")
	w.tabTo("input[name=actor]")
	w.keys("Ann")
	w.tabTo("input[name=token]")
	w.excused = "403" // the browser says that it was refused, as it should be
	w.keys("not the token\r")
	w.shows("this is not the token")
	w.waitFor("the focus on the field of the token", `document.activeElement.matches("input[name=token]")`)
	w.looksRight("the login after a wrong token")
	w.keys(token + "\r")
	w.shows("Sign out")
	if address := evaluate[string](w, "location.pathname"); address != "/protection" {
		w.t.Errorf("after the login it is at %s", address)
	}
}
