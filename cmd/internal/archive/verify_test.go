package archive

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/mod/sumdb/tlog"

	"backhaul/publisher"
	"backhaul/schemas"
)

// verify verifies the archive, and returns its problems.
func (a *archiveTest) verify(witnesses ...Checkpoint) *Report {
	a.Helper()
	report, err := Verify(a.Context(), a.reader(), a.keys, witnesses)
	if err != nil {
		a.Fatal(err)
	}
	return report
}

// says checks that there is exactly one problem, with these texts.
func (a *archiveTest) says(report *Report, texts ...string) {
	a.Helper()
	if len(report.Problems) != 1 {
		a.Errorf("%d problems, want one with %q: %v", len(report.Problems), texts, report.Problems)
		return
	}
	for _, text := range texts {
		if got := report.Problems[0].String(); !strings.Contains(got, text) {
			a.Errorf("the problem is %q, without %q", got, text)
		}
	}
}

// change replaces a file by what change makes of it.
func (a *archiveTest) change(name string, change func([]byte) []byte) {
	a.Helper()
	path := filepath.Join(a.dir, name)
	data, err := os.ReadFile(path)
	if err != nil {
		a.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		a.Fatal(err)
	}
	if data = change(data); data == nil {
		return
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		a.Fatal(err)
	}
}

// changeLeaves replaces the leaves of a bundle.
func (a *archiveTest) changeLeaves(name string, change func([][]byte) [][]byte) {
	a.Helper()
	a.change(name, func(data []byte) []byte {
		leaves, err := entries(data)
		if err != nil {
			a.Fatal(err)
		}
		var bundle []byte
		for _, leaf := range change(leaves) {
			bundle = appendEntry(bundle, leaf)
		}
		return bundle
	})
}

// event is an event as the ledger writes it, on its subject.
func event(sequence uint64, id string, e schemas.Event) jetstream.RawStreamMsg {
	key := publisher.NewKey("billing", id)
	subject := key.Subject(e.Kind())
	if j, ok := e.(schemas.JobEvent); ok {
		subject = key.JobSubject(e.Kind(), j.Job())
	}
	ce := schemas.NewCloudEvent(publisher.EventID(key, e), e, "")
	return jetstream.RawStreamMsg{
		Sequence: sequence, Time: made.Add(time.Duration(sequence) * time.Second), Subject: subject,
		Header: nats.Header(ce.BinaryHeader()), Data: ce.Data,
	}
}

func submitting(epoch int, owner string) schemas.Event {
	return &schemas.JobSubmitting{RequestID: "r", Source: "billing", Claim: schemas.Claim{Owner: owner, Epoch: epoch, LeaseMillis: 1}, SubmittingAt: made}
}

func started(jobs ...string) schemas.Event {
	return &schemas.JobStarted{Naming: schemas.Naming{RequestID: "r", Source: "billing"}, JobID: jobs[0], JobIDs: jobs, StartedAt: made}
}

func finished(id string) schemas.Event {
	return &schemas.JobFinished{Naming: schemas.Naming{RequestID: "r", Source: "billing"}, JobRef: schemas.JobRef{JobID: id}, Outcome: schemas.OutcomeCompleted}
}

func failed() schemas.Event {
	return &schemas.JobFailed{Naming: schemas.Naming{RequestID: "r", Source: "billing"}, ErrorCode: "1", FailedAt: made}
}

// requests are the events of requests that did what they should, three of each.
func requests(n int) (all []jetstream.RawStreamMsg) {
	for i := range n {
		id, job := fmt.Sprintf("r-%d", i), fmt.Sprint(1000+i)
		for _, e := range []schemas.Event{submitting(1, "a"), started(job), finished(job)} {
			all = append(all, event(uint64(len(all)+1), id, e))
		}
	}
	return all
}

func TestVerify(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	all := requests(300)
	first := a.append(place, all[:400]...)
	a.append(nil, all[400:]...)
	report := a.verify(first)
	if len(report.Problems) > 0 || report.Events != 900 || report.Leaves != 901 || len(report.Gaps) > 0 || !report.Last.Equal(all[899].Time) {
		t.Errorf("%+v", report)
	}
}

