package history

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"backhaul/consumer/scope"
	"backhaul/consumer/turn"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// resent is how the summary of a request that is sent again after a doubt ends.
var resent = fmt.Sprintf(" (BACKHAUL_IN_DOUBT=reconcile and a BACKHAUL_VENDOR_VISIBILITY_WINDOW of %s, by the settings of this command: a vendor that lists the job later gets a second one)", window)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	lease  = 40 * time.Second
	window = time.Minute
)

// rig writes histories on a real stream, as the service does.
type rig struct {
	*testing.T
	js  jetstream.JetStream
	pub *publisher.Publisher
}

func newRig(t *testing.T) *rig {
	t.Helper()
	nc := natstest.Start(t).Connect(t)
	pub, err := publisher.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{T: t, js: natstest.JetStream(t, nc), pub: pub}
}

func request(id string) schemas.BackupRequest {
	return schemas.BackupRequest{RequestID: id, ClientName: "c", SubclientName: "g"}
}

// queue publishes a request and returns what identifies its message.
func (t *rig) queue(source, id string) schemas.Message {
	t.Helper()
	req := request(id)
	ack, err := t.pub.Request(t.Context(), source, req)
	if err != nil {
		t.Fatal(err)
	}
	stream := natstest.Stream(t, t.js, publisher.RequestsStream)
	msg, err := stream.GetMsg(t.Context(), ack.Sequence)
	if err != nil {
		t.Fatal(err)
	}
	return schemas.Message{RequestedAt: msg.Time, PayloadHash: req.Hash()}
}

