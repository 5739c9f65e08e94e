package page

import (
	"context"
	"errors"
	"slices"
	"strings"

	"backhaul/cmd/internal/deadletter"
	"backhaul/cmd/internal/operator"
	"backhaul/publisher"
	"backhaul/schemas"
)

// replays reports whether a dead letter is replayed with others. A replay of many can be repeated
// for the rest: what was replayed is no longer open.
func (f lettersForm) replays(l deadletter.Message) bool {
	open := l.State() == deadletter.Open || f.Filter.State == l.State() && !l.Replayed()
	return open && f.Filter.matches(l) && (l.Code != schemas.CodeCancelled || strings.EqualFold(f.Filter.Code, l.Code))
}

// replayMany is the replay of many dead letters.
func (p *Page) replayMany() bulkAction {
	return bulkAction{
		verb: "replay", past: "replayed", title: "Replay dead letters",
		selects: lettersForm.replays,
		needs:   selection.replayNeeds,
		plan: func(ctx context.Context, l deadletter.Message) (outcome, error) {
			plan, err := p.cfg.Letters.Plan(ctx, l, deadletter.Order{})
			return replayOutcome(plan, err, "would replay", "would send again")
		},
		act: func(ctx context.Context, l deadletter.Message, who operator.By) (outcome, error) {
			plan, err := p.cfg.Letters.Replay(ctx, l, deadletter.Order{By: who})
			return replayOutcome(plan, err, "replayed", "sent again")
		},
	}
}

// replayOutcome returns the outcome of a replay of one dead letter. failed is the error of the replay;
// replayOutcome returns it if no other one is to be tried.
func replayOutcome(plan deadletter.Plan, failed error, first, repeated string) (outcome, error) {
	var (
		denied   *deadletter.RefusedError
		replayed *deadletter.ReplayedError
		putBack  *deadletter.PutBackError
		gone     *deadletter.NotFoundError
	)
	switch {
	case errors.As(failed, &denied):
		return outcome{refused, denied.Error(), true}, nil
	case errors.As(failed, &replayed), errors.As(failed, &putBack):
		return outcome{"left alone", failed.Error(), true}, nil
	case errors.As(failed, &gone):
		return outcome{"gone", "it was dropped, or is no longer kept", true}, nil
	case failed != nil:
		return outcome{}, failed
	case plan.Repeated:
		first = repeated
	}
	if plan.PutBackOn != "" {
		return outcome{first, "on " + plan.PutBackOn, false}, nil
	}
	return outcome{first, "as " + plan.RequestID, false}, nil
}

// replayNeeds are the subjects on which a replay of the selected dead letters is published.
func (s selection) replayNeeds() []string {
	needs := []string{publisher.AnyOperator}
	for _, l := range s.letters {
		if !slices.Contains(needs, l.Subject) {
			needs = append(needs, l.Subject)
		}
	}
	return needs
}
