package publisher_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"pgregory.net/rapid"

	"backhaul/publisher"
	"backhaul/schemas"
)

func hashed(id string) string {
	sum := sha256.Sum256([]byte(id))
	return "sha256-" + hex.EncodeToString(sum[:])
}

func TestNewKey(t *testing.T) {
	for _, id := range []string{
		"a", "0", "inv-2026-11-23-0007", "A_b:c-9", "seq", "seq_1", "sha256", "SEQ-1", "SHA256-ab",
		strings.Repeat("x", 128), "01HZX3K5J9V7T0W8Q4N2M6R1PB", "9b2d0d0c-7d3a-4a3e-8f5c-1c1f6f7d8e90",
	} {
		if got := publisher.NewKey("billing", id).Name; got != id {
			t.Errorf("NewKey(%q).Name = %q, want the id itself", id, got)
		}
	}
	for name, id := range map[string]string{
		"empty": "", "dot": "a.b", "star": "*", "tail": ">", "star inside": "a*", "blank": "a b", "tab": "a\tb",
		"line": "a\nb", "slash": "a/b", "leading -": "-a", "leading _": "_a", "leading colon": ":a", "umlaut": "ä",
		"129 characters": strings.Repeat("x", 129), "not UTF-8": "a\xff", "NUL": "\x00", "line at the end": "abc\n",
		"looks like a sequence": "seq-7", "looks like a hash": "sha256-00", "its own hash": hashed("x.y"),
	} {
		t.Run(name, func(t *testing.T) {
			if got := publisher.NewKey("billing", id).Name; got != hashed(id) {
				t.Errorf("NewKey(%q).Name = %q, want %q", id, got, hashed(id))
			}
		})
	}
}

func TestKey_names(t *testing.T) {
	key := publisher.NewKey("billing", "inv-7")
	for what, test := range map[string]struct{ got, want string }{
		"subject":      {key.Subject(schemas.KindJobStarted), "backup.event.job-started.billing.inv-7"},
		"filter":       {key.Filter(), "backup.event.*.billing.inv-7"},
		"event id":     {key.EventID(schemas.KindJobFailed), "billing/inv-7/job-failed"},
		"marker":       {key.Marker(), "backhaul:billing/inv-7"},
		"text":         {key.String(), "billing/inv-7"},
		"place":        {publisher.SequenceKey("billing", 42, time.Unix(1_764_000_000, 7)).String(), "billing/seq-42-1764000000000000007"},
		"last place":   {publisher.SequenceKey("billing", 1<<64-1, time.Unix(0, 1<<63-1)).Name, "seq-18446744073709551615-9223372036854775807"},
		"earlier":      {publisher.EarlierSequenceKey("billing", 42).String(), "billing/seq-42"},
		"request":      {publisher.RequestSubject("billing", publisher.Normal), "backup.request.billing"},
		"dead letters": {publisher.DeadLetterSubject("billing"), "backup.dlq.billing"},
		"any event":    {publisher.EventFilter("", ""), "backup.event.*.*.>"},
		"one kind":     {publisher.EventFilter(schemas.KindJobFailed, ""), "backup.event.job-failed.*.>"},
		"one source":   {publisher.EventFilter("", "billing"), "backup.event.*.billing.>"},
		"both":         {publisher.EventFilter(schemas.KindJobStarted, "crm"), "backup.event.job-started.crm.>"},
	} {
		if test.got != test.want {
			t.Errorf("%s: got %q, want %q", what, test.got, test.want)
		}
	}
}

func TestParseEventSubject(t *testing.T) {
	want := publisher.Key{Source: "billing", Name: "inv-7"}
	kind, key, job, err := publisher.ParseEventSubject("backup.event.job-started.billing.inv-7")
	if err != nil || kind != schemas.KindJobStarted || key != want || job != "" {
		t.Errorf("got %q, %v, %q, %v", kind, key, job, err)
	}
	kind, key, job, err = publisher.ParseEventSubject(want.JobSubject(schemas.KindJobFinished, "5976"))
	if err != nil || kind != schemas.KindJobFinished || key != want || job != "5976" {
		t.Errorf("got %q, %v, %q, %v", kind, key, job, err)
	}
	for _, subject := range []string{
		"", "backup", "backup.event", "backup.event.", "backup.event.job-started", "backup.event.operator.pause",
		"backup.event.job-started.billing.inv-7.5976.more", "backup.request.billing", "backup.dlq.billing",
		"other.event.job-started.billing.inv-7", "BACKUP.EVENT.job-started.billing.inv-7",
	} {
		if kind, key, _, err := publisher.ParseEventSubject(subject); err == nil {
			t.Errorf("ParseEventSubject(%q) = %q, %v, want an error", subject, kind, key)
		}
	}
}

