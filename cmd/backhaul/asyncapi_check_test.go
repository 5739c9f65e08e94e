package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"backhaul/cmd/internal/programtest"
	"backhaul/deploy"
	"backhaul/publisher"
)

// The AsyncAPI document is as it would be made from the code and the JSON Schemas.
func TestAsyncAPI(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(asyncAPI(t)); err != nil {
		t.Fatal(err)
	}
	compareWithFile(t, filepath.Join("..", "..", "schemas", "asyncapi.json"), b.String())
}

// asyncDocumentOf returns the document as the program prints it, decoded as jsonschema does.
func asyncDocumentOf(t *testing.T) object {
	t.Helper()
	code, out, stderr := programtest.Once(t, nil, "", "schema", "asyncapi")
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(out))
	if code != exitDone || err != nil {
		t.Fatalf("exit code %d, %v, %s", code, err, stderr)
	}
	return document.(object)
}

// The document has the form of AsyncAPI 3.0.0. testdata/asyncapi.schema.json describes the
// parts of the specification that the document uses, and allows no others. Every reference
// leads somewhere.
func TestAsyncAPI_isOfTheSpecification(t *testing.T) {
	t.Parallel()
	document := asyncDocumentOf(t)
	form, err := os.ReadFile("testdata/asyncapi.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiled(t, parsed, "").Validate(document); err != nil {
		t.Error(err)
	}
	for _, wrong := range []func(d object){
		func(d object) { d["operations"].(object)["sendOperator"].(object)["action"] = "publish" },
		func(d object) { delete(d, "info") },
		func(d object) { d["channels"].(object)["operator"].(object)["Address"] = "x" },
	} {
		broken := asyncDocumentOf(t)
		wrong(broken)
		if compiled(t, parsed, "").Validate(broken) == nil {
			t.Error("a wrong document is valid")
		}
	}
	checkReferences(t, document, document)
}

// checkReferences reports each $ref below v that leads nowhere.
func checkReferences(t *testing.T, document object, v any) {
	t.Helper()
	switch v := v.(type) {
	case object:
		if to, ok := v["$ref"].(string); ok && resolve(document, to) == nil {
			t.Errorf("%s leads nowhere", to)
		}
		for _, member := range v {
			checkReferences(t, document, member)
		}
	case []any:
		for _, item := range v {
			checkReferences(t, document, item)
		}
	}
}

// resolve returns what a reference such as "#/channels/operator" leads to.
func resolve(document object, to string) any {
	var at any = document
	for step := range strings.SplitSeq(strings.TrimPrefix(to, "#/"), "/") {
		inner, _ := at.(object)
		at = inner[step]
	}
	return at
}

// compiled compiles a JSON Schema, or a part of a document that is one.
func compiled(t *testing.T, document any, place string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	c.AssertFormat()
	if err := c.AddResource("document.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("document.json#" + place)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// The headers and payloads of all examples are valid, by the schemas in the document, and
// every message that the program publishes has an example.
func TestAsyncAPI_examplesAreValid(t *testing.T) {
	t.Parallel()
	document := asyncDocumentOf(t)
	messages := resolve(document, "#/components/messages").(object)
	for name, message := range messages {
		examples, _ := message.(object)["examples"].([]any)
		payload, _ := resolve(document, "#/components/messages/"+name+"/payload/$ref").(string)
		if strings.HasPrefix(name, "job") && (len(examples) == 0 || payload == "") {
			t.Errorf("%s has %d examples, payload %q", name, len(examples), payload)
		}
		for _, example := range examples {
			example := example.(object)
			if err := compiled(t, document, strings.TrimPrefix(payload, "#")+"/schema").Validate(example["payload"]); err != nil {
				t.Errorf("payload of %s: %v", name, err)
			}
			if headers, ok := example["headers"]; ok {
				if err := compiled(t, document, "/components/messages/"+name+"/headers").Validate(headers); err != nil {
					t.Errorf("headers of %s: %v", name, err)
				}
			}
		}
	}
}

// Each channel's subject is one of the stream that it names, its parameters are those of the
// subject, and each stream that other teams write to or read has its channels.
func TestAsyncAPI_channelsAreOfTheStreams(t *testing.T) {
	t.Parallel()
	subjects := make(map[string]string) // by stream
	for _, folder := range []fs.FS{deploy.Streams, deploy.TriggerStreams} {
		err := fs.WalkDir(folder, ".", func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || strings.Contains(path, ".consumer.") {
				return err
			}
			var stream struct {
				Name     string   `json:"name"`
				Subjects []string `json:"subjects"`
			}
			data, err := fs.ReadFile(folder, path)
			if err == nil {
				err = json.Unmarshal(data, &stream)
			}
			subjects[stream.Name] = strings.Join(stream.Subjects, " ")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	delete(subjects, publisher.WindowsStream) // of the trigger alone
	described := make(map[string]bool)
	parameter := regexp.MustCompile(`\{(\w+)\}`)
	for name, channel := range asyncDocumentOf(t)["channels"].(object) {
		channel := channel.(object)
		address, stream := channel["address"].(string), channel["x-jetstream-stream"].(string)
		described[stream] = true
		first, _, _ := strings.Cut(subjects[stream], " ") // the others are longer
		prefix := strings.TrimRight(first, "*>")
		if prefix == "" || !strings.HasPrefix(address, prefix) {
			t.Errorf("%s: %s has the subjects %q, which do not include %s", name, stream, subjects[stream], address)
		}
		var want []string
		for _, match := range parameter.FindAllStringSubmatch(address, -1) {
			want = append(want, match[1])
		}
		slices.Sort(want)
		if got := slices.Sorted(maps.Keys(channel["parameters"].(object))); !slices.Equal(got, want) {
			t.Errorf("%s has the parameters %q, its address has %q", name, got, want)
		}
	}
	for stream := range subjects {
		if !described[stream] {
			t.Errorf("%s has no channel", stream)
		}
	}
}
