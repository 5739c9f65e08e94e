package telemetry

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"backhaul/cmd/internal/protection"
	"backhaul/cmd/internal/protection/watch"
	"backhaul/schemas"
)

func TestProtection_gauges(t *testing.T) {
	now := time.Now()
	gold := protection.Objective{Name: "gold", Owner: "team", RPO: time.Hour}
	group := func(name string, o protection.Objective, promised bool, status watch.Status, exposed, limit time.Duration) watch.Standing {
		s := watch.Standing{State: protection.State{Group: protection.Group{Client: "c", Subclient: name}}, Objective: o, Promised: promised, Status: status}
		if exposed != 0 {
			s.ExposedSince = now.Add(-exposed)
		}
		switch {
		case status == watch.Breached:
			s.Broken = []protection.Broken{{Since: now.Add(limit)}}
		case limit != 0:
			s.Limit = now.Add(limit)
		}
		return s
	}
	breached := group("one", gold, true, watch.Breached, 2*time.Hour, -time.Hour)
	view := watch.View{At: now, Promises: []protection.Objective{gold, {Name: "new"}}, Groups: []watch.Standing{
		breached, group("two", gold, true, watch.Exposed, time.Minute, 59*time.Minute), group("three", gold, true, watch.Covered, 0, 0),
		group("nothing-promised", protection.Objective{}, false, watch.Exposed, 9*time.Hour, 0), // nothing is promised
	}}
	m := NewMetrics(Build{})
	m.WatchProtection(func() watch.View { return view })
	m.ProtectionPublished(schemas.ProtectionEvent{State: schemas.ProtectionBreached})
	text := scrape(t, m, "")
	has(t, text,
		`backhaul_protection_groups{objective="gold",owner="team",status="breached"} 1`, `backhaul_protection_groups{objective="gold",owner="team",status="exposed"} 1`,
		`backhaul_protection_groups{objective="gold",owner="team",status="unproven"} 0`, `backhaul_protection_groups{objective="gold",owner="team",status="covered"} 1`,
		`backhaul_protection_groups{objective="new",owner="",status="breached"} 0`, `backhaul_protection_exposed_seconds{objective="gold",owner="team"} 7200`,
		`backhaul_protection_exposed_seconds{objective="new",owner=""} 0`, `backhaul_protection_margin_seconds{objective="gold",owner="team"} -3600`,
		`backhaul_protection_breached{client="c",group="one",id="`+breached.Hash()+`",objective="gold",owner="team"} 1`,
		`backhaul_protection_events_total{state="breached"} 1`, `backhaul_protection_events_total{state="restored"} 0`,
	)
	if strings.Contains(text, "nothing-promised") || strings.Contains(text, `margin_seconds{objective="new"`) {
		t.Errorf("series of what nothing is promised for:\n%s", text)
	}

	// Any number of groups makes a bounded number of series, whatever their names.
	count := func() int {
		n, err := testutil.GatherAndCount(m.registry, "backhaul_protection_groups", "backhaul_protection_exposed_seconds", "backhaul_protection_margin_seconds", "backhaul_protection_breached")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := count()
	for i := range 1000 {
		view.Groups = append(view.Groups, group(fmt.Sprint("bad \xff", i), gold, true, watch.Breached, time.Hour, -time.Minute))
	}
	if after := count(); after != before+maxBreaches-1 {
		t.Errorf("%d series with 1001 breached groups, %d with one", after, before)
	}
	has(t, scrape(t, m, ""), `backhaul_protection_groups{objective="gold",owner="team",status="breached"} 1001`)

	view = watch.View{} // the events were not read yet
	if n := count(); n != 0 {
		t.Errorf("%d series before the events were read", n)
	}
}
