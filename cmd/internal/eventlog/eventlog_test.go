package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/schemas/schemastest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// log is a stream of events, and a way to write more of them.
type log struct {
	*testing.T
	js  jetstream.JetStream
	pub *publisher.Publisher
}

func newLog(t *testing.T) *log {
	t.Helper()
	nc := natstest.Start(t).Connect(t)
	pub, err := publisher.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return &log{T: t, js: natstest.JetStream(t, nc), pub: pub}
}

func (l *log) append(key publisher.Key, e schemas.Event) {
	l.Helper()
	if _, err := l.pub.Append(l.Context(), key, 0, e, ""); err != nil {
		l.Fatal(err)
	}
}

func started(source, id string, change func(*schemas.Naming)) (publisher.Key, *schemas.JobStarted) {
	n := schemas.Naming{RequestID: id, Source: source, ClientName: "c", SubclientName: "g"}
	if change != nil {
		change(&n)
	}
	return publisher.NewKey(source, id), &schemas.JobStarted{Naming: n, JobID: "1", JobIDs: []string{"1"}, StartedAt: time.Now()}
}

func (l *log) read(q Query) []string {
	l.Helper()
	var keys []string
	err := Read(l.Context(), l.js, q, func(e Event) error {
		keys = append(keys, e.Key.String())
		return nil
	})
	if err != nil {
		l.Fatal(err)
	}
	return keys
}

