package doctor

import (
	"context"
	"strings"

	"backhaul/cmd/internal/provision"
)

const withoutFollower = "started jobs are not followed to their end"

// following compares the consumer that the follower reads. The service starts jobs without it,
// so nothing is worse than a warning.
func (d *natsDoctor) following(ctx context.Context) []Finding {
	const check = "following"
	var existing []provision.Existing
	err := d.ask(ctx, func(ctx context.Context) (err error) {
		existing, err = provision.CompareFollow(ctx, d.js)
		return err
	})
	if err != nil {
		return nil // said by streams
	}
	var all []Finding
	for _, one := range existing {
		if one.Missing {
			all = append(all, finding(Warning, check, one.Name+" does not exist: "+withoutFollower, d.wayToMake(ctx, one)))
		}
		for _, difference := range one.Differences {
			level := Note
			if difference.Breaks {
				level = Warning
			}
			all = append(all, finding(level, check, difference.String(), "delete the consumer (`nats consumer rm "+strings.Replace(strings.TrimPrefix(one.Name, "consumer "), "/", " ", 1)+
				"`) and run `backhaul setup`: it begins with the jobs of the last days, and what is stored about them is not repeated"))
		}
	}
	if version := d.nc.ConnectedServerVersion(); len(all) == 0 {
		if major, minor := versionOf(version); major < 2 || major == 2 && minor < 14 {
			return []Finding{finding(Warning, check, "nats-server "+version+" cannot reset a consumer: "+withoutFollower, "use nats-server 2.14 or later")}
		}
		return []Finding{ok(check, "the consumer is as shipped")}
	}
	return all
}
