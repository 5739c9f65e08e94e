package schemas_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"backhaul/schemas"
)

var update = flag.Bool("update", false, "rewrite testdata/*.golden.json")

func at(second int) time.Time { return time.Date(2026, 11, 23, 9, 0, second, 120_000_000, time.UTC) }

// events has every kind, in the forms that readers meet.
func events() map[string]schemas.Event {
	req, bare := full(), least()
	bare.RequestID = "seq-17"
	naming := req.Naming("billing")
	replayed := naming
	replayed.ReplayOf = "billing/inv-1"
	message := schemas.Message{RequestedAt: at(0), PayloadHash: req.Hash()}
	unreadable := schemas.Message{RequestedAt: at(0), PayloadHash: schemas.HashBytes([]byte("?"))}
	return map[string]schemas.Event{
		"job-submitting": &schemas.JobSubmitting{
			RequestID: req.RequestID, Source: "billing", Request: req, Message: message, SubmittingAt: at(1),
			Claim: schemas.Claim{Owner: "backhaul-7c9d-1", Nonce: "Xb3kq9ZtS1w", Epoch: 1, LeaseMillis: 40_000},
		},
		"job-submitting.in-doubt": &schemas.JobSubmitting{
			RequestID: "seq-17", Source: "billing", Request: least(), Message: message, SubmittingAt: at(9),
			Claim: schemas.Claim{Owner: "backhaul-7c9d-2", Nonce: "Xb3kq9ZtS1x", Epoch: 2, DoubtSequence: 4711, DoubtTaskID: "4038", DoubtUnlikely: true,
				LastError: "CreateTask: the vendor answered HTTP 503", NextAttemptAt: at(39)},
		},
		"job-submitting.replay": &schemas.JobSubmitting{
			RequestID: req.RequestID, Source: "billing", ReplayOf: "billing/inv-1", Request: req, Message: message, SubmittingAt: at(1),
			Claim: schemas.Claim{Owner: "backhaul-7c9d-1", Nonce: "Xb3kq9ZtS1w", Epoch: 1, LeaseMillis: 40_000},
		},
		"job-started.replay": &schemas.JobStarted{
			Naming: replayed, Message: message, JobID: "5976", JobIDs: []string{"5976"}, Attempts: 1, StartedAt: at(2),
		},
		"job-started": &schemas.JobStarted{
			Naming: naming, Message: message, JobID: "5976", JobIDs: []string{"5976", "5977"}, TaskID: "4038", Attempts: 2, StartedAt: at(2),
		},
		"job-started.adopted": &schemas.JobStarted{
			Naming: bare.Naming("billing"), Message: message, JobID: "5976", JobIDs: []string{"5976"}, StartedAt: at(2), Adopted: true,
		},
		"job-failed": &schemas.JobFailed{
			Naming: naming, Message: message, ErrorCode: "587207178", ErrorLogCode: "35:4618", ErrorMessage: "Failed to run <task>: \"no\" plan",
			ErrorSource: schemas.ErrorSourceVendor, Attempts: 1, FailedAt: at(3),
		},
		"job-failed.invalid": &schemas.JobFailed{
			Naming: schemas.Naming{RequestID: "seq-17", Source: "billing"}, Message: unreadable,
			ErrorCode: schemas.CodeInvalidRequest, ErrorMessage: "invalid request: is empty, must be a JSON object",
			ErrorSource: schemas.ErrorSourceBackhaul, FailedAt: at(3),
		},
		"job-failed.unknown": &schemas.JobFailed{
			Naming: naming, Message: message, ErrorCode: schemas.CodeOutcomeUnknown, ErrorMessage: "one of two jobs may be it",
			ErrorSource: schemas.ErrorSourceBackhaul, Retryable: true, Attempts: 3, FailedAt: at(3), Candidates: []string{"5976", "5977"},
		},
		"request-rejected": &schemas.RequestRejected{
			Naming: naming, Message: message, First: schemas.Message{RequestedAt: at(0).Add(-time.Hour), PayloadHash: least().Hash()},
			Reason: "request id used before with other content", RejectedAt: at(4),
		},
		"job-changed": &schemas.JobChanged{
			Naming: naming, Message: message, JobRef: schemas.JobRef{JobID: "5976", TaskID: "4038"}, State: schemas.StatePending, VendorStatus: "Pending",
			Reasons: []schemas.Reason{{Code: "13:30", Text: "The MediaAgent cannot be reached.", From: schemas.ReasonFromPending}},
			Phase:   "Backup", Percent: new(40), ChangedAt: at(5),
		},
		"job-finished": &schemas.JobFinished{
			Naming: naming, Message: message, JobRef: schemas.JobRef{JobID: "5976", TaskID: "4038"},
			Outcome: schemas.OutcomeCompleted, VendorStatus: "Completed", VendorBackupLevel: "Full",
			JobSizes: schemas.JobSizes{Files: new(int64(3)), FailedFiles: new(int64(0)), FailedFolders: new(int64(0)), Bytes: new(int64(42)), MediaBytes: new(int64(21)), Empty: new(false)},
			JobTimes: schemas.JobTimes{StartedAt: at(2), EndedAt: at(6), ObservedAt: at(7)},
		},
		"job-finished.killed": &schemas.JobFinished{
			Naming: bare.Naming("billing"), Message: message, JobRef: schemas.JobRef{JobID: "5977"},
			Outcome: schemas.OutcomeKilled, VendorStatus: "Killed", By: "admin",
			Reasons:  []schemas.Reason{{Code: "587207178", LogCode: "35:4618", Text: "Failed to run", From: schemas.ReasonFromSubmit}},
			JobTimes: schemas.JobTimes{EndedAt: at(6), EndedFrom: schemas.EndedFromUpdate, ObservedAt: at(7)},
		},
		"job-unfollowed": &schemas.JobUnfollowed{
			Naming: naming, Message: message, JobRef: schemas.JobRef{JobID: "5976"}, LastStatus: "Suspended", Reason: "no end was seen for 7 days", UnfollowedAt: at(9),
		},
	}
}

