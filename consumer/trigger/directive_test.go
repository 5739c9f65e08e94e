package trigger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"backhaul/schemas"
)

// The labels of one request are not those of the next, nor the route's.
func TestRequest_hasItsOwnLabels(t *testing.T) {
	labels := map[string]string{"team": "x"}
	g := &group{name: "g", route: &Route{Request: schemas.BackupRequest{Labels: labels}}}
	one := (&window{first: 1, last: 2, paths: 3}).request(g)
	two := (&window{first: 4, last: 5, paths: 6}).request(g)
	if len(labels) != 1 || one.Labels[LabelChanges] != "3" || one.Labels[LabelLast] != "2" || two.Labels[LabelFirst] != "4" || two.Labels["team"] != "x" {
		t.Errorf("the labels are %v and %v, the route's %v", one.Labels, two.Labels, labels)
	}
}

// A request has at most 32 labels, also with a list and all labels that a route may have.
func TestRequest_hasRoomForAllLabels(t *testing.T) {
	for n, until := range map[int]bool{0: true, MaxLabels - 1: true, MaxLabels: false} {
		labels := make(map[string]string)
		for i := range n {
			labels[fmt.Sprint("l", i)] = "v"
		}
		w := window{since: time.Unix(1, 0), latest: time.Unix(2, 0)}
		req := w.request(&group{name: "g", route: &Route{Request: schemas.BackupRequest{ClientName: "c", SubclientName: "g", Labels: labels}}})
		listed(&req, &Directive{Container: "l", Prefix: "x/"}, nil, 0)
		if req.Labels[LabelSince] != "1970-01-01T00:00:01Z" || (req.Labels[LabelUntil] == "1970-01-01T00:00:02Z") != until {
			t.Errorf("with %d labels: %v", n, req.Labels)
		}
		if _, err := schemas.DecodeRequest(nil, req.JSON()); err != nil {
			t.Errorf("with %d labels: %v", n, err)
		}
	}
}

// The label of the users takes the room of LabelUntil, and never that of a route's label.
func TestRequest_hasRoomForUsers(t *testing.T) {
	for n, want := range map[int][]bool{0: {true, true}, MaxLabels - 2: {true, true}, MaxLabels - 1: {true, false}, MaxLabels: {false, false}} {
		labels := make(map[string]string)
		for i := range n {
			labels[fmt.Sprint("l", i)] = "v"
		}
		w := window{since: time.Unix(1, 0), latest: time.Unix(2, 0)}
		w.users.add("ann")
		req := w.request(&group{name: "g", route: &Route{Request: schemas.BackupRequest{ClientName: "c", SubclientName: "g", Labels: labels}}})
		_, user := req.Labels[LabelUser]
		_, until := req.Labels[LabelUntil]
		if user != want[0] || until != want[1] {
			t.Errorf("with %d labels: %v", n, req.Labels)
		}
	}
}

// The same changes make the same file, in whatever order they came.
func TestList_isSorted(t *testing.T) {
	c := newCollector(t, Window{MaxPaths: 100})
	var want []string
	for n := range 20 {
		h := created(fmt.Sprint(n), "")
		h.route = c.g.route
		c.says(time.Second, h)
		h.Account = "of another account"
		c.says(time.Second, h)
		want = append(want, fmt.Sprint("/a/", n))
	}
	slices.Sort(want)
	content, paths, no := c.g.open.list(c.g.route)
	if string(content) != strings.Join(want, "\n")+"\n" || paths != len(want) || no.result != "" {
		t.Errorf("%d paths, %+v: %s", paths, no, content)
	}
}

// What cannot be listed is counted and named, the same for the same changes.
func TestList_saysWhatCannotBeListed(t *testing.T) {
	long := `unlistable: 1 not listed: its path is longer than 4096 bytes; the first is "a/` + strings.Repeat("z", 300)
	for want, changes := range map[string][]held{
		`unlistable: 3 not listed: its key has control characters, or others that end a line; the first is "a/\u2028"`: {
			created("x", ""), created("\u2028b", ""), created("\u2028", ""), created("\u2028c", ""),
		},
		`deletion: 1 not listed: only what was created can be listed; the first is "a/y"`: {created("a\n", ""), deleted("y", "", true)},
		long[:len("unlistable: ")+maxLabelValue-3] + "...":                                {created(strings.Repeat("z", 5000), "")},
	} {
		c := newCollector(t, Window{MaxPaths: 100})
		for i := range changes {
			changes[i].route = c.g.route
		}
		c.says(time.Second, changes...)
		for range 20 { // the objects of a window have no order
			if _, _, no := c.g.open.list(c.g.route); no.result+": "+no.String() != want {
				t.Fatalf("got %s: %s, want %s", no.result, &no, want)
			}
		}
	}
}

// putFunc is a store for what takes longer than a test may.
type putFunc func(ctx context.Context) error

func (f putFunc) Put(ctx context.Context, _, _ string, _ []byte) error { return f(ctx) }

// A store that does not answer is asked again after some time, and given up after more.
func TestUpload_ofAStoreThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		hang := func(ctx context.Context) error {
			attempts++
			<-ctx.Done()
			return ctx.Err()
		}
		trigger := &Trigger{observe: silent{}, cfg: Config{StoreGivesUp: storeGivesUp}, store: putFunc(hang)}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		err := trigger.upload(ctx, &Directive{Container: "c", Prefix: "x/"}, "x/y", nil)
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil || attempts < 10 {
			t.Errorf("after %s and %d attempts: %v", time.Since(began), attempts, err)
		}
	})
}