func TestCheckSource(t *testing.T) {
	good := []string{"billing", "a", "team-7_x", "s3:bucket", "fakturierung-süd", "請求", "seq-1", "no/such", strings.Repeat("s", 128)}
	bad := []string{
		"", ".", "a.b", "*", "a*", ">", "a>", " ", "a b", "a\tb", "a\rb", "a\nb", "a\fb", "a\x00b",
		// What XML cannot carry would not come back in the job's description, and
		// without that a lost answer becomes a second job.
		"a\x01b", "a\vb", "a\x1fb", "a\x7fb", "a\ufffeb", "a\uffffb", "a\ufffdb", "a\xffb", "a\u00a0b", "a\u2028b",
		// A subject much longer than this does not fit into a server's control line.
		strings.Repeat("s", 129), strings.Repeat("ü", 65),
	}
	for _, source := range good {
		if err := publisher.CheckSource(source); err != nil {
			t.Errorf("CheckSource(%q): %v", source, err)
		}
		if got, _, err := publisher.ParseRequestSubject(publisher.RequestSubject(source, publisher.Normal)); err != nil || got != source {
			t.Errorf("ParseRequestSubject(RequestSubject(%q)) = %q, %v", source, got, err)
		}
	}
	for _, source := range bad {
		if err := publisher.CheckSource(source); err == nil {
			t.Errorf("CheckSource(%q) is content", source)
		} else if strings.ContainsFunc(err.Error(), func(c rune) bool { return c < ' ' }) || len(err.Error()) > 1024 {
			t.Errorf("CheckSource(%q): the error is not fit for a log line: %q", source, err)
		}
		if got, _, err := publisher.ParseRequestSubject("backup.request." + source); err == nil {
			t.Errorf("ParseRequestSubject of source %q = %q, want an error", source, got)
		}
	}
	for _, subject := range []string{"", "billing", "backup.request", "backup.event.billing", "backup.requests.billing"} {
		if got, _, err := publisher.ParseRequestSubject(subject); err == nil {
			t.Errorf("ParseRequestSubject(%q) = %q, want an error", subject, got)
		}
	}
}

// ids draws request ids that are likely to collide, if any do.
func ids() *rapid.Generator[string] {
	chosen := rapid.Custom(func(t *rapid.T) string {
		return publisher.NewKey("s", rapid.String().Draw(t, "id of which this is the key")).Name
	})
	numbered := rapid.Custom(func(t *rapid.T) string {
		return publisher.SequenceKey("s", rapid.Uint64Max(20).Draw(t, "sequence"), time.Unix(0, rapid.Int64Range(0, 3).Draw(t, "time"))).Name
	})
	return rapid.OneOf(
		rapid.String(), rapid.StringMatching(`[ab.*>:_-]{0,4}`), rapid.StringMatching(`(seq-|sha256-)[0-9a-f*.>]{0,3}`),
		rapid.StringMatching(`[A-Za-z0-9:_-]{126,130}`), chosen, numbered,
	)
}

var oneToken = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_:-]{0,127}$`)

func TestNewKey_neverCollides(t *testing.T) {
	sources := rapid.SampledFrom([]string{"billing", "crm", "job-started", "seq-1", "operator"})
	kinds := rapid.SampledFrom(append([]schemas.Kind{"no-such-kind"}, schemas.Kinds...))
	rapid.Check(t, func(t *rapid.T) {
		idA, idB := ids().Draw(t, "a"), ids().Draw(t, "b")
		a := publisher.NewKey(sources.Draw(t, "source of a"), idA)
		b := publisher.NewKey(sources.Draw(t, "source of b"), idB)
		if !oneToken.MatchString(a.Name) {
			t.Fatalf("the key of %q is %q, which is not one safe token", idA, a.Name)
		}
		same := a.Source == b.Source && idA == idB
		if (a == b) != same {
			t.Fatalf("ids %q of %s and %q of %s have the keys %v and %v", idA, a.Source, idB, b.Source, a, b)
		}
		kind := kinds.Draw(t, "kind")
		if matches := server.SubjectsCollide(a.Filter(), b.Subject(kind)); matches != same {
			t.Fatalf("filter %s and subject %s: match is %t", a.Filter(), b.Subject(kind), matches)
		}
		if a.EventID(kind) == b.EventID(kind) != same || a.Marker() == b.Marker() != same {
			t.Fatalf("%v and %v share an event id or a marker", a, b)
		}
		gotKind, got, job, err := publisher.ParseEventSubject(a.Subject(kind))
		if err != nil || gotKind != kind || got != a || job != "" {
			t.Fatalf("ParseEventSubject(%q) = %q, %v, %v", a.Subject(kind), gotKind, got, err)
		}
		// A request id can never equal the key of another message's sequence.
		sequence := rapid.Uint64Max(20).Draw(t, "sequence")
		stored := time.Unix(0, rapid.Int64Range(0, 3).Draw(t, "stored"))
		place := publisher.SequenceKey(a.Source, sequence, stored)
		if again := publisher.SequenceKey(a.Source, sequence, stored.Add(1)); again == place || again.Marker() == place.Marker() {
			t.Fatalf("two messages have the key %v", again)
		}
		if place == a || server.SubjectsCollide(place.Filter(), a.Subject(kind)) {
			t.Fatalf("id %q has the key of message %d", idA, sequence)
		}
		for _, other := range []string{"backup.event.operator.pause", fmt.Sprintf("backup.event.%s.%s", a.Source, a.Name)} {
			if server.SubjectsCollide(a.Filter(), other) {
				t.Fatalf("filter %s matches %s", a.Filter(), other)
			}
		}
	})
}
