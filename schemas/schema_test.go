package schemas_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"backhaul/schemas"
)

// compile is the schema with this name; place, such as "#/properties/labels",
// leads to a part of it. Compiling checks it against the meta-schema.
func compile(t testing.TB, name, place string) *jsonschema.Schema {
	t.Helper()
	document := schemaDocument(t, name)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(document["$id"].(string), document); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(document["$id"].(string) + place)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func schemaDocument(t testing.TB, name string) map[string]any {
	t.Helper()
	data, err := schemas.Schema(name)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, data).(map[string]any)
}

// parse reads JSON in the way that jsonschema wants it.
func parse(t testing.TB, data []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%v in %.200q", err, data)
	}
	return v
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSchemaNames(t *testing.T) {
	want := []string{"backup-request.v1", "operator.v1", "protection.v1"}
	for _, kind := range schemas.Kinds {
		want = append(want, string(kind)+".v1")
	}
	slices.Sort(want)
	if got := schemas.SchemaNames(); !slices.Equal(got, want) {
		t.Errorf("SchemaNames() = %q, want %q", got, want)
	}
	for _, name := range []string{"", "backup-request", "backup-request.v1.json", "../schemas/backup-request.v1"} {
		if _, err := schemas.Schema(name); err == nil || !strings.Contains(err.Error(), "backup-request.v1") {
			t.Errorf("Schema(%q) gives %v, want an error that names what there is", name, err)
		}
	}
}

func TestSchemasSayWhatTheyAre(t *testing.T) {
	for _, name := range schemas.SchemaNames() {
		document := schemaDocument(t, name)
		if got, want := document["$schema"], "https://json-schema.org/draft/2020-12/schema"; got != want {
			t.Errorf("%s: $schema is %q", name, got)
		}
		if got, want := document["$id"], "urn:backhaul:schema:"+strings.TrimSuffix(name, ".v1")+":v1"; got != want {
			t.Errorf("%s: $id is %q, want %q", name, got, want)
		}
		_, closed := document["additionalProperties"]
		if want := name == "backup-request.v1"; closed != want {
			t.Errorf("%s: additionalProperties given: %v, want %v: the request is closed, events are open", name, closed, want)
		}
		compile(t, name, "")
	}
}

// Every member is documented, and every example is a true one.
func TestSchemasDocumentEveryMember(t *testing.T) {
	for _, name := range schemas.SchemaNames() {
		var walk func(place string, schema map[string]any)
		walk = func(place string, schema map[string]any) {
			for _, key := range []string{"title", "description"} {
				if text, _ := schema[key].(string); strings.TrimSpace(text) == "" {
					t.Errorf("%s%s has no %s", name, place, key)
				}
			}
			compiled := compile(t, name, place)
			examples, _ := schema["examples"].([]any)
			for _, example := range examples {
				if err := compiled.Validate(example); err != nil {
					t.Errorf("example of %s%s: %v", name, place, err)
				}
			}
			properties, _ := schema["properties"].(map[string]any)
			for member, sub := range properties {
				walk(place+"/properties/"+member, sub.(map[string]any))
				_, nested := sub.(map[string]any)["properties"]
				if _, ok := sub.(map[string]any)["examples"]; !ok && !nested {
					if _, ok := sub.(map[string]any)["enum"]; !ok {
						t.Errorf("%s%s/properties/%s has no example", name, place, member)
					}
				}
			}
		}
		document := schemaDocument(t, name)
		walk("#", document)

		examples, _ := document["examples"].([]any)
		if len(examples) == 0 {
			t.Errorf("%s has no example", name)
		}
		for _, example := range examples {
			var err error
			switch kind := strings.TrimSuffix(name, ".v1"); kind {
			case "backup-request":
				_, err = schemas.DecodeRequest(nil, marshal(t, example))
			case "operator":
				_, err = schemas.DecodeOperatorEvent(marshal(t, example))
			case "protection":
				_, err = schemas.DecodeProtectionEvent(marshal(t, example))
			default:
				_, err = schemas.DecodeEvent(schemas.Kind(kind), marshal(t, example))
			}
			if err != nil {
				t.Errorf("example of %s: %v", name, err)
			}
		}
	}
}

