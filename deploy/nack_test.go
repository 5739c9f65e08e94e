package deploy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.yaml.in/yaml/v3"

	"backhaul/deploy"
)

var update = flag.Bool("update", false, "write the manifests")

// nackNames are NACK's names for the fields of JetStream's API, in the order of the
// manifests. A field that is not here cannot be in a manifest, and fails the test.
var nackNames = []struct{ api, nack string }{
	{"name", "name"},
	{"durable_name", "durableName"},
	{"description", "description"},
	{"subjects", "subjects"},
	{"retention", "retention"},
	{"storage", "storage"},
	{"discard", "discard"},
	{"num_replicas", "replicas"},
	{"max_consumers", "maxConsumers"},
	{"max_msgs", "maxMsgs"},
	{"max_bytes", "maxBytes"},
	{"max_age", "maxAge"},
	{"max_msgs_per_subject", "maxMsgsPerSubject"},
	{"max_msg_size", "maxMsgSize"},
	{"duplicate_window", "duplicateWindow"},
	{"deny_delete", "denyDelete"},
	{"deny_purge", "denyPurge"},
	{"allow_direct", "allowDirect"},
	{"deliver_policy", "deliverPolicy"},
	{"ack_policy", "ackPolicy"},
	{"ack_wait", "ackWait"},
	{"max_deliver", "maxDeliver"},
	{"filter_subject", "filterSubject"},
	{"max_ack_pending", "maxAckPending"},
	{"max_waiting", "maxWaiting"},
	{"replay_policy", "replayPolicy"},
}

// nackDurations are texts there and nanoseconds in the API. No limit is "".
var nackDurations = []string{"max_age", "duplicate_window", "ack_wait"}

const nackHead = `# Made by ` + "`make manifests`" + ` from deploy/%s; a test compares. For NACK (jetstream.nats.io/v1beta2).
# NACK never deletes the stream or consumer when this resource is deleted.
`

// manifest is the NACK resource of one definition.
func manifest(t *testing.T, stream, durable string, data []byte) string {
	t.Helper()
	var fields map[string]any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&fields); err != nil {
		t.Fatal(err)
	}
	kind, name := "Stream", resourceName(stream)
	if durable != "" {
		kind, name = "Consumer", name+"-"+resourceName(durable)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: jetstream.nats.io/v1beta2\nkind: %s\nmetadata:\n  name: %s\nspec:\n", kind, name)
	if durable != "" {
		fmt.Fprintf(&b, "  streamName: %s\n", stream)
	}
	for _, n := range nackNames {
		value, ok := fields[n.api]
		if !ok {
			continue
		}
		delete(fields, n.api)
		if slices.Contains(nackDurations, n.api) {
			nanoseconds, err := value.(json.Number).Int64()
			if err != nil {
				t.Fatal(err)
			}
			value = ""
			if nanoseconds > 0 {
				value = time.Duration(nanoseconds).String()
			}
		}
		fmt.Fprintf(&b, "  %s: ", n.nack)
		enc := json.NewEncoder(&b) // JSON is YAML
		enc.SetEscapeHTML(false)
		if err := enc.Encode(value); err != nil {
			t.Fatal(err)
		}
	}
	for field := range fields {
		t.Errorf("%s %s: NACK's name for %s is not known", stream, durable, field)
	}
	b.WriteString("  preventDelete: true\n")
	return b.String()
}

func resourceName(s string) string { return strings.ToLower(strings.ReplaceAll(s, "_", "-")) }

// definition is a shipped file.
type definition struct {
	file, stream, durable string
	data                  []byte
}

func definitions(t *testing.T) []definition {
	t.Helper()
	var all []definition
	for _, set := range []struct {
		files fs.ReadFileFS
		dir   string
	}{{deploy.Streams, "streams/"}, {deploy.TriggerStreams, "streams/trigger/"}, {deploy.MarkStreams, "streams/mark/"}, {deploy.FollowStreams, "streams/follow/"}, {deploy.ProtectionStreams, "streams/protection/"}, {deploy.ArchiveStreams, "streams/archive/"}, {deploy.BudgetStreams, "streams/budget/"}} {
		names, err := fs.Glob(set.files, set.dir+"*.json")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			data, err := set.files.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			stream, durable, _ := strings.Cut(strings.TrimSuffix(filepath.Base(name), ".json"), ".consumer.")
			all = append(all, definition{name, stream, durable, data})
		}
	}
	return all
}

// Each definition has a manifest that is as it would be made, and that, read as NACK
// reads it, makes the same stream or consumer.
func TestNACKManifests(t *testing.T) {
	t.Parallel()
	known := make(map[string]bool)
	for _, d := range definitions(t) {
		name := strings.TrimSuffix(filepath.Base(d.file), ".json") + ".yaml"
		known[name] = true
		file := filepath.Join("nack", name)
		made := fmt.Sprintf(nackHead, d.file) + manifest(t, d.stream, d.durable, d.data)
		if *update {
			if err := os.WriteFile(file, []byte(made), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("%v; make it with `make manifests`", err)
		}
		if string(text) != made {
			t.Errorf("%s differs from %s; run `make manifests`\ngot:\n%s", file, d.file, made)
		}
		if d.durable == "" {
			spec := readManifest[nackStream](t, text, "Stream")
			equalTo(t, file, d.data, spec.config(t))
		} else {
			spec := readManifest[nackConsumer](t, text, "Consumer")
			if spec.StreamName != d.stream {
				t.Errorf("%s is for stream %s, want %s", file, spec.StreamName, d.stream)
			}
			equalTo(t, file, d.data, spec.config(t))
		}
	}
	files, err := os.ReadDir("nack")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !known[f.Name()] {
			t.Errorf("nack/%s belongs to no definition", f.Name())
		}
	}
}