// checkGolden compares an event with its golden file, its schema, and what is read of it again.
func checkGolden[Event any](t *testing.T, name, schema string, data []byte, e Event, decode func([]byte) (Event, error)) {
	t.Helper()
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, append(bytes.Clone(data), '\n'), "", "  "); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", name+".golden.json")
	if *update {
		if err := os.WriteFile(file, pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (make it with -update)", err)
	}
	if !bytes.Equal(pretty.Bytes(), want) {
		t.Errorf("got\n%s, want\n%s", pretty.Bytes(), want)
	}
	if err := compile(t, schema+".v1", "").Validate(parse(t, data)); err != nil {
		t.Error(err)
	}
	if got, err := decode(want); err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("read again it is\n%+v (%v), want\n%+v", got, err, e)
	}
}

// The golden files are what other teams' readers were written against: a change
// in one of them is a change of the contract.
func TestEncodeEvent(t *testing.T) {
	kinds := make(map[schemas.Kind]bool)
	for name, event := range events() {
		t.Run(name, func(t *testing.T) {
			kinds[event.Kind()] = true
			if kind, _, _ := strings.Cut(name, "."); kind != string(event.Kind()) {
				t.Fatalf("it is a %s", event.Kind())
			}
			checkGolden(t, name, string(event.Kind()), schemas.EncodeEvent(event), event, func(data []byte) (schemas.Event, error) {
				return schemas.DecodeEvent(event.Kind(), data)
			})
		})
	}
	for _, kind := range schemas.Kinds {
		if !kinds[kind] {
			t.Errorf("there is no %s event in this test", kind)
		}
	}
}

