package budget

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// bench is a JetStream server under a fake clock.
type bench struct {
	t      *testing.T
	server *natstest.Server
	nc     *nats.Conn
	js     jetstream.JetStream
}

// onBench runs a test with a server that has the stream of the budget, after changes.
func onBench(t *testing.T, test func(*bench), changes ...natstest.Change) {
	t.Helper()
	natstest.Synctest(t, func(t *testing.T) {
		b := &bench{t: t, server: natstest.StartPipe(t)}
		b.nc = b.server.Connect(t)
		b.js = natstest.JetStream(t, b.nc)
		natstest.ProvisionBudget(t, b.nc, changes...)
		test(b)
	})
}

// deletable is a stream that an operator has made without the shipped protection.
func deletable(stream *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) {
	if stream != nil {
		stream.DenyDelete, stream.DenyPurge = false, false
	}
}

// budget returns a budget that runs until the test ends.
func (b *bench) budget(owner string, perHour int) *Budget {
	b.t.Helper()
	one := New(Config{Owner: owner, PerHour: perHour, Timeout: 30 * time.Second, Log: zerolog.Nop()})
	if err := one.Use(b.server.Connect(b.t)); err != nil {
		b.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.t.Context())
	var running sync.WaitGroup
	running.Go(func() { one.Run(ctx) })
	b.t.Cleanup(func() {
		stop()
		running.Wait()
	})
	<-time.After(10 * time.Millisecond)
	return one
}

// take takes a call and makes it.
func take(t *testing.T, b *Budget) {
	t.Helper()
	grant, err := b.Take(t.Context())
	if err != nil {
		t.Fatalf("take: %v", err)
	}
	grant.End(true)
}

// spend makes n calls and waits until they are on record.
func spend(t *testing.T, b *Budget, n int) {
	t.Helper()
	for range n {
		take(t, b)
	}
	<-time.After(2 * settleAfter)
}

// wantNone checks that no call can be taken. It returns how long to wait, and why the budget cannot
// be used.
func wantNone(t *testing.T, b *Budget) (wait time.Duration, trouble error) {
	t.Helper()
	_, err := b.Take(t.Context())
	spent, ok := errors.AsType[*vendorapi.BudgetError](err)
	if !ok {
		t.Fatalf("take: %v, want a BudgetError", err)
	}
	if left, _ := b.Left(5); left != 0 {
		t.Errorf("%d calls are left, and none can be taken", left)
	}
	return spent.RetryAfter, spent.Err
}

// wantTrouble checks that no call can be taken and that the condition says why.
func wantTrouble(t *testing.T, b *Budget, why string) {
	t.Helper()
	wantNone(t, b)
	if err := b.Trouble(); err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("the condition is %v, want %q", err, why)
	}
}

// TestTake: replicas that take calls at the same time get the budget together, and not one more.
func TestTake(t *testing.T) {
	onBench(t, func(b *bench) {
		all := []*Budget{b.budget("a", 40), b.budget("b", 40), b.budget("c", 40)}
		var granted atomic.Int32
		var workers sync.WaitGroup
		for i := range 90 {
			workers.Go(func() {
				for {
					grant, err := all[i%3].Take(b.t.Context())
					if err == nil {
						granted.Add(1)
						<-time.After(300 * time.Millisecond)
						grant.End(true)
						return
					}
					spent, _ := errors.AsType[*vendorapi.BudgetError](err)
					if spent.Err != nil {
						b.t.Error(err)
					}
					if spent.RetryAfter > time.Minute {
						return
					}
					<-time.After(spent.RetryAfter)
				}
			})
		}
		workers.Wait()
		if n := granted.Load(); n != 40 {
			b.t.Errorf("%d calls were granted of 40", n)
		}
		<-time.After(2 * settleAfter)
		v, err := Read(b.t.Context(), b.js)
		if err != nil || v.Limit != 40 || v.Spent != 40 || len(v.By) != 3 {
			b.t.Errorf("%+v, %v", v, err)
		}
		wait, _ := wantNone(b.t, all[0])
		<-time.After(wait)
		take(b.t, all[0])
	})
}

// TestTake_sharesAWrite: callers at the same time cost one write, up to the size of a lease.
func TestTake_sharesAWrite(t *testing.T) {
	onBench(t, func(b *bench) {
		one := b.budget("a", 100)
		before := b.last()
		var callers sync.WaitGroup
		var granted atomic.Int32
		one.working <- struct{}{} // until all wait
		for range 20 {
			callers.Go(func() {
				if _, err := one.Take(b.t.Context()); err == nil {
					granted.Add(1)
				}
			})
		}
		synctest.Wait()
		<-one.working
		callers.Wait()
		if n := granted.Load(); n != 5 {
			b.t.Errorf("%d calls are open in one process, want a lease of 5", n)
		}
		if writes := b.last() - before; writes > 2 {
			b.t.Errorf("they cost %d writes", writes)
		}
	})
}

