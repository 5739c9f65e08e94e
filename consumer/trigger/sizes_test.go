package trigger

import (
	"strings"
	"testing"
)

// Routes take objects by their size. What has no size goes to each route that may take it.
func TestMatch_bySize(t *testing.T) {
	rs := parse(t, "routes:\n- {container: c, prefix: x/, size: {max: 9}, ignore: true}\n"+
		"- {container: c, size: {min: 1024, max: 2048}"+to("middle")+
		"- {container: c, suffix: .big, size: {min: 2097152}"+to("big")+
		"- {container: c, prefix: n/, ignore: true}\n"+
		`- {container: "*"`+to("rest")+"- {container: c"+to("never"))
	for name, c := range map[string]struct {
		change Change
		want   string
	}{
		"below":                      {Change{Kind: KindCreated, Size: 1023}, "rest routed"},
		"the least":                  {Change{Kind: KindCreated, Size: 1024}, "middle routed"},
		"the most":                   {Change{Kind: KindCreated, Size: 2048}, "middle routed"},
		"above":                      {Change{Kind: KindCreated, Size: 2049}, "rest routed"},
		"no upper limit":             {Change{Kind: KindCreated, Size: 5 << 40, Key: "a.big"}, "big routed"},
		"ignored":                    {Change{Kind: KindCreated, Size: 9, Key: "x/a"}, "ignored"},
		"unknown":                    {Change{Kind: KindCreated, Size: -1}, "middle rest routed"},
		"unknown, of all":            {Change{Kind: KindCreated, Size: -1, Key: "a.big"}, "middle big rest routed"},
		"unknown, ignored by size":   {Change{Kind: KindCreated, Size: -1, Key: "x/a"}, "middle rest routed"},
		"unknown, ignored by prefix": {Change{Kind: KindCreated, Size: -1, Key: "n/a"}, "middle routed"},
		"a directory":                {Change{Kind: KindCreated, Size: -1, Key: "x/", Tree: true}, "middle big rest routed"},
		"another container":          {Change{Kind: KindCreated, Size: 1024, Container: "d"}, "rest routed"},
	} {
		if c.change.Container == "" {
			c.change.Container = "c"
		}
		routes, reason := rs.Match(c.change)
		if got := groupsOf(routes) + string(reason); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
	// A deletion says no size, or one that is not that of the object which it deletes.
	for _, size := range []int64{-1, 0, 1024} {
		if got := groupsOf(rs.Holders(Change{Kind: KindDeleted, Container: "c", Key: "a.big", Size: size})); got != "middle big rest " {
			t.Errorf("the deletion with the size %d: %s", size, got)
		}
	}
	both := parse(t, "routes:\n- {container: c, events: [created, deleted], size: {min: 9}"+to("large")+"- {container: c, events: [created, deleted]"+to("small"))
	if routes, _ := both.Match(Change{Kind: KindDeleted, Container: "c", Key: "k", Size: 0}); groupsOf(routes) != "large small " {
		t.Errorf("a deletion that starts backups: %s", groupsOf(routes))
	}
	only := parse(t, "routes:\n- {container: c, size: {max: 9}, ignore: true}\n")
	for _, c := range []Change{{Size: -1, Key: "k"}, {Size: -1, Key: "d/", Tree: true}} {
		c.Kind, c.Container = KindCreated, "c"
		if routes, reason := only.Match(c); len(routes) != 0 || reason != ReasonNoRoute {
			t.Errorf("%s: %s%s", c.Key, groupsOf(routes), reason)
		}
	}
	ignoring := parse(t, "routes:\n- {container: c, size: {min: 1, max: 9}, ignore: true}\n- {container: c, ignore: true}\n")
	if routes, reason := ignoring.Match(Change{Kind: KindCreated, Container: "c", Key: "k", Size: -1}); len(routes) != 0 || reason != ReasonIgnored {
		t.Errorf("two routes that ignore: %s%s", groupsOf(routes), reason)
	}
}

func groupsOf(routes []*Route) string {
	var b strings.Builder
	for _, r := range routes {
		b.WriteString(r.Request.SubclientName + " ")
	}
	return b.String()
}

func TestRoute_saysItsSizes(t *testing.T) {
	for text, want := range map[string]string{
		"size: {min: 1, max: 2}": "created in c/* of 1 to 2 bytes", "size: {min: 1024}": "created in c/* of at least 1024 bytes",
		"size: {max: 3}": "created in c/* of at most 3 bytes", `source: "x:s3"`: "created in x:s3:c/*",
	} {
		if got := parse(t, "routes:\n- {container: c, "+text+to("g")).All()[0].Changes(); got != want {
			t.Errorf("%s: got %q", text, got)
		}
	}
}

// A route of one sender takes only its records.
func TestMatch_bySource(t *testing.T) {
	rs := parse(t, "routes:\n- {container: c, source: \"acme*:s3\", keys: raw"+to("acme")+"- {container: c, source: aws.s3"+to("bridge")+"- {container: c"+to("rest"))
	for source, want := range map[string]string{"acme2:s3": "acme ", "aws:s3": "rest ", "aws.s3": "bridge ", "": "rest "} {
		if routes, _ := rs.Match(Change{Kind: KindCreated, Container: "c", Key: "k", Source: source}); groupsOf(routes) != want {
			t.Errorf("%q: %s", source, groupsOf(routes))
		}
	}
	changes, err := Decode(nil, []byte(s3Event("acme:s3", "ObjectCreated:Put", "c", "a+b", "1")))
	if err != nil || len(changes) != 1 || changes[0].Source != "acme:s3" {
		t.Fatalf("%+v, %v", changes, err)
	}
	if routes, _ := rs.Match(changes[0]); groupsOf(routes) != "rest acme " || routes[1].read(changes[0]).Key != "a+b" {
		t.Errorf("got %s", groupsOf(routes))
	}
}

// Changes of unknown size count once in a content group, and differ by routes of other sizes.
func TestSession_concernsOfUnknownSizes(t *testing.T) {
	s := alone(parse(t, "routes:\n- {container: a, size: {min: 9}"+to("g")+"- {container: a"+to("g")))
	concerns := s.concerns([]Change{{Kind: KindCreated, Container: "a", Key: "k", Size: -1}})
	if len(concerns) != 1 {
		t.Fatalf("%d content groups", len(concerns))
	}
	for _, c := range concerns {
		if len(c.changes) != 1 {
			t.Errorf("%d changes", len(c.changes))
		}
	}
	plain := parse(t, "routes:\n- {container: a"+to("g"))
	for _, other := range []string{"size: {min: 9}", "size: {max: 9}", `source: "x:s3"`} {
		if parse(t, "routes:\n- {container: a, "+other+to("g")).mark == plain.mark {
			t.Errorf("routes with %s have the mark of those without", other)
		}
	}
}
