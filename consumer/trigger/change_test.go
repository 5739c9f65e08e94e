package trigger

import (
	"strings"
	"testing"
	"time"
)

func TestChange_Replaces(t *testing.T) {
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	make := func(format Format, kind Kind, key, sequencer string) Change {
		return Change{Format: format, Kind: kind, Container: "c", Key: key, Sequencer: sequencer, Time: at, Size: -1}
	}
	version := func(c Change, v string) Change { c.Version = v; return c }
	tree := func(c Change) Change { c.Tree = true; return c }
	account := func(c Change, a string) Change { c.Account = a; return c }
	in := func(c Change, container string) Change { c.Container = container; return c }
	untimed := func(c Change) Change { c.Time = time.Time{}; return c }
	later := func(c Change) Change { c.Time = at.Add(time.Second); return c }
	created, deleted := KindCreated, KindDeleted
	for name, c := range map[string]struct {
		change, earlier Change
		want            bool
	}{
		"another object":                {make(FormatS3, created, "a", "2"), make(FormatS3, created, "b", "1"), false},
		"another account":               {account(make(FormatEventGrid, created, "a", "2"), "x"), account(make(FormatEventGrid, created, "a", "1"), "y"), false},
		"another container":             {in(make(FormatS3, created, "a", "2"), "x"), make(FormatS3, created, "a", "1"), false},
		"the directory of its name":     {make(FormatEventGrid, created, "d/", "2"), tree(make(FormatEventGrid, created, "d/", "1")), false},
		"later":                         {make(FormatS3, created, "a", "2"), make(FormatS3, created, "a", "1"), true},
		"older, late":                   {make(FormatS3, created, "a", "1"), make(FormatS3, deleted, "a", "2"), false},
		"duplicate":                     {make(FormatS3, created, "a", "1"), make(FormatS3, created, "a", "1"), false},
		"no order known":                {make(FormatS3, created, "a", ""), make(FormatS3, created, "a", ""), true},
		"two formats":                   {make(FormatS3, created, "a", "1"), make(FormatEventBridge, created, "a", "2"), true},
		"padded on the right: later":    {make(FormatS3, created, "a", "0A1"), make(FormatS3, created, "a", "0a"), true},
		"padded on the right: older":    {make(FormatS3, created, "a", "0A"), make(FormatS3, created, "a", "0A1"), false},
		"padded on the right: equal":    {make(FormatS3, created, "a", "0A"), make(FormatS3, created, "a", "0A00"), false},
		"padded: longer is not greater": {make(FormatS3, created, "a", "0055AED6"), make(FormatS3, created, "a", "06"), false},
		"MinIO":                         {make(FormatMinIO, deleted, "a", "17C0A0B0C0D0E0F2"), make(FormatMinIO, created, "a", "17C0A0B0C0D0E0F1"), true},
		"Azure: plain text":             {make(FormatEventGrid, created, "a", "0A00"), make(FormatEventGrid, created, "a", "0A"), true},
		"Azure, CloudEvents":            {make(FormatAzureCloudEvents, created, "a", "0A00"), make(FormatAzureCloudEvents, created, "a", "0A"), true},
		"Eventarc: numbers":             {make(FormatEventarc, created, "a", "1000"), make(FormatEventarc, created, "a", "999"), true},
		"GCS: numbers":                  {make(FormatPubSub, created, "a", "1000"), make(FormatPubSub, created, "a", "999"), true},
		"GCS: deleted after created":    {make(FormatPubSub, deleted, "a", "7"), make(FormatPubSub, created, "a", "7"), true},
		"GCS: created, late":            {make(FormatPubSub, created, "a", "7"), make(FormatPubSub, deleted, "a", "7"), false},
		"GCS: an old generation goes":   {make(FormatPubSub, deleted, "a", "6"), make(FormatPubSub, created, "a", "7"), false},
		"Ceph: by time":                 {later(make(FormatCeph, created, "a", "01")), make(FormatCeph, created, "a", "02"), true},
		"Ceph: by time, late":           {make(FormatCeph, created, "a", "02"), later(make(FormatCeph, created, "a", "01")), false},
		"Ceph: at the same time":        {make(FormatCeph, created, "a", "01"), make(FormatCeph, created, "a", "02"), true},
		"an old version goes":           {version(make(FormatS3, deleted, "a", "3"), "v1"), version(make(FormatS3, created, "a", "2"), "v2"), false},
		"this version goes":             {version(make(FormatS3, deleted, "a", "3"), "v2"), version(make(FormatS3, created, "a", "2"), "v2"), true},
		"the name goes":                 {make(FormatS3, deleted, "a", "3"), version(make(FormatS3, created, "a", "2"), "v2"), true},
		"the directory goes":            {tree(make(FormatEventGrid, deleted, "d/", "1")), make(FormatEventGrid, created, "d/e/f", "9"), true},
		"the directory went before":     {tree(make(FormatEventGrid, deleted, "d/", "1")), later(make(FormatEventGrid, created, "d/e/f", "9")), false},
		"the directory, at no time":     {untimed(tree(make(FormatEventGrid, deleted, "d/", "1"))), make(FormatEventGrid, created, "d/e/f", "9"), true},
		"what is below, at no time":     {tree(make(FormatEventGrid, deleted, "d/", "1")), untimed(make(FormatEventGrid, created, "d/e/f", "9")), true},
		"below, in another container":   {tree(make(FormatEventGrid, deleted, "d/", "1")), in(make(FormatEventGrid, created, "d/e", "0"), "x"), false},
		"below, in another account":     {tree(make(FormatEventGrid, deleted, "d/", "1")), account(make(FormatEventGrid, created, "d/e", "0"), "x"), false},
		"a directory beside it":         {tree(make(FormatEventGrid, deleted, "d/", "1")), make(FormatEventGrid, created, "de", "0"), false},
		"a directory comes":             {tree(make(FormatEventGrid, created, "d/", "1")), make(FormatEventGrid, created, "d/e", "0"), false},
		"no change":                     {make(FormatS3, KindNone, "a", "2"), make(FormatS3, created, "a", "1"), false},
	} {
		if got := c.change.Replaces(c.earlier); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestChange_Path(t *testing.T) {
	for key, why := range map[string]string{
		"a":                       "",
		"a b/ö+%20.txt":           "",
		"\u00a0x":                 "space",
		"a\nb":                    "control",
		"a\rb":                    "control",
		"a\x7f":                   "control",
		"a\xff":                   "UTF-8",
		"a ":                      "space",
		"a//b":                    "empty part",
		"/a":                      "empty part",
		"a/":                      "empty part",
		"./a":                     ". or ..",
		"a/../b":                  ". or ..",
		"...":                     "",
		strings.Repeat("x", 4093): "",
		strings.Repeat("x", 4094): "4096",
	} {
		path, got := Change{Kind: KindCreated, Container: "c", Key: key}.Path()
		if (why == "") != (got == "") || !strings.Contains(got, why) || why == "" && path != "/c/"+key {
			t.Errorf("%.50q: %.50q, %q; want %q", key, path, got, why)
		}
	}
	if path, why := (Change{Kind: KindCreated, Container: "c", Key: "a/b/", Tree: true}).Path(); path != "/c/a/b/" || why != "" {
		t.Errorf("a tree: %q, %q", path, why)
	}
	if path, why := (Change{Kind: KindDeleted, Container: "c", Key: "a"}).Path(); path != "" || why == "" {
		t.Errorf("a deletion: %q, %q", path, why)
	}
	if path, why := (Change{Kind: KindCreated, Container: "c/d", Key: "a"}).Path(); path != "" || why == "" {
		t.Errorf("a strange container: %q, %q", path, why)
	}
}

// A sequencer may be as long as its notification, and is compared for every change of its
// object: comparing must not copy it.
func TestChange_Replaces_copiesNoSequencer(t *testing.T) {
	long := strings.Repeat("0a", 1<<20)
	earlier := Change{Format: FormatS3, Kind: KindCreated, Container: "c", Key: "k", Sequencer: long + "1"}
	later := earlier
	later.Sequencer = long + "A"
	if !later.Replaces(earlier) || earlier.Replaces(later) {
		t.Error("the order is wrong")
	}
	if n := testing.AllocsPerRun(100, func() { later.Replaces(earlier) }); n > 0 {
		t.Errorf("%.0f allocations", n)
	}
}