func (b *bench) last() uint64 {
	b.t.Helper()
	stream := natstest.Stream(b.t, b.js, publisher.BudgetStream)
	info, err := stream.Info(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return info.State.LastSeq
}

// TestTake_givesBack: what was not sent, or was taken for a caller that left, is not counted.
func TestTake_givesBack(t *testing.T) {
	onBench(t, func(b *bench) {
		one, other := b.budget("a", 1), b.budget("b", 1)
		for range 3 {
			grant, err := one.Take(b.t.Context())
			if err != nil {
				b.t.Fatal(err)
			}
			grant.End(false)
			grant.End(true) // only the first word counts
			<-time.After(2 * settleAfter)
		}
		gone, leave := context.WithCancel(b.t.Context())
		leave()
		if _, err := one.Take(gone); err == nil {
			b.t.Error("a caller that has left has a grant")
		}
		<-time.After(2 * settleAfter)
		<-time.After(2 * refresh)
		take(b.t, other)
	})
}

// TestCrash: the calls of a process that died count from the end of its lease. The others go on.
func TestCrash(t *testing.T) {
	onBench(t, func(b *bench) {
		dead := New(Config{Owner: "pod/1", PerHour: 20, Timeout: 30 * time.Second})
		nc := b.server.Connect(b.t)
		if err := dead.Use(nc); err != nil {
			b.t.Fatal(err)
		}
		granted := time.Now()
		if _, err := dead.Take(b.t.Context()); err != nil {
			b.t.Fatal(err)
		}
		nc.Close()
		// The process that is started in its place has the same name, and not its lease.
		next := b.budget("pod/1", 20)
		spend(b.t, next, 19)
		wantNone(b.t, next)
		lease := next.cfg.validity()
		<-time.After(time.Until(granted.Add(hour + margin + lease - time.Second)))
		v, _ := next.View()
		if v.Spent != 1 {
			b.t.Errorf("%d calls count at the end, want the lost one: %+v", v.Spent, v)
		}
		<-time.After(3 * time.Second)
		if v, _ = next.View(); v.Left != 20 {
			b.t.Errorf("%d calls are left, want all", v.Left)
		}
	})
}

// TestSkew is in TestSlidingHour, too: here the replica's clock jumps in between, which the fake
// clock cannot, so that only the server's times are compared.
func TestTimesAreTheServers(t *testing.T) {
	t.Parallel()
	s := snapshot{at: noon, asked: noon.Add(-25 * time.Hour), answered: noon.Add(-25*time.Hour + time.Second)}
	if got := s.latest(s.asked.Add(-time.Minute)); !got.Equal(noon.Add(-time.Minute)) {
		t.Errorf("a minute before the question was at %s", got)
	}
	if got := s.earliest(s.answered.Add(time.Minute)); !got.Equal(noon.Add(time.Minute)) {
		t.Errorf("a minute after the answer is %s", got)
	}
}

// TestStreamTroubles: without a stream that can be relied on no call is granted, and the condition
// says why. Afterwards calls are granted again.
func TestStreamTroubles(t *testing.T) {
	edit := func(change func(*jetstream.StreamConfig)) func(*bench) {
		return func(b *bench) {
			c := natstest.Stream(b.t, b.js, publisher.BudgetStream).CachedInfo().Config
			change(&c)
			if _, err := b.js.UpdateStream(b.t.Context(), c); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	for name, tt := range map[string]struct {
		break_, mend func(*bench)
		why          string
	}{
		"unreachable": {func(b *bench) { b.server.Stop() }, func(b *bench) { b.server.Restart() }, "nothing is sent to the vendor that is not a read"},
		"full": {
			edit(func(c *jetstream.StreamConfig) {
				c.MaxBytes, c.Discard, c.MaxMsgsPerSubject = 1, jetstream.DiscardNew, -1
			}),
			edit(func(c *jetstream.StreamConfig) {
				c.MaxBytes, c.Discard, c.MaxMsgsPerSubject = -1, jetstream.DiscardOld, 1
			}),
			"maximum bytes",
		},
		"too small": {
			edit(func(c *jetstream.StreamConfig) { c.MaxMsgSize = 10 }), edit(func(c *jetstream.StreamConfig) { c.MaxMsgSize = -1 }),
			"larger than the server or the stream allows",
		},
		"direct reads": {
			edit(func(c *jetstream.StreamConfig) { c.AllowDirect = true }), edit(func(c *jetstream.StreamConfig) { c.AllowDirect = false }),
			"set allow_direct to false",
		},
		"other subjects": {
			edit(func(c *jetstream.StreamConfig) { c.Subjects = []string{"backup.budget", "other"} }),
			edit(func(c *jetstream.StreamConfig) { c.Subjects = []string{"backup.budget"} }),
			`must have "backup.budget" alone`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			onBench(t, func(b *bench) {
				one := b.budget("a", 20)
				spend(b.t, one, 5)
				tt.break_(b)
				// A call that was granted before shows what the stream takes.
				for range 3 {
					if grant, err := one.Take(b.t.Context()); err == nil {
						grant.End(true)
						b.t.Error("a call was granted")
					}
				}
				wantTrouble(b.t, one, tt.why)
				<-time.After(2 * refresh)
				if err := one.Trouble(); err == nil || !strings.Contains(err.Error(), tt.why) {
					b.t.Errorf("after a while without a call the condition is %v", err)
				}
				tt.mend(b)
				<-time.After(time.Minute)
				if err := one.Trouble(); err != nil {
					b.t.Fatal(err)
				}
				v, _ := one.View()
				if v.Spent != 5 {
					b.t.Errorf("%d calls count, want the 5 that were made", v.Spent)
				}
				take(b.t, one)
			}, deletable)
		})
	}
}

// TestRecordTroubles: if the record is not the one that Backhaul wrote last, the calls of the last
// hour are taken for a whole budget, also by a replica that has just started.
func TestRecordTroubles(t *testing.T) {
	publish := func(b *bench, msg *nats.Msg) {
		msg.Header.Del(jetstream.ExpectedLastSubjSeqHeader)
		msg.Header.Del(jetstream.ExpectedLastSubjSeqSubjHeader)
		if _, err := b.js.PublishMsg(b.t.Context(), msg); err != nil {
			b.t.Fatal(err)
		}
	}
	stored := func(b *bench) *jetstream.RawStreamMsg {
		msg, err := natstest.Stream(b.t, b.js, publisher.BudgetStream).GetLastMsgForSubject(b.t.Context(), publisher.BudgetSubject)
		if err != nil {
			b.t.Fatal(err)
		}
		return msg
	}
	for name, tt := range map[string]struct {
		edit func(*bench)
		why  string
	}{
		"made again": {func(b *bench) {
			if err := b.js.DeleteStream(b.t.Context(), publisher.BudgetStream); err != nil {
				b.t.Fatal(err)
			}
			natstest.ProvisionBudget(b.t, b.nc, deletable)
		}, "made again"},
		"purged": {func(b *bench) {
			if err := natstest.Stream(b.t, b.js, publisher.BudgetStream).Purge(b.t.Context()); err != nil {
				b.t.Fatal(err)
			}
		}, "its record was deleted"},
		"deleted": {func(b *bench) {
			if err := natstest.Stream(b.t, b.js, publisher.BudgetStream).DeleteMsg(b.t.Context(), stored(b).Sequence); err != nil {
				b.t.Fatal(err)
			}
		}, "its record was deleted"},
		"restored": {func(b *bench) {
			snapshot := natstest.TakeSnapshot(b.t, b.nc, publisher.BudgetStream)
			spend(b.t, b.budget("other", 20), 3)
			if err := b.js.DeleteStream(b.t.Context(), publisher.BudgetStream); err != nil {
				b.t.Fatal(err)
			}
			snapshot.Restore(b.t, b.nc)
			<-time.After(2 * refresh) // a replica that knew the record sees it first
		}, "it was restored"},
		"written by hand": {func(b *bench) {
			publish(b, &nats.Msg{Subject: publisher.BudgetSubject, Data: []byte(`{"limit":1000,"calls":[]}`)})
		}, "its record was not written by Backhaul"},
		"an earlier copy": {func(b *bench) {
			old := stored(b)
			spend(b.t, b.budget("other", 20), 3)
			publish(b, &nats.Msg{Subject: publisher.BudgetSubject, Data: old.Data, Header: old.Header})
		}, "its record is a copy of an earlier one"},
		"changed data": {func(b *bench) {
			old := stored(b)
			publish(b, &nats.Msg{Subject: publisher.BudgetSubject, Data: []byte(strings.Replace(string(old.Data), `"n":`, `"n":-`, 1)), Header: old.Header})
		}, "its record was not written by Backhaul"},
	} {
		t.Run(name, func(t *testing.T) {
			onBench(t, func(b *bench) {
				one := b.budget("a", 20)
				b.claim()
				claimed := time.Now()
				spend(b.t, one, 5)
				<-time.After(10 * time.Minute)
				tt.edit(b)
				edited := time.Now()
				fresh := b.budget("fresh", 20)
				<-time.After(2 * refresh)
				for _, replica := range []*Budget{one, fresh} {
					wantTrouble(b.t, replica, tt.why)
					if v, _ := replica.View(); v.Spent != 20 {
						b.t.Errorf("%d calls count, want a whole budget", v.Spent)
					}
				}
				// It ends an hour after the last claim's lease, or after the edit if a replica that knew the
				// record was first to see it.
				<-time.After(time.Until(claimed.Add(hour)))
				wantNone(b.t, one)
				<-time.After(time.Until(edited.Add(hour + margin + 3*step)))
				take(b.t, one)
				if err := fresh.Trouble(); err != nil {
					b.t.Errorf("the condition is %v an hour later", err)
				}
			}, deletable)
		})
	}
}

// claim writes a claim as the consumer does.
func (b *bench) claim() {
	b.t.Helper()
	pub, err := publisher.New(b.nc)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := pub.Append(b.t.Context(), publisher.NewKey("test", "r"), 0, &schemas.JobSubmitting{}, ""); err != nil {
		b.t.Fatal(err)
	}
}

// TestFirstUse: an installation that has claimed requests in the last hour waits for its end before
// the first call, because those calls are not known; another one begins at once.
func TestFirstUse(t *testing.T) {
	onBench(t, func(b *bench) {
		take(b.t, b.budget("a", 20))
	})
	onBench(t, func(b *bench) {
		b.claim()
		<-time.After(50 * time.Minute)
		one := b.budget("a", 20)
		wantTrouble(b.t, one, "the calls before")
		wait, _ := wantNone(b.t, one)
		if wait > 12*time.Minute || wait < 10*time.Minute {
			b.t.Errorf("the wait is %s", wait)
		}
		<-time.After(wait)
		take(b.t, one)
	})
}

// TestCorrect: what the vendor says reaches every replica, and its refusal stops all of them.
func TestCorrect(t *testing.T) {
	onBench(t, func(b *bench) {
		one, other := b.budget("a", 100), b.budget("b", 100)
		spend(b.t, one, 10)
		one.Correct(vendorapi.Allowance{PerHour: 50, Left: 7})
		<-time.After(2 * refresh)
		for _, replica := range []*Budget{one, other} {
			if v, err := replica.View(); err != nil || v.Left != 7 || v.Limit != 50 || v.VendorLimit != 50 {
				b.t.Errorf("%+v, %v", v, err)
			}
			if err := replica.Trouble(); err == nil || !strings.Contains(err.Error(), "the vendor allows 50") {
				b.t.Errorf("the condition is %v", err)
			}
		}
		one.Correct(vendorapi.Allowance{Refused: true, Wait: 20 * time.Minute, Left: -1})
		<-time.After(2 * refresh)
		for _, replica := range []*Budget{one, other} {
			wantTrouble(b.t, replica, "the vendor refused a call")
		}
		<-time.After(20 * time.Minute)
		take(b.t, other)
		<-time.After(2 * hour)
		if v, _ := other.View(); v.Left != 50 {
			b.t.Errorf("two hours later: %+v", v)
		}
		other.Correct(vendorapi.Allowance{PerHour: 200, Left: -1})
		<-time.After(2 * refresh)
		if v, _ := one.View(); v.Left != 100 || one.Trouble() != nil {
			b.t.Errorf("after the vendor has raised its limit: %+v, %v", v, one.Trouble())
		}
	})
}

// TestRead: without a stream or a record there is no budget to show.
func TestRead(t *testing.T) {
	onBench(t, func(b *bench) {
		if _, err := Read(b.t.Context(), b.js); !errors.Is(err, ErrNone) {
			b.t.Errorf("without a record: %v", err)
		}
		spend(b.t, b.budget("a", 100), 2)
		v, err := Read(b.t.Context(), b.js)
		if err != nil || v.Limit != 100 || v.Spent != 2 || v.Left != 98 || len(v.By) != 1 || v.By[0].Process != "a" {
			b.t.Errorf("%+v, %v", v, err)
		}
		if err := b.js.DeleteStream(b.t.Context(), publisher.BudgetStream); err != nil {
			b.t.Fatal(err)
		}
		if _, err := Read(b.t.Context(), b.js); !errors.Is(err, ErrNone) {
			b.t.Errorf("without a stream: %v", err)
		}
	})
}

// TestMissingStream: the budget waits for the stream, and uses it when it is made.
func TestMissingStream(t *testing.T) {
	natstest.Synctest(t, func(t *testing.T) {
		b := &bench{t: t, server: natstest.StartPipe(t)}
		b.nc = b.server.Connect(t)
		one := b.budget("a", 100)
		wantTrouble(t, one, "stream BACKUP_BUDGET: nats: API error: code=404")
		natstest.ProvisionBudget(t, b.nc)
		<-time.After(2 * retry)
		take(t, one)
	})
}
