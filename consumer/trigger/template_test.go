package trigger

import (
	"fmt"
	"strings"
	"testing"
)

// A template leads each change to the content group that its values name.
func TestMatch_fillsTemplates(t *testing.T) {
	rs := parse(t, `routes:
- {container: "team-*-tmp", ignore: true}
- {container: team-special, window: {quiet: 7s}, blackout: [{schedule: "0 8 * * *", duration: 1h}]`+to("team-special")+`
- {container: team-*, clientName: c, subclientName: "{container}", labels: {from: "{system}"}, directive: {container: "{container}", prefix: ".backhaul/{container}/"}}
- {container: azure, account: "", clientName: c, subclientName: "{account}.{container}"}
- {container: shared, clientName: c, subclientName: "{prefix:2}-of-{prefix:1}"}
- {container: shared`+to("rest")+`
- {container: "*-logs", clientName: c, subclientName: "a{{b}}{container}"}
- {container: alias, clientName: c, subclientName: "team-{prefix:1}"}
`)
	for name, want := range map[string]string{
		"team-a k":               "c/team-a",
		"team- k":                "c/team-",
		"team-x-tmp k":           "ignored",
		"team-special k":         "c/team-special",
		"team-a .backhaul/x":     "directive",
		"team-b .backhaul/x":     "directive",
		"shared .backhaul/x":     "c/rest",
		"azure k":                "no-route",
		"shared a/b/c":           "c/b-of-a",
		"shared a/b/":            "c/b-of-a",
		"shared a/b":             "c/rest",
		"shared a//b":            "c/rest",
		"shared /a/b":            "c/rest",
		"shared a/b\x01/c":       "c/rest",
		"my-logs k":              "c/a{b}my-logs",
		"-logs k":                "c/a{b}-logs",
		"logs k":                 "no-route",
		"alias special/x":        "c/team-special",
		"shared " + long + "/x/": "c/rest",
	} {
		container, key, _ := strings.Cut(name, " ")
		routes, reason := rs.Match(Change{Kind: KindCreated, System: "site", Container: container, Key: key})
		got := string(reason)
		if len(routes) == 1 {
			got = routes[0].Group().String()
		}
		if got != want || len(routes) > 1 {
			t.Errorf("%s: %d routes, %s, want %s", name, len(routes), got, want)
		}
	}
	azure, _ := rs.Match(Change{Kind: KindCreated, Account: "acc", Container: "azure", Key: "k"})
	if len(azure) != 1 || azure[0].Group().String() != "c/acc.azure" {
		t.Errorf("with an account: %+v", azure)
	}
	if special, _ := rs.Match(Change{Kind: KindCreated, Container: "alias", Key: "special/x"}); len(special) != 1 || !special[0].Blackout.Equal(rs.All()[1].Blackout) {
		t.Errorf("the template has %s, not the blackout of the group's own route", special[0].Blackout)
	}
	first, _ := rs.Match(Change{Kind: KindCreated, System: "site", Container: "team-a", Key: "k"})
	again, _ := rs.Match(Change{Kind: KindCreated, System: "site", Container: "team-a", Key: "l"})
	other, _ := rs.Match(Change{Kind: KindCreated, System: "elsewhere", Container: "team-a", Key: "l"})
	if first[0] != again[0] || first[0].Request.Labels["from"] != "site" || other[0].Request.Labels["from"] != "elsewhere" ||
		*first[0].Directive != (Directive{"team-a", ".backhaul/team-a/"}) {
		t.Errorf("got %+v, %+v, %+v", first[0], again[0], other[0])
	}
	// The settings of a content group are those of its own route.
	alias, _ := rs.Match(Change{Kind: KindCreated, Container: "alias", Key: "special/x"})
	if own := rs.All()[1]; alias[0].Window != own.Window || alias[0].Place.Container != "alias" {
		t.Errorf("got %+v, want the window of %+v", alias[0], own)
	}
	if template := rs.All()[2]; !template.IsTemplate() || template.Group().String() != "c/{container}" {
		t.Errorf("got %+v", template)
	}
}

var long = strings.Repeat("x", 2000)

func TestNewRoutes_refusesTemplates(t *testing.T) {
	for _, c := range []struct{ member, want string }{
		{"{", "subclientName has a single brace"},
		{"}", "subclientName has a single brace"},
		{"a}b", "subclientName has a single brace"},
		{"{prefix:0}", "subclientName has {prefix:0}, which is no placeholder"},
		{"{prefix:01}", "no placeholder"},
		{"{prefix:17}", "no placeholder"},
		{"{prefix}", "no placeholder"},
		{"{Container}", "no placeholder"},
		{"{}", "no placeholder"},
	} {
		r := Route{Name: "r", Place: Place{Container: "a"}}
		r.Request.ClientName, r.Request.SubclientName = "c", c.member
		if _, err := NewRoutes("f", "", []Route{r}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.member, err, c.want)
		}
	}
	r := Route{Name: "r", Place: Place{Container: "a"}, Directive: &Directive{Container: "a", Prefix: "{container}/"}}
	r.Request.ClientName, r.Request.SubclientName = "c", "g"
	if _, err := NewRoutes("f", "", []Route{r}); err == nil || !strings.Contains(err.Error(), "before its first placeholder") {
		t.Errorf("a prefix that may be anything: %v", err)
	}
}

// A renamed directory leads to a group only if its name has all folders of the template.
func TestMatch_ofDirectoriesByTemplates(t *testing.T) {
	rs := parse(t, `routes:
- {container: a, clientName: c, subclientName: "{prefix:2}"}
- {container: a`+to("rest"))
	for key, want := range map[string]string{"x/": "rest", "x/y/": "y", "x/y/z/": "y", "": "rest"} {
		routes, _ := rs.Match(Change{Kind: KindCreated, Container: "a", Key: key, Tree: true})
		if len(routes) != 1 || routes[0].Request.SubclientName != want {
			t.Errorf("%q: got %+v, want %s", key, routes, want)
		}
	}
}

// Forgotten instances are made again.
func TestMatch_boundsItsInstances(t *testing.T) {
	rs := parse(t, `routes: [{container: "*", clientName: c, subclientName: "{container}"}]`)
	for i := range maxInstances + 10 {
		rs.instance(0, &Change{Container: fmt.Sprint("b", i)})
	}
	if n := len(rs.instances.known); n != 10 {
		t.Errorf("%d instances are kept", n)
	}
	if routes, _ := rs.Match(Change{Kind: KindCreated, Container: "b0", Key: "k"}); len(routes) != 1 || routes[0].Request.SubclientName != "b0" {
		t.Errorf("got %+v", routes)
	}
}
