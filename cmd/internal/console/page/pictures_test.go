package page_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/chromedp/chromedp"

	"backhaul/cmd/internal/deadletter"
	"backhaul/cmd/internal/operator"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// pictures writes what the README shows, and the other views, where a flag says so.
func pictures(w *tab) {
	failed := populate(w.bench)
	sequence := failed.keep("587207178", "Failed to start backups as no eligible subclients were found.")
	shoot := func(views map[string]string) {
		w.eachLook(func(look string) {
			for name, path := range views {
				w.open(path)
				if path == "/" {
					w.waitFor("live", live)
				}
				w.picture(name, look)
			}
		})
	}
	shoot(map[string]string{
		"console": "/", "request": "/requests/" + failed.key.String(),
		"dead-letter": fmt.Sprintf("/dead-letters/%d", sequence), "sign-in": "/login",
	})
	for i, group := range []string{"invoices", "mail-archive", "images-eu"} {
		w.request("photos", fmt.Sprintf("img-batch-%d", 120+i), func(c *schemas.JobSubmitting) { c.Request.SubclientName = group }).
			keep("587207178", "Failed to start backups as no eligible subclients were found.")
	}
	for _, letter := range []uint64{sequence + 1, sequence + 2} {
		if err := replayed(w.bench, letter); err != nil {
			w.t.Fatal(err)
		}
	}
	w.request("photos", fmt.Sprintf("img-batch-121-replay-%d", sequence+2)).submit().start("6014")
	js := natstest.JetStream(w.t, w.nats.Connect(w.t))
	for i, group := range []string{"invoices", "mail-archive"} {
		data := fmt.Appendf(nil, `{"requestId":"crm-2026-11-24-%04d","clientName":"s-adhoc-object-storage","subclientName":%q}`, i+1, group)
		if _, err := js.Publish(w.t.Context(), "backup.request.crm", data); err != nil {
			w.t.Fatal(err)
		}
	}
	shoot(map[string]string{"dead-letters": "/dead-letters", "request-waits": "/requests/crm/crm-2026-11-24-0001"})
	w.signIn("/")
	shoot(map[string]string{"cancel": "/cancel?source=crm", "replay": "/dead-letters/replay?all=yes", "drop": "/dead-letters/drop?code=35:4618"})
}

// replayed replays a dead letter.
func replayed(b *bench, number uint64) error {
	store, err := deadletter.New(b.nats.Connect(b.t))
	if err != nil {
		return err
	}
	letter, err := store.Get(b.t.Context(), number)
	if err != nil {
		return err
	}
	_, err = store.Replay(b.t.Context(), letter, deadletter.Order{By: operator.By{Actor: "Ann (console)", Reason: "content group made, CHG-17"}})
	return err
}

// eachLook does something in a window in both schemes, and on a phone.
func (w *tab) eachLook(do func(look string)) {
	w.t.Helper()
	for _, look := range []string{"dark", "light", "phone"} {
		if look == "phone" {
			w.run(chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile))
		} else {
			w.scheme(look)
			w.run(chromedp.EmulateViewport(1280, 960))
		}
		do(look)
	}
}

// picture checks that what is shown fits on the screen, and takes a picture of it.
func (w *tab) picture(name, look string) {
	w.t.Helper()
	w.fits(name + ", " + look)
	w.keepPicture(name + "-" + look)
}

// keepPicture takes a picture of what is on the screen, and keeps it where a flag says so.
func (w *tab) keepPicture(name string) {
	w.t.Helper()
	data, err := chromedp.Run(w.ctx, chromedp.CaptureScreenshot())
	w.do("take a picture", err)
	if len(data) > 300<<10 {
		w.t.Errorf("the picture %s has %d bytes", name, len(data))
	}
	if *screenshots != "" {
		w.do("keep the picture", errors.Join(os.MkdirAll(*screenshots, 0o755), os.WriteFile(filepath.Join(*screenshots, name+".png"), data, 0o644)))
	}
}
