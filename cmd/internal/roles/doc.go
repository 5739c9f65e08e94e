// Package roles contains only tests. They run Backhaul with the NATS users of deploy/nats
// on a real server, check that each user can do its work, and try what it must not be able
// to do.
package roles
