// Package schemas is Backhaul's contract with other teams: the backup request
// that upstream systems publish and the events that audit subscribers read, as
// Go types, as strict decoders and as JSON Schema 2020-12 documents ([Schema]).
//
// # Guarantees
//
// Requests are read strictly. A member that is not in the contract, a member
// given twice, a null, a wrong type or a value out of range is refused, and the
// error ([InvalidError]) names every offending field by its JSON pointer: a
// typo must not become a backup of something else. The JSON Schema and the
// decoder give the same verdict; a property test holds them together.
//
// Events are written as the JSON data alone, with the CloudEvents attributes
// as message headers (binary content mode), so that a plain JSON reader and a
// CloudEvents SDK both work. Events are read leniently: members that this
// version does not know are ignored, because changes inside ".v1" are additive.
//
// [Kinds] are the events about requests. What operators do is an [OperatorEvent],
// which is about none.
//
// # Forms of a request
//
// [DecodeRequest] takes plain JSON, a structured CloudEvent (recognised by its
// content type or by a top-level "specversion") and a binary CloudEvent
// (recognised by the header ce-specversion). Header names are compared without
// regard to case. The headers Backhaul-Request-Id and Backhaul-Replay-Of, by which
// a dead letter is sent again, are read in every form and held to what every id
// and key is; another sender that sets them names its own request, nothing more.
//
// Everything here is a pure function of its arguments and safe for concurrent
// use. Nothing here does I/O.
package schemas
