package schemas_test

import (
	"testing"

	"backhaul/schemas"
)

// protectionEvents has every state, with and without what may be left out.
func protectionEvents() map[string]schemas.ProtectionEvent {
	return map[string]schemas.ProtectionEvent{
		"breached": {
			State: schemas.ProtectionBreached, Cause: schemas.CauseRPO, ContentGroup: schemas.ContentGroup{ClientName: "s-adhoc-object-storage", InstanceName: "i", BackupsetName: "defaultBackupSet", SubclientName: "größe/1"},
			Objective: schemas.ProtectionObjective{Name: "gold", RPO: "4h", MaxAge: "24h", Accept: []schemas.Outcome{schemas.OutcomeCompleted}}, Owner: "team-billing", Since: at(20),
			Reason:       "changes are in no finished backup",
			ExposedSince: at(10), LastGoodStart: at(5), At: at(21),
		},
		"restored": {
			State: schemas.ProtectionRestored, Cause: schemas.CauseObjective, ContentGroup: schemas.ContentGroup{ClientName: "c", InstanceName: "c", BackupsetName: "defaultBackupSet", SubclientName: "g"},
			Since: at(30), Reason: "the objective was removed", At: at(30),
		},
	}
}

func TestProtectionEvents(t *testing.T) {
	all := protectionEvents()
	for _, state := range schemas.ProtectionStates {
		t.Run(string(state), func(t *testing.T) {
			e, ok := all[string(state)]
			if !ok || e.State != state {
				t.Fatal("this test has no such event")
			}
			checkAlone(t, "protection", string(state), e.CloudEvent("0f"), e, schemas.DecodeProtectionEvent)
		})
	}
}

func TestDecodeProtectionEvent_isLenient(t *testing.T) {
	if e, err := schemas.DecodeProtectionEvent([]byte(`{"state":"breached","cause":"of a later version","later":{"x":1}}`)); err != nil || e.Cause != "of a later version" {
		t.Errorf("got %+v, %v", e, err)
	}
	for _, data := range []string{`{"state":"exposed"}`, `{}`, `{"state":1}`, `?`} {
		if e, err := schemas.DecodeProtectionEvent([]byte(data)); err == nil {
			t.Errorf("%s is read as %+v", data, e)
		}
	}
}
