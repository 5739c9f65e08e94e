// Package systemtest has the tests of the program as a whole: the built binary between
// a real nats-server and the simulated vendor, with the permissions, images, units and
// documents that ship with it, and the rules of the repository. Its tests start the
// program with cmd/internal/programtest; those that break things under load are in
// cmd/internal/chaos.
package systemtest
