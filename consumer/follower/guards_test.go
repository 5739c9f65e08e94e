package follower

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"backhaul/consumer/internal/reader"
	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// Two requests can share a job; each has an end of its own.
func TestBook_twoRequestsOfOneJob(t *testing.T) {
	t.Parallel()
	b := newBook()
	first, second := &job{id: "1", of: &message{sequence: 1}}, &job{id: "1", of: &message{sequence: 2}}
	b.add(first)
	b.add(second)
	if !b.remove(first) {
		t.Error("the message of the first one has more jobs")
	}
	all, _ := b.read(vendorapi.JobInfo{ID: "1", Outcome: schemas.OutcomeCompleted}, false, time.Unix(1, 0))
	if len(all) != 1 || all[0].job != second || b.count != 1 {
		t.Errorf("%d jobs have ended, %d are followed", len(all), b.count)
	}
}

// The job whose turn is first is read first, and one that cannot be read goes to the end.
func TestBook_theFirstTurn(t *testing.T) {
	t.Parallel()
	b := newBook()
	start := time.Unix(1_700_000_000, 0)
	now := start.Add(time.Hour)
	for _, id := range []string{"1", "2", "3"} {
		b.add(&job{id: id, of: &message{sequence: 1}, started: start})
	}
	var turns []string
	for range 9 {
		b.miss(now)
		now = now.Add(8 * time.Hour)
		j := b.toRead(now, now, DefaultFor)
		turns = append(turns, j.id)
		j.alone(nil, now)
	}
	for round := range 3 {
		seen := make(map[string]bool)
		for _, id := range turns[3*round : 3*round+3] {
			seen[id] = true
		}
		if len(seen) != 3 {
			t.Errorf("the turns are %v", turns)
		}
	}
}

