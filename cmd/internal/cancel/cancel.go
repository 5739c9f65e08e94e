// Package cancel finds requests that wait in the queue and cancels them, for operators.
//
// [consumer.Canceller] says which requests can be cancelled and what a cancellation is. The
// message of a cancelled request stays in the queue until a replica receives it: the replica
// keeps its dead letter and removes it.
//
// # Permissions
//
// Publish on backup.event.operator.cancel and backup.event.job-failed.*.*. Below $JS.API:
// STREAM.{INFO,MSG.GET} of BACKUP_REQUESTS, BACKUP_EVENTS and BACKUP_MARK.
package cancel

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/operator"
	"backhaul/consumer"
	"backhaul/publisher"
	"backhaul/schemas"
)

// Filter selects requests in the queue. The zero value selects all.
type Filter struct {
	Source string
	// Client and Subclient are names of the vendor: upper and lower case are the same.
	Client, Subclient string
	// Labels must all be among those of the request.
	Labels map[string]string
	// IDs are the ids that are selected, or the names of keys; nil selects any.
	IDs map[string]bool
}

// IsZero reports whether the filter selects all requests.
func (f Filter) IsZero() bool {
	return f.Source == "" && f.Client == "" && f.Subclient == "" && len(f.Labels) == 0 && f.IDs == nil
}

func (f Filter) matches(req *schemas.BackupRequest) bool {
	for name, value := range f.Labels {
		if got, ok := req.Labels[name]; !ok || got != value {
			return false
		}
	}
	return (f.Client == "" || strings.EqualFold(f.Client, req.ClientName)) && (f.Subclient == "" || strings.EqualFold(f.Subclient, req.SubclientName))
}

// Request is a request's message in the queue.
type Request struct {
	Key       publisher.Key
	RequestID string // "" for none
	Client    string
	Subclient string
	Sequence  uint64
	Stored    time.Time
}

// Result is what came of a cancellation.
type Result string

// The results.
const (
	Would     Result = "would cancel"
	Cancelled Result = "cancelled"
	Before    Result = "cancelled before" // by another operator, or an earlier try
	Refused   Result = "refused"          // it has an outcome, or may have a job
)

// Outcome is a result, and with [Refused] and [Before] why.
type Outcome struct {
	Result Result
	Why    string
}

// Desk cancels requests of the streams of a connection. It is safe for concurrent use.
type Desk struct {
	nc *nats.Conn

	mu        sync.Mutex
	requests  jetstream.Stream // nil until bind
	canceller *consumer.Canceller
}

// New returns a desk for a connection. It asks the server nothing.
func New(nc *nats.Conn) *Desk { return &Desk{nc: nc} }

// bind looks for the streams, once.
func (d *Desk) bind(ctx context.Context) (jetstream.Stream, *consumer.Canceller, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.requests != nil {
		return d.requests, d.canceller, nil
	}
	js, err := jetstream.New(d.nc)
	if err != nil {
		return nil, nil, fmt.Errorf("cancel: %w", err)
	}
	requests, err := js.Stream(ctx, publisher.RequestsStream)
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", publisher.RequestsStream, err)
	}
	canceller, err := consumer.NewCanceller(ctx, d.nc)
	if err != nil {
		return nil, nil, err
	}
	d.requests, d.canceller = requests, canceller
	return requests, canceller, nil
}

// Select returns the requests in the queue that a filter selects, in the order of the queue:
// those that are there when it begins.
func (d *Desk) Select(ctx context.Context, f Filter) (found []Request, err error) {
	queue, _, err := d.bind(ctx)
	if err != nil {
		return nil, err
	}
	info, err := queue.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", publisher.RequestsStream, err)
	}
	subjects := []string{publisher.AnyRequest}
	if f.Source != "" {
		subjects = publisher.RequestSubjects(f.Source)
	}
	for _, subject := range subjects {
		for next := max(info.State.FirstSeq, 1); next <= info.State.LastSeq; next++ {
			msg, err := queue.GetMsg(ctx, next, jetstream.WithGetMsgSubject(subject))
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", publisher.RequestsStream, err)
			}
			if next = msg.Sequence; next > info.State.LastSeq {
				break
			}
			if r, ok := read(msg, f); ok {
				found = append(found, r)
			}
		}
	}
	slices.SortFunc(found, func(a, b Request) int { return int(int64(a.Sequence) - int64(b.Sequence)) })
	return found, nil
}

