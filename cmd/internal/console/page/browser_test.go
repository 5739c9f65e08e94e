package page_test

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"backhaul/cmd/internal/browsertest"
	"backhaul/cmd/internal/console/page"
)

var (
	screenshots  = flag.String("screenshots", "", "directory to write pictures of the page to")
	manyRequests = flag.Int("page.requests", 20_000, "requests in the stream for BenchmarkFirstPaint")
)

// browserTimeout bounds one test in the browser.
const browserTimeout = 90 * time.Second

// TestBrowser looks at the page as people do, in one headless Chromium with a tab
// for each test.
func TestBrowser(t *testing.T) {
	browser := browsertest.Start(t)
	for name, test := range map[string]func(*tab){
		"rows appear":             rowsAppear,
		"filter":                  filter,
		"detail":                  detail,
		"a job ends":              jobEnds,
		"replay":                  replay,
		"without JavaScript":      withoutScript,
		"hostile text":            hostileText,
		"broker away":             brokerAway,
		"updates can be held":     holdUpdates,
		"phone":                   phone,
		"one line":                oneLine,
		"roles and names":         rolesAndNames,
		"keyboard only":           keyboardOnly,
		"keyboard only, requests": keyboardCancel,
		"keyboard only, wrong":    keyboardWrongToken,
		"colours are legible":     legible,
		"pictures for the README": pictures,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(openTab(browser, newBench(t)))
		})
	}
	t.Run("without a token", func(t *testing.T) {
		t.Parallel()
		withoutToken(openTab(browser, newBench(t, func(c *page.Config) { c.Token = nil })))
	})
	for name, test := range map[string]func(vendorTab){
		"act on a job":              actOnAJob,
		"a form that is filled in":  fillingIn,
		"pictures of acts on a job": jobPictures,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newVendorBench(t, 5*time.Second)
			test(vendorTab{openTab(browser, b.bench), b})
		})
	}
	for name, test := range map[string]func(*tab){
		"protection":                    protectionLive,
		"protection without JavaScript": protectionWithoutScript,
		"protection on a phone":         protectionOnAPhone,
		"protection is legible":         protectionLegible,
		"pictures of protection":        protectionPictures,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(openTab(browser, newPromising(t, gold)))
		})
	}
}

// BenchmarkFirstPaint opens the page with many requests in the stream: with a
// state that has read nothing yet, and then again.
func BenchmarkFirstPaint(b *testing.B) {
	w := openTab(browsertest.Start(b), newBench(b))
	w.fill(*manyRequests)
	paint := func() float64 {
		w.open("/")
		w.waitFor("a painted page", `performance.getEntriesByName("first-contentful-paint").length === 1`)
		w.shows(fmt.Sprintf("many-%d", *manyRequests-1))
		return evaluate[float64](w, `performance.getEntriesByName("first-contentful-paint")[0].startTime`)
	}
	cold := paint()
	var warm float64
	for b.Loop() {
		warm += paint()
	}
	b.ReportMetric(cold, "ms/first-paint-cold")
	b.ReportMetric(warm/float64(b.N), "ms/first-paint")
}

// tab is one tab of the browser with a page of its own behind it. The test fails
// if it asks anybody else for anything, or if the console has an error.
type tab struct {
	*bench
	ctx context.Context //nolint:containedctx // chromedp's handle of a tab is a context

	mu    sync.Mutex
	wrong []string
	// excused is a piece of the console's errors that a test makes on purpose.
	excused string
}

func openTab(browser context.Context, b *bench) *tab {
	b.t.Helper()
	t := b.t
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	ctx, stop := context.WithTimeout(ctx, browserTimeout)
	w := &tab{bench: b, ctx: ctx}
	w.do("listen", chromedp.Listen(ctx, func(ev any) {
		if e, ok := ev.(*network.EventRequestWillBeSent); ok && !strings.HasPrefix(e.Request.URL, b.url+"/") {
			w.note("a request to " + e.Request.URL)
		}
	}))
	messages := chromedp.Console(ctx)
	var reading sync.WaitGroup
	reading.Go(func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			if text := m.String(); m.IsException() || strings.Contains(strings.ToLower(text), "error") || strings.Contains(text, "Refused") {
				w.note(text)
			}
		}
	})
	w.run(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, network.Enable, network.EnableParams{})
		return err
	}))
	t.Cleanup(func() {
		stop()
		cancel()
		reading.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, wrong := range w.wrong {
			if w.excused == "" || !strings.Contains(wrong, w.excused) {
				t.Errorf("in the browser: %s", wrong)
			}
		}
	})
	return w
}

func (w *tab) note(wrong string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, wrong)
}

func (w *tab) do(what string, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
}

func (w *tab) run(steps ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	if err := chromedp.Do(w.ctx, steps...); err != nil {
		w.t.Fatalf("%v; the page is\n%s", err, w.text())
	}
}

func (w *tab) text() string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), 5*time.Second)
	defer cancel()
	text, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body ? document.body.innerText : ''"))
	return text
}

func (w *tab) open(path string) { w.t.Helper(); w.run(chromedp.Navigate(w.url + path)) }

// follow clicks something that leads to another page. It is found and clicked in one step: the
// page renews its rows meanwhile.
func (w *tab) follow(selector string) {
	w.t.Helper()
	w.waitFor(selector, fmt.Sprintf("(e => e && e.checkVisibility())(document.querySelector(%q))", selector))
	if _, err := chromedp.RunResponse(w.ctx, chromedp.Evaluate[chromedp.Void](fmt.Sprintf("document.querySelector(%q).click() ?? {}", selector))); err != nil {
		w.t.Fatalf("click on %s: %v; the page is\n%s", selector, err, w.text())
	}
}

func evaluate[T any](w *tab, expression string) T {
	w.t.Helper()
	value, err := chromedp.Run(w.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		w.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// waitFor waits until an expression is true in the page.
func (w *tab) waitFor(what, expression string) {
	w.t.Helper()
	for {
		is, err := chromedp.Run(w.ctx, chromedp.Evaluate[bool](expression))
		if is {
			return
		}
		if w.ctx.Err() != nil {
			w.t.Fatalf("no %s (%s): %v; the page is\n%s", what, expression, err, w.text())
		}
		select {
		case <-w.ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// shows waits until the page says something.
func (w *tab) shows(text string) {
	w.t.Helper()
	w.waitFor(fmt.Sprintf("%q", text), fmt.Sprintf("document.body !== null && document.body.innerText.includes(%q)", text))
}

const live = `document.getElementById("live").dataset.state === "on"`
