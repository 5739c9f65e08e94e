package schemas_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"backhaul/schemas"
)

// operatorEvents has every action.
func operatorEvents() map[string]schemas.OperatorEvent {
	pause := schemas.QueuePause{Stream: "BACKUP_REQUESTS", Consumer: "backhaul", Until: at(30)}
	deadLetter := schemas.DeadLetterRef{
		Sequence: 12, KeptAt: at(3), Source: "billing", Key: "inv-7", RequestID: "inv-7", ErrorCode: "587207178",
	}
	return map[string]schemas.OperatorEvent{
		"pause":  {Action: schemas.ActionPause, OperationID: "P1", Actor: "ann@ops-1", Reason: "maintenance", At: at(5), Pause: pause},
		"resume": {Action: schemas.ActionResume, OperationID: "R1", Actor: "ann@ops-1", At: at(6), Pause: pause},
		"dlq-replay": {
			Action: schemas.ActionDeadLetterReplay, OperationID: "billing/inv-7-replay-12", Actor: "ann@ops-1", Reason: "group made", At: at(7), DeadLetter: deadLetter,
			Replay: schemas.DeadLetterReplay{RequestID: "inv-7-replay-12", Key: "inv-7-replay-12", Number: 1, MessageHash: schemas.HashBytes(nil)},
		},
		"sealed": schemas.NewSealed(schemas.Checkpoint{
			Log: "backhaul.example.com/events", Size: 1200, RootHash: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
			Stream: "BACKUP_EVENTS", Next: 1187, Until: at(9), Note: "backhaul.example.com/events\n1200\n…\n",
		}, at(10)),
		"cancel": {
			Action: schemas.ActionCancel, OperationID: "C1", Actor: "ann@ops-1", Reason: "sent by mistake, CHG-17", At: at(8),
			Request: schemas.RequestRef{Source: "billing", Key: "inv-7", RequestID: "inv-7", RequestedAt: at(2)},
		},
		"pause-scope": {
			Action: schemas.ActionPauseScope, OperationID: "S1", Actor: "ann@ops-1", Reason: "maintenance of the client", At: at(5),
			Scope: schemas.ScopePause{Source: "billing", ClientName: "s-adhoc-object-storage", SubclientName: "stestgroup", Until: at(30)},
		},
		"resume-scope": {
			Action: schemas.ActionResumeScope, OperationID: "S2", Actor: "ann@ops-1", At: at(6), Scope: schemas.ScopePause{Source: "billing", Until: at(30)},
		},
		"job-suspend": onJob(schemas.ActionJobSuspend, "J1"),
		"job-resume":  onJob(schemas.ActionJobResume, "J2"),
		"job-kill":    onJob(schemas.ActionJobKill, "J3"),
		"dlq-drop":    {Action: schemas.ActionDeadLetterDrop, OperationID: "12/1", Actor: "ann@ops-1", At: at(8), DeadLetter: deadLetter},
	}
}

func onJob(action schemas.Action, id string) schemas.OperatorEvent {
	return schemas.OperatorEvent{
		Action: action, OperationID: id, Actor: "ann@ops-1", Reason: "wrong content group", At: at(8), JobID: "5976",
		Request: schemas.RequestRef{Source: "billing", Key: "inv-7", RequestID: "inv-7", RequestedAt: at(2)},
	}
}

func TestOperatorEvents(t *testing.T) {
	all := operatorEvents()
	for _, action := range schemas.Actions {
		t.Run(string(action), func(t *testing.T) {
			e, ok := all[string(action)]
			if !ok || e.Action != action {
				t.Fatal("this test has no such event")
			}
			checkAlone(t, "operator", string(action), e.CloudEvent(), e, schemas.DecodeOperatorEvent)
		})
	}
}

// checkAlone checks an event that is about no request: also against the CloudEvents SDK.
func checkAlone[Event any](t *testing.T, kind, what string, ce schemas.CloudEvent, e Event, decode func([]byte) (Event, error)) {
	t.Helper()
	checkGolden(t, kind+"."+what, kind, ce.Data, e, decode)
	var sdk event.Event
	if err := json.Unmarshal(ce.Structured(), &sdk); err != nil {
		t.Fatal(err)
	}
	compareWithSDK(t, ce, sdk)
	if got, want := ce.Type, "backhaul."+kind+"."+what+".v1"; got != want {
		t.Errorf("type %s, want %s", got, want)
	}
}

