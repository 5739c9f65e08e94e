package protection_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/eventlog"
	"backhaul/cmd/internal/protection"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
)

// perDigest is how many sequences a digest has.
const perDigest = 4096

// fill stores messages that say nothing until the stream ends with a sequence.
func (s *stored) fill(last uint64) {
	s.Helper()
	js, err := jetstream.New(s.js.Conn(), jetstream.WithPublishAsyncMaxPending(1024))
	if err != nil {
		s.Fatal(err)
	}
	for sequence := s.info().State.LastSeq; sequence < last; sequence++ {
		if _, err := js.PublishAsync("backup.event.operator.test", nil, jetstream.WithStallWait(time.Minute)); err != nil {
			s.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	if got := s.info().State.LastSeq; got != last {
		s.Fatalf("the stream ends with %d, want %d", got, last)
	}
}

func (s *stored) info() *jetstream.StreamInfo {
	s.Helper()
	return natstest.Stream(s, s.js, publisher.EventsStream).CachedInfo()
}

// done stores a request whose job has completed, and returns its group.
func (s *stored) done(id string) string {
	s.Helper()
	req := request(id, "group of "+id, time.Now().Add(-time.Hour))
	s.start(req)
	s.finish(req, schemas.OutcomeCompleted)
	return req.SubclientName
}

// digest reads the stream as a replica does, and writes the digests that are missing. It returns
// how many messages it has read.
func (s *stored) digest(change func(*protection.Message)) (read int) {
	s.Helper()
	past := protection.NewPast(s.js, natstest.Stream(s, s.js, publisher.EventsStream))
	d := protection.NewDigester(s.js, s.pub, s.info().Created)
	take := func(m protection.Message) {
		read++
		if change != nil {
			change(&m)
		}
		var entry *protection.Entry
		if e, ok := protection.Parse(m); ok {
			entry = &e
		}
		if c := d.Take(m, entry); c != nil {
			if err := d.Write(s.Context(), c); err != nil {
				s.Fatal(err)
			}
		}
	}
	past.Message, past.Digest = take, func(*protection.ReadDigest) {}
	next, err := past.Read(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	for _, m := range s.messages(next) {
		take(m)
	}
	return read
}

// messages returns what the stream has from a sequence on.
func (s *stored) messages(from uint64) (all []protection.Message) {
	s.Helper()
	if from > s.info().State.LastSeq {
		return nil
	}
	cfg := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from}
	err := eventlog.Messages(s.Context(), s.js, publisher.EventsStream, cfg, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		all = append(all, protection.MessageOf(msg, meta))
		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
	return all
}

// renamed gives a request to another group, so that a test sees that a digest was read.
func renamed(m *protection.Message) {
	if e, err := schemas.DecodeEvent(schemas.KindJobStarted, m.Data); err == nil && m.Subject != "" {
		started, _ := e.(*schemas.JobStarted)
		started.SubclientName = "digest of " + started.RequestID
		m.Data = schemas.EncodeEvent(started)
	}
}

// put stores a digest as it is, or none at all if data is nil.
func (s *stored) put(number uint64, data []byte) {
	s.Helper()
	if data == nil {
		digests := natstest.Stream(s, s.js, publisher.DigestStream)
		if err := digests.Purge(s.Context(), jetstream.WithPurgeSubject(publisher.DigestSubject(number))); err != nil {
			s.Fatal(err)
		}
		return
	}
	if _, err := s.js.Publish(s.Context(), publisher.DigestSubject(number), data); err != nil {
		s.Fatal(err)
	}
}

func (s *stored) digestOf(number uint64) []byte {
	s.Helper()
	data, _, err := publisher.LastDigest(s.Context(), s.js, number)
	if err != nil {
		s.Fatal(err)
	}
	return data
}

// digestOfOthers returns a digest that says nothing, of a stream that was made at another time, or
// whose events were stored at other times.
func (s *stored) digestOfOthers(number uint64, created, events time.Duration) []byte {
	s.Helper()
	digest := protection.NewDigest()
	for _, m := range s.messages(number*perDigest + 1)[:perDigest] {
		digest.See(m.Sequence, m.Stored.Add(events))
	}
	return digest.Bytes(s.info().Created.Add(created))
}

func (s *stored) groups() (names []string) {
	s.Helper()
	f, _ := s.load()
	for _, g := range f.Groups() {
		names = append(names, g.Subclient)
	}
	return names
}

func (s *stored) want(what string, groups ...string) {
	s.Helper()
	slices.Sort(groups)
	if got := s.groups(); !slices.Equal(got, groups) {
		s.Errorf("%s: the groups are %q, want %q", what, got, groups)
	}
}

// twoDigests returns a server whose stream of events begins with two digests: "one" is in the first,
// "two" in the second, "three" in none.
func twoDigests(t *testing.T) *stored {
	t.Helper()
	s := newStored(t)
	s.done("one")
	s.fill(perDigest)
	s.done("two")
	s.fill(2 * perDigest)
	s.done("three")
	return s
}

func TestLoad_ReadsDigests(t *testing.T) {
	t.Parallel()
	s := twoDigests(t)
	s.want("without digests", "group of one", "group of two", "group of three")
	if n := s.digest(nil); n != 2*perDigest+3 {
		t.Errorf("the digests are of %d messages", n)
	}
	s.want("with digests", "group of one", "group of two", "group of three")
	if n := s.digest(nil); n != 3 {
		t.Errorf("with digests, %d messages are read", n)
	}
	f, now := s.load()
	if err := s.js.DeleteStream(t.Context(), publisher.DigestStream); err != nil {
		t.Fatal(err)
	}
	slow, _ := s.load()
	for _, g := range slow.Groups() {
		want, _ := slow.State(g, protection.Objective{}, now)
		if got, ok := f.State(g, protection.Objective{}, now); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("with digests: %+v, without %+v", got, want)
		}
		from := now.Add(-2 * time.Hour)
		if got, want := f.History(g, protection.Objective{}, from, now), slow.History(g, protection.Objective{}, from, now); !reflect.DeepEqual(got, want) {
			t.Errorf("with digests: %+v, without %+v", got, want)
		}
	}
}

// A digest counts if it is about the stream that is there, and else the events are read.
func TestLoad_ReadsNoWrongDigest(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		damage func(s *stored)
		want   []string
	}{
		"all are good":              {func(*stored) {}, []string{"digest of one", "digest of two", "group of three"}},
		"the first is missing":      {func(s *stored) { s.put(0, nil) }, []string{"group of one", "digest of two", "group of three"}},
		"the second is cut off":     {func(s *stored) { s.put(1, s.digestOf(1)[:100]) }, []string{"digest of one", "group of two", "group of three"}},
		"one is in another's place": {func(s *stored) { s.put(1, s.digestOf(0)) }, []string{"digest of one", "group of two", "group of three"}},
		"one of another stream":     {func(s *stored) { s.put(0, s.digestOfOthers(0, time.Second, 0)) }, []string{"group of one", "digest of two", "group of three"}},
		"one of other events":       {func(s *stored) { s.put(1, s.digestOfOthers(1, 0, time.Microsecond)) }, []string{"digest of one", "group of two", "group of three"}},
		"one of these":              {func(s *stored) { s.put(1, s.digestOfOthers(1, 0, 0)) }, []string{"digest of one", "group of three"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := twoDigests(t)
			s.digest(renamed)
			test.damage(s)
			s.want("", test.want...)
			s.digest(nil) // what is missing or wrong is written again, what is good is not read
			if n := s.digest(nil); n != 3 {
				t.Errorf("%d messages are still in no digest", n)
			}
		})
	}
}

// A stream that was restored from a backup, and has lost its end, gives the sequences to other
// events. A digest of those that it has lost is not read.
func TestLoad_ReadsNoDigestOfWhatIsLost(t *testing.T) {
	t.Parallel()
	s := newStored(t)
	s.done("one")
	backup := natstest.TakeSnapshot(t, s.js.Conn(), publisher.EventsStream)
	s.done("lost")
	s.fill(perDigest)
	s.digest(renamed)
	s.want("before", "digest of lost", "digest of one")
	if err := s.js.DeleteStream(t.Context(), publisher.EventsStream); err != nil {
		t.Fatal(err)
	}
	backup.Restore(t, s.js.Conn())
	s.done("new")
	s.want("restored", "group of new", "group of one")
	s.fill(perDigest)
	s.want("longer", "group of new", "group of one")
	s.digest(nil)
	if n := s.digest(nil); n > 0 {
		t.Errorf("%d messages are in no digest", n)
	}
	s.want("with another digest", "group of new", "group of one")
}

// Events that have expired are not read from a digest either.
func TestLoad_ReadsOnlyWhatTheStreamHas(t *testing.T) {
	t.Parallel()
	s := newStored(t)
	s.done("old")
	s.done("one")
	s.fill(perDigest)
	s.digest(nil)
	s.want("before", "group of old", "group of one")
	events := s.info().Config
	events.MaxMsgs = perDigest - 3
	events.DenyDelete, events.DenyPurge = false, false
	if _, err := s.js.UpdateStream(t.Context(), events); err != nil {
		events.DenyDelete, events.DenyPurge = true, true
		if _, err = s.js.UpdateStream(t.Context(), events); err != nil {
			t.Fatal(err)
		}
	}
	waittest.Eventually(t, "the first events are gone", func() bool { return s.info().State.FirstSeq == 4 })
	s.want("after", "group of one")
}
