package page

import (
	"context"
	"errors"
	"time"

	"backhaul/cmd/internal/deadletter"
	"backhaul/cmd/internal/operator"
)

// dropLimit bounds the drop of one dead letter: where NATS does not permit it, there is no answer.
const dropLimit = 5 * time.Second

// dropMany is the drop of many dead letters.
func (p *Page) dropMany() bulkAction {
	return bulkAction{
		verb: "drop", past: "dropped", title: "Drop dead letters",
		selects: func(f lettersForm, l deadletter.Message) bool { return f.Filter.matches(l) },
		needs:   func(selection) []string { return deadletter.DropNeeds },
		plan: func(context.Context, deadletter.Message) (outcome, error) {
			return outcome{result: "would drop"}, nil
		},
		act: p.dropOne,
	}
}

func (p *Page) dropOne(ctx context.Context, l deadletter.Message, who operator.By) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, dropLimit)
	defer cancel()
	err := p.cfg.Letters.Drop(ctx, l, who)
	if _, gone := errors.AsType[*deadletter.NotFoundError](err); gone {
		return outcome{result: "gone before"}, nil
	}
	return outcome{result: "dropped"}, err
}
