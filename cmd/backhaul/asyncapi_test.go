package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"backhaul/publisher"
	"backhaul/schemas"
)

// object is a JSON object of the AsyncAPI document. Encoding sorts the members.
type object = map[string]any

func ref(path ...string) object { return object{"$ref": "#/" + strings.Join(path, "/")} }

// asyncAPI returns schemas/asyncapi.json. Subjects, headers and payloads come from the
// functions with which the program writes them, and from the JSON Schemas.
func asyncAPI(t *testing.T) object {
	d := asyncDocument{t: t, channels: object{}, operations: object{}, messages: object{}, schemas: object{}}
	d.requests()
	for _, kind := range schemas.Kinds {
		d.event(kind)
	}
	d.operators()
	d.protection()
	d.deadLetters()
	d.notifications()
	return object{
		"asyncapi": "3.0.0",
		"info": object{
			"title":   "Backhaul",
			"version": "1.0.0",
			"description": "Backhaul starts Commvault backups from requests on NATS JetStream and publishes what happened to each. " +
				"This document describes the program: it receives requests and notifications, and sends events and dead letters. " +
				"Within .v1 members are only added: readers must ignore unknown members of an event. " +
				"Read the streams with a JetStream consumer: a core NATS subscription also receives writes that the stream refused. " +
				"Made from the code and the JSON Schemas by `make docs`.",
			"license": object{"name": "Apache-2.0"},
		},
		"defaultContentType": "application/json",
		"channels":           d.channels,
		"operations":         d.operations,
		"components": object{
			"parameters": object{
				"source": object{"description": "Who published the request. NATS permissions are granted by source.", "examples": []string{"billing"}},
				"priority": object{
					"description": "Which request is started first while starts are scarce: high before normal (without this token) before low. NATS permissions grant it.",
					"enum":        []publisher.Priority{publisher.High, publisher.Low},
				},
				"key":    object{"description": "The request id, or its SHA-256 if the id cannot be one token of a subject, or seq-<sequence>-<time> for a request without an id.", "examples": []string{"inv-2026-11-23-0007"}},
				"jobId":  object{"description": "The vendor's job id.", "examples": []string{"5976"}},
				"action": object{"description": "What an operator did.", "enum": schemas.Actions},
				"group":  object{"description": "A hash of client, instance, backup set and content group.", "examples": []string{publisher.ProtectionGroup(schemas.ContentGroup{ClientName: "s-adhoc-object-storage", InstanceName: "s-adhoc-object-storage", BackupsetName: schemas.DefaultBackupsetName, SubclientName: "stestgroup"})}},
				"path":   object{"description": "One or more tokens, chosen by who configures the object store.", "examples": []string{"minio"}},
			},
			"messages": d.messages,
			"schemas":  d.schemas,
		},
	}
}

// asyncDocument collects the parts of the document.
type asyncDocument struct {
	t                                       *testing.T
	channels, operations, messages, schemas object
}

// anyOf a request's key and job, as AsyncAPI writes the variable tokens of a subject.
var (
	anyKey        = publisher.Key{Source: "{source}", Name: "{key}"}
	jobParameter  = "{jobId}"
	anyActionOf   = schemas.Action("{action}")
	allParameters = []string{"source", "priority", "key", "jobId", "action", "group", "path"}
)

// channel adds a channel and its operation. Operation names are of the form
// <action><Channel>.
func (d asyncDocument) channel(name, address, stream, text string, actions []string, messages ...string) {
	parameters, refs, used := object{}, object{}, []object{}
	for _, parameter := range allParameters {
		if strings.Contains(address, "{"+parameter+"}") {
			parameters[parameter] = ref("components", "parameters", parameter)
		}
	}
	for _, message := range messages {
		refs[message] = ref("components", "messages", message)
		used = append(used, ref("channels", name, "messages", message))
	}
	d.channels[name] = object{
		"address": address, "description": text, "parameters": parameters, "messages": refs,
		"x-jetstream-stream": stream,
	}
	for _, action := range actions {
		d.operations[action+strings.ToUpper(name[:1])+name[1:]] = object{
			"action": action, "channel": ref("channels", name), "messages": used,
		}
	}
}

// schema adds a JSON Schema to the components, and returns the document and a reference.
// The schemas use what drafts 7 and 2020-12 have in common, and AsyncAPI 3.0 knows draft 7.
func (d asyncDocument) schema(name string) (document, reference object) {
	data, err := schemas.Schema(name)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := json.Unmarshal(data, &document); err != nil {
		d.t.Fatal(err)
	}
	inner := maps.Clone(document)
	delete(inner, "$schema")
	delete(inner, "$id")
	delete(inner, "examples") // the message has them
	component := strings.TrimSuffix(name, ".v1")
	d.schemas[component] = object{"schemaFormat": "application/schema+json;version=draft-07", "schema": inner}
	return document, ref("components", "schemas", component)
}