// Foreign messages on an event's subject are not shown as events.
func TestRead_skipsForeignMessages(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	key, event := started("billing", "r-1", nil)
	l.append(key, event)
	for _, subject := range []string{key.Subject(schemas.KindJobStarted), publisher.NewKey("billing", "r-2").Subject(schemas.KindJobFailed)} {
		if _, err := l.js.Publish(l.Context(), subject, []byte(`{"stream":"BACKUP_REQUESTS","seq":1}`)); err != nil {
			t.Fatal(err)
		}
	}
	if got := l.read(Query{}); !slices.Equal(got, []string{"billing/r-1"}) {
		t.Errorf("read %v", got)
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.append(started("billing", "plain", nil))
	l.append(started("billing", "client", func(n *schemas.Naming) { n.ClientName = "c2" }))
	l.append(started("other", "group", func(n *schemas.Naming) { n.SubclientName = "g2" }))
	l.append(started("other", "labels", func(n *schemas.Naming) { n.Labels = map[string]string{"ticket": "CHG-17", "empty": ""} }))
	l.append(publisher.NewKey("billing", "failed"), &schemas.JobFailed{
		Naming: schemas.Naming{RequestID: "failed", Source: "billing"}, ErrorCode: "587207178", ErrorLogCode: "35:4618", FailedAt: time.Now(),
	})
	l.append(publisher.SequenceKey("billing", 7, time.Unix(1, 0)), &schemas.RequestRejected{
		Naming: schemas.Naming{RequestID: "plain", Source: "billing"}, RejectedAt: time.Now(),
	})
	for name, c := range map[string]struct {
		q    Query
		want []string
	}{
		"all":            {Query{}, []string{"billing/plain", "billing/client", "other/group", "other/labels", "billing/failed", "billing/seq-7-1000000000"}},
		"client":         {Query{Match: Match{Client: "c2"}}, []string{"billing/client"}},
		"group":          {Query{Match: Match{Subclient: "g2"}}, []string{"other/group"}},
		"label":          {Query{Match: Match{Labels: map[string]string{"ticket": "CHG-17"}}}, []string{"other/labels"}},
		"empty label":    {Query{Match: Match{Labels: map[string]string{"empty": ""}}}, []string{"other/labels"}},
		"two labels":     {Query{Match: Match{Labels: map[string]string{"ticket": "CHG-17", "other": "x"}}}, nil},
		"code":           {Query{Match: Match{ErrorCode: "587207178"}}, []string{"billing/failed"}},
		"code of a log":  {Query{Match: Match{ErrorCode: "35:4618"}}, []string{"billing/failed"}},
		"no such code":   {Query{Match: Match{ErrorCode: "1"}}, nil},
		"request":        {Query{Filters: RequestFilters("", []string{"plain"}, schemas.Kinds), Match: Match{RequestID: "plain"}}, []string{"billing/plain", "billing/seq-7-1000000000"}},
		"request, kind":  {Query{Filters: RequestFilters("", []string{"plain"}, []schemas.Kind{schemas.KindJobStarted})}, []string{"billing/plain"}},
		"request, other": {Query{Filters: RequestFilters("other", []string{"plain"}, schemas.Kinds), Match: Match{RequestID: "plain"}}, nil},
		"source":         {Query{Filters: []string{publisher.EventFilter("", "other")}}, []string{"other/group", "other/labels"}},
		"from":           {Query{From: 5}, []string{"billing/failed", "billing/seq-7-1000000000"}},
	} {
		if got := l.read(c.q); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestRead_untilIsOfTheStreamsTime(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	for i := range 5 {
		l.append(started("billing", fmt.Sprint("r-", i), nil))
	}
	var stored []time.Time
	if err := Read(t.Context(), l.js, Query{}, func(e Event) error { stored = append(stored, e.Stored); return nil }); err != nil {
		t.Fatal(err)
	}
	if got := l.read(Query{Since: stored[1], Until: stored[3]}); !slices.Equal(got, []string{"billing/r-1", "billing/r-2", "billing/r-3"}) {
		t.Errorf("got %v", got)
	}
	if got := l.read(Query{Until: stored[0].Add(-time.Nanosecond)}); len(got) > 0 {
		t.Errorf("got %v, which is of later", got)
	}
}

func TestRead_tail(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	tail := func(q Query, n int) []string {
		t.Helper()
		from, err := Tail(t.Context(), l.js, q, n)
		if err != nil {
			t.Fatal(err)
		}
		if from == 0 {
			return nil
		}
		q.From = from
		return l.read(q)
	}
	if got := tail(Query{}, 3); got != nil {
		t.Errorf("the tail of nothing is %v", got)
	}
	// The one of "rare" lies further back than what is read first.
	l.append(started("rare", "r-0", nil))
	middle := time.Time{}
	for i := range minSpan + 100 {
		if i == minSpan {
			middle = time.Now()
		}
		l.append(started("billing", fmt.Sprint("b-", i), nil))
	}
	last := []string{fmt.Sprint("billing/b-", minSpan+98), fmt.Sprint("billing/b-", minSpan+99)}
	rare := Query{Filters: []string{publisher.EventFilter("", "rare")}}
	for name, c := range map[string]struct {
		q    Query
		n    int
		want []string
	}{
		"two":             {Query{}, 2, last},
		"of one source":   {rare, 2, []string{"rare/r-0"}},
		"too old":         {Query{Filters: rare.Filters, Since: middle}, 2, nil},
		"by what it says": {Query{Match: Match{RequestID: "r-0"}}, 1, []string{"rare/r-0"}},
	} {
		if got := tail(c.q, c.n); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
	if got := tail(Query{}, 5000); len(got) != minSpan+101 {
		t.Errorf("got %d events, want all %d", len(got), minSpan+101)
	}
}

func TestRead_follow(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	ctx, cancel := context.WithCancel(t.Context())
	seen := make(chan string)
	done := make(chan error, 1)
	go func() {
		done <- Read(ctx, l.js, Query{Follow: true, Match: Match{Client: "c2"}}, func(e Event) error {
			seen <- e.Key.Name
			return nil
		})
	}()
	for i := range 4 {
		l.append(started("billing", fmt.Sprint("r-", i), func(n *schemas.Naming) { n.ClientName = fmt.Sprint("c", i%2+1) }))
	}
	if first, second := <-seen, <-seen; first != "r-1" || second != "r-3" {
		t.Errorf("got %s and %s", first, second)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// Each kind is found under its request, and an error code is compared wherever an event
// has one.
func TestMatch_everyKind(t *testing.T) {
	t.Parallel()
	for _, kind := range schemas.Kinds {
		filters := RequestFilters("billing", []string{"r-1"}, schemas.Kinds)
		key := publisher.NewKey("billing", "r-1")
		if !slices.Contains(filters, key.Subject(kind)) && !slices.Contains(filters, key.JobSubject(kind, "*")) && !slices.Contains(filters, publisher.EventFilter(kind, "billing")) {
			t.Errorf("%s is not among the filters of a request, %q", kind, filters)
		}
		for _, e := range schemastest.Events(t, kind) {
			var members struct{ ErrorCode, JobID, Outcome string }
			if err := json.Unmarshal(schemas.EncodeEvent(e), &members); err != nil {
				t.Fatal(err)
			}
			if code := members.ErrorCode; code != "" && !(Match{ErrorCode: code}).matches(e) {
				t.Errorf("%s with the code %s is not found by it", kind, code)
			}
			if id := members.JobID; id != "" && !(Match{JobID: id}).matches(e) {
				t.Errorf("%s of the job %s is not found by it", kind, id)
			}
			if outcome := members.Outcome; outcome != "" && !(Match{Outcome: schemas.Outcome(outcome)}).matches(e) {
				t.Errorf("%s with the outcome %s is not found by it", kind, outcome)
			}
			for _, other := range []Match{{ErrorCode: "none of them"}, {JobID: "none of them"}, {Outcome: "none of them"}} {
				if other.matches(e) {
					t.Errorf("%s is found by %+v", kind, other)
				}
			}
		}
	}
}

// Events about content groups come between the others, in the order of the stream, and are
// selected by client and group. Foreign messages are skipped.
func TestRead_protection(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	keep := func(client, group string) {
		t.Helper()
		e := schemas.ProtectionEvent{State: schemas.ProtectionBreached, Cause: schemas.CauseRPO, ContentGroup: schemas.ContentGroup{ClientName: client, SubclientName: group}, At: time.Now()}
		if _, err := l.pub.AppendProtection(t.Context(), 0, e); err != nil {
			t.Fatal(err)
		}
	}
	keep("c", "one")
	l.append(started("billing", "r-1", nil))
	keep("c", "two")
	if _, err := l.js.Publish(t.Context(), publisher.ProtectionSubject(schemas.ContentGroup{ClientName: "c", SubclientName: "three"}), []byte(`{"state":"breached"}`)); err != nil {
		t.Fatal(err)
	}
	keep("d", "one")
	read := func(q Query, silent bool) (got []string) {
		t.Helper()
		if !silent {
			q.Protection = func(e ProtectionEvent) error {
				got = slices.Concat(got, []string{e.ClientName + "/" + e.SubclientName})
				return nil
			}
		}
		if err := Read(t.Context(), l.js, q, func(e Event) error { got = slices.Concat(got, []string{e.Key.String()}); return nil }); err != nil {
			t.Fatal(err)
		}
		return got
	}
	for name, c := range map[string]struct {
		q      Query
		silent bool
		want   []string
	}{
		"all":          {Query{}, false, []string{"c/one", "billing/r-1", "c/two", "d/one"}},
		"not selected": {Query{}, true, []string{"billing/r-1"}},
		"client":       {Query{Match: Match{Client: "c"}}, false, []string{"c/one", "billing/r-1", "c/two"}},
		"group":        {Query{Match: Match{Client: "c", Subclient: "two"}}, false, []string{"c/two"}},
		"filter":       {Query{Filters: []string{publisher.AnyProtection}}, false, []string{"c/one", "c/two", "d/one"}},
	} {
		if got := read(c.q, c.silent); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
	q := Query{Protection: func(ProtectionEvent) error { return nil }}
	if from, err := Tail(t.Context(), l.js, q, 2); err != nil || from != 3 {
		t.Errorf("the last two begin at %d, %v, want 3", from, err)
	}
}

// Take selects by subject as the server does.
func TestMatchesAny(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		filter, subject string
		want            bool
	}{
		{"a.b.c", "a.b.c", true}, {"a.*.c", "a.b.c", true}, {"a.>", "a.b.c", true}, {">", "a", true},
		{"a.b.c", "a.b.d", false}, {"a.b", "a.b.c", false}, {"a.b.c", "a.b", false}, {"a.>", "a", false}, {"a.*", "a.b.c", false}, {"*.b.>", "a.b", false},
	} {
		if got := matchesAny([]string{"x", test.filter}, test.subject); got != test.want {
			t.Errorf("%s and %s: %v", test.filter, test.subject, got)
		}
	}
	if !matchesAny(nil, "a") {
		t.Error("no filter matches all")
	}
}

// A consumer with several filters makes the server look at every subject of the stream.
func TestOfFilters(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	for _, id := range []string{"r-1", "r-2", "r-3"} {
		l.append(started("billing", id, nil))
	}
	made, err := l.js.Conn().SubscribeSync("$JS.API.CONSUMER.CREATE." + publisher.EventsStream + ".>")
	if err != nil {
		t.Fatal(err)
	}
	q := Query{Filters: KeyFilters("", []string{"r-3", "r-1"}, []schemas.Kind{schemas.KindJobFailed, schemas.KindJobStarted})}
	events, err := OfFilters(t.Context(), l.js, q)
	if err != nil || len(events) != 2 || events[0].Key.Name != "r-1" || events[1].Key.Name != "r-3" {
		t.Errorf("%v, %v", events, err)
	}
	if err := l.js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	if n, _, err := made.Pending(); n != len(q.Filters) || err != nil {
		t.Errorf("%d consumers, %v", n, err)
	}
}

// The newest part of the stream is read first, nothing is read twice, and nothing that is not needed.
func TestReadNewest(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	const n = 2*minSpan*partGrowth + 10
	for i := range n {
		key, e := started("billing", fmt.Sprint(i), nil)
		cloud := schemas.AppendCloudEvent(nil, publisher.EventID(key, e), e, "")
		header := schemas.Header{}
		cloud.SetBinary(header)
		if _, err := l.js.PublishMsgAsync(&nats.Msg{Subject: key.Subject(e.Kind()), Header: nats.Header(header), Data: cloud.Data}, jetstream.WithStallWait(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	<-l.js.PublishAsyncComplete()
	for enough, want := range map[uint64][][2]uint64{
		n:     {{n - minSpan + 1, n}},
		n / 2: {{n - minSpan + 1, n}, {n - minSpan*partGrowth + 1, n - minSpan}, {1, n - minSpan*partGrowth}},
		0:     {{n - minSpan + 1, n}, {n - minSpan*partGrowth + 1, n - minSpan}, {1, n - minSpan*partGrowth}},
	} {
		var parts [][2]uint64
		begin, last := uint64(0), uint64(0)
		visit := func(e Event) error {
			if begin == 0 {
				begin = e.Sequence
			} else if e.Sequence != last+1 {
				t.Fatalf("%d after %d", e.Sequence, last)
			}
			last = e.Sequence
			return nil
		}
		err := ReadNewest(t.Context(), l.js, Query{UpToLeader: true}, visit, func() bool {
			parts = append(parts, [2]uint64{begin, last})
			found := enough >= begin && enough > 0
			begin = 0
			return found
		})
		if begin > 0 { // the whole stream was read
			parts = append(parts, [2]uint64{begin, last})
		}
		if err != nil || !slices.Equal(parts, want) {
			t.Errorf("until %d: %v, want %v; %v", enough, parts, want, err)
		}
	}
}