// Each change is found, and named.
func TestVerify_changes(t *testing.T) {
	t.Parallel()
	const bundle = "tile/entries/001"
	for name, test := range map[string]struct {
		change func(a *archiveTest)
		want   []string
	}{
		"a byte of a payload": {func(a *archiveTest) {
			a.changeLeaves(bundle, func(all [][]byte) [][]byte { all[44][len(all[44])-5] ^= 1; return all })
		}, []string{"leaf 300 in " + bundle, "event 300", "billing.r-99", "was changed"}},
		"a byte of a length": {func(a *archiveTest) {
			a.change(bundle, func(data []byte) []byte { data[0] ^= 0x40; return data })
		}, nil},
		"a leaf removed": {func(a *archiveTest) {
			a.changeLeaves(bundle, func(all [][]byte) [][]byte { return append(all[:44:44], all[45:]...) })
		}, nil},
		"two leaves swapped": {func(a *archiveTest) {
			a.changeLeaves(bundle, func(all [][]byte) [][]byte { all[44], all[7] = all[7], all[44]; return all })
		}, nil},
		"a hash of a tile": {func(a *archiveTest) {
			a.change("tile/0/001", func(data []byte) []byte { data[44*tlog.HashSize] ^= 1; return data })
		}, nil},
		"a hash of a higher tile": {func(a *archiveTest) {
			a.change("tile/1/000.p/3", func(data []byte) []byte { data[tlog.HashSize] ^= 1; return data })
		}, []string{"tile/1/000.p/3", "hash 1 of it", "tile/0/001"}},
		"a bundle removed": {func(a *archiveTest) {
			a.change(bundle, func([]byte) []byte { return nil })
		}, nil},
		"leaf and tile": {func(a *archiveTest) {
			a.changeLeaves(bundle, func(all [][]byte) [][]byte {
				all[44] = bytes.Replace(all[44], []byte(`"completed"`), []byte(`"failed-xx"`), 1)
				h := tlog.RecordHash(all[44])
				a.change("tile/0/001", func(data []byte) []byte { copy(data[44*tlog.HashSize:], h[:]); return data })
				return all
			})
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newArchive(t)
			a.append(place, requests(300)...)
			test.change(a)
			report := a.verify()
			if test.want != nil {
				a.says(report, test.want...)
				return
			}
			if len(report.Problems) == 0 {
				t.Error("nothing is found")
			}
			all := fmt.Sprint(report.Problems)
			for _, text := range map[string][]string{
				"a byte of a length": {bundle}, "a leaf removed": {"leaf 300 in " + bundle, "was removed", "it followed event 299", "event 300 is missing"},
				"two leaves swapped": {"leaf 263", "was swapped with leaf 300"}, "a hash of a tile": {"leaf 300", "tile/1/000.p/3: hash 1"},
				"a bundle removed": {bundle, "cannot be read", "is missing"}, "leaf and tile": {"tile/1/000.p/3: hash 1 of it is not that of tile/0/001"},
			}[name] {
				if !strings.Contains(all, text) {
					t.Errorf("the problems are without %q: %v", text, report.Problems)
				}
			}
		})
	}
}

// A checkpoint that the key has not signed is refused, whatever it says.
func TestVerify_aForgedCheckpoint(t *testing.T) {
	t.Parallel()
	a, thief := newArchive(t), newArchive(t)
	a.append(place, requests(10)...)
	forged := thief.append(place, requests(9)...)
	a.change(CheckpointName, func([]byte) []byte { return forged.Note })
	if _, err := NewReader(t.Context(), a.store, a.keys); err == nil || !strings.Contains(err.Error(), "not signed with the key "+a.keys.String()) {
		t.Errorf("a checkpoint with another key: %v", err)
	}
	a.change(CheckpointName, func([]byte) []byte {
		return bytes.Replace(forged.Note, []byte("\n28\n"), []byte("\n27\n"), 1)
	})
	if _, err := NewReader(t.Context(), a.store, thief.keys); err == nil {
		t.Error("a checkpoint that was changed is accepted")
	}
}

