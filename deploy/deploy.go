// Package deploy holds what Backhaul is deployed with. As Go code it only
// embeds the stream and consumer definitions, so that the program, the tests and
// the operators' tools all read the same files.
package deploy

import "embed"

// Streams has streams/<STREAM>.json and streams/<STREAM>.consumer.<DURABLE>.json,
// in the form that JetStream's API and `nats stream add --config` take.
//
//go:embed streams/*.json
var Streams embed.FS

// TriggerStreams has the same for `backhaul trigger`, which not everybody runs.
//
//go:embed streams/trigger/*.json
var TriggerStreams embed.FS

// MarkStreams has the stream in which the service keeps what it knows of its ledger. The
// service works without it, as after an upgrade, and says so.
//
//go:embed streams/mark/*.json
var MarkStreams embed.FS

// FollowStreams has the consumer whose unacknowledged messages are the jobs that are followed.
// The service starts jobs without it, as after an upgrade, and says so.
//
//go:embed streams/follow/*.json
var FollowStreams embed.FS

// ArchiveStreams has the consumer that `backhaul archive` reads, which not everybody runs.
//
//go:embed streams/archive/*.json
var ArchiveStreams embed.FS

// BudgetStreams has the stream in which the replicas share their budget of writing calls. The
// service needs it only with a budget.
//
//go:embed streams/budget/*.json
var BudgetStreams embed.FS

// NATSUsers has the users of NATS with their permissions, as a nats-server includes them; the
// keys of the users are not part of it.
//
//go:embed nats/*.conf
var NATSUsers embed.FS

// ProtectionStreams has the stream of the digests with which the protection of content groups is
// known without reading every event. The service works without it, as after an upgrade.
//
//go:embed streams/protection/*.json
var ProtectionStreams embed.FS
