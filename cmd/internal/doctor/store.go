package doctor

import (
	"context"
	"fmt"

	"backhaul/consumer/trigger"
	"backhaul/consumer/trigger/objectstore"
)

// Store writes a small object below the prefix of each directive of the routes, and returns
// findings about those that cannot be written.
func Store(ctx context.Context, store trigger.Store, rs *trigger.Routes) []Finding {
	const check = "object store"
	var findings []Finding
	tried, untried := trigger.TryDirectives(ctx, store, rs)
	for _, t := range tried {
		place := "/" + t.Directive.Container + "/" + t.Directive.Prefix
		if t.Err == nil {
			findings = append(findings, ok(check, "%s can be written", place))
			continue
		}
		findings = append(findings, finding(Error, check, fmt.Sprintf("%s cannot be written: %v", place, t.Err), objectstore.Advice(t.Err, t.Directive.Container)))
	}
	if untried > 0 {
		findings = append(findings, finding(Note, check, fmt.Sprintf("not tried: %d, which have placeholders, or are more than are tried", untried),
			"to try a template, give one of its containers a route of its own, before it"))
	}
	return findings
}
