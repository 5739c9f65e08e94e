package follower

import (
	"context"

	"backhaul/vendorapi"
)

// Vendor is the part of [vendorapi.Client] that the follower needs. Each call is one exchange
// with the vendor. All but JobDelayReason are reads.
type Vendor interface {
	ListJobs(ctx context.Context, q vendorapi.JobQuery) (vendorapi.JobPage, error)
	Job(ctx context.Context, id string) (vendorapi.JobInfo, error)
	JobEvents(ctx context.Context, id string) ([]vendorapi.JobEvent, error)
	JobDelayReason(ctx context.Context, id string) (string, error)
}