// read returns a message as a request, if the filter selects it.
func read(msg *jetstream.RawStreamMsg, f Filter) (Request, bool) {
	source, _, err := publisher.ParseRequestSubject(msg.Subject)
	if err != nil {
		return Request{}, false
	}
	m, _ := schemas.DecodeRequest(schemas.Header(msg.Header), msg.Data) // an invalid one waits too
	if !f.matches(&m.Request) {
		return Request{}, false
	}
	r := Request{RequestID: m.Request.RequestID, Client: m.Request.ClientName, Subclient: m.Request.SubclientName, Sequence: msg.Sequence, Stored: msg.Time.UTC()}
	if r.Key = publisher.NewKey(source, r.RequestID); r.RequestID == "" {
		r.Key = publisher.SequenceKey(source, msg.Sequence, msg.Time)
	}
	return r, f.IDs == nil || f.IDs[r.RequestID] || f.IDs[r.Key.Name]
}

// Check returns what [Desk.Cancel] would do.
func (d *Desk) Check(ctx context.Context, r Request) (Outcome, error) {
	_, outcome, _, err := d.look(ctx, r)
	return outcome, err
}

// Cancel cancels a request in the queue, if nothing was sent for it. An error says that a stream
// could not be read or written; the request may be cancelled nevertheless, and Cancel may be
// called again.
func (d *Desk) Cancel(ctx context.Context, r Request, by operator.By) (Outcome, error) {
	if err := Check(by); err != nil {
		return Outcome{}, err
	}
	found, outcome, canceller, err := d.look(ctx, r)
	if err != nil || outcome.Result != Would {
		return outcome, err
	}
	now, ours, err := canceller.Cancel(ctx, found, by.Actor, by.Reason)
	if err == nil && ours {
		return Outcome{Result: Cancelled}, nil
	}
	return outcomeOf(now, err)
}

// Check returns an error unless a cancellation can be recorded with the names: it needs a reason,
// which the source of the request reads.
func Check(by operator.By) error {
	if by.Reason == "" {
		return errors.New("the reason is missing: the event that the request's source reads says why it was cancelled")
	}
	return by.Check()
}

// look returns a request as it is now, and the canceller for it.
func (d *Desk) look(ctx context.Context, r Request) (consumer.Cancellable, Outcome, *consumer.Canceller, error) {
	queue, canceller, err := d.bind(ctx)
	if err != nil {
		return consumer.Cancellable{}, Outcome{}, nil, err
	}
	msg, err := queue.GetMsg(ctx, r.Sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && !msg.Time.Equal(r.Stored) {
		return consumer.Cancellable{}, Outcome{Refused, "it has left the queue; `backhaul status " + r.Key.String() + "` shows what became of it"}, canceller, nil
	}
	if err != nil {
		return consumer.Cancellable{}, Outcome{}, nil, fmt.Errorf("read %s: %w", publisher.RequestsStream, err)
	}
	found, err := canceller.Look(ctx, msg)
	outcome, err := outcomeOf(found, err)
	return found, outcome, canceller, err
}

func outcomeOf(found consumer.Cancellable, err error) (Outcome, error) {
	refused, isRefused := errors.AsType[*consumer.NotCancellableError](err)
	switch {
	case isRefused:
		return Outcome{Refused, refused.Why}, nil
	case err != nil:
		return Outcome{}, err
	case found.By != nil:
		return Outcome{Before, found.By.ErrorMessage}, nil
	}
	return Outcome{Result: Would}, nil
}

// Counts says how many requests of each source are selected: "480 of billing, 20 of crm".
func Counts(requests []Request) (text string) {
	counts := make(map[string]int)
	for _, r := range requests {
		counts[r.Key.Source]++
	}
	for i, source := range slices.Sorted(maps.Keys(counts)) {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%d of %s", counts[source], source)
	}
	return text
}