func TestDecodeOperatorEvent_isLenient(t *testing.T) {
	if e, err := schemas.DecodeOperatorEvent([]byte(`{"action":"pause","actor":"a","later":{"x":1}}`)); err != nil || e.Actor != "a" {
		t.Errorf("got %+v, %v", e, err)
	}
	for _, data := range []string{`{"action":"explode"}`, `{}`, `{"action":1}`, `?`} {
		if e, err := schemas.DecodeOperatorEvent([]byte(data)); err == nil {
			t.Errorf("%s is read as %+v", data, e)
		}
	}
}

func TestDecodeRequest_readsAReplay(t *testing.T) {
	const payload = `{"requestId":"inv-7","clientName":"c","subclientName":"s"}`
	long, part := strings.Repeat("x", 257), strings.Repeat("x", 128)
	for name, test := range map[string]struct {
		header   schemas.Header
		payload  string
		id, of   string
		problems string // the header at fault
	}{
		"both":                    {schemas.Header{"Backhaul-Request-Id": {"inv-7-replay-12"}, "Backhaul-Replay-Of": {"billing/inv-7"}}, payload, "inv-7-replay-12", "billing/inv-7", ""},
		"before every other id":   {schemas.Header{"backhaul-request-id": {"r"}, "ce-specversion": {"1.0"}, "ce-id": {"e"}, "ce-source": {"s"}, "ce-type": {"t"}, "Nats-Msg-Id": {"m"}}, payload, "r", "", ""},
		"in a structured event":   {schemas.Header{"Backhaul-Request-Id": {"r"}}, envelope(`"data":` + payload), "r", "", ""},
		"of an invalid request":   {schemas.Header{"Backhaul-Request-Id": {"r"}, "Backhaul-Replay-Of": {"a/b"}}, `{"requestId":"inv-7"}`, "r", "a/b", "/clientName"},
		"a source with a slash":   {schemas.Header{"Backhaul-Replay-Of": {"a/b/sha256-0f"}}, payload, "inv-7", "a/b/sha256-0f", ""},
		"an id that is too long":  {schemas.Header{"Backhaul-Request-Id": {long}}, payload, "inv-7", "", "header Backhaul-Request-Id"},
		"an id that XML has not":  {schemas.Header{"Backhaul-Request-Id": {"a\x01"}}, payload, "inv-7", "", "header Backhaul-Request-Id"},
		"a key that is none":      {schemas.Header{"Backhaul-Replay-Of": {"billing"}}, payload, "inv-7", "", "header Backhaul-Replay-Of"},
		"a key with dots":         {schemas.Header{"Backhaul-Replay-Of": {"billing/a.b"}}, payload, "inv-7", "", "header Backhaul-Replay-Of"},
		"long names":              {schemas.Header{"Backhaul-Replay-Of": {part + "/" + part}}, payload, "inv-7", part + "/" + part, ""},
		"a key too long":          {schemas.Header{"Backhaul-Replay-Of": {"billing/" + part + "x"}}, payload, "inv-7", "", "header Backhaul-Replay-Of"},
		"a source too long":       {schemas.Header{"Backhaul-Replay-Of": {part + "x/inv-7"}}, payload, "inv-7", "", "header Backhaul-Replay-Of"},
		"a source of many tokens": {schemas.Header{"Backhaul-Replay-Of": {"bill.ing/a"}}, payload, "inv-7", "", "header Backhaul-Replay-Of"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := schemas.DecodeRequest(test.header, []byte(test.payload))
			if m.Request.RequestID != test.id || m.ReplayOf != test.of {
				t.Errorf("id %q, replay of %q; want %q and %q", m.Request.RequestID, m.ReplayOf, test.id, test.of)
			}
			if test.problems == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if problems := problemsOf(t, err); problems[0][0] != test.problems {
				t.Errorf("got %v, want one about %s", err, test.problems)
			}
		})
	}
}