func (d asyncDocument) requests() {
	document, payload := d.schema("backup-request.v1")
	text := func(s string) object { return object{"type": "string", "description": s} }
	plain := object{"type": "object", "properties": object{
		schemas.HeaderRequestID:   text("The request id. A replay of a dead letter sets it."),
		schemas.HeaderReplayOf:    text("The request, as <source>/<key>, whose dead letter is replayed."),
		schemas.HeaderMsgID:       text("JetStream's id for duplicates; the request id if nothing else names one. Include your source."),
		schemas.HeaderTraceparent: text("W3C trace context: the events of the request have the same trace."),
	}}
	attributes := object{}
	for _, name := range []string{"id", "source", "type"} {
		attributes[name] = object{"type": "string", "minLength": 1}
	}
	attributes["specversion"] = object{"const": "1.0"}
	binary, structured := maps.Clone(plain), maps.Clone(attributes)
	headers := maps.Clone(plain["properties"].(object))
	for name, attribute := range attributes {
		headers["ce-"+name] = attribute
	}
	binary["properties"], binary["required"] = headers, []string{"ce-id", "ce-source", "ce-specversion", "ce-type"}
	structured["data"] = ref("components", "schemas", "backup-request", "schema")
	var examples []object
	for _, example := range document["examples"].([]any) {
		examples = append(examples, object{"payload": example})
	}
	const title = "Backup request"
	d.messages["backupRequest"] = object{
		"title": title, "summary": "A request as plain JSON.", "contentType": "application/json", "headers": plain, "payload": payload, "examples": examples,
	}
	d.messages["backupRequestBinary"] = object{
		"title": title, "summary": "A CloudEvent in binary content mode.", "contentType": "application/json", "headers": binary, "payload": payload,
	}
	d.messages["backupRequestStructured"] = object{
		"title": title, "summary": "A CloudEvent in structured content mode.", "contentType": "application/cloudevents+json",
		"headers": object{"type": "object", "properties": object{"Content-Type": object{"type": "string", "pattern": `^application/cloudevents(\+json)?`}}},
		"payload": object{"type": "object", "required": []string{"data", "id", "source", "specversion", "type"}, "properties": structured},
	}
	d.channel("backupRequest", publisher.RequestSubject("{source}", publisher.Normal), publisher.RequestsStream,
		"Backup requests. `backhaul run` receives them; `backhaul request`, `backhaul trigger` and any other program send them.",
		[]string{"receive", "send"}, "backupRequest", "backupRequestBinary", "backupRequestStructured")
	d.channel("backupRequestPriority", publisher.RequestSubject("{source}", "{priority}"), publisher.RequestsStream,
		"The same requests with a priority. It is no part of the request: the same request under two priorities is one request.",
		[]string{"receive", "send"}, "backupRequest", "backupRequestBinary", "backupRequestStructured")
}

// event adds the channel of a kind.
func (d asyncDocument) event(kind schemas.Kind) {
	address := anyKey.Subject(kind)
	if kind.PerJob() {
		address = anyKey.JobSubject(kind, jobParameter)
	}
	document, payload := d.schema(string(kind) + ".v1")
	var examples []schemas.CloudEvent
	for _, example := range document["examples"].([]any) {
		data, err := json.Marshal(example)
		if err != nil {
			d.t.Fatal(err)
		}
		e, err := schemas.DecodeEvent(kind, data)
		if err != nil {
			d.t.Fatal(err)
		}
		key := publisher.NewKey(e.Names().Source, e.Names().RequestID)
		if kind == schemas.KindRequestRejected {
			key = publisher.SequenceKey(key.Source, 7, e.Requested().RequestedAt)
		}
		examples = append(examples, schemas.NewCloudEvent(publisher.EventID(key, e), e, exampleTrace))
	}
	name := camelCase(string(kind))
	d.message(name, document, payload, []string{kind.Type()}, examples)
	d.channel(name, address, publisher.EventsStream, document["description"].(string), []string{"send"}, name)
}

const exampleTrace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func (d asyncDocument) operators() {
	document, payload := d.schema("operator.v1")
	var types []string
	for _, action := range schemas.Actions {
		types = append(types, action.Type())
	}
	var examples []schemas.CloudEvent
	for _, example := range document["examples"].([]any) {
		data, err := json.Marshal(example)
		if err != nil {
			d.t.Fatal(err)
		}
		e, err := schemas.DecodeOperatorEvent(data)
		if err != nil {
			d.t.Fatal(err)
		}
		examples = append(examples, e.CloudEvent())
	}
	d.message("operator", document, payload, types, examples)
	d.channel("operator", publisher.OperatorSubject(anyActionOf), publisher.EventsStream, document["description"].(string), []string{"send"}, "operator")
}