// The schemas have exactly the members of the Go types, with the same JSON
// types; what is never left out of an event is required.
func TestSchemasDescribeTypes(t *testing.T) {
	describe(t, "backup-request.v1", schemaDocument(t, "backup-request.v1"), reflect.TypeFor[schemas.BackupRequest](),
		[]string{"clientName", "subclientName"})
	operator := reflect.TypeFor[schemas.OperatorEvent]()
	describe(t, "operator", schemaDocument(t, "operator.v1"), operator, alwaysWritten(operator))
	protection := reflect.TypeFor[schemas.ProtectionEvent]()
	describe(t, "protection", schemaDocument(t, "protection.v1"), protection, alwaysWritten(protection))
	for _, kind := range schemas.Kinds {
		event, err := schemas.DecodeEvent(kind, []byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		typ := reflect.TypeOf(event).Elem()
		describe(t, string(kind), schemaDocument(t, string(kind)+".v1"), typ, alwaysWritten(typ))
	}
}

func describe(t *testing.T, place string, schema map[string]any, typ reflect.Type, required []string) {
	t.Helper()
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	isTime := typ == reflect.TypeFor[time.Time]()
	want := map[reflect.Kind]string{
		reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Int64: "integer", reflect.Uint64: "integer",
		reflect.Slice: "array", reflect.Map: "object", reflect.Struct: "object",
	}[typ.Kind()]
	if isTime {
		want = "string"
	}
	if schema["type"] != want {
		t.Errorf("%s is of type %v, want %v for %v", place, schema["type"], want, typ)
	}
	if (schema["format"] == "date-time") != isTime {
		t.Errorf("%s has format %v, which does not go with %v", place, schema["format"], typ)
	}
	switch {
	case typ.Kind() == reflect.Slice:
		describe(t, place+"/items", schema["items"].(map[string]any), typ.Elem(), alwaysWritten(typ.Elem()))
	case typ.Kind() == reflect.Map:
		describe(t, place+"/additionalProperties", schema["additionalProperties"].(map[string]any), typ.Elem(), nil)
	case typ.Kind() == reflect.Struct && !isTime:
		properties, _ := schema["properties"].(map[string]any)
		fields := jsonFields(typ)
		if got, want := slices.Sorted(maps.Keys(properties)), slices.Sorted(maps.Keys(fields)); !slices.Equal(got, want) {
			t.Errorf("%s has the members\n%q, the type has\n%q", place, got, want)
			return
		}
		var got []string
		for _, name := range schema["required"].([]any) {
			got = append(got, name.(string))
		}
		if slices.Sort(got); !slices.Equal(got, required) {
			t.Errorf("%s requires\n%q, want\n%q", place, got, required)
		}
		for name, field := range fields {
			describe(t, place+"/"+name, properties[name].(map[string]any), field.Type, alwaysWritten(field.Type))
		}
	}
}

// jsonFields is the type's fields by their names in JSON, embedded ones included.
func jsonFields(typ reflect.Type) map[string]reflect.StructField {
	fields := make(map[string]reflect.StructField)
	for field := range typ.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous && name == "" {
			maps.Copy(fields, jsonFields(field.Type))
		} else {
			fields[name] = field
		}
	}
	return fields
}

// alwaysWritten lists the members that encoding never leaves out, sorted.
func alwaysWritten(typ reflect.Type) []string {
	if typ.Kind() != reflect.Struct {
		return nil
	}
	var names []string
	for name, field := range jsonFields(typ) {
		if !strings.Contains(field.Tag.Get("json"), ",omit") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
