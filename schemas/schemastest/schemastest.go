// Package schemastest has events of every kind for tests that walk the kinds. They
// are the examples of the JSON Schemas, so a new kind brings its own.
package schemastest

import (
	"encoding/json"
	"testing"

	"backhaul/schemas"
)

// Events returns the events of a kind that its JSON Schema has as examples, at least
// one.
func Events(t testing.TB, kind schemas.Kind) []schemas.Event {
	t.Helper()
	document, err := schemas.Schema(string(kind) + ".v1")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Examples []json.RawMessage `json:"examples"`
	}
	if err := json.Unmarshal(document, &schema); err != nil {
		t.Fatalf("schema of %s: %v", kind, err)
	}
	if len(schema.Examples) == 0 {
		t.Fatalf("the schema of %s has no example", kind)
	}
	events := make([]schemas.Event, len(schema.Examples))
	for i, data := range schema.Examples {
		if events[i], err = schemas.DecodeEvent(kind, data); err != nil {
			t.Fatal(err)
		}
	}
	return events
}
