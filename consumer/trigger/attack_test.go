package trigger

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
)

// A name as long as a message may be does not hide the state, which is one message as well.
func TestUnrouted_boundsNames(t *testing.T) {
	tr := &Trigger{}
	for i := range maxTold {
		tr.unrouted.note(Change{System: strings.Repeat("s", 1<<19), Account: strings.Repeat("a", 1<<19), Container: fmt.Sprint(i) + strings.Repeat("é", 1<<19), Key: "k" + strings.Repeat("é", 1<<19)})
	}
	data, err := json.Marshal(State{Unrouted: tr.unrouted.state()})
	if err != nil || len(data) > 64<<10 || bytes.Contains(data, []byte(`\ufffd`)) {
		t.Errorf("a state of %d bytes, %v", len(data), err)
	}
}

// Whatever is published, the change that comes after it is requested, nothing waits for ever, and
// the state can be seen.
func TestTrigger_goesOnAfterAnything(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.run(routesFor("quiet: 200ms, max: 1s", "a"))
	rs := parse(t, routesFor("quiet: 200ms, max: 1s", "a"))
	rs.KeepUnrouted = true
	if err := w.SetRoutes(rs); err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, _ = zip.Write([]byte(put("a", "packed")))
	_ = zip.Close()
	long := strings.Repeat("n", 900_000)
	records := make([]string, 2000)
	for i := range records {
		records[i] = minioRecord("s3:ObjectCreated:Put", "other", fmt.Sprint(i))
	}
	refused := []string{
		"", "\x00", "null", "[[[[[[[[[[]]]]]]]]]]", strings.Repeat("[", 100_000), packed.String(), `{"Records":7}`, `{"Records":[{}]}`, "\xff\xfe{\x00}\x00",
		strings.Repeat("x", 1_000_000), put("a", "k")[:50], put("a", "k") + put("a", "l"), strings.Replace(put("a", "k"), `"key":"k"`, `"key":7`, 1),
		put("", "k"), put("a", ""), strings.Replace(put("a", "k"), `"key":"k"`, `"key":"%zz"`, 1),
	}
	unrouted := []string{put(long, "k"), put("other", long), `{"Records":[` + strings.Join(records, ",") + `]}`, put("../x\n", "k"), strings.Replace(put("other", "a\x00b"), `"other"`, `"other\u0000"`, 1)}
	b.publish(refused...)
	b.publish(unrouted...)
	b.settled()
	b.publish("\ufeff" + put("a", "last"))
	b.settled()
	if n := len(b.stored(publisher.DeadLetterStream)); n != len(refused)+len(unrouted) {
		t.Errorf("%d dead letters of %d notifications", n, len(refused)+len(unrouted))
	}
	if all := b.requests(); !slices.Contains(b.listed(all[len(all)-1]), "/a/last") {
		t.Errorf("the last change is not in the last request %+v", all[len(all)-1])
	}
	state, err := Listen(t.Context(), b.nc)
	if err != nil || state == nil || state.Unrouted == nil || state.Unrouted.Changes != 2004 {
		t.Errorf("the state is %+v, %v", state, err)
	}
}

// The stream is purged, or created again, while a window is open. What was collected is requested
// once, and so is what comes later.
func TestTheStreamIsEmptiedUnderAWindow(t *testing.T) {
	t.Parallel()
	for name, empty := range map[string]func(b *bench, s jetstream.Stream){
		"purged": func(b *bench, s jetstream.Stream) {
			if err := s.Purge(b.Context()); err != nil {
				b.Fatal(err)
			}
		},
		"created again": func(b *bench, _ jetstream.Stream) {
			if err := b.js.DeleteStream(b.Context(), publisher.StorageStream); err != nil {
				b.Fatal(err)
			}
			natstest.ProvisionTrigger(b, b.nc)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			w := b.run(routesFor("quiet: 1s, max: 5s", "a", "b"))
			b.publish(put("a", "1"), put("b", "1"), put("a", "2"))
			b.eventually("the windows are open", func() bool { return w.State().Notifications == 3 })
			empty(b, natstest.Stream(b, b.js, publisher.StorageStream))
			b.publish(put("a", "3"))
			b.settled()
			if name == "purged" {
				b.exactlyOnce([]string{"/a/1", "/a/2", "/a/3", "/b/1"})
				return
			}
			// The session ended with the consumer: what was not requested is gone with the stream.
			b.exactlyOnce([]string{"/a/3"})
		})
	}
}

// A route is removed while its window is open. What it has collected goes where the new routes
// lead, or nowhere, and other windows are not touched.
func TestARouteIsRemovedUnderAWindow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.run(routesFor("quiet: 1h, max: 1h", "a", "b", "c"))
	b.publish(put("a", "1"), put("b", "1"), put("c", "1"))
	b.eventually("the windows are open", func() bool { return w.State().Windows == 3 })
	routes := routesFor(soon, "b") + strings.Replace(strings.TrimPrefix(routesFor(soon, "b"), "routes:\n"), "container: b", "container: c", 1)
	if err := w.SetRoutes(parse(t, routes)); err != nil {
		t.Fatal(err)
	}
	b.settled()
	b.exactlyOnce([]string{"/b/1", "/c/1"})
	b.eventually("the count", func() bool {
		s := w.State().Unrouted
		return s != nil && s.Changes == 1 && s.Containers[0].Container == "a"
	})
	if n := len(b.requests()); n != 1 {
		t.Errorf("%d requests, want one: both containers lead to one group now", n)
	}
}

// Two replicas have different routes, as during a rollout. Those of the one that reads count, and
// after a crash those of the other.
func TestReplicasWithDifferentRoutes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := b.run(routesFor("quiet: 1h, max: 1h", "a", "b"))
	b.publish(put("a", "1"), put("b", "1"))
	b.eventually("it reads", func() bool { return first.State().Windows == 2 })
	second := b.run(routesFor(soon, "b", "c"))
	b.publish(put("c", "1"))
	b.eventually("it has no route for this", func() bool { return first.State().Unrouted != nil })
	b.eventually("the second one stands by", func() bool { return second.Ready() == nil && !second.State().Reading })
	first.kill()
	b.eventually("the other one reads", func() bool { return second.State().Reading })
	b.publish(put("c", "2"))
	b.settled()
	b.exactlyOnce([]string{"/b/1", "/c/2"}) // /c/1 had no route when it was read
}
