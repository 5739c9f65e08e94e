package trigger

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The same users in any order make the same label.
func TestUsers(t *testing.T) {
	for _, c := range []struct {
		names []string
		want  string
	}{
		{nil, ""},
		{[]string{""}, ""},
		{[]string{"b", "a", "b", ""}, "a, b"},
		{[]string{"d", "c", "b", "a"}, "a, b, c, d"},
		{[]string{"d", "e", "c", "b", "a"}, "a, b, c, d and others"},
		{[]string{"a,b\n\u202e\u00a0"}, "a_b___"},
	} {
		for _, reversed := range []bool{false, true} {
			names := slices.Clone(c.names)
			if reversed {
				slices.Reverse(names)
			}
			var u users
			for _, name := range names {
				u.add(name)
			}
			if got := u.String(); got != c.want {
				t.Errorf("%q: got %q, want %q", names, got, c.want)
			}
		}
	}
	var long users
	for n := range 2 * maxUsers {
		long.add(fmt.Sprint(n) + strings.Repeat("é", 300))
	}
	if got := long.String(); len(got) > maxLabelValue || !strings.HasSuffix(got, andOthers) {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}

// A request names who made the changes that it is for.
func TestRequestsNameUsers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	by := func(user, event, container, key string) string {
		return strings.Replace(s3Event("x:s3", event, container, key, "1"), `"eventVersion"`, fmt.Sprintf(`"userIdentity":{"principalId":%q},"eventVersion"`, user), 1)
	}
	b.publish(by("ben", "ObjectCreated:Put", "a", "1"), by("ann", "ObjectCreated:Put", "a", "2"), by("eve", "ObjectAccessed:Get", "a", "2"), by("max", "ObjectRemoved:Delete", "a", "3"))
	b.publish(by("cy", "ObjectCreated:Put", "full", "1"), put("none", "1"))
	many := make([]string, MaxLabels)
	for n := range many {
		many[n] = fmt.Sprintf("l%d: v", n)
	}
	b.run(routesFor("quiet: 500ms, max: 5s", "a", "none") + strings.Replace(routesFor(soon, "full"), "routes:\n- {", "- {labels: {"+strings.Join(many, ", ")+"}, ", 1))
	for _, req := range b.requested(3) {
		got, given := req.Labels[LabelUser]
		if want := map[string]string{"a": "ann, ben"}[req.SubclientName]; got != want || given != (want != "") {
			t.Errorf("%s: the label is %q, want %q", req.SubclientName, got, want)
		}
		if len(req.Labels) > 32 {
			t.Errorf("%s: %d labels", req.SubclientName, len(req.Labels))
		}
	}
	b.settled()
}

// A deletion that only takes a creation out of the window is not for what is requested.
func TestWindow_namesUsers(t *testing.T) {
	w := &window{}
	w.add(&message{sequence: 1}, &concern{changes: []held{
		{Change: Change{Kind: KindCreated, Key: "k", Version: "v", User: "ann"}, counts: true}, {Change: Change{Kind: KindCreated, Key: "l", User: "ben"}, counts: true},
	}})
	w.add(&message{sequence: 2}, &concern{changes: []held{{Change: Change{Kind: KindDeleted, Key: "k", Version: "v", User: "eve"}}}})
	if w.paths != 1 {
		t.Fatalf("%d paths; the deletion removed none", w.paths)
	}
	if got := w.users.String(); got != "ann, ben" {
		t.Errorf("got %q", got)
	}
}

func TestDecode_namesTheUser(t *testing.T) {
	for name, want := range map[string]string{
		"aws-s3-put.json": "AWS:AROAEXAMPLE:nightly", "minio-put.json": "AWS:AROAEXAMPLE:nightly", "versity.json": "nightly", "rustfs.json": "nightly",
		"scality.json": "", "alibaba-oss.json": "229800", "aws-eventbridge-created.json": "000000000000", "backblaze-b2.json": "", "azure-event-grid.json": "",
	} {
		changes, err := Decode(nil, readTestdata(t, name))
		if err != nil || len(changes) == 0 || changes[0].User != want {
			t.Errorf("%s: %v, the user is %q, want %q", name, err, changes[0].User, want)
		}
	}
}
