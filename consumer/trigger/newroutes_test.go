package trigger

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"backhaul/schemas"
)

// routeTo returns a valid route from a container to a content group.
func routeTo(container, group string) Route {
	return Route{
		Name: container, Place: Place{Container: container},
		Request: schemas.BackupRequest{ClientName: "c", SubclientName: group},
	}
}

func TestNewRoutes_fillsInDefaults(t *testing.T) {
	short := routeTo("b", "h")
	short.Window.Quiet = time.Second
	given := []Route{routeTo("a", "g"), {Place: Place{Container: "i"}, Ignore: true}, short}
	rs, err := NewRoutes("r.yaml", "", given)
	if err != nil {
		t.Fatal(err)
	}
	all := rs.All()
	if rs.Source != "storage" || rs.File != "r.yaml" || all[0].Window != DefaultWindow || all[0].Request.InstanceName != "c" ||
		all[2].Window != (Window{time.Second, 5 * time.Minute, 1000}) {
		t.Errorf("got %+v, routes %+v, %+v", rs, all[0], all[2])
	}
	if !slices.Equal(all[0].Events, []Kind{KindCreated}) || !slices.Equal(all[1].Events, []Kind{KindCreated, KindDeleted}) {
		t.Errorf("got the events %q and, to ignore, %q", all[0].Events, all[1].Events)
	}
	if given[0].Events != nil {
		t.Error("the caller's routes were changed")
	}
}

func TestNewRoutes_refusesWhatTheTriggerCannotWorkWith(t *testing.T) {
	lists := &Directive{Container: "l", Prefix: "x/"}
	for name, c := range map[string]struct {
		change func(r *Route)
		want   string
	}{
		"container":        {func(r *Route) { r.Place.Container = "" }, `route "b": has no container`},
		"request":          {func(r *Route) { r.Request.ClientName = "" }, "/clientName: must not be empty"},
		"quiet time":       {func(r *Route) { r.Window.Quiet = time.Millisecond }, "Quiet must be from 100ms"},
		"quiet for longer": {func(r *Route) { r.Window.Quiet = time.Hour }, "to Max"},
		"longest time":     {func(r *Route) { r.Window.Max = 25 * time.Hour }, "Max at most 24h0m0s"},
		"no paths":         {func(r *Route) { r.Window.MaxPaths = -1 }, "MaxPaths from 1"},
		"too many paths":   {func(r *Route) { r.Window.MaxPaths = MaxPaths + 1 }, "to 100000"},
		"directive":        {func(r *Route) { r.Directive = &Directive{Prefix: "x/"} }, "needs a container"},
		"directive's end":  {func(r *Route) { r.Directive = &Directive{Container: "l", Prefix: "x"} }, "ends in a slash"},
		"FULL":             {func(r *Route) { r.Directive, r.Request.BackupLevel = lists, "FULL" }, "INCREMENTAL only"},
		"labels": {func(r *Route) {
			r.Request.Labels = make(map[string]string)
			for i := range MaxLabels + 1 {
				r.Request.Labels[fmt.Sprint("l", i)] = "v"
			}
		}, "has 25 labels"},
		"another window":    {func(r *Route) { r.Window.Quiet = time.Second }, `another window than route "a" of the same content group c/g`},
		"another directive": {func(r *Route) { r.Directive = lists }, "another directive"},
		"another request":   {func(r *Route) { r.Request.StoragePolicyName = "p" }, "another backupLevel"},
	} {
		r := routeTo("b", "g")
		c.change(&r)
		if _, err := NewRoutes("r.yaml", "", []Route{routeTo("a", "g"), r}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	if _, err := NewRoutes("r.yaml", "a.b", []Route{routeTo("a", "g")}); err == nil || !strings.Contains(err.Error(), `source "a.b"`) {
		t.Errorf("a source of two tokens: got %v", err)
	}
}

func TestRoute_Differs(t *testing.T) {
	one, two := routeTo("a", "g"), routeTo("b", "g")
	one.Directive, two.Directive = &Directive{"l", "x/"}, &Directive{"l", "x/"}
	if got := one.Differs(&two); got != "" {
		t.Errorf("equal routes of two containers: got %q", got)
	}
	two.Directive.Prefix = "y/"
	if got := one.Differs(&two); got != "directive" {
		t.Errorf("two prefixes: got %q", got)
	}
	two.Directive.Prefix = "x/"
	two.Blackout = parse(t, `routes: [{container: a, blackout: [{schedule: "0 8 * * *", duration: 1h}]`+to("g")+"]").All()[0].Blackout
	if got := one.Differs(&two); got != "blackout" {
		t.Errorf("one blackout: got %q", got)
	}
}
