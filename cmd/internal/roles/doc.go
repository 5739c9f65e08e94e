// Package roles has nothing but tests: they run Backhaul with the users of
// deploy/nats on a real server, and try what those users must not be able to do.
package roles
