package trigger

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer/turn"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// heldRoutes have a rule and a short window.
func heldRoutes(rule string, groups ...string) string {
	var text strings.Builder
	text.WriteString("routes:\n")
	for _, g := range groups {
		fmt.Fprintf(&text, "- {container: %s, clientName: c, subclientName: %s, window: {quiet: 100ms, max: 1s}, %s, directive: {container: lists, prefix: backhaul/}}\n", g, g, rule)
	}
	return text.String()
}

const queueRule = "onRunning: queue"

// eager looks again soon.
func eager(c *Config) { c.LookAgain = 50 * time.Millisecond }

// service writes the events of requests, as `backhaul run` does.
type service struct {
	*bench
	pub  *publisher.Publisher
	last map[publisher.Key]uint64
}

func (b *bench) service() *service {
	b.Helper()
	pub, err := publisher.New(b.nats.Connect(b))
	if err != nil {
		b.Fatal(err)
	}
	return &service{bench: b, pub: pub, last: make(map[publisher.Key]uint64)}
}

func (s *service) append(key publisher.Key, e schemas.Event) {
	s.Helper()
	sequence, err := s.pub.Append(s.Context(), key, s.last[key], e, "")
	if err != nil {
		s.Fatal(err)
	}
	s.last[key] = sequence
}

// claims claims a request, or releases the claim.
func (s *service) claims(req schemas.BackupRequest, lease int64) {
	s.Helper()
	s.append(publisher.NewKey("storage", req.RequestID), &schemas.JobSubmitting{
		RequestID: req.RequestID, Source: "storage", Request: req, Message: schemas.Message{RequestedAt: time.Now().UTC(), PayloadHash: "0"},
		Claim: schemas.Claim{Owner: "one", Nonce: "n", Epoch: 1, LeaseMillis: lease}, SubmittingAt: time.Now().UTC(),
	})
}

func (s *service) starts(source string, req schemas.BackupRequest, job string) {
	s.Helper()
	s.append(publisher.NewKey(source, req.RequestID), &schemas.JobStarted{
		Naming: req.Naming(source), Message: schemas.Message{RequestedAt: time.Now().UTC(), PayloadHash: "0"},
		JobID: job, JobIDs: []string{job}, StartedAt: time.Now().UTC(),
	})
}

func (s *service) fails(req schemas.BackupRequest) {
	s.Helper()
	s.append(publisher.NewKey("storage", req.RequestID), &schemas.JobFailed{
		Naming: req.Naming("storage"), Message: schemas.Message{RequestedAt: time.Now().UTC(), PayloadHash: "0"},
		ErrorCode: "2:3", ErrorMessage: "x", ErrorSource: schemas.ErrorSourceVendor, FailedAt: time.Now().UTC(),
	})
}

func (s *service) ends(source string, req schemas.BackupRequest, job string) {
	s.Helper()
	e := &schemas.JobFinished{
		Naming: req.Naming(source), Message: schemas.Message{RequestedAt: time.Now().UTC(), PayloadHash: "0"}, JobRef: schemas.JobRef{JobID: job},
		Outcome: schemas.OutcomeCompleted, VendorStatus: "Completed", JobTimes: schemas.JobTimes{ObservedAt: time.Now().UTC()},
	}
	if _, err := s.pub.AppendJob(s.Context(), publisher.NewKey(source, req.RequestID), 0, e, ""); err != nil {
		s.Fatal(err)
	}
}

// takesTurn lets a request of another source have the turn of a content group.
func (s *service) takesTurn(req schemas.BackupRequest, source string) {
	s.Helper()
	key := publisher.NewKey(source, req.RequestID)
	turns := turn.New(s.js, natstest.Stream(s, s.js, publisher.EventsStream), s.pub)
	st, err := turns.Look(s.Context(), turn.Group{Client: req.ClientName, Subclient: req.SubclientName}, turn.Rule{Queue: true}, key)
	if err == nil {
		_, err = turns.Take(s.Context(), st, key, req.RequestID)
	}
	if err != nil {
		s.Fatal(err)
	}
}

// logs waits for a line of the log.
func (b *bench) logs(text string) {
	b.Helper()
	b.eventually("a line of the log: "+text, func() bool { return strings.Contains(b.log.String(), text) })
}