// The server's times come in the zone of the host that reads them.
func TestEventTimesAreUTC(t *testing.T) {
	zone := time.FixedZone("somewhere", 3600)
	there := &schemas.JobStarted{Message: schemas.Message{RequestedAt: at(0).In(zone)}, StartedAt: at(1).In(zone)}
	here := &schemas.JobStarted{Message: schemas.Message{RequestedAt: at(0)}, StartedAt: at(1)}
	if got, want := schemas.EncodeEvent(there), schemas.EncodeEvent(here); !bytes.Equal(got, want) {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}

func TestEncodeEventNeverPanics(t *testing.T) {
	beyond := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	data := schemas.EncodeEvent(&schemas.JobFailed{ErrorMessage: "vendor said \xff\xfe", FailedAt: beyond})
	if !strings.Contains(string(data), "vendor said \ufffd\ufffd") {
		t.Errorf("got %s, want the message with what is not UTF-8 replaced", data)
	}
	event, err := schemas.DecodeEvent(schemas.KindJobStarted, schemas.EncodeEvent(&schemas.JobStarted{}))
	if err != nil || event.(*schemas.JobStarted).JobIDs == nil {
		t.Errorf("got %+v (%v), want jobIds written even when there are none", event, err)
	}
}

func TestDecodeEvent(t *testing.T) {
	tests := []struct {
		name, kind, data string
		want             schemas.Event
		fault            string
	}{
		{"unknown members", "job-started", `{"jobId":"7","new":{"a":[1,null]},"requestedAt":"2026-11-23T09:00:00.12Z"}`,
			&schemas.JobStarted{JobID: "7", Message: schemas.Message{RequestedAt: at(0)}}, ""},
		{"unknown members further in", "job-submitting", `{"request":{"clientName":"c","new":1},"lease":1,"epoch":2}`,
			&schemas.JobSubmitting{Request: schemas.BackupRequest{ClientName: "c"}, Claim: schemas.Claim{Epoch: 2}}, ""},
		{"invalid UTF-8", "job-failed", "{\"errorMessage\":\"\xff\"}", &schemas.JobFailed{ErrorMessage: "\ufffd"}, ""},
		{"unknown kind", "no-such-kind", `{}`, nil, `event of unknown kind "no-such-kind"`},
		{"no kind", "", `{}`, nil, `event of unknown kind ""`},
		{"wrong type", "job-failed", `{"attempts":"2"}`, nil, "decode job-failed event: "},
		{"no JSON", "request-rejected", `?`, nil, "decode request-rejected event: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := schemas.DecodeEvent(schemas.Kind(test.kind), []byte(test.data))
			if test.fault != "" {
				if err == nil || !strings.HasPrefix(err.Error(), test.fault) {
					t.Errorf("got error %v, want %q", err, test.fault)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got\n%+v, want\n%+v (%v)", got, test.want, err)
			}
		})
	}
}

func TestEventsTellWhatTheyAreAbout(t *testing.T) {
	for name, event := range events() {
		if event.Names().RequestID == "" || event.Names().Source != "billing" {
			t.Errorf("%s is about %+v", name, event.Names())
		}
		if !event.Requested().RequestedAt.Equal(at(0)) || len(event.Requested().PayloadHash) != 64 {
			t.Errorf("%s is about the message %+v", name, event.Requested())
		}
		if !event.At().After(at(0)) {
			t.Errorf("%s happened at %s", name, event.At())
		}
		kind := event.Kind()
		if got, want := kind.Type(), "backhaul."+strings.ReplaceAll(string(kind), "-", ".")+".v1"; got != want {
			t.Errorf("%s has the type %q, want %q", kind, got, want)
		}
		if got, want := kind.Terminal(), kind == "job-started" || kind == "job-failed"; got != want {
			t.Errorf("%s ends a request: %v, want %v", kind, got, want)
		}
	}
	submitting := events()["job-submitting.in-doubt"]
	if got := submitting.Names().RequestID; got != "seq-17" {
		t.Errorf("a claim of a request without an id is about %q, want seq-17", got)
	}
}

func TestCapped_keepsWhatFitsAndCountsTheRest(t *testing.T) {
	many := make([]string, 1000)
	for i := range many {
		many[i] = "5976"
	}
	labels := map[string]string{"a": "1", "b": strings.Repeat("x", 256), "c": "3"}
	message := schemas.Message{RequestedAt: time.Now(), PayloadHash: strings.Repeat("0", 64)}
	naming := schemas.Naming{RequestID: "id", Source: "billing", Labels: labels}
	reasons := []schemas.Reason{{Text: strings.Repeat("ü", 5000), From: "event"}, {Text: "second", From: "event"}}
	for _, whole := range []schemas.Event{
		&schemas.JobSubmitting{RequestID: "id", Source: "billing", Message: message, Claim: schemas.Claim{Owner: "o", Nonce: "n", Epoch: 1, DoubtTaskID: "77"},
			Request: schemas.BackupRequest{RequestID: "id", ClientName: "c", SubclientName: "s", Labels: labels}, SubmittingAt: time.Now()},
		&schemas.JobStarted{Naming: naming, Message: message, JobID: "5976", JobIDs: many, TaskID: "77", StartedAt: time.Now()},
		&schemas.JobFailed{Naming: naming, Message: message, ErrorCode: "1", ErrorSource: "vendor", ErrorMessage: strings.Repeat("ü", 5000), Candidates: many, FailedAt: time.Now()},
		&schemas.RequestRejected{Naming: naming, Message: message, First: message, Reason: strings.Repeat("ü", 5000), RejectedAt: time.Now()},
		&schemas.JobChanged{Naming: naming, Message: message, JobRef: schemas.JobRef{JobID: "1"}, Reasons: reasons, ChangedAt: time.Now()},
		&schemas.JobFinished{Naming: naming, Message: message, JobRef: schemas.JobRef{JobID: "1"}, Reasons: reasons, By: strings.Repeat("ü", 5000), JobTimes: schemas.JobTimes{ObservedAt: time.Now()}},
		&schemas.JobUnfollowed{Naming: naming, Message: message, JobRef: schemas.JobRef{JobID: "1"}, Reason: strings.Repeat("ü", 5000), UnfollowedAt: time.Now()},
	} {
		before := string(schemas.EncodeEvent(whole))
		data := schemas.EncodeEvent(schemas.Capped(whole, 512))
		if len(data) > 1500 || !strings.Contains(string(data), `"omitted":{`) || !strings.Contains(string(data), `"labels":2`) || !strings.Contains(string(data), `"a":"1"`) {
			t.Errorf("%s: %d bytes: %.2000s", whole.Kind(), len(data), data)
		}
		if err := compile(t, string(whole.Kind())+".v1", "").Validate(parse(t, data)); err != nil {
			t.Errorf("%s: %v", whole.Kind(), err)
		}
		if string(schemas.EncodeEvent(whole)) != before {
			t.Errorf("%s: the event itself was changed", whole.Kind())
		}
		if same := schemas.Capped(whole, 1<<20); same != whole {
			t.Errorf("%s: an event that fits was changed", whole.Kind())
		}
	}
}
