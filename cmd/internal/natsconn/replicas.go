package natsconn

import (
	"github.com/nats-io/nats.go"

	"backhaul/cmd/internal/config"
)

// Replicas returns how many replicas new streams have: three where there can be three.
func Replicas(nc *nats.Conn, cfg config.NATS) int {
	switch {
	case cfg.Replicas > 0:
		return cfg.Replicas
	case nc.ConnectedClusterName() != "":
		return 3
	default:
		return 1
	}
}
