package schemas

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
)

// ProtectionState is how a content group stands against its objective.
type ProtectionState string

// The states that a protection event can report.
const (
	// ProtectionBreached: the group is no longer within its objective.
	ProtectionBreached ProtectionState = "breached"
	// ProtectionRestored: the group is within its objective again.
	ProtectionRestored ProtectionState = "restored"
)

// ProtectionStates lists every state.
var ProtectionStates = []ProtectionState{ProtectionBreached, ProtectionRestored}

// Type returns the CloudEvents type, such as "backhaul.protection.breached.v1".
func (s ProtectionState) Type() string { return eventTypePrefix + "protection." + string(s) + ".v1" }

// ProtectionCause is why a content group changed its state.
type ProtectionCause string

// The causes of a protection event. A later version may add causes.
const (
	// CauseRPO: a change is in no finished backup for longer than the objective allows.
	CauseRPO ProtectionCause = "rpo"
	// CauseMaxAge: the last good backup started longer ago than the objective allows.
	CauseMaxAge ProtectionCause = "maxAge"
	// CauseCovered: a finished backup has what was missing.
	CauseCovered ProtectionCause = "covered"
	// CauseObjective: no backup finished. The objective was changed, and the group is within
	// the new one, or has no objective any more.
	CauseObjective ProtectionCause = "objective"
)

// ProtectionCauses lists every cause.
var ProtectionCauses = []ProtectionCause{CauseRPO, CauseMaxAge, CauseCovered, CauseObjective}

// ContentGroup names a content group by what identifies it at the vendor.
type ContentGroup struct {
	ClientName    string `json:"clientName"`
	InstanceName  string `json:"instanceName"`
	BackupsetName string `json:"backupsetName"`
	SubclientName string `json:"subclientName"`
}

// ProtectionEvent is the data of an event about the protection of a content group. It is not
// about one request, so it is not one of [Kinds].
//
// A group without an event, or whose last event is restored, is within its objective or has
// none. The states of a group alternate.
type ProtectionEvent struct {
	State ProtectionState `json:"state"`
	Cause ProtectionCause `json:"cause"`
	ContentGroup
	// Objective is what is promised for the group; empty if nothing is promised any more.
	Objective ProtectionObjective `json:"objective"`
	// Owner is who answers for the group, as the objective names it.
	Owner string `json:"owner,omitempty"`
	// Since is when the state began: when the limit was passed, or when the backup was seen
	// to end that restored the group.
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"`
	// ExposedSince is when the first change was stored that no finished backup has; zero if
	// there is none.
	ExposedSince time.Time `json:"exposedSince,omitzero"`
	// LastGoodStart is when the last backup started whose data was kept; zero if there is none.
	LastGoodStart time.Time `json:"lastGoodStart,omitzero"`
	// At is when the state was computed, by the clock of the NATS server.
	At time.Time `json:"at"`
}

// ProtectionObjective is what is promised for a content group. The durations are texts as in
// the file of objectives, such as "4h".
type ProtectionObjective struct {
	// Name is that of the objective, "" if it has none.
	Name string `json:"name,omitempty"`
	// RPO is how long a change may be in no finished backup; "" for no limit.
	RPO string `json:"rpo,omitempty"`
	// MaxAge is how long ago the last good backup may have started; "" for no limit.
	MaxAge string `json:"maxAge,omitempty"`
	// Accept lists the outcomes that count as a backup; empty for those that kept everything.
	Accept []Outcome `json:"accept,omitempty"`
}

// EventID returns the event's CloudEvents id. group is the last token of its subject.
func (e ProtectionEvent) EventID(group string) string {
	return "protection/" + group + "/" + strconv.FormatInt(e.At.UnixNano(), 10)
}

// CloudEvent wraps the event's data with its attributes. group is the last token of its
// subject.
func (e ProtectionEvent) CloudEvent(group string) CloudEvent {
	return CloudEvent{
		ID: e.EventID(group), Source: EventSource, Type: e.State.Type(), Subject: e.ClientName + "/" + e.SubclientName,
		Time: e.At, Data: mustMarshal(e),
	}
}

// DecodeProtectionEvent reads the data of a protection event. Unknown members are ignored.
// An unknown state is an error.
func DecodeProtectionEvent(data []byte) (ProtectionEvent, error) {
	var e ProtectionEvent
	if err := json.Unmarshal(data, &e, allowInvalidUTF8); err != nil {
		return ProtectionEvent{}, fmt.Errorf("decode protection event: %w", err)
	}
	if !slices.Contains(ProtectionStates, e.State) {
		return ProtectionEvent{}, fmt.Errorf("protection event of unknown state %q: must be one of %q", e.State, ProtectionStates)
	}
	return e, nil
}
