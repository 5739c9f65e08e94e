package doctor

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/provision"
	"backhaul/consumer/budget"
	"backhaul/publisher"
)

// withoutBudget is what is lost without the record of the budget.
const withoutBudget = "nothing is started with BACKHAUL_WRITES_PER_HOUR"

// budgetNeeds is what BACKHAUL_ROLE of deploy/nats/roles.conf lists for a budget.
var budgetNeeds = []string{
	publisher.BudgetSubject,
	"$JS.API.STREAM.INFO." + publisher.BudgetStream,
	"$JS.API.STREAM.MSG.GET." + publisher.BudgetStream,
}

// Budget checks the stream in which the replicas share their budget of writing calls. It is called
// if the settings ask for one.
func Budget(ctx context.Context, nc *nats.Conn, js jetstream.JetStream) []Finding {
	const check = "budget"
	d := &natsDoctor{nc: nc, js: js}
	restore := d.listen()
	defer restore()
	var existing []provision.Existing
	err := d.ask(ctx, func(ctx context.Context) (err error) {
		existing, err = provision.CompareBudget(ctx, js)
		return err
	})
	switch {
	case errors.Is(err, nats.ErrPermissionViolation):
		return []Finding{finding(Error, check, "cannot be read by this user: "+err.Error()+"; "+withoutBudget, "grant what deploy/nats/roles.conf has for "+publisher.BudgetStream)}
	case err != nil:
		return []Finding{Unreachable(check, err, "see whether the stream has a leader: `nats stream report`; "+withoutBudget+" meanwhile")}
	}
	var all []Finding
	for _, one := range existing {
		for _, f := range d.existing(ctx, one, d.wayToMake(ctx, one)) {
			if one.Missing {
				f.What += ": " + withoutBudget
			}
			all = append(all, f)
		}
		if one.Missing {
			return all
		}
	}
	if publish, err := d.mayPublish(ctx); err == nil && publish != nil {
		for _, subject := range budgetNeeds {
			if !publish.Allows(subject) {
				all = append(all, finding(Error, check, "this user may not publish on "+subject+": "+withoutBudget, "allow it"))
			}
		}
	}
	return append(all, d.spent(ctx, check))
}

// spent reports what is left of the budget.
func (d *natsDoctor) spent(ctx context.Context, check string) Finding {
	var view budget.View
	err := d.ask(ctx, func(ctx context.Context) (err error) {
		view, err = budget.Read(ctx, d.js)
		return err
	})
	switch {
	case errors.Is(err, budget.ErrNone):
		return ok(check, "not used yet")
	case err != nil:
		return finding(Warning, check, err.Error()+": the calls before are taken for a whole budget", "nobody but Backhaul may write to the stream; it is used again within the hour")
	case view.Unknown != "":
		return finding(Note, check, view.String()+"; "+view.Unknown, "")
	}
	return ok(check, "%s", view)
}
