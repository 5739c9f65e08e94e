package objectives

import (
	"bytes"
	"encoding/json"
)

// Schema returns the JSON Schema of the file, for editors. It says what a schema can: that names
// differ, and that times are within their limits, is only checked by [Parse].
func Schema() []byte {
	type object = map[string]any
	text := object{"type": "string", "minLength": 1, "maxLength": maxText}
	duration := func(about string) object {
		return object{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`, "description": about, "examples": []string{"1h", "90m", "26h"}}
	}
	properties := object{
		"name":   object{"type": "string", "pattern": nameText, "description": "The objective's name, in metrics and reports. Each name occurs once."},
		"owner":  object{"type": "string", "minLength": 1, "maxLength": maxText, "description": "Who is responsible for the content groups."},
		"rpo":    duration("How long a change may be exposed: stored, and not part of a finished backup."),
		"maxAge": duration("How old the start of the last good backup of the content group may become."),
		"accept": object{
			"type": "array", "minItems": 1, "items": object{"enum": acceptable}, "default": []string{"completed", "completed-with-warnings"},
			"description": "The outcomes of a job that count as a backup.",
		},
	}
	required := []string{"name"}
	for _, m := range names {
		about := "Patterns of " + m.about + "; * stands for any number of any characters."
		if m.required {
			required = append(required, m.key)
		} else {
			about += " Defaults to any."
		}
		properties[m.key] = object{"type": "array", "minItems": 1, "items": text, "description": about}
	}
	root := object{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Backhaul: objectives",
		"description": "What is promised for which content groups. The first objective that fits a content group is its objective.",
		"type":        "object", "additionalProperties": false, "required": []string{"objectives"},
		"properties": object{"objectives": object{
			"type": "array", "maxItems": MaxObjectives,
			"items": object{
				"type": "object", "additionalProperties": false, "properties": properties, "required": required,
				"anyOf": []object{{"required": []string{"rpo"}}, {"required": []string{"maxAge"}}},
			},
		}},
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(root); err != nil {
		panic(err) // of literals
	}
	return out.Bytes()
}
