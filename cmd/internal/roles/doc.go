// Package roles has tests only: they run Backhaul with the users of deploy/nats, and
// try what these must not be able to do.
package roles
