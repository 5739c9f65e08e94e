package schemas

import (
	"bytes"
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed *.v1.json
var documents embed.FS

//go:embed asyncapi.json
var asyncAPI []byte

// AsyncAPI returns the AsyncAPI 3.0 document: every subject, and its messages. `make docs`
// writes it.
func AsyncAPI() []byte { return bytes.Clone(asyncAPI) }

// Schema is the JSON Schema 2020-12 document with this name, such as
// "backup-request.v1". The data of an event is described by its kind and the
// version: "job-started.v1".
func Schema(name string) ([]byte, error) {
	if names := SchemaNames(); !slices.Contains(names, name) {
		return nil, fmt.Errorf("no schema %q, there are %s", name, strings.Join(names, ", "))
	}
	return documents.ReadFile(name + ".json")
}

// SchemaNames lists the names that [Schema] knows, in alphabetical order.
func SchemaNames() []string {
	entries, _ := documents.ReadDir(".") // cannot fail: the folder is in the binary
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = strings.TrimSuffix(entry.Name(), ".json")
	}
	return names
}