// protection adds the channel of the events about the protection of content groups.
func (d asyncDocument) protection() {
	document, payload := d.schema("protection.v1")
	var types []string
	for _, state := range schemas.ProtectionStates {
		types = append(types, state.Type())
	}
	var examples []schemas.CloudEvent
	for _, example := range document["examples"].([]any) {
		data, err := json.Marshal(example)
		if err != nil {
			d.t.Fatal(err)
		}
		e, err := schemas.DecodeProtectionEvent(data)
		if err != nil {
			d.t.Fatal(err)
		}
		examples = append(examples, e.CloudEvent(publisher.ProtectionGroup(e.ContentGroup)))
	}
	d.message("protection", document, payload, types, examples)
	d.channel("protection", strings.TrimSuffix(publisher.AnyProtection, "*")+"{group}", publisher.EventsStream, document["description"].(string), []string{"send"}, "protection")
}

// message adds a CloudEvent in binary content mode.
func (d asyncDocument) message(name string, document, payload object, types []string, events []schemas.CloudEvent) {
	var examples []object
	properties := object{}
	var required []string
	for i, e := range events {
		headers := object{}
		for header, values := range e.BinaryHeader() {
			headers[header] = values[0]
			properties[header] = eventHeader(d.t, header, types)
		}
		names := slices.Sorted(maps.Keys(headers))
		if i == 0 {
			required = names
		}
		required = slices.DeleteFunc(required, func(name string) bool {
			return name == schemas.HeaderTraceparent || !slices.Contains(names, name)
		})
		examples = append(examples, object{"headers": headers, "payload": json.RawMessage(e.Data)})
	}
	d.messages[name] = object{
		"name": name, "title": document["title"], "contentType": "application/json",
		"headers": object{"type": "object", "required": required, "properties": properties},
		"payload": payload, "examples": examples,
	}
}

// eventHeader returns the schema of a header of an event.
func eventHeader(t *testing.T, name string, types []string) object {
	switch name {
	case "ce-specversion":
		return object{"const": "1.0"}
	case "ce-type":
		return object{"enum": types}
	case "ce-source":
		return object{"const": schemas.EventSource}
	case "ce-datacontenttype":
		return object{"const": "application/json"}
	case "ce-id":
		return object{"type": "string", "description": "With ce-source it identifies the event. Percent-encoded, as is ce-subject."}
	case "ce-subject":
		return object{"type": "string", "description": "The content group (subclientName)."}
	case "ce-time":
		return object{"type": "string", "format": "date-time"}
	case schemas.HeaderTraceparent:
		return object{"type": "string", "description": "W3C trace context of the request, if it has one."}
	}
	t.Fatalf("the header %s of an event has no schema here", name)
	return nil
}

func (d asyncDocument) deadLetters() {
	text := func(s string) object { return object{"type": "string", "description": s} }
	headers := object{
		publisher.HeaderDeadLetterCode:      text("The error code, as in the event job-failed."),
		publisher.HeaderDeadLetterReason:    text("The reason, in ASCII: other text begins with UTF-8'' and is percent-encoded (RFC 8187)."),
		publisher.HeaderDeadLetterSubject:   text("The subject of the message."),
		publisher.HeaderDeadLetterSequence:  text("The sequence of the message in its stream."),
		publisher.HeaderDeadLetterTime:      text("When JetStream stored the message, RFC 3339."),
		publisher.HeaderDeadLetterKey:       text("The last token of the subjects of the request's events."),
		publisher.HeaderDeadLetterRequestID: text("The request id."),
	}
	required := slices.Sorted(maps.Keys(headers))
	headers[publisher.HeaderDeadLetterSize] = text("The size of the payload in bytes, if only its beginning is kept.")
	d.messages["deadLetter"] = object{
		"name": "deadLetter", "title": "Dead letter", "contentType": "application/octet-stream",
		"summary": "The payload and the headers are those of the original message. Headers that could be taken for instructions have the prefix " + publisher.HeaderOriginalPrefix + ".",
		"headers": object{"type": "object", "required": required, "properties": headers},
		"payload": object{"description": "The original payload, byte for byte."},
	}
	d.channel("deadLetter", publisher.DeadLetterSubject("{source}"), publisher.DeadLetterStream,
		"Requests and notifications that could not be done. `backhaul dlq` lists, replays and drops them.", []string{"send"}, "deadLetter")
}

func (d asyncDocument) notifications() {
	d.messages["storageNotification"] = object{
		"name": "storageNotification", "title": "Storage notification", "contentType": "application/json",
		"summary": "A notification as the object store sends it: AWS S3, EventBridge, MinIO, Ceph, Azure Event Grid, CloudEvents or GCS, also wrapped by SNS or SQS.",
		"payload": object{"type": []string{"object", "array"}, "description": "The object store defines the format. `backhaul trigger explain FILE` says what a payload leads to."},
	}
	d.channel("storageNotification", "storage.event.{path}", publisher.StorageStream,
		"Notifications of object stores. `backhaul trigger` collects them into backup requests.", []string{"receive"}, "storageNotification")
}

// camelCase turns "job-finished" into "jobFinished".
func camelCase(name string) string {
	parts := strings.Split(name, "-")
	for i, part := range parts[1:] {
		parts[i+1] = strings.ToUpper(part[:1]) + part[1:]
	}
	return strings.Join(parts, "")
}