// The first list waits for the jobs of an earlier reader, but not for ever.
func TestArrivals_loaded(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	for name, c := range map[string]struct {
		arrivals arrivals
		want     bool
	}{
		"all are there":         {arrivals{began: now}, true},
		"the server has more":   {arrivals{began: now, waiting: true}, false},
		"some are checked":      {arrivals{began: now, checking: 1}, false},
		"it takes for too long": {arrivals{began: now.Add(-loadTime), waiting: true, checking: 1}, true},
	} {
		if got := c.arrivals.loaded(now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// An end that is seen while another event about the job is written comes after it.
func TestReport_anEndDuringAChange(t *testing.T) {
	t.Parallel()
	s := &session{follower: &Follower{}}
	j := &job{id: "1", of: &message{}, busy: true}
	s.report(t.Context(), news{job: j, outcome: schemas.OutcomeFailed})
	s.report(t.Context(), news{job: j, state: schemas.StatePending})
	if j.after == nil || j.after.outcome != schemas.OutcomeFailed || s.flights.flying > 0 {
		t.Errorf("%+v waits, %d are written", j.after, s.flights.flying)
	}
}

// A change is not written behind one of another reader: it is told in the next look, if it lasts.
func TestWrite_aStaleChange(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.started("r", "1")
	stream, err := b.js.Stream(t.Context(), publisher.EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	f, err := New(Config{}, b.nc, b.vendor, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	f.events = publisher.NewLastReader(stream)
	s := newSession(f)
	j := &job{id: "1", of: &message{sequence: 1}}
	for i, state := range []schemas.State{schemas.StatePending, schemas.StateWaiting} {
		change := &flight{job: j, news: news{state: state}} // both after no event
		if err := s.write(t.Context(), change); err != nil || change.over || change.state != schemas.StatePending || change.last != 2 {
			t.Errorf("write %d: %+v, %v", i, change, err)
		}
	}
	b.tells("changed 1 pending")
}

// A job whose job-started is gone cannot be reported. It is followed no longer, and the log says so.
func TestWrite_withoutAnOrigin(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.started("r", "1")
	stream, err := b.js.Stream(t.Context(), publisher.EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	f, err := New(Config{}, b.nc, b.vendor, zerolog.New(b.log))
	if err != nil {
		t.Fatal(err)
	}
	f.events = publisher.NewLastReader(stream)
	s := newSession(f)
	for name, j := range map[string]*job{
		"no message":       {id: "1", of: &message{sequence: 2}},
		"of another event": {id: "2", of: &message{sequence: 1}},
	} {
		end := &flight{job: j, news: news{outcome: schemas.OutcomeCompleted}}
		if err := s.write(t.Context(), end); err != nil || !end.over {
			t.Errorf("%s: %+v, %v", name, end, err)
		}
	}
	if said := b.log.String(); strings.Count(said, "was removed from BACKUP_EVENTS") != 2 {
		t.Errorf("the log is %s", said)
	}
	b.tells()
}

// Only what the vendor answers about one job holds no other read.
func TestAnswered(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"gone":             {&vendorapi.Error{Status: 404}, true},
		"not permitted":    {&vendorapi.Error{Status: 403}, true},
		"an empty answer":  {&vendorapi.Error{Status: 200}, true},
		"a crash":          {&vendorapi.Error{Status: 500}, true},
		"no job id":        {&vendorapi.Error{Verdict: vendorapi.NotSent}, true},
		"throttled":        {&vendorapi.Error{Verdict: vendorapi.Throttled, Status: 429}, false},
		"a gateway's":      {&vendorapi.Error{Status: 502}, false},
		"not available":    {&vendorapi.Error{Status: 503}, false},
		"no login":         {&vendorapi.Error{Status: 401}, false},
		"no answer":        {&vendorapi.Error{Err: context.DeadlineExceeded}, false},
		"another error":    {errors.New("x"), false},
		"a budget is used": {&noBudgetError{wait: time.Hour}, false},
	} {
		if got := answered(c.err); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A durable that gives a message up would forget its jobs: the follower says so.
func TestADurableThatGivesUp(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	durable, err := b.js.Consumer(t.Context(), publisher.EventsStream, publisher.FollowerConsumer)
	if err != nil {
		t.Fatal(err)
	}
	cfg := durable.CachedInfo().Config
	cfg.MaxDeliver = 5
	if _, err := b.js.UpdateConsumer(t.Context(), publisher.EventsStream, cfg); err != nil {
		t.Fatal(err)
	}
	w := b.run()
	b.eventually("it says so", func() bool {
		return w.Ready() != nil && strings.Contains(w.Ready().Error(), "gives up after 5 deliveries")
	})
}

// A delivery that is missing went to another client: the session ends, and the next one has it.
func TestTake_aMissingDelivery(t *testing.T) {
	t.Parallel()
	s := &session{follower: &Follower{log: zerolog.Nop()}}
	msg := &nats.Msg{Sub: &nats.Subscription{}, Reply: "$JS.ACK.BACKUP_EVENTS.follower.1.7.2.1700000000000000000.0"}
	if err := s.take(t.Context(), msg); !errors.Is(err, reader.ErrGap) {
		t.Errorf("%v", err)
	}
}

// New messages are pulled some time after the last ones, many at once. Those that were there before
// the session are pulled at once, unless too many wait for a check.
func TestArrivals_due(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range map[string]struct {
		arrivals arrivals
		want     bool
	}{
		"nothing was read":      {arrivals{}, true},
		"just now":              {arrivals{brought: now.Add(-time.Second + 1)}, false},
		"a while ago":           {arrivals{brought: now.Add(-time.Second)}, true},
		"more is there":         {arrivals{brought: now, waiting: true}, true},
		"too many checks":       {arrivals{checking: maxArrivals, waiting: true}, false},
		"not too many of them":  {arrivals{checking: maxArrivals - 1, waiting: true}, true},
		"too many, a while ago": {arrivals{checking: maxArrivals, brought: now.Add(-time.Hour)}, false},
	} {
		if got := c.arrivals.due(now, time.Second); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A message between the last one and the first one of a pull went to another reader. Within a pull
// the numbers of the deliveries show it.
func TestTake_aHoleBeforeAPull(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, id := range []string{"1", "2", "3"} {
		b.started("r"+id, id)
	}
	f, err := New(Config{}, b.nc, b.vendor, zerolog.New(b.log))
	if err != nil {
		t.Fatal(err)
	}
	delivery := func(stream, consumer int) *nats.Msg {
		return &nats.Msg{Sub: &nats.Subscription{}, Reply: fmt.Sprintf("$JS.ACK.BACKUP_EVENTS.follower.1.%d.%d.1700000000000000000.0", stream, consumer)}
	}
	for pulled, want := range map[bool]error{true: reader.ErrGap, false: nil} {
		s := newSession(f)
		if err := s.take(t.Context(), delivery(1, 1)); err != nil {
			t.Fatal(err)
		}
		if pulled {
			s.arrivals.brought = time.Time{} // a while ago
			if err := s.pull(); err != nil || s.pulls.Asked == 0 {
				t.Fatalf("%v, and %d are asked for", err, s.pulls.Asked)
			}
		}
		if err := s.take(t.Context(), delivery(3, 2)); !errors.Is(err, want) {
			t.Errorf("after a pull %t: %v, want %v", pulled, err, want)
		}
	}
}

// Without a followed job no list is due, however long ago the last one was.
func TestLook_nothingFollowed(t *testing.T) {
	t.Parallel()
	f := &Follower{
		cfg: Config{}.withDefaults(), pace: newPace(time.Second, time.Second, 1000),
		vendor: pagesOf(func(vendorapi.JobQuery) vendorapi.JobPage { return vendorapi.JobPage{} }),
	}
	s := &session{follower: f, book: newBook(), looks: looks{results: make(chan *look, 1)}}
	now := time.Now()
	if s.look(t.Context(), now); s.looks.flying {
		t.Error("a list is read without a job")
	}
	s.book.add(&job{id: "1", of: &message{sequence: 1}, started: now})
	if s.look(t.Context(), now); !s.looks.flying {
		t.Error("no list is read with a job")
	}
	s.flights.running.Wait()
}