// While the group's request waits, is being started or has a job that runs, its changes are
// collected. When it has ended they are requested once.
func TestAContentGroupIsAskedForOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.service()
	b.run(heldRoutes(queueRule, "a"), eager)
	b.publish(put("a", "1"))
	first := b.requested(1)[0]
	b.publish(put("a", "2"))
	b.logs("which waits for the same content group")
	s.claims(first, 1000)
	b.publish(put("a", "3"))
	s.claims(first, 0) // released: it waits again
	s.starts("storage", first, "11")
	b.publish(put("a", "4"), put("a", "5"))
	// Windows of another group pass meanwhile, many times.
	if n := len(b.requests()); n != 1 {
		t.Fatalf("%d requests while the job runs", n)
	}
	s.ends("storage", first, "11")
	b.settled()
	if n := len(b.requests()); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
	b.exactlyOnce([]string{"/a/1", "/a/2", "/a/3", "/a/4", "/a/5"})
}

// A request that failed, and one whose job has ended, hold nothing. Nor does a group without a rule.
func TestWhatHoldsNoWindow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.service()
	b.run(heldRoutes(queueRule, "a")+strings.TrimPrefix(heldRoutes("onRunning: start", "b"), "routes:\n"), eager)
	for i, end := range []func(schemas.BackupRequest){
		s.fails,
		func(r schemas.BackupRequest) { s.starts("storage", r, "12"); s.ends("storage", r, "12") },
		func(schemas.BackupRequest) {},
	} {
		b.publish(put("a", fmt.Sprint(i)))
		all := b.requested(i + 1)
		end(all[len(all)-1])
	}
	b.publish(put("b", "1"))
	b.requested(4)
	b.publish(put("b", "2"))
	b.requested(5)
	b.settled()
}

// A request of another source that has the group's turn holds the window as well.
func TestAnotherSourceHasTheTurn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.service()
	other := schemas.BackupRequest{RequestID: "other", ClientName: "C", SubclientName: "A"}
	s.takesTurn(other, "billing")
	s.starts("billing", other, "21")
	b.run(heldRoutes(queueRule, "a"), eager)
	b.publish(put("a", "1"))
	b.logs("a window waits for job 21 of request billing/other")
	if n := len(b.requests()); n != 0 {
		t.Fatalf("%d requests while the job runs", n)
	}
	s.ends("billing", other, "21")
	b.requested(1)
	b.settled()
}

// With a least interval the next request comes that much after the start.
func TestALeastIntervalOfARoute(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.service()
	b.run(heldRoutes("minInterval: 3s", "a"), eager)
	b.publish(put("a", "1"))
	first := b.requested(1)[0]
	started := time.Now()            // not after the start is stored
	s.starts("storage", first, "11") // its job runs for ever
	b.publish(put("a", "2"))
	b.requested(2)
	if waited := time.Since(started); waited < 3*time.Second {
		t.Errorf("asked again after %s, want 3s", waited)
	}
	b.settled()
}

// A window is held for so long and no longer.
func TestAWindowThatIsHeldTooLong(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.service()
	b.run(heldRoutes(queueRule, "a"), eager, func(c *Config) { c.HoldFor = 3 * time.Second })
	b.publish(put("a", "1"))
	s.starts("storage", b.requested(1)[0], "11")
	published := time.Now()
	b.publish(put("a", "2"))
	b.requested(2)
	if waited := time.Since(published); waited < 2900*time.Millisecond {
		t.Errorf("asked again after %s, want 3s", waited)
	}
	b.settled()
}

// Windows that ended by their paths wait in their order, and one is requested at a time.
func TestWindowsThatAreFullWait(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.service()
	b.run(strings.Replace(heldRoutes(queueRule, "a"), "max: 1s", "max: 1s, maxPaths: 2", 1), eager)
	b.publish(put("a", "1"), put("a", "2"), put("a", "3"), put("a", "4"), put("a", "5"))
	for i := range 3 {
		all := b.requested(i + 1)
		if len(all) != i+1 {
			t.Fatalf("%d requests, want %d", len(all), i+1)
		}
		if i < 2 {
			b.logs("a window waits for request storage/" + all[i].RequestID)
		}
		job := fmt.Sprint(30 + i)
		s.starts("storage", all[i], job)
		s.ends("storage", all[i], job)
	}
	b.settled()
	b.exactlyOnce([]string{"/a/1", "/a/2", "/a/3", "/a/4", "/a/5"})
}

