package config

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// durationForm is what time.ParseDuration takes, without a sign.
const durationForm = `^(0|([0-9]+(\.[0-9]+)?(h|m|s|ms|us|µs|ns))+)$`

// chartSets are the settings that follow from how the chart makes its pods; there
// is nothing to choose.
var chartSets = []string{
	"nats.context", "nats.listen", "nats.storeDir", "work.policyFile", "vendor.tokenPairFile", "admin.addr", "admin.pprof", "trigger.routes",
	"protection.objectivesFile",
}

type object = map[string]any

// schemaOf returns a setting's part of the chart's schema.
func schemaOf(s setting) object {
	text := object{"type": "string"}
	switch s.field.(type) {
	case *bool:
		return object{"type": "boolean"}
	case *int:
		return object{"type": "integer", "minimum": s.least}
	case *time.Duration:
		return object{"oneOf": []any{object{"type": "string", "pattern": durationForm}, object{"const": 0}}}
	}
	switch {
	case s.key == "archive.location": // without it the archive is on the chart's volume
		return object{"type": "string", "pattern": "^s3://[^/]"}
	case s.oneOf != nil:
		return object{"enum": s.oneOf}
	case s.list:
		return object{"oneOf": []any{text, object{"type": "array", "items": text}}}
	}
	return text
}

// chartSchema puts what follows from the table of settings into the schema of the
// chart's values: what config may have, and what files may name.
func chartSchema(t *testing.T, schema object) {
	t.Helper()
	strict := func(properties object) object {
		return object{"type": "object", "additionalProperties": false, "properties": properties}
	}
	sections, files, natsFiles := object{}, object{}, object{}
	for _, s := range new(Config).settings() {
		section, name, _ := strings.Cut(s.key, ".")
		key, ref := s.key, object{"$ref": "#/$defs/secretKey"}
		switch {
		case slices.Contains(chartSets, s.key):
			continue
		case s.secret():
			key = fileKey(s.key)
		case name == "ca" || name == "cert" || name == "s3CA" || name == "publicKey": // these may be readable by all users
			ref = object{"$ref": "#/$defs/file"}
		case !s.reads:
			if sections[section] == nil {
				sections[section] = object{}
			}
			sections[section].(object)[name] = schemaOf(s)
			continue
		}
		files[key] = ref
		if section == "nats" {
			natsFiles[key] = ref
		}
	}
	setupNATS := object{}
	for _, name := range []string{"user", "inboxPrefix", "replicas"} {
		setupNATS[name] = sections["nats"].(object)[name]
	}
	ownNATS := object{"user": setupNATS["user"], "inboxPrefix": setupNATS["inboxPrefix"]}
	for name, settings := range sections {
		sections[name] = strict(settings.(object))
	}
	values := schema["properties"].(object)
	values["config"], values["files"] = strict(sections), strict(files)
	setup := values["setup"].(object)["properties"].(object)
	setup["nats"], setup["files"] = strict(setupNATS), strict(natsFiles)
	for _, command := range []string{"trigger", "archive"} {
		own := values[command].(object)["properties"].(object)
		own["nats"], own["files"] = strict(ownNATS), strict(natsFiles)
	}
}

// The chart refuses what the program would refuse, before anything is changed in
// a cluster. `make docs` writes the schema.
func TestChartSchemaIsCurrent(t *testing.T) {
	file := filepath.Join("..", "..", "..", "deploy", "helm", "backhaul", "values.schema.json")
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var schema object
	if err := json.Unmarshal(have, &schema); err != nil {
		t.Fatal(err)
	}
	chartSchema(t, schema)
	var want bytes.Buffer
	encoder := json.NewEncoder(&want)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(schema); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if !bytes.Equal(have, want.Bytes()) {
		t.Error("deploy/helm/backhaul/values.schema.json is not what the settings say; run `make docs`")
	}
}
