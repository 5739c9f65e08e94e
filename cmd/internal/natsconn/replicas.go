package natsconn

import (
	"github.com/nats-io/nats.go"
)

// Replicas returns the number of replicas of new streams: wanted, or if that is 0, three in a cluster and
// otherwise one.
func Replicas(nc *nats.Conn, wanted int) int {
	switch {
	case wanted > 0:
		return wanted
	case nc.ConnectedClusterName() != "":
		return 3
	default:
		return 1
	}
}