// If the server delivers no more because of what is held, windows end without a look: changes of
// other groups must not wait for a job of this one.
func TestAFullConsumerEndsWhatIsHeld(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]string{"open windows": "max: 1s", "full windows": "max: 1s, maxPaths: 1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(_ *jetstream.StreamConfig, cfg *jetstream.ConsumerConfig) {
				if cfg != nil && cfg.Durable == publisher.StorageConsumer {
					cfg.MaxAckPending = 3
				}
			})
			s := b.service()
			b.run(strings.ReplaceAll(heldRoutes(queueRule, "a", "b"), "max: 1s", limit), eager)
			b.publish(put("a", "0"))
			s.starts("storage", b.requested(1)[0], "11")
			b.settled()
			for i := range 4 {
				b.publish(put("a", fmt.Sprint("more-", i)))
			}
			b.publish(put("b", "1"))
			b.eventually("the other group's request", func() bool {
				return slices.ContainsFunc(b.requests(), func(r schemas.BackupRequest) bool { return r.SubclientName == "b" })
			})
			s.ends("storage", b.requests()[0], "11")
			// Those that were asked for early wait themselves.
			for done := 1; b.pending() > 0; {
				if all := b.requests(); done < len(all) {
					s.fails(all[done])
					done++
				}
			}
		})
	}
}

// A crash while a window is held, and at each step of its request: the next reader holds what it
// collects, and nothing is requested twice.
func TestACrashWhileAWindowIsHeld(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]struct {
		op     string
		action natstest.Action
	}{
		"held":                     {"", 0},
		"decision":                 {"HPUB storage.window.", natstest.Swallow},
		"decision, unacknowledged": {"HPUB storage.window.", natstest.Deafen},
		"request":                  {"HPUB backup.request.", natstest.Swallow},
		"request, unacknowledged":  {"HPUB backup.request.", natstest.Deafen},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, natstest.AckWait(2*time.Second))
			s := b.service()
			routes := heldRoutes(queueRule, "a")
			w := b.run(routes, eager)
			b.publish(put("a", "1"))
			first := b.requested(1)[0]
			s.starts("storage", first, "11")
			b.settled()
			w.drain()
			proxy := natstest.StartProxy(t, b.nats)
			w = b.start(routes, proxy.Connect(t), eager)
			b.publish(put("a", "2"))
			b.logs("a window waits for job 11")
			if step.op == "" {
				w.kill()
				b.run(routes, eager)
			} else {
				here := proxy.Once(step.op, step.action)
				s.ends("storage", first, "11")
				b.wait("the step", here)
				w.kill()
				b.run(routes, eager)
			}
			b.publish(put("a", "3"))
			if step.op == "" {
				b.eventually("the next reader holds it", func() bool { return strings.Count(b.log.String(), "a window waits for job 11") == 2 })
				s.ends("storage", first, "11")
			}
			// The request of the second window waits or runs; the rest is requested after it.
			for done := 1; b.pending() > 0; {
				all := b.requests()
				if done < len(all) {
					job := fmt.Sprint(40 + done)
					s.starts("storage", all[done], job)
					if len(b.requests()) > done+1 {
						t.Error("two requests of one group at once")
					}
					s.ends("storage", all[done], job)
					done++
				}
			}
			b.exactlyOnce([]string{"/a/1", "/a/2", "/a/3"})
		})
	}
}

// While the events cannot be read, windows with a rule wait, and the reason is known.
func TestWhatRunsIsNotKnown(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.service()
	w := b.run(heldRoutes(queueRule, "a"), eager)
	b.publish(put("a", "0"))
	first := b.requested(1)[0]
	cfg := natstest.Stream(t, b.js, publisher.EventsStream).CachedInfo().Config
	if err := b.js.DeleteStream(t.Context(), publisher.EventsStream); err != nil {
		t.Fatal(err)
	}
	b.publish(put("a", "1"))
	b.eventually("the trouble", func() bool { return w.HoldTrouble() != nil })
	b.logs("cannot find out whether jobs of content groups run")
	if n := len(b.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
	if _, err := b.js.CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	s.fails(first)
	b.requested(2)
	b.eventually("the end of the trouble", func() bool { return w.HoldTrouble() == nil })
	b.settled()
}
