package trigger

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestDisagreements(t *testing.T) {
	const slow = ", window: {max: 1h}"
	for name, c := range map[string]struct {
		first, second string // routes without braces
		want          string // "", "perhaps" or "surely"
	}{
		"one group":            {"container: a, clientName: c, subclientName: g", "container: b, clientName: c, subclientName: g", "surely"},
		"two groups":           {"container: a, clientName: c, subclientName: g", "container: a, clientName: c, subclientName: h", ""},
		"other containers":     {"container: team-*, clientName: c, subclientName: '{container}'", "container: proj-*, clientName: c, subclientName: '{container}'", ""},
		"an exception":         {"container: team-*, clientName: c, subclientName: '{container}'", "container: '*', clientName: c, subclientName: '{container}'", ""},
		"a part before":        {"container: team-*, prefix: x/, clientName: c, subclientName: '{container}'", "container: '*', clientName: c, subclientName: '{container}'", "surely"},
		"some names before":    {"container: team-*, suffix: .pdf, clientName: c, subclientName: '{container}'", "container: '*', clientName: c, subclientName: '{container}'", "surely"},
		"fewer events before":  {"container: team-*, clientName: c, subclientName: '{container}'", "container: '*', events: [created, deleted], clientName: c, subclientName: '{container}'", "surely"},
		"only some before":     {"container: team-*, clientName: c, subclientName: '{container}', labels: {a: '{account}'}", "container: '*', clientName: c, subclientName: '{container}'", "surely"},
		"a template and one":   {"container: team-*, clientName: c, subclientName: '{container}'", "container: a, clientName: c, subclientName: team-x", ""},
		"other texts":          {"container: '*', prefix: x/, clientName: c, subclientName: '{container}'", "container: '*', clientName: c, subclientName: 'team-{prefix:1}'", "perhaps"},
		"other folders":        {"container: '*', prefix: x/, clientName: c, subclientName: '{prefix:1}'", "container: '*', prefix: y/z, clientName: c, subclientName: '{prefix:1}'", ""},
		"folders that go on":   {"container: '*', prefix: x, clientName: c, subclientName: '{prefix:1}'", "container: '*', prefix: y/, clientName: c, subclientName: '{prefix:1}'", "surely"},
		"other clients":        {"container: a, clientName: c-1, subclientName: '{prefix:1}'", "container: b, clientName: c-2, subclientName: '{prefix:1}'", ""},
		"other instances":      {"container: a, clientName: c, instanceName: i, subclientName: '{prefix:1}'", "container: b, clientName: c, subclientName: '{prefix:1}'", ""},
		"other accounts":       {"container: a, account: One, clientName: c, subclientName: '{account}'", "container: a, account: two, clientName: c, subclientName: '{account}'", ""},
		"one account":          {"container: a, account: One, clientName: c, subclientName: '{account}'", "container: b, clientName: c, subclientName: '{account}'", "surely"},
		"other systems":        {"container: a, system: site-a, clientName: c, subclientName: '{system}'", "container: a, system: site-b, clientName: c, subclientName: '{system}'", ""},
		"text around it":       {"container: a, clientName: c, subclientName: 'a-{prefix:1}'", "container: b, clientName: c, subclientName: 'b-{prefix:1}'", ""},
		"two in a name":        {"container: '*', clientName: c, subclientName: '{container}{prefix:1}'", "container: '*', clientName: c, subclientName: '{container}'", "perhaps"},
		"a container of two":   {"container: team-*, clientName: c, subclientName: 'x-{container}'", "container: '*', clientName: c, subclientName: 'x-{container}'", ""},
		"what another ignores": {"container: a, ignore: true", "container: a, clientName: c, subclientName: '{container}'", ""},
	} {
		for order, text := range []string{
			fmt.Sprintf("routes:\n- {%s}\n- {%s%s}\n", c.first, c.second, slow),
			fmt.Sprintf("routes:\n- {%s}\n- {%s}\n", c.first, c.second),
		} {
			got := ""
			for _, d := range Disagreements(routesOf(t, text)) {
				got = map[bool]string{true: "perhaps", false: "surely"}[d.Perhaps]
				if d.Earlier == d.Route || d.Earlier == nil || d.What == "" {
					t.Errorf("%s: %+v", name, d)
				}
			}
			want := c.want
			if order == 1 && name != "only some before" {
				want = "" // the same settings
			}
			if got != want {
				t.Errorf("%s: got %q, want %q of\n%s", name, got, want, text)
			}
		}
	}
}

// Two patterns meet if a text is as both say: all short texts of two letters are tried.
func TestMeet(t *testing.T) {
	var texts []string
	for length := range 9 {
		for n := range 1 << length {
			texts = append(texts, strings.NewReplacer("0", "a", "1", "b").Replace(fmt.Sprintf("%0*b", length, n))[:length])
		}
	}
	random := func() string {
		text := make([]byte, rand.IntN(5))
		for i := range text {
			text[i] = "ab*"[rand.IntN(3)]
		}
		return string(text)
	}
	for range 3000 {
		a, b := random(), random()
		want := false
		for _, text := range texts {
			want = want || matches(a, text) && matches(b, text)
		}
		if got := meet(a, b); got != want {
			t.Fatalf("%q and %q: got %t, want %t", a, b, got, want)
		}
	}
}

func TestRoute_Loose(t *testing.T) {
	for text, want := range map[string]string{
		"container: '*', clientName: c, subclientName: '{container}', labels: {a: '{container}'}":               "",
		"container: '*', clientName: c, subclientName: all, labels: {a: '{container}'}":                         "container",
		"container: '*', clientName: c, subclientName: '{container}', storagePolicyName: '{system}'":            "system",
		"container: '*', system: s, clientName: c, subclientName: '{container}', storagePolicyName: '{system}'": "",
		"container: '*', clientName: c, subclientName: all, directive: {container: '{container}', prefix: l/}":  "container",
		"container: a, clientName: c, subclientName: all, directive: {container: '{container}', prefix: l/}":    "",
		"container: a, clientName: c, subclientName: all":                                                       "",
	} {
		if got := routesOf(t, "routes:\n- {"+text+"}\n")[0].Loose(); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}
