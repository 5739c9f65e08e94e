package routes

import (
	"bytes"
	"encoding/json"
	"slices"

	"backhaul/consumer/trigger"
	"backhaul/consumer/trigger/blackout"
	"backhaul/consumer/turn"
	"backhaul/schemas"
)

type object = map[string]any

// Schema returns the JSON Schema of a routes file, for editors. It says what a schema can: which
// routes belong together, what placeholders and schedules are, and that times are within their
// limits, is only checked by [Parse].
func Schema() []byte {
	root := whole("Which changes in object storage start a backup of which content group. The first route that matches counts.", fileKeys, object{
		"source":   text("The source of the requests, which go to backup.request.<source>. Defaults to storage."),
		"unrouted": object{"enum": []string{"count", "keep"}, "default": "count", "description": "With keep, a notification with a change that no route takes becomes a dead letter."},
		"routes":   object{"type": "array", "minItems": 1, "items": routeSchema()},
	}, "routes")
	root["$schema"], root["title"] = "https://json-schema.org/draft/2020-12/schema", "Backhaul: routes of the trigger"
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(root); err != nil {
		panic(err) // of literals
	}
	return out.Bytes()
}

func routeSchema() object {
	const template = " May have {container}, {account}, {system} and {prefix:1}."
	route := whole("A route.", routeKeys, object{
		"name":              text("The route's name in logs and messages. Each name occurs once."),
		"system":            text("The storage system, such as aws:eu-west-1 or minio:<deployment id>, else the last token of the subject. * stands for any text. Defaults to any."),
		"subject":           text("The subject of the notification, such as storage.event.sitea. * stands for any text. Defaults to any."),
		"source":            text("What the notification calls its sender, such as the eventSource of records of S3. * stands for any text. Defaults to any."),
		"account":           text("The storage account of Azure, the namespace of OCI or the account of R2. Defaults to any."),
		"container":         object{"type": "string", "pattern": `^[^/?\[\]]+$`, "description": "The bucket or container. * stands for any text."},
		"prefix":            text("What the key begins with. Not a pattern."),
		"suffix":            text("What the key ends with. Not a pattern."),
		"minSize":           size("The size from which objects count."),
		"maxSize":           size("The size to which objects count."),
		"keys":              object{"enum": []trigger.Keys{trigger.KeysForm, trigger.KeysRaw}, "description": "How a gateway that imitates S3 writes keys: form encoded, as AWS does, or raw."},
		"events":            object{"type": "array", "minItems": 1, "items": object{"enum": []trigger.Kind{trigger.KindCreated, trigger.KindDeleted}}, "default": []trigger.Kind{trigger.KindCreated}, "description": "The changes that count."},
		"ignore":            object{"type": "boolean", "default": false, "description": "The changes start nothing."},
		"clientName":        text("The client." + template),
		"instanceName":      text("The instance. Defaults to the client's name." + template),
		"backupsetName":     text("The backup set." + template),
		"subclientName":     text("The content group." + template),
		"storagePolicyName": text("The plan. Defaults to the content group's own." + template),
		"appName":           text("The agent."),
		"backupLevel":       object{"enum": []string{schemas.LevelFull, schemas.LevelIncremental, schemas.LevelDifferential, schemas.LevelSyntheticFull}, "default": schemas.LevelIncremental, "description": "The level. With a directive, INCREMENTAL only."},
		"labels":            object{"type": "object", "maxProperties": trigger.MaxLabels, "additionalProperties": object{"type": "string"}, "description": "Labels of the requests." + template},
		"window": whole("How long changes are collected before they become a request.", windowKeys, object{
			"quiet":    duration("How long nothing has changed when the window ends. Defaults to 30s."),
			"max":      duration("The longest that a change waits. Defaults to 5m."),
			"maxPaths": object{"type": "integer", "minimum": 1, "maximum": trigger.MaxPaths, "default": trigger.DefaultWindow.MaxPaths, "description": "With a directive, how many paths end the window."},
		}),
		"directive": whole("Where lists of the changed paths are written. Without it, the vendor looks for what has changed.", directiveKeys, object{
			"container": object{"type": "string", "pattern": `^[^/*]+$`, "description": "The bucket or container, in the account that is backed up." + template},
			"prefix":    object{"type": "string", "pattern": `^[^/].*/$`, "description": "What the names of the lists begin with. Changes there start nothing." + template},
		}, directiveKeys...),
		"onRunning":   object{"enum": []string{turn.OnRunningStart, turn.OnRunningQueue}, "default": turn.OnRunningStart, "description": "queue: while a request of the content group waits or its job runs, changes are collected."},
		"minInterval": duration("The least time between the starts of two jobs of the content group."),
		"blackout": object{
			"type": "array", "minItems": 1, "maxItems": blackout.MaxWindows, "description": "Times in which nothing is requested.",
			"items": whole("A time that begins by a schedule.", blackoutKeys, object{
				"schedule": object{"type": "string", "pattern": `^\s*\S+(\s+\S+){4}\s*$`, "examples": []string{"0 8 * * mon-fri"}, "description": "When it begins: minute, hour, day of the month, month, day of the week, as in cron."},
				"duration": duration("How long it lasts, 1m to 744h."),
				"timeZone": object{"type": "string", "minLength": 1, "default": "UTC", "examples": []string{"Europe/Berlin"}, "description": "A name of the time zone database."},
			}, "schedule", "duration"),
		},
	}, "container")
	asks := make(object)
	for _, key := range append(slices.Clone(requestKeys), "window", "directive", "onRunning", "minInterval", "blackout") {
		asks[key] = false
	}
	route["if"] = object{"properties": object{"ignore": object{"const": true}}, "required": []string{"ignore"}}
	route["then"] = object{"properties": asks}
	route["else"] = object{"required": []string{"clientName", "subclientName"}}
	return route
}

// whole returns the schema of a mapping with exactly these keys.
func whole(about string, keys []string, properties object, required ...string) object {
	for _, key := range keys {
		if properties[key] == nil {
			panic("no schema of " + key) // in every test of the package
		}
	}
	s := object{"type": "object", "additionalProperties": false, "description": about, "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

func text(about string) object {
	return object{"type": "string", "minLength": 1, "description": about}
}

func duration(about string) object {
	return object{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`, "description": about, "examples": []string{"30s", "10m", "1h"}}
}

func size(about string) object {
	return object{
		"anyOf":       []object{{"type": "integer", "minimum": 1}, {"type": "string", "pattern": `^[0-9]+ *(KiB|MiB|GiB|TiB)?$`}},
		"description": about + " In bytes, or with a unit.", "examples": []string{"64KiB", "10MiB", "2GiB"},
	}
}
