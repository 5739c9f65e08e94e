package protection

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"backhaul/schemas"
)

var update = flag.Bool("update", false, "write the golden digest")

// digestOf returns a digest of the facts as it is read.
func digestOf(t rapid.TB, facts []fact) *ReadDigest {
	t.Helper()
	d, err := ParseDigest(bytesOf(facts))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func bytesOf(facts []fact) []byte {
	d := NewDigest()
	for i := range facts {
		m := facts[i].message(i + 1)
		d.See(m.Sequence, m.Stored)
		if e, ok := Parse(m); ok {
			d.Add(&e)
		}
	}
	return d.Bytes(origin)
}

// What is read of a digest is what the messages say.
func TestDigest_HasWhatTheMessagesSay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		facts := histories(t)
		for i := range facts {
			facts[i].group.Subclient = rapid.String().Draw(t, "group")
			facts[i].stored += rapid.IntRange(-3, 0).Draw(t, "the clock went back")
		}
		d := digestOf(t, facts)
		if !d.Created.Equal(origin) || len(facts) > 0 && (d.Last != uint64(len(facts)) || !d.Stored.Equal(at(facts[len(facts)-1].stored))) {
			t.Fatalf("got %s, %d at %s", d.Created, d.Last, d.Stored)
		}
		i := 0
		d.each(func(got *Entry) {
			want, _ := Parse(facts[i].message(i + 1))
			if i++; !reflect.DeepEqual(*got, want) {
				t.Fatalf("got %+v, want %+v", *got, want)
			}
		})
		if i != len(facts) {
			t.Fatalf("%d events, want %d", i, len(facts))
		}
	})
}

// The form of a digest does not change without another version: the program of another version
// reads it.
func TestDigest_Golden(t *testing.T) {
	t.Parallel()
	var facts []fact
	for i, outcome := range schemas.Outcomes {
		facts = append(facts, later(20*i, backup(string(outcome), func(e *fact) { e.outcome, e.until = outcome, 15+20*i }))...)
	}
	yes := true
	facts = append(facts, later(300, backup("empty", func(e *fact) { e.empty, e.adopted, e.directive, e.jobs = &yes, true, "listed", []int{7, 8} }))...)
	facts = append(facts,
		fact{kind: schemas.KindJobFailed, request: "failed", group: one, since: 410, requested: 420, stored: 425},
		fact{kind: schemas.KindJobUnfollowed, request: "empty", group: one, requested: 320, stored: 426, job: 8})
	got, file := bytesOf(facts), filepath.Join("testdata", "digest.bin")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the form of a digest has changed: raise digestVersion, and run with -update\ngot  %x\nwant %x", got, want)
	}
}

func TestParseDigest_RefusesOthers(t *testing.T) {
	t.Parallel()
	good := bytesOf(backup("r", nil))
	for name, data := range map[string][]byte{
		"nothing":                  nil,
		"a byte":                   good[:1],
		"another version":          append([]byte{digestVersion + 1}, good[1:]...),
		"more outcomes":            append([]byte{digestVersion, byte(len(schemas.Outcomes)) + 1}, good[2:]...),
		"cut off":                  good[:len(good)-1],
		"more than it has":         append(bytes.Clone(good), 0),
		"an event after Last":      digestEndingAt(backup("r", nil), 2),
		"more events than one has": bytesOf(slices.Repeat(backup("r", nil)[:1], digestEvents+1)),
		"more events than bits":    append([]byte{digestVersion, byte(len(schemas.Outcomes))}, bytes.Repeat([]byte{0xff}, 9)...),
	} {
		if d, err := ParseDigest(data); err == nil {
			t.Errorf("%s: read as %+v", name, d)
		}
	}
}

// digestEndingAt returns a digest of the facts that says its last message has another sequence.
func digestEndingAt(facts []fact, last uint64) []byte {
	d := NewDigest()
	for i := range facts {
		e, _ := Parse(facts[i].message(i + 1))
		d.Add(&e)
	}
	d.See(last, time.Time{})
	return d.Bytes(origin)
}

// Whatever is stored as a digest, reading it does not panic, and does not take much memory.
func FuzzParseDigest(f *testing.F) {
	f.Add(bytesOf(backup("r", nil)))
	f.Add(bytesOf(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		if d, err := ParseDigest(data); err == nil {
			fold := New()
			fold.AddDigest(d, 0)
			for _, g := range fold.Groups() {
				fold.State(g, Objective{}, at(1000))
				fold.History(g, Objective{}, at(0), at(1000))
			}
		}
	})
}
