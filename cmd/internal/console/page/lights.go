package page

import (
	"fmt"
	"strings"
	"time"

	"backhaul/cmd/internal/console/state"
	"backhaul/cmd/internal/queue"
	"backhaul/consumer/budget"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// light is one thing that is well or not, in a word.
type light struct {
	Name, Word, Detail string
	Level              level
}

// level is how bad it is; it never stands alone, the word says it too.
type level string

const (
	neutral level = "none"
	well    level = "ok"
	warning level = "warn"
	bad     level = "bad"
)

func (p *Page) lights(v state.View, now time.Time) []light {
	nats := light{"NATS", "connected", "", well}
	if v.Stale != "" {
		nats = light{"Events", "stale", v.Stale, warning}
		if strings.HasPrefix(v.Stale, "NATS ") {
			nats = light{"NATS", "not connected", "what is shown may be out of date", bad}
		}
	}
	lights := []light{nats, p.vendorLight(), p.breakerLight()}
	if p.cfg.Vendor.Budget != nil {
		lights = append(lights, budgetLight(p.cfg.Vendor.Budget()))
	}
	if v.Archive != nil {
		lights = append(lights, archiveLight(*v.Archive, v.At))
	}
	return append(lights, p.queueLight(v, now))
}

// lateArchive is how long an event may wait until it is archived.
const lateArchive = 15 * time.Minute

// archiveLight shows until when events are archived.
func archiveLight(a queue.Archive, now time.Time) light {
	word, detail := "nothing archived yet", ""
	if !a.Until.IsZero() {
		word = "until " + a.Until.Format("2006-01-02 15:04:05 UTC")
	} else if a.Lag == 0 {
		word = "has every event that the stream has"
	}
	if a.Lag > 0 {
		detail = fmt.Sprintf("%d events are not archived yet", a.Lag)
	}
	switch {
	case !a.Read:
		return light{"Archive", word, strings.TrimPrefix(detail+"; no replica archives", "; "), warning}
	case a.Lag > 0 && now.Sub(a.Until) > lateArchive:
		return light{"Archive", word, detail, warning}
	}
	return light{"Archive", word, detail, well}
}

// budgetLight shows the budget of writing calls.
func budgetLight(v budget.View, trouble error) light {
	word := fmt.Sprintf("%d of %d left", v.Left, v.Limit)
	switch {
	case v.AsOf.IsZero() && trouble != nil:
		return light{"Budget", "not known", trouble.Error(), bad}
	case trouble != nil:
		return light{"Budget", word, trouble.Error(), warning}
	case v.Next.IsZero():
		return light{"Budget", word, "", well}
	}
	return light{"Budget", word, "the next writing call may be made at " + v.Next.Format("15:04:05 UTC"), neutral}
}

func (p *Page) vendorLight() light {
	if p.cfg.Vendor.Trouble == nil {
		return light{"Vendor", "not watched", "", neutral}
	}
	if err := p.cfg.Vendor.Trouble(); err != nil {
		return light{"Vendor", "in trouble", err.Error(), bad}
	}
	if p.cfg.Vendor.Remark != nil {
		if remark := p.cfg.Vendor.Remark(); remark != "" {
			return light{"Vendor", remark, "", neutral}
		}
	}
	return light{"Vendor", "answers", "", well}
}

func (p *Page) breakerLight() light {
	closed := light{"Breaker", "closed", "", well}
	if p.cfg.Vendor.Cooldown == nil {
		return closed
	}
	cooldown := p.cfg.Vendor.Cooldown()
	wait := "no job is started for " + duration(cooldown.For)
	switch cooldown.Reason {
	case vendorapi.CooldownOutage:
		return light{"Breaker", "open", wait, bad}
	case vendorapi.CooldownThrottled:
		return light{"Breaker", "closed", cooldown.Reason.Text() + ": " + wait, warning}
	case vendorapi.CooldownLogin:
		return light{"Breaker", "closed", cooldown.Reason.Text() + ": " + wait, bad}
	case vendorapi.CooldownRate:
		return light{"Breaker", "closed", cooldown.Reason.Text() + ": " + wait, warning}
	case vendorapi.CooldownBudget:
		return light{"Breaker", "closed", cooldown.Reason.Text() + ": " + wait, warning}
	default:
		return closed
	}
}

func (p *Page) queueLight(v state.View, now time.Time) light {
	switch {
	case v.QueueAt.IsZero():
		return light{"Queue", "unknown", "", warning}
	case away(v) != "":
		return light{"Queue", "unknown", "", warning}
	case v.Queue.PausedFor > 0:
		until := v.QueueAt.Add(v.Queue.PausedFor)
		if until.After(now) {
			return light{"Queue", "paused", fmt.Sprintf("until %s%s", until.UTC().Format("2006-01-02 15:04:05 UTC"), pausedBy(v, until)), warning}
		}
	case v.Queue.Pulls == 0 && v.Queue.Waiting > 0 && p.limited():
		return light{"Queue", "waits", "starts are scarce: requests are taken by priority and source", warning}
	case v.Queue.Pulls == 0 && v.Queue.Waiting > 0 && v.Queue.InFlight == 0:
		return light{"Queue", "not read", "no replica asks for work", bad}
	}
	return light{"Queue", "running", "", well}
}

// pausedBy returns who paused the queue until a time, and why, to go on from when the pause ends.
func pausedBy(v state.View, until time.Time) string {
	const slack = 3 * time.Second // the end is reckoned from an answer
	if wait := v.VendorWait; wait.Until.Sub(until).Abs() <= slack {
		return (&queue.PausedBy{Vendor: true, VendorWait: &wait}).Text()
	}
	for _, a := range v.Actions {
		switch {
		case a.Name == schemas.ActionPause && a.Until.Sub(until).Abs() <= slack && a.Reason != "":
			return ", by " + a.Actor + ": " + a.Reason
		case a.Name == schemas.ActionPause && a.Until.Sub(until).Abs() <= slack:
			return ", by " + a.Actor
		case a.Name == schemas.ActionResume:
			return ""
		}
	}
	if !v.Complete {
		return ""
	}
	return ", by no operator on record: the vendor asked, or another tool did it"
}

// limited reports whether this replica starts nothing because of a limit. Then no pull is open.
func (p *Page) limited() bool {
	return p.cfg.Vendor.Cooldown != nil && p.cfg.Vendor.Cooldown().Reason.Limit()
}
