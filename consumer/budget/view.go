package budget

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
)

// View is the budget as it is shown. Its times are the server's.
type View struct {
	AsOf time.Time `json:"asOf"`
	// Limit is how many calls an hour are allowed: the setting, or the vendor's own limit.
	Limit int `json:"limit"`
	// Spent is how many count at the moment, with those that were taken and not yet made.
	Spent int `json:"spent"`
	Left  int `json:"left"`
	// Next is when calls are free again, zero if some are left.
	Next time.Time `json:"next,omitzero"`
	// By is who has spent them, the largest first.
	By []Share `json:"by,omitempty"`
	// ClosedUntil is until when the vendor asked for no calls, zero if it did not.
	ClosedUntil time.Time `json:"closedUntil,omitzero"`
	// VendorLimit is the vendor's limit if it is below the setting.
	VendorLimit int `json:"vendorLimit,omitzero"`
	// Unknown is why calls are assumed that are not known, and until when; "" if all are known.
	Unknown      string    `json:"unknown,omitempty"`
	UnknownUntil time.Time `json:"unknownUntil,omitzero"`
}

// Share is what one process has spent.
type Share struct {
	Process string `json:"process"`
	Calls   int    `json:"calls"`
	// Open is how many of them were taken and have not ended.
	Open int `json:"open,omitzero"`
}

// view returns the record as it is shown. A setting of 0 is that of the last writer.
func (r *record) view(setting int, now time.Time) View {
	setting = cmp.Or(setting, r.Limit)
	v := View{AsOf: now.UTC(), Limit: r.limit(setting, now), Spent: r.spent(now)}
	v.Left, v.Next = r.left(setting, now)
	if v.Next = v.Next.UTC(); v.Left > 0 {
		v.Next = time.Time{}
	}
	if closed := time.Unix(r.ClosedUntil, 0); closed.After(now) {
		v.ClosedUntil = closed.UTC()
	}
	if v.Limit < setting {
		v.VendorLimit = v.Limit
	}
	shares := make(map[string]Share)
	for _, c := range r.Calls {
		if !counts(c.At, now) {
			continue
		}
		if c.By == byUnknown {
			v.Unknown, v.UnknownUntil = r.Unknown, freeAt(c.At).UTC()
		}
		s := shares[c.By]
		if s.Process, s.Calls = c.By, s.Calls+c.N; c.Lease != "" && time.Unix(c.At, 0).After(now) {
			s.Open += c.N
		}
		shares[c.By] = s
	}
	for _, s := range shares {
		v.By = append(v.By, s)
	}
	slices.SortFunc(v.By, func(a, b Share) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Process, b.Process))
	})
	return v
}

// View returns the budget as this process knows it. The error is why it cannot be used now.
func (b *Budget) View() (View, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.now.at.IsZero() {
		return View{Limit: b.cfg.PerHour}, b.now.err
	}
	return b.now.record.view(b.cfg.PerHour, b.now.earliest(time.Now())), b.now.err
}

// Trouble returns why the budget cannot be used as it is set, nil if it can. A budget that is used
// up is not trouble.
func (b *Budget) Trouble() error {
	v, err := b.View()
	switch {
	case err != nil:
		return fmt.Errorf("nothing is sent to the vendor that is not a read: %w", err)
	case v.Unknown != "":
		return fmt.Errorf("%s; they are taken for a whole budget until %s", v.Unknown, v.UnknownUntil.Format(time.RFC3339))
	case !v.ClosedUntil.IsZero():
		return fmt.Errorf("the vendor refused a call because of its limit: nothing is sent before %s; others may use the same allowance, or BACKHAUL_WRITES_PER_HOUR is too high",
			v.ClosedUntil.Format(time.RFC3339))
	case v.VendorLimit > 0:
		return fmt.Errorf("the vendor allows %d writing calls an hour, which is less than BACKHAUL_WRITES_PER_HOUR, and is what is used", v.VendorLimit)
	}
	return nil
}

// Remark returns what is left of the budget.
func (b *Budget) Remark() string {
	v, err := b.View()
	if err != nil {
		return ""
	}
	return v.String()
}

func (v View) String() string {
	text := fmt.Sprintf("%d of %d writing calls spent in the last hour, %d left", v.Spent, v.Limit, v.Left)
	if !v.Next.IsZero() {
		text += ", the next at " + v.Next.Format(time.RFC3339)
	}
	return text
}

// ErrNone is returned by [Read] if no budget was used.
var ErrNone = errors.New("no budget of writing calls was used")

// Read returns the budget as the stream has it.
func Read(ctx context.Context, js jetstream.JetStream) (View, error) {
	stream, err := js.Stream(ctx, publisher.BudgetStream)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return View{}, ErrNone
	case err != nil:
		return View{}, fmt.Errorf("stream %s: %w", publisher.BudgetStream, err)
	}
	info := stream.CachedInfo()
	stored, err := publisher.ReadBudget(ctx, stream, info.State.LastSeq)
	switch {
	case err != nil:
		return View{}, err
	case stored.Sequence == 0 && info.State.LastSeq == 0:
		return View{}, ErrNone
	case stored.Why != nil:
		return View{}, fmt.Errorf("stream %s: %w", publisher.BudgetStream, stored.Why)
	}
	r, err := decodeRecord(stored.Data)
	if err != nil {
		return View{}, fmt.Errorf("stream %s: %w", publisher.BudgetStream, err)
	}
	return r.view(0, info.TimeStamp), nil
}