// nackStream and nackConsumer are the parts of NACK's v1beta2 types that the
// manifests use, as its custom resource definitions spell them.
type nackStream struct {
	Name              string   `yaml:"name"`
	Description       string   `yaml:"description"`
	Subjects          []string `yaml:"subjects"`
	Retention         string   `yaml:"retention"`
	Storage           string   `yaml:"storage"`
	Discard           string   `yaml:"discard"`
	Replicas          int      `yaml:"replicas"`
	MaxConsumers      int      `yaml:"maxConsumers"`
	MaxMsgs           int64    `yaml:"maxMsgs"`
	MaxBytes          int64    `yaml:"maxBytes"`
	MaxAge            string   `yaml:"maxAge"`
	MaxMsgsPerSubject int64    `yaml:"maxMsgsPerSubject"`
	MaxMsgSize        int32    `yaml:"maxMsgSize"`
	DuplicateWindow   string   `yaml:"duplicateWindow"`
	DenyDelete        bool     `yaml:"denyDelete"`
	DenyPurge         bool     `yaml:"denyPurge"`
	AllowDirect       bool     `yaml:"allowDirect"`
	PreventDelete     bool     `yaml:"preventDelete"`
}

func (s nackStream) config(t *testing.T) jetstream.StreamConfig {
	t.Helper()
	if !s.PreventDelete {
		t.Errorf("%s would be deleted with its resource", s.Name)
	}
	return jetstream.StreamConfig{
		Name: s.Name, Description: s.Description, Subjects: s.Subjects,
		Retention: enum[jetstream.RetentionPolicy](t, s.Retention), Storage: enum[jetstream.StorageType](t, s.Storage), Discard: enum[jetstream.DiscardPolicy](t, s.Discard),
		Replicas: s.Replicas, MaxConsumers: s.MaxConsumers, MaxMsgs: s.MaxMsgs, MaxBytes: s.MaxBytes, MaxAge: duration(t, s.MaxAge),
		MaxMsgsPerSubject: s.MaxMsgsPerSubject, MaxMsgSize: s.MaxMsgSize, Duplicates: duration(t, s.DuplicateWindow),
		DenyDelete: s.DenyDelete, DenyPurge: s.DenyPurge, AllowDirect: s.AllowDirect,
	}
}

type nackConsumer struct {
	StreamName    string `yaml:"streamName"`
	DurableName   string `yaml:"durableName"`
	Description   string `yaml:"description"`
	DeliverPolicy string `yaml:"deliverPolicy"`
	AckPolicy     string `yaml:"ackPolicy"`
	AckWait       string `yaml:"ackWait"`
	MaxDeliver    int    `yaml:"maxDeliver"`
	MaxAckPending int    `yaml:"maxAckPending"`
	MaxWaiting    int    `yaml:"maxWaiting"`
	FilterSubject string `yaml:"filterSubject"`
	ReplayPolicy  string `yaml:"replayPolicy"`
	PreventDelete bool   `yaml:"preventDelete"`
}

func (c nackConsumer) config(t *testing.T) jetstream.ConsumerConfig {
	t.Helper()
	return jetstream.ConsumerConfig{
		Durable: c.DurableName, Description: c.Description,
		DeliverPolicy: enum[jetstream.DeliverPolicy](t, c.DeliverPolicy), AckPolicy: enum[jetstream.AckPolicy](t, c.AckPolicy),
		ReplayPolicy: enum[jetstream.ReplayPolicy](t, c.ReplayPolicy),
		AckWait:      duration(t, c.AckWait), MaxDeliver: c.MaxDeliver, MaxAckPending: c.MaxAckPending, MaxWaiting: c.MaxWaiting, FilterSubject: c.FilterSubject,
	}
}

// readManifest decodes strictly: a misspelt field is an error.
func readManifest[T any](t *testing.T, text []byte, kind string) T {
	t.Helper()
	var resource struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   struct{ Name string }
		Spec       T
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&resource); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		t.Errorf("more than one document: %v", err)
	}
	if resource.APIVersion != "jetstream.nats.io/v1beta2" || resource.Kind != kind || resource.Metadata.Name != resourceName(resource.Metadata.Name) {
		t.Errorf("%s %s %s, want a %s of jetstream.nats.io/v1beta2", resource.APIVersion, resource.Kind, resource.Metadata.Name, kind)
	}
	return resource.Spec
}

func equalTo[T any](t *testing.T, file string, data []byte, got T) {
	t.Helper()
	var want T
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s makes\n%+v, want\n%+v", file, got, want)
	}
}

func enum[T any](t *testing.T, text string) (value T) {
	t.Helper()
	if err := json.Unmarshal(fmt.Appendf(nil, "%q", text), &value); err != nil {
		t.Fatal(err)
	}
	return value
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