// done takes a request's message out of the queue.
func (t *rig) done(m schemas.Message) {
	t.Helper()
	stream := natstest.Stream(t, t.js, publisher.RequestsStream)
	for sequence := stream.CachedInfo().State.FirstSeq; sequence <= stream.CachedInfo().State.LastSeq; sequence++ {
		if msg, err := stream.GetMsg(t.Context(), sequence); err == nil && msg.Time.Equal(m.RequestedAt) {
			if err := stream.DeleteMsg(t.Context(), sequence); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (t *rig) append(key publisher.Key, after uint64, e schemas.Event) uint64 {
	t.Helper()
	sequence, err := t.pub.Append(t.Context(), key, after, e, "")
	if err != nil {
		t.Fatal(err)
	}
	return sequence
}

// claim is a job-submitting event; lease 0 releases.
func claim(m schemas.Message, owner string, epoch int, lease time.Duration, doubt uint64) *schemas.JobSubmitting {
	return &schemas.JobSubmitting{
		RequestID: "r-1", Source: "billing", Request: request("r-1"), Message: m, SubmittingAt: time.Now(),
		Claim: schemas.Claim{Owner: owner, Nonce: owner, Epoch: epoch, LeaseMillis: lease.Milliseconds(), DoubtSequence: doubt},
	}
}

func started(m schemas.Message, adopted bool) *schemas.JobStarted {
	e := &schemas.JobStarted{Naming: request("r-1").Naming("billing"), Message: m, JobID: "7", JobIDs: []string{"7"}, Attempts: 1, Adopted: adopted, StartedAt: time.Now()}
	if adopted {
		e.Attempts = 0
	}
	return e
}

func failed(m schemas.Message, code string, candidates ...string) *schemas.JobFailed {
	return &schemas.JobFailed{
		Naming: request("r-1").Naming("billing"), Message: m, ErrorCode: code, ErrorMessage: "it is so", Attempts: 2,
		ErrorSource: schemas.ErrorSourceBackhaul, Candidates: candidates, FailedAt: time.Now(),
	}
}

var times = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

func TestRead_histories(t *testing.T) {
	t.Parallel()
	key := publisher.NewKey("billing", "r-1")
	for name, c := range map[string]struct {
		// tell writes the events that follow the request's first one.
		tell func(t *rig, m schemas.Message)
		// later is when the history is read, after its last event.
		later   time.Duration
		whats   []What
		status  Status
		summary string
		gone    bool // the message is acknowledged
		letters int
	}{
		"waits": {
			status: Waiting, summary: "waiting since TIME: no replica has claimed it yet",
		},
		"waits for a job of its content group": {
			tell: func(t *rig, m schemas.Message) {
				first := publisher.NewKey("crm", "r-0")
				turns := turn.New(t.js, natstest.Stream(t, t.js, publisher.EventsStream), t.pub)
				st, err := turns.Look(t.Context(), turn.Group{Client: "c", Subclient: "g"}, turn.Rule{Queue: true}, first)
				if err == nil {
					_, err = turns.Take(t.Context(), st, first, "r-0")
				}
				if err != nil {
					t.Fatal(err)
				}
				t.append(first, 0, &schemas.JobStarted{Naming: request("r-0").Naming("crm"), Message: m, JobID: "77", JobIDs: []string{"77"}, StartedAt: time.Now()})
			},
			status: Waiting, summary: "waiting since TIME: for job 77 of request crm/r-0, which runs for the same content group",
		},
		"claimed": {
			tell:  func(t *rig, m schemas.Message) { t.append(key, 0, claim(m, "a/1", 1, lease, 0)) },
			whats: []What{StepClaimed}, status: Claimed, summary: "claimed by a/1 until TIME, unless it renews the claim; a call to the vendor may be under way since TIME, of which no answer is recorded",
		},
		"claimed, the message is lost": {
			tell:  func(t *rig, m schemas.Message) { t.append(key, 0, claim(m, "a/1", 1, lease, 0)) },
			whats: []What{StepClaimed}, status: Claimed, gone: true,
			summary: "claimed by a/1 until TIME, unless it renews the claim; a call to the vendor may be under way since TIME, of which no answer is recorded; its message is no longer queued, so no replica will resume it",
		},
		"the owner died": {
			tell:  func(t *rig, m schemas.Message) { t.append(key, 0, claim(m, "a/1", 1, lease, 0)) },
			later: lease + time.Second,
			whats: []What{StepClaimed}, status: InDoubt,
			summary: "in doubt since TIME: the lease of a/1 has ended; its job is looked up until TIME, and if there is none, the request is sent again" + resent,
		},
		"the owner died long ago": {
			tell:  func(t *rig, m schemas.Message) { t.append(key, 0, claim(m, "a/1", 1, lease, 0)) },
			later: lease + window + time.Second,
			whats: []What{StepClaimed}, status: InDoubt,
			summary: "in doubt since TIME: the lease of a/1 has ended; the window for its job ended at TIME; the next delivery looks it up once more, and if there is none, the request is sent again" + resent,
		},
		"released": {
			tell: func(t *rig, m schemas.Message) {
				t.append(key, t.append(key, 0, claim(m, "a/1", 1, lease, 0)), claim(m, "a/1", 1, 0, 0))
			},
			whats: []What{StepClaimed, StepReleased}, status: Waiting,
			summary: "waiting since TIME: released by a/1, the next delivery claims it",
		},
		"released in doubt": {
			tell: func(t *rig, m schemas.Message) {
				first := t.append(key, 0, claim(m, "a/1", 1, lease, 0))
				renewed := t.append(key, first, claim(m, "a/1", 1, lease, first))
				t.append(key, renewed, claim(m, "a/1", 1, 0, first))
			},
			whats: []What{StepClaimed, StepRenewed, StepReleased}, status: InDoubt,
			summary: "in doubt since TIME: its job is looked up until TIME, and if there is none, the request is sent again" + resent,
		},
		"released, and the vendor said that there is no job": {
			tell: func(t *rig, m schemas.Message) {
				first := t.append(key, 0, claim(m, "a/1", 1, lease, 0))
				e := claim(m, "a/1", 1, 0, first)
				e.DoubtUnlikely = true
				t.append(key, first, e)
			},
			later: time.Second,
			whats: []What{StepClaimed, StepReleased}, status: InDoubt,
			summary: "in doubt since TIME: its job is looked up once more, and if there is none, the request is sent again",
		},
		"a task without a job": {
			tell: func(t *rig, m schemas.Message) {
				first := t.append(key, 0, claim(m, "a/1", 1, lease, 0))
				e := claim(m, "a/1", 1, lease, first)
				e.DoubtTaskID = "4038"
				t.append(key, first, e)
			},
			whats: []What{StepClaimed, StepRenewed}, status: InDoubt,
			summary: "in doubt since TIME: its job is looked up until TIME, and if task 4038 shows none, the request fails as OUTCOME_UNKNOWN",
		},
		"taken over and adopted": {
			tell: func(t *rig, m schemas.Message) {
				first := t.append(key, 0, claim(m, "a/1", 1, lease, 0))
				second := t.append(key, first, claim(m, "b/2", 2, lease, first))
				t.append(key, second, started(m, true))
			},
			whats: []What{StepClaimed, StepTakenOver, StepAdopted}, status: Started, gone: true,
			summary: "started: job 7, found after a lost answer",
		},
		"claimed again after a release, done, not acknowledged": {
			tell: func(t *rig, m schemas.Message) {
				first := t.append(key, 0, claim(m, "a/1", 1, lease, 0))
				second := t.append(key, first, claim(m, "a/1", 1, 0, 0))
				third := t.append(key, second, claim(m, "b/2", 2, lease, 0))
				t.append(key, third, started(m, false))
			},
			whats: []What{StepClaimed, StepReleased, StepClaimed, StepStarted}, status: Started,
			summary: "started: job 7; its message is still queued, the next delivery removes it",
		},
		"failed, with its letter": {
			tell: func(t *rig, m schemas.Message) {
				t.append(key, 0, failed(m, schemas.CodeInvalidRequest))
				t.letter(key, 1, "INVALID_REQUEST")
				t.letter(publisher.NewKey("billing", "another"), 2, "INVALID_REQUEST")
			},
			whats: []What{StepFailed}, status: Failed, gone: true, letters: 1,
			summary: "failed: INVALID_REQUEST: it is so",
		},
		"nobody knows": {
			tell: func(t *rig, m schemas.Message) {
				first := t.append(key, 0, claim(m, "a/1", 1, lease, 0))
				t.append(key, first, failed(m, schemas.CodeOutcomeUnknown, "8", "9"))
			},
			whats: []What{StepClaimed, StepFailed}, status: OutcomeUnknown, gone: true,
			summary: "outcome unknown: OUTCOME_UNKNOWN: it is so; candidates 8, 9; look for its job at the vendor before you send a new request",
		},
		"another request with the same id": {
			tell: func(t *rig, m schemas.Message) {
				t.append(key, t.append(key, 0, claim(m, "a/1", 1, lease, 0)), started(m, false))
				other := schemas.Message{RequestedAt: time.Now(), PayloadHash: "other"}
				for i, id := range []string{"r-1", "r-2"} {
					t.append(publisher.SequenceKey("billing", uint64(100+i), other.RequestedAt), 0, &schemas.RequestRejected{
						Naming: request(id).Naming("billing"), Message: other, First: m, Reason: "used before", RejectedAt: time.Now(),
					})
				}
				t.letterOf(key, 100, other.RequestedAt, "request-rejected")
				rejected, err := Found{Key: publisher.SequenceKey("billing", 100, other.RequestedAt)}.Read(t.Context(), t.js)
				if err != nil || rejected.Status != Rejected || len(rejected.DeadLetters) != 1 {
					t.Errorf("the rejected request: %+v, %v", rejected, err)
				}
			},
			whats: []What{StepClaimed, StepStarted, StepRejected}, status: Started, gone: true, letters: 1,
			summary: "started: job 7",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newRig(t)
			w.queue("billing", "before")
			w.queue("other", "r-1") // the same id of another source is another request
			m := w.queue("billing", "r-1")
			w.queue("billing", "behind")
			if c.tell != nil {
				c.tell(w, m)
			}
			if c.gone {
				w.done(m)
			}
			s, err := Found{Key: key}.Read(t.Context(), w.js)
			if err != nil {
				t.Fatal(err)
			}
			if age := time.Since(s.AsOf); age < 0 || age > time.Hour {
				t.Errorf("read as of %s", s.AsOf)
			}
			if last := s.Last(); last != nil {
				s.AsOf = last.At.Add(c.later)
				s.Status = s.status()
			}
			var whats []What
			for _, step := range s.Steps {
				whats = append(whats, step.What)
				if step.Text() == "" || step.At.IsZero() {
					t.Errorf("step %+v tells nothing", step)
				}
			}
			if !slices.Equal(whats, c.whats) || s.Status != c.status {
				t.Errorf("got %v, %s, want %v, %s", whats, s.Status, c.whats, c.status)
			}
			if got := times.ReplaceAllString(s.Summary(Replicas{VisibilityWindow: window}), "TIME"); got != c.summary {
				t.Errorf("got  %s\nwant %s", got, c.summary)
			}
			if got := s.Summary(Replicas{VisibilityWindow: window, FailInDoubt: true}); strings.Contains(got, "sent again") && !strings.Contains(got, "once more, and") {
				t.Errorf("a doubt that fails: %s", got)
			}
			if (s.Queued == nil) != c.gone || s.Queued != nil && !s.Queued.Since.Equal(m.RequestedAt) {
				t.Errorf("queued is %+v, want gone %v, or of %s", s.Queued, c.gone, m.RequestedAt)
			}
			if len(s.DeadLetters) != c.letters {
				t.Errorf("dead letters %+v, want %d", s.DeadLetters, c.letters)
			}
		})
	}
}

func (t *rig) letter(key publisher.Key, sequence uint64, code string) {
	t.Helper()
	t.letterOf(key, sequence, time.Now(), code)
}

// letterOf keeps a dead letter of the message that was stored at a time.
func (t *rig) letterOf(key publisher.Key, sequence uint64, stored time.Time, code string) {
	t.Helper()
	err := t.pub.DeadLetter(t.Context(), publisher.DeadLetter{
		Subject: "backup.request." + key.Source, Data: []byte("{}"), Key: key, Sequence: sequence, Time: stored, Code: code, Reason: "it is so",
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A key of an earlier version, a sequence without a time, stands for the last message only.
func TestRead_aSequenceThatCameAgain(t *testing.T) {
	t.Parallel()
	w := newRig(t)
	key := publisher.EarlierSequenceKey("billing", 1)
	old := schemas.Message{RequestedAt: time.Now().Add(-time.Hour), PayloadHash: "old"}
	m := schemas.Message{RequestedAt: time.Now(), PayloadHash: "new"}
	end := w.append(key, w.append(key, 0, claim(old, "a/1", 1, lease, 0)), started(old, false))
	w.letterOf(key, 1, old.RequestedAt, schemas.CodeExpired)
	w.append(key, end, &schemas.JobFailed{Naming: schemas.Naming{RequestID: key.Name, Source: "billing"}, Message: m, ErrorCode: schemas.CodeExpired, FailedAt: time.Now()})
	w.letterOf(key, 1, m.RequestedAt, schemas.CodeExpired)
	s, err := Found{Key: key}.Read(t.Context(), w.js)
	if err != nil || len(s.Steps) != 1 || s.Steps[0].What != StepFailed || len(s.DeadLetters) != 1 || s.DeadLetters[0].Sequence != 2 {
		t.Errorf("got %+v, %v, want the second message's failure and dead letter", s, err)
	}
}

// The doubt began with the call, not with the step that repeats it.
func TestRead_doubtsBeginWithTheCall(t *testing.T) {
	t.Parallel()
	w := newRig(t)
	m := w.queue("billing", "r-1")
	key := publisher.NewKey("billing", "r-1")
	first := w.append(key, 0, claim(m, "a/1", 1, lease, 0))
	second := w.append(key, first, claim(m, "a/1", 1, 0, first))
	w.append(key, second, claim(m, "b/2", 2, lease, first))
	s, err := Found{Key: key}.Read(t.Context(), w.js)
	if err != nil || len(s.Steps) != 3 {
		t.Fatalf("%+v, %v", s, err)
	}
	if !s.Steps[0].InDoubtSince.IsZero() || !s.Steps[1].InDoubtSince.Equal(s.Steps[0].At) || !s.Steps[2].InDoubtSince.Equal(s.Steps[0].At) {
		t.Errorf("in doubt since %s, %s, %s; the call was at %s", s.Steps[0].InDoubtSince, s.Steps[1].InDoubtSince, s.Steps[2].InDoubtSince, s.Steps[0].At)
	}
}

// However many messages wait, and of whom, the one in question is found.
func TestFindQueued_everyPlace(t *testing.T) {
	t.Parallel()
	w := newRig(t)
	var messages []schemas.Message
	for i := range 33 {
		messages = append(messages, w.queue([]string{"billing", "other"}[i%2], fmt.Sprintf("r-%d", i)))
	}
	for _, i := range []int{0, 7, 8, 20} {
		w.done(messages[i])
	}
	for i, m := range messages {
		key := publisher.NewKey([]string{"billing", "other"}[i%2], fmt.Sprintf("r-%d", i))
		got, err := findQueued(t.Context(), w.js, key, m.RequestedAt)
		gone := slices.Contains([]int{0, 7, 8, 20}, i)
		if err != nil || (got == nil) != gone || got != nil && got.Sequence != uint64(i+1) {
			t.Errorf("message %d: %+v, %v", i+1, got, err)
		}
	}
}

// A request with a priority is found, by its id and by the time of its message.
func TestFind_aPriority(t *testing.T) {
	t.Parallel()
	w := newRig(t)
	w.queue("billing", "before")
	key := publisher.NewKey("billing", "urgent")
	msg, err := publisher.RequestMsg("billing", publisher.High, request("urgent"))
	if err != nil {
		t.Fatal(err)
	}
	ack, err := w.js.PublishMsg(t.Context(), msg)
	if err != nil {
		t.Fatal(err)
	}
	found, err := Find(t.Context(), w.js, "billing", "urgent")
	if err != nil || len(found) != 1 {
		t.Fatalf("found %v, %v", found, err)
	}
	s, err := found[0].Read(t.Context(), w.js)
	if err != nil || s.Queued == nil || s.Queued.Sequence != ack.Sequence || s.Queued.Priority != "high" {
		t.Fatalf("queued as %+v, %v", s.Queued, err)
	}
	for _, stored := range []time.Time{{}, s.Queued.Since} {
		if got, err := findQueued(t.Context(), w.js, key, stored); err != nil || got == nil || got.Sequence != s.Queued.Sequence || got.Priority != "high" {
			t.Errorf("stored at %s: %+v, %v, want %+v", stored, got, err, s.Queued)
		}
	}
}

// The place of a request that waits, and when it is started.
func TestRead_place(t *testing.T) {
	t.Parallel()
	w := newRig(t)
	send := func(source string, p publisher.Priority, id string) schemas.Message {
		t.Helper()
		msg, err := publisher.RequestMsg(source, p, request(id))
		if err != nil {
			t.Fatal(err)
		}
		ack, err := w.js.PublishMsg(t.Context(), msg)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := natstest.Stream(t, w.js, publisher.RequestsStream).GetMsg(t.Context(), ack.Sequence)
		if err != nil {
			t.Fatal(err)
		}
		return schemas.Message{RequestedAt: stored.Time, PayloadHash: request(id).Hash()}
	}
	for i := range 5 {
		send("crm", publisher.Normal, fmt.Sprint("c-", i))
	}
	send("crm", publisher.High, "urgent")
	for i := range 3 {
		send("billing", publisher.Normal, fmt.Sprint("b-", i))
	}
	released := send("billing", publisher.Normal, "released")
	key := publisher.NewKey("billing", "released")
	w.append(key, w.append(key, 0, claim(released, "a/1", 1, lease, 0)), claim(released, "a/1", 1, 0, 0))
	for _, c := range []struct {
		source, id string
		place      uint64
	}{
		{"crm", "urgent", 1},
		{"", "c-0", 3}, // behind high and the first of billing
		{"crm", "c-4", 10},
		{"billing", "b-1", 5},
		{"billing", "released", 9},
	} {
		found, err := Find(t.Context(), w.js, c.source, c.id)
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: found %v, %v", c.id, found, err)
		}
		h, err := found[0].Read(t.Context(), w.js)
		if err != nil || h.Queued == nil || h.Queued.Place != c.place || h.Queued.Of != 10 {
			t.Fatalf("%s: %+v, %v, want place %d of 10", c.id, h.Queued, err, c.place)
		}
		for _, stored := range []time.Time{{}, h.Queued.Since} {
			q, err := Place(t.Context(), w.js, found[0].Key, stored)
			if err != nil || q.PlaceText() != h.Queued.PlaceText() || q.Request.ClientName != request(c.id).ClientName {
				t.Errorf("%s, stored %s: %+v, %v, want %q", c.id, stored, q, err, h.Queued.PlaceText())
			}
		}
		later := h
		later.NoStartBefore = h.AsOf.Add(40 * time.Minute)
		if due := later.Due(60).Sub(h.Due(60)).Round(time.Minute); c.place > 0 && due != 40*time.Minute {
			t.Errorf("with a start in 40 minutes it is due %s later", due)
		}
		if due := h.Due(60).Sub(h.AsOf).Round(time.Minute); due != time.Duration(c.place-1)*time.Minute {
			t.Errorf("%s: due in %s", c.id, due)
		}
		limited, unlimited := h.Summary(Replicas{StartsPerHour: 60}), h.Summary(Replicas{})
		want := fmt.Sprintf("; its place is %d, so it is started at about ", c.place)
		if !strings.Contains(limited, want) || !strings.HasSuffix(limited, ", at 60 starts an hour") || strings.Contains(unlimited, "place") {
			t.Errorf("%s: %s\n%s", c.id, limited, unlimited)
		}
	}
}

// A request whose message is not in the queue has no place.
func TestPlace_notQueued(t *testing.T) {
	t.Parallel()
	w := newRig(t)
	if q, err := Place(t.Context(), w.js, publisher.NewKey("billing", "gone"), time.Time{}); q != nil || err != nil || q.PlaceText() != "" {
		t.Errorf("%+v, %v", q, err)
	}
}

// A queue in which nothing ever was begins with another sequence than one that
// was emptied.
func TestFindQueued_emptyQueue(t *testing.T) {
	t.Parallel()
	w := newRig(t)
	key := publisher.NewKey("billing", "r-1")
	for i := range 2 {
		for _, stored := range []time.Time{{}, time.Now()} {
			if got, err := findQueued(t.Context(), w.js, key, stored); got != nil || err != nil {
				t.Errorf("got %+v, %v", got, err)
			}
		}
		w.done(w.queue("billing", fmt.Sprint("other-", i)))
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	w := newRig(t)
	odd := "an id / with spaces"
	w.queue("billing", "waits")
	anonymous := publisher.SequenceKey("billing", 2, w.queue("billing", "").RequestedAt)
	for source, id := range map[string]string{"billing": "told", "other": "told", "odd": odd} {
		m := w.queue(source, id)
		key := publisher.NewKey(source, id)
		w.append(key, w.append(key, 0, claim(m, "a/1", 1, lease, 0)), started(m, false))
	}
	for _, c := range []struct{ source, id, want string }{
		{"", "told", "billing/told other/told"},
		{"other", "told", "other/told"},
		{"", "waits", "billing/waits"},
		{"billing", "waits", "billing/waits"},
		{"other", "waits", ""},
		{"", odd, publisher.NewKey("odd", odd).String()},
		{"", publisher.NewKey("odd", odd).Name, publisher.NewKey("odd", odd).String()},
		{"", anonymous.Name, anonymous.String()},
		{"", "nobody", ""},
	} {
		all, err := Find(t.Context(), w.js, c.source, c.id)
		var got []string
		for _, found := range all {
			got = append(got, found.String())
			s, err := found.Read(t.Context(), w.js)
			if err != nil || s.Key != found.Name || s.Status == NotFound || s.Queued == nil {
				t.Errorf("the history of %s: %+v, %v", found, s, err)
			}
		}
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s %q: got %v, %v, want %s", c.source, c.id, got, err, c.want)
		}
	}
	s, err := Found{Key: publisher.NewKey("billing", "nobody")}.Read(t.Context(), w.js)
	if err != nil || s.Status != NotFound || !strings.HasPrefix(s.Summary(Replicas{VisibilityWindow: window}), "not found") {
		t.Errorf("of nobody: %+v, %v", s, err)
	}
}

// A request in doubt whose scope is paused is not sent again if it has no job.
func TestRead_inDoubtInAPause(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	key := publisher.NewKey("billing", "r-1")
	m := r.queue("billing", "r-1")
	first := r.append(key, 0, claim(m, "a/1", 1, lease, 0))
	r.append(key, first, claim(m, "a/1", 1, 0, first))
	now := time.Now().UTC()
	_, err := scope.Add(t.Context(), natstest.Stream(t, r.js, publisher.EventsStream), r.pub, scope.Pause{
		Scope: scope.Scope{Client: "c", Group: "g"}, Since: now, Until: now.Add(time.Hour), Actor: "ann", Reason: "CHG-17", OperationID: "1",
	})
	if err != nil {
		t.Fatal(err)
	}
	h, err := Found{Key: key}.Read(t.Context(), r.js)
	if err != nil {
		t.Fatal(err)
	}
	got := h.Summary(Replicas{VisibilityWindow: window})
	if h.Status != InDoubt || !strings.Contains(got, ", and if there is none, the request waits: client c, content group g is paused until ") ||
		!strings.HasSuffix(got, " by ann: CHG-17") {
		t.Errorf("%s: %s", h.Status, got)
	}
}