// Who has the key can make an archive anew. A checkpoint of the former one that was kept
// elsewhere, or is in the archive as an event, shows it.
func TestVerify_witnesses(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	all := requests(100)
	l := a.open()
	if err := l.Append(t.Context(), place, all[:200]); err != nil {
		t.Fatal(err)
	}
	witness, seal := l.Checkpoint(), l.Seal()
	l.Close()
	sealed := schemas.NewSealed(seal, made).CloudEvent()
	published := jetstream.RawStreamMsg{Sequence: 201, Time: all[200].Time, Subject: publisher.OperatorSubject(schemas.ActionSealed), Header: nats.Header(sealed.BinaryHeader()), Data: sealed.Data}
	for i := range all[200:] {
		all[200+i].Sequence++
	}
	a.append(nil, append([]jetstream.RawStreamMsg{published}, all[200:]...)...)
	if report := a.verify(witness); len(report.Problems) > 0 || report.Checkpoints != 1 {
		t.Fatalf("%+v", report)
	}

	anew := newArchive(t)
	anew.signer, anew.keys = a.signer, a.keys
	forged := append([]jetstream.RawStreamMsg{}, all[:200]...)
	forged[50] = event(51, "r-16", finished("1016"))
	forged[50].Data = bytes.Replace(forged[50].Data, []byte("completed"), []byte("failed"), 1)
	anew.append(place, forged...)
	anew.says(anew.verify(witness), "checkpoint of 201 leaves that was given", "was made anew")
	anew.append(nil, append([]jetstream.RawStreamMsg{published}, all[200:]...)...)
	anew.says(anew.verify(), "event 201", "was made anew")

	short := newArchive(t)
	short.signer, short.keys = a.signer, a.keys
	short.append(place, all[:100]...)
	short.says(short.verify(witness), "the archive has only 101 leaves: it was cut back")
}

// Gaps are listed. What is missing without one is a problem, though it is signed.
func TestVerify_order(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	all := requests(10)
	a.append(&publisher.Place{Stream: "BACKUP_EVENTS", Created: made, Next: 1}, append(all[3:12:12], all[15:]...)...)
	report := a.verify()
	if len(report.Problems) > 0 || fmt.Sprint(report.Gaps) != "[{1 3} {13 15}]" {
		t.Errorf("%v, gaps %v", report.Problems, report.Gaps)
	}
	for name, test := range map[string]struct {
		leaves func() [][]byte
		want   string
	}{
		"missing": {func() [][]byte { return append(eventLeaves(&all[0]), eventLeaves(&all[2])...) }, "event 2 is missing before it, and no gap says so"},
		"twice":   {func() [][]byte { return append(eventLeaves(&all[0]), eventLeaves(&all[0])...) }, "event 1 is there already"},
		"gap":     {func() [][]byte { return append(eventLeaves(&all[0]), gapLeaf(3, 4, made)) }, "it should begin with 2"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newArchive(t)
			l := b.open()
			defer l.Close()
			ap := &appending{log: l, end: l.end}
			ap.leaf(streamLeaf(*place))
			for _, leaf := range test.leaves() {
				ap.leaf(leaf)
			}
			ap.place = *place
			if err := ap.write(t.Context()); err != nil {
				t.Fatal(err)
			}
			if all := fmt.Sprint(b.verify().Problems); !strings.Contains(all, test.want) {
				t.Errorf("the problems are %v, without %q", all, test.want)
			}
		})
	}
}

// The rules of the ledger.
func TestVerify_rules(t *testing.T) {
	t.Parallel()
	type step struct {
		id string
		e  schemas.Event
	}
	for name, test := range map[string]struct {
		steps []step
		want  string // "" for none
	}{
		"a request":                 {[]step{{"r", submitting(1, "a")}, {"r", submitting(1, "a")}, {"r", submitting(2, "b")}, {"r", started("7", "8")}, {"r", finished("8")}, {"r", finished("7")}}, ""},
		"a failure without a claim": {[]step{{"r", failed()}}, ""},
		"two outcomes":              {[]step{{"r", submitting(1, "a")}, {"r", started("7")}, {"r", failed()}}, "has its outcome already: job-started"},
		"a claim after an outcome":  {[]step{{"r", failed()}, {"r", submitting(1, "a")}}, "has its outcome already: job-failed"},
		"an epoch that falls":       {[]step{{"r", submitting(1, "a")}, {"r", submitting(3, "b")}, {"r", submitting(2, "c")}}, "with epoch 2 after epoch 3"},
		"two owners":                {[]step{{"r", submitting(1, "a")}, {"r", submitting(1, "b")}}, "two owners with epoch 1"},
		"a late first epoch":        {[]step{{"r", submitting(2, "a")}}, "no claim was before it"},
		"a start without a claim":   {[]step{{"r", started("7")}}, "was never claimed"},
		"an end without a start":    {[]step{{"r", submitting(1, "a")}, {"r", finished("7")}}, "was never started"},
		"an end of another job":     {[]step{{"r", submitting(1, "a")}, {"r", started("7")}, {"r", finished("8")}}, "was never started"},
		"an end before the start":   {[]step{{"r", submitting(1, "a")}, {"r", finished("7")}, {"r", started("7")}}, "was never started"},
		"two ends":                  {[]step{{"r", submitting(1, "a")}, {"r", started("7")}, {"r", finished("7")}, {"r", finished("7")}}, "has ended already"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newArchive(t)
			var all []jetstream.RawStreamMsg
			for i, s := range test.steps {
				all = append(all, event(uint64(i+1), s.id, s.e))
			}
			a.append(place, all...)
			report := a.verify()
			if test.want == "" {
				if len(report.Problems) > 0 {
					t.Error(report.Problems)
				}
				return
			}
			a.says(report, test.want)
			// Behind a gap it cannot be told whether something is missing.
			b := newArchive(t)
			for i := range all {
				all[i].Sequence += 10
			}
			b.append(place, all...)
			lost := strings.Contains(test.want, "never") || strings.Contains(test.want, "no claim")
			if report := b.verify(); lost && (len(report.Problems) > 0 || report.Unknown == 0) {
				t.Errorf("behind a gap: %v, %d unknown", report.Problems, report.Unknown)
			}
		})
	}
}

