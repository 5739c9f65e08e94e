package policy

import (
	"strings"
	"testing"
	"time"

	"backhaul/consumer/turn"
)

const groups = `sources: {"*": {allow: []}}
groups:
  - clientName: [Files]
    subclientName: [home, "load-*"]
    onRunning: queue
  - clientName: ["*"]
    subclientName: [home]
    minInterval: 15m
    onRunning: start
  - clientName: [straße]
    subclientName: ["*"]
    onRunning: queue
    minInterval: 1h
`

// The first item that matches counts. Names differ in case as the vendor allows.
func TestPolicy_Rule(t *testing.T) {
	t.Parallel()
	p := parse(t, groups)
	for names, want := range map[string]turn.Rule{
		"Files/home":        {Queue: true},
		"FILES/Home":        {Queue: true},
		"files/LOAD-7":      {Queue: true},
		"files/load":        {},
		"other/HOME":        {MinInterval: 15 * time.Minute},
		"other/anything":    {},
		"STRAßE/anything":   {Queue: true, MinInterval: time.Hour},
		"STRASSE/anything":  {}, // not equal by simple folding
		"my files/home two": {},
	} {
		client, group, _ := strings.Cut(names, "/")
		r := request(t, `"clientName":"`+client+`","subclientName":"`+group+`"`)
		if got := p.Rule(&r); got != want {
			t.Errorf("%s: %+v, want %+v", names, got, want)
		}
		v := p.Explain("billing", r)
		if (v.Group != nil) != want.Applies() {
			t.Errorf("%s: the verdict has %+v", names, v.Group)
		}
	}
	r := request(t, `"clientName":"straße","subclientName":"x"`)
	if got := *p.Explain("billing", r).Group; got != (GroupRule{Line: 10, OnRunning: "queue", MinInterval: "1h0m0s"}) {
		t.Errorf("the verdict has %+v", got)
	}
	if p.Groups() != 3 {
		t.Errorf("%d items", p.Groups())
	}
}

func TestParse_RefusesInvalidGroups(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ item, says string }{
		"no client":        {"{subclientName: [x], onRunning: queue}", ":3: the item of groups has no clientName"},
		"no group":         {"{clientName: [x], onRunning: queue}", ":3: the item of groups has no subclientName"},
		"no setting":       {"{clientName: [x], subclientName: [y]}", ":3: the item of groups has neither onRunning nor minInterval"},
		"another value":    {"{clientName: [x], subclientName: [y], onRunning: queu}", `:3: onRunning is "queu", must be start or queue; did you mean queue?`},
		"short interval":   {"{clientName: [x], subclientName: [y], minInterval: 1ms}", ":3: minInterval must be a duration such as 30s, from 1s"},
		"number":           {"{clientName: [x], subclientName: [y], minInterval: 5}", ":3: minInterval must be a duration"},
		"one name":         {"{clientName: x, subclientName: [y], onRunning: queue}", ":3: clientName must be a list of values"},
		"no name":          {"{clientName: [], subclientName: [y], onRunning: queue}", ":3: clientName has no items"},
		"unknown key":      {"{clientName: [x], subclientName: [y], onrunning: queue}", `:3: an item of groups has no key "onrunning"; did you mean onRunning?`},
		"everyday word":    {"{client: [x], subclientName: [y], onRunning: queue}", `did you mean clientName?`},
		"another's member": {"{clientName: [x], subclientName: [y], appName: [z], onRunning: queue}", `:3: an item of groups has no key "appName"`},
	} {
		_, err := Parse("p.yaml", []byte("sources: {}\ngroups:\n  - "+test.item+"\n"))
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, want %s", name, err, test.says)
		}
	}
	if _, err := Parse("p.yaml", []byte("groups: []\n")); err == nil || !strings.Contains(err.Error(), "the key sources is missing") {
		t.Errorf("groups alone: %v", err)
	}
}

// Where jobs are not followed, each rule is a problem in its own line.
func TestPolicy_NeedsFollowing(t *testing.T) {
	t.Parallel()
	err := parse(t, groups).NeedsFollowing()
	if err == nil || strings.Count(err.Error(), "BACKHAUL_FOLLOW") != 3 || !strings.Contains(err.Error(), ":5: ") || !strings.Contains(err.Error(), ":8: ") {
		t.Errorf("got %v", err)
	}
	if err := parse(t, "sources: {}\ngroups: [{clientName: [a], subclientName: [b], onRunning: start}]\n").NeedsFollowing(); err != nil {
		t.Errorf("nothing waits by onRunning: start, and it is refused: %v", err)
	}
}

func TestPolicy_RuleDoesNotCostWithoutGroups(t *testing.T) {
	p := parse(t, everyDimension)
	r := request(t, `"clientName":"files","subclientName":"load-7"`)
	if n := testing.AllocsPerRun(100, func() {
		if p.Rule(&r).Applies() {
			t.Fatal("there is a rule")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
