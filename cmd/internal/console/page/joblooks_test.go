package page_test

import (
	"fmt"

	"github.com/chromedp/chromedp"

	"backhaul/schemas"
)

// What TestBrowser looks at where jobs are acted on.

// vendorTab is a tab with a page that can act on the jobs of a simulator.
type vendorTab struct {
	*tab
	vendor vendorBench
}

// actOnAJob suspends, resumes and kills a job with the keyboard only.
func actOnAJob(w vendorTab) {
	_, job := w.vendor.runs("billing", "inv-7")
	const path = "/requests/billing/inv-7"
	w.open(path)
	w.shows("To suspend, resume or kill it, sign in")
	w.looksRight(path)
	w.tabTo("#jobacts a")
	w.keys("\r")
	w.shows("Admin token")
	w.tabTo("input[name=actor]")
	w.keys("Ann")
	w.tabTo("input[name=token]")
	w.keys(token + "\r")
	w.shows("Sign out")
	for _, scheme := range []string{"light", "dark"} {
		w.scheme(scheme)
		w.looksRight(path + " with a session, " + scheme)
	}
	for _, step := range []struct{ do, says string }{
		{"suspend", "The job was Running, and is Suspended."}, {"resume", "The job was Suspended, and is Running."},
	} {
		w.tabTo("#jobacts input[name=reason]")
		w.keys("CHG-17")
		w.tabTo(fmt.Sprintf("#jobacts button[value=%s]", step.do))
		w.keys("\r")
		w.shows(step.says)
		w.looksRight(step.do)
		w.tabTo("#done ~ p a")
		w.keys("\r")
		w.waitFor("the form", `document.querySelector("#jobacts form") !== null`)
	}
	// Without a reason the browser sends nothing.
	w.tabTo("#jobacts button[value=kill]")
	w.keys("\r")
	w.waitFor("the field without a reason", `document.activeElement.matches("#jobacts input[name=reason]:invalid")`)
	w.keys("CHG-18")
	w.tabTo("#jobacts button[value=kill]")
	w.keys("\r")
	w.shows("Kill it?")
	for _, scheme := range []string{"light", "dark"} {
		w.scheme(scheme)
		w.looksRight("the question, " + scheme)
	}
	w.tabTo("button.danger")
	w.keys("\r")
	w.shows("The job was Running, and is Killed.")
	if calls, records := w.vendor.touched(); calls != 3 || len(records) != 3 || records[2].Reason != "CHG-18" || records[2].JobID != job {
		w.t.Errorf("the vendor was asked %d times, records %+v", calls, records)
	}
}

// fillingIn changes the page while somebody fills in a form: the form stays until it is left.
func fillingIn(w vendorTab) {
	s, job := w.vendor.runs("billing", "inv-7")
	w.signIn("/requests/billing/inv-7")
	w.waitFor("live", live)
	w.tabTo("#jobacts input[name=reason]")
	w.keys("wrong gr")
	s.end(job, schemas.OutcomeCompleted)
	w.waitFor("the end of the job", `document.querySelector("#jobs .status").innerText.toLowerCase() === "completed"`)
	w.keys("oup")
	if got := evaluate[string](w.tab, `document.activeElement.value`); got != "wrong group" {
		w.t.Errorf("the field has %q", got)
	}
	evaluate[string](w.tab, `document.activeElement.value = ""`)
	w.tabTo("#timeline summary")
	w.waitFor("the end of the form", `document.querySelector("#jobacts form") === null`)
}

// jobPictures takes pictures of a request whose job can be acted on, of the question and the result.
func jobPictures(w vendorTab) {
	_, job := w.vendor.runs("billing", "inv-2026-11-24-0007")
	const path = "/requests/billing/inv-2026-11-24-0007"
	w.signIn(path)
	w.eachLook(func(look string) {
		w.open(path)
		w.waitFor("live", live)
		w.picture("job", look)
		w.run(chromedp.SetValue(chromedp.CSS("#jobacts input[name=reason]"), "wrong content group, CHG-17"))
		w.follow("#jobacts button[value=kill]")
		w.shows("Kill it?")
		w.picture("job-kill", look)
	})
	w.follow("button.danger")
	w.shows("The job was Running, and is Killed.")
	if calls, _ := w.vendor.touched(); calls != 1 {
		w.t.Errorf("job %s was touched %d times", job, calls)
	}
}
