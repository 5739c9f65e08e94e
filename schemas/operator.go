package schemas

import (
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
)

// Action is what an operator did: the last token of "backup.event.operator.<action>".
type Action string

// What operators do and leave an event of.
const (
	// ActionPause keeps every replica from getting requests for a while.
	ActionPause Action = "pause"
	// ActionResume ends a pause before its time.
	ActionResume Action = "resume"
	// ActionDeadLetterReplay publishes a dead letter's message again, under a new
	// request id.
	ActionDeadLetterReplay Action = "dlq-replay"
	// ActionDeadLetterDrop deletes a dead letter.
	ActionDeadLetterDrop Action = "dlq-drop"
	// ActionPauseScope keeps every replica from claiming the requests of a scope for a while.
	ActionPauseScope Action = "pause-scope"
	// ActionResumeScope ends the pause of a scope before its time.
	ActionResumeScope Action = "resume-scope"
	// ActionJobSuspend, ActionJobResume and ActionJobKill ask the vendor to do so with a job that
	// a request has started.
	ActionJobSuspend Action = "job-suspend"
	ActionJobResume  Action = "job-resume"
	ActionJobKill    Action = "job-kill"
	// ActionCancel ends a request for which nothing was sent: job-failed CANCELLED.
	ActionCancel Action = "cancel"
	// ActionSealed is not an operator's: the archiver has signed a checkpoint. Every subscriber that
	// stores this event is a witness of it.
	ActionSealed Action = "sealed"
)

// Actions lists every action.
var Actions = []Action{
	ActionPause, ActionResume, ActionPauseScope, ActionResumeScope, ActionDeadLetterReplay, ActionDeadLetterDrop,
	ActionJobSuspend, ActionJobResume, ActionJobKill, ActionCancel, ActionSealed,
}

// Type is the action's CloudEvents type, such as "backhaul.operator.dlq-replay.v1".
func (a Action) Type() string { return "backhaul.operator." + string(a) + ".v1" }

// OperatorEvent is the data of an event about what an operator did. It is no
// event about a request, so it is not one of [Kinds].
//
// It is written before the act: nothing is done without a record of it. An event
// whose act failed, or whose process died between the two, says that it was asked
// for. What came of it is to be seen where it shows: a replay in the events of the
// new request, a pause at the consumer, a paused scope on backup.event.paused.scopes, a
// dropped dead letter in its stream, a cancellation in the events of the request, what was
// done with a job in the events of the job.
type OperatorEvent struct {
	Action Action `json:"action"`
	// OperationID identifies an action. The same action repeated, after
	// a crash for example, has the same.
	OperationID string `json:"operationId"`
	// Actor is who did it, by their own account.
	Actor  string    `json:"actor"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
	// Pause is set for a pause and a resume.
	Pause QueuePause `json:"pause,omitzero"`
	// Scope is set for a pause and a resume of a scope.
	Scope ScopePause `json:"scope,omitzero"`
	// DeadLetter is set for a replay and a drop, Replay for a replay only.
	DeadLetter DeadLetterRef    `json:"deadLetter,omitzero"`
	Replay     DeadLetterReplay `json:"replay,omitzero"`
	// Request is set for a cancellation, and for what is done with a job: then JobID is, too.
	Request RequestRef `json:"request,omitzero"`
	JobID   string     `json:"jobId,omitempty"`
	// Checkpoint is set for a checkpoint that was signed.
	Checkpoint Checkpoint `json:"checkpoint,omitzero"`
}

// QueuePause is a pause of a consumer.
type QueuePause struct {
	Stream   string `json:"stream"`
	Consumer string `json:"consumer"`
	// Until is when the pause ends by itself, or would have without the resume.
	Until time.Time `json:"until"`
}

// ScopePause is a pause of the requests that have every name that is given. Upper and lower case
// are the same in the vendor's names.
type ScopePause struct {
	Source        string `json:"source,omitempty"`
	ClientName    string `json:"clientName,omitempty"`
	SubclientName string `json:"subclientName,omitempty"`
	// Until is when the pause ends by itself, or would have without the resume.
	Until time.Time `json:"until"`
}

// RequestRef names a request.
type RequestRef struct {
	Source    string `json:"source"`
	Key       string `json:"key"`
	RequestID string `json:"requestId"`
	// RequestedAt is when JetStream stored the request.
	RequestedAt time.Time `json:"requestedAt"`
}

// DeadLetterRef names a dead letter and the request that it was.
type DeadLetterRef struct {
	// Sequence is the dead letter's place in its stream, and KeptAt when it was put
	// there: a stream that is created again begins its sequences again.
	Sequence  uint64    `json:"sequence"`
	KeptAt    time.Time `json:"keptAt"`
	Source    string    `json:"source"`
	Key       string    `json:"key"`
	RequestID string    `json:"requestId"`
	ErrorCode string    `json:"errorCode"`
}

// DeadLetterReplay is the request that a replay makes.
type DeadLetterReplay struct {
	RequestID string `json:"requestId"`
	// Key is the last token of its events' subjects.
	Key string `json:"key"`
	// Number counts the replays of the dead letter, from 1.
	Number int `json:"number"`
	// Corrected is true when another payload than the dead letter's was sent, Forced
	// when it was sent although it was not expected to succeed.
	Corrected bool `json:"corrected"`
	Forced    bool `json:"forced"`
	// MessageHash is the SHA-256 of the payload in hex, as it was sent.
	MessageHash string `json:"messageHash"`
}

// Checkpoint is the signed head of an archive of the events.
type Checkpoint struct {
	// Log is the archive's name, which its key has too.
	Log string `json:"log"`
	// Size is the number of leaves, and RootHash the root of the tree over them in base64.
	Size     int64  `json:"size"`
	RootHash string `json:"rootHash"`
	// Stream is where the events are from, and Next the first sequence that is not archived.
	Stream string `json:"stream"`
	Next   uint64 `json:"next"`
	// Until is when the last event that is archived was stored.
	Until time.Time `json:"until"`
	// Note is the checkpoint with its signature, as C2SP tlog-checkpoint has it.
	Note string `json:"note"`
}

// sealedActor is who signs checkpoints.
const sealedActor = "backhaul archive"

// NewSealed returns the event about a checkpoint. The same checkpoint has the same id.
func NewSealed(c Checkpoint, at time.Time) OperatorEvent {
	return OperatorEvent{Action: ActionSealed, OperationID: fmt.Sprintf("%s/%d", c.Log, c.Size), Actor: sealedActor, At: at, Checkpoint: c}
}

// EventID is the event's CloudEvents id.
func (e OperatorEvent) EventID() string { return "operator/" + string(e.Action) + "/" + e.OperationID }

// CloudEvent wraps the event's data with its attributes.
func (e OperatorEvent) CloudEvent() CloudEvent {
	return CloudEvent{ID: e.EventID(), Source: EventSource, Type: e.Action.Type(), Time: e.At, Data: mustMarshal(e)}
}

// DecodeOperatorEvent reads the data of an operator event. Unknown members are
// ignored. An unknown action is an error.
func DecodeOperatorEvent(data []byte) (OperatorEvent, error) {
	var e OperatorEvent
	if err := json.Unmarshal(data, &e, allowInvalidUTF8); err != nil {
		return OperatorEvent{}, fmt.Errorf("decode operator event: %w", err)
	}
	if !slices.Contains(Actions, e.Action) {
		return OperatorEvent{}, fmt.Errorf("operator event of unknown action %q", e.Action)
	}
	return e, nil
}