// An id may come again when the ledger can have forgotten it.
func TestVerify_anIDThatComesAgain(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	all := []jetstream.RawStreamMsg{event(1, "r", submitting(1, "a")), event(2, "r", failed()), event(3, "r", submitting(1, "a")), event(4, "r", failed())}
	for i := range all[2:] {
		all[2+i].Time = all[2+i].Time.Add(again + time.Second)
	}
	a.append(place, all...)
	if report := a.verify(); len(report.Problems) > 0 {
		t.Error(report.Problems)
	}
}

func TestProve(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	all := requests(400)
	big := event(1201, "big", submitting(1, "a"))
	big.Data = append(big.Data, bytes.Repeat([]byte(" "), 200_000)...)
	a.append(place, append(all, big)...)
	for _, id := range []string{"r-0", "r-85", "r-399", "big"} {
		p, err := Prove(t.Context(), a.reader(), func(k publisher.Key) bool { return k.Name == id })
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if p, err = DecodeProof(data); err != nil {
			t.Fatal(err)
		}
		got, c, err := p.Check(a.keys)
		if err != nil || c.N != a.reader().N || p.Requests[0] != "billing/"+id {
			t.Fatalf("%s: %v", id, err)
		}
		if id == "big" {
			if len(got) != 1 || !bytes.Equal(got[0].Data, big.Data) {
				t.Errorf("proven are %d messages, the first with %d bytes", len(got), len(got[0].Data))
			}
		} else if len(got) != 3 {
			t.Errorf("%s: %d events are proven", id, len(got))
		}
		for name, forge := range map[string]func(p *Proof){
			"data":     func(p *Proof) { p.Events[0].Leaves[0].Data[10] ^= 1 },
			"index":    func(p *Proof) { p.Events[0].Leaves[0].Index++ },
			"path":     func(p *Proof) { p.Events[0].Leaves[0].Path[0][0] ^= 1 },
			"sequence": func(p *Proof) { p.Events[0].Sequence++ },
			"subject":  func(p *Proof) { p.Events[0].Subject += "x" },
			"time":     func(p *Proof) { p.Events[0].Stored = p.Events[0].Stored.Add(1) },
			"leaves":   func(p *Proof) { p.Events[0].Leaves = p.Events[0].Leaves[:len(p.Events[0].Leaves)-1] },
			"size":     func(p *Proof) { p.Checkpoint = strings.Replace(p.Checkpoint, "\n12", "\n13", 1) },
			"key": func(p *Proof) {
				p.Checkpoint = strings.ReplaceAll(p.Checkpoint, "backhaul.example", "backhau1.example")
			},
		} {
			forged, err := DecodeProof(data)
			if err != nil {
				t.Fatal(err)
			}
			forge(forged)
			if _, _, err := forged.Check(a.keys); err == nil {
				t.Errorf("%s: a proof with another %s is accepted", id, name)
			}
		}
	}
	if _, err := Prove(t.Context(), a.reader(), func(publisher.Key) bool { return false }); err == nil {
		t.Error("what is not there is proven")
	}
}
