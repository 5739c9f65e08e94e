package doctor

import (
	"context"

	"backhaul/cmd/internal/queue"
	"backhaul/consumer/scope"
)

// scopes reports the scopes that are paused: their requests wait.
func (d *natsDoctor) scopes(ctx context.Context) []Finding {
	const check = "paused scopes"
	var list scope.List
	err := d.ask(ctx, func(ctx context.Context) (err error) {
		list, err = queue.Scopes(ctx, d.js)
		return err
	})
	if err != nil {
		return nil // said by streams and permissions
	}
	if list.Unreadable != nil {
		return []Finding{finding(Warning, check, list.Unreadable.Error(), "`backhaul pause` or `backhaul resume` of a scope replaces the list; until then a replica does not start")}
	}
	var all []Finding
	for _, p := range list.Pauses {
		all = append(all, finding(Note, check, p.String(), "`backhaul resume` with the same names ends it"))
	}
	return all
}
