package schemas

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// objectWriter appends JSON objects to a buffer. It writes what each request needs: a request,
// its claim and its start. All other types are written by reflection, as these were; a test
// compares the two.
type objectWriter struct{ data []byte }

// encodedSize is enough for an event with names of usual length, in bytes.
const encodedSize = 1 << 10

func (w *objectWriter) begin() { w.data = append(w.data, '{') }
func (w *objectWriter) end()   { w.data = append(w.data, '}') }

// name appends the name of the next member, which has no character to escape.
func (w *objectWriter) name(name string) {
	if w.data[len(w.data)-1] != '{' {
		w.data = append(w.data, ',')
	}
	w.data = append(w.data, '"')
	w.data = append(w.data, name...)
	w.data = append(w.data, '"', ':')
}

// quote appends a string. What is not UTF-8 is replaced.
func (w *objectWriter) quote(value string) { w.data, _ = jsontext.AppendQuote(w.data, value) }

func (w *objectWriter) text(name, value string) {
	w.name(name)
	w.quote(value)
}

// textIf appends a member unless it is empty.
func (w *objectWriter) textIf(name, value string) {
	if value != "" {
		w.text(name, value)
	}
}

func (w *objectWriter) number(name string, value int64) {
	w.name(name)
	w.data = strconv.AppendInt(w.data, value, 10)
}

func (w *objectWriter) boolean(name string, value bool) {
	w.name(name)
	w.data = strconv.AppendBool(w.data, value)
}

func (w *objectWriter) time(name string, value time.Time) {
	w.name(name)
	w.data = append(w.data, '"')
	w.data = value.UTC().AppendFormat(w.data, time.RFC3339Nano)
	w.data = append(w.data, '"')
}

func (w *objectWriter) list(name string, values []string) {
	w.name(name)
	w.data = append(w.data, '[')
	for i, value := range values {
		if i > 0 {
			w.data = append(w.data, ',')
		}
		w.quote(value)
	}
	w.data = append(w.data, ']')
}

// labels appends the labels of a request in the order of their names.
func (w *objectWriter) labels(labels map[string]string) {
	if len(labels) == 0 {
		return
	}
	w.name("labels")
	w.begin()
	for i, key := range slices.Sorted(maps.Keys(labels)) {
		if i > 0 {
			w.data = append(w.data, ',')
		}
		w.quote(key)
		w.data = append(w.data, ':')
		w.quote(labels[key])
	}
	w.end()
}

func (w *objectWriter) omitted(omitted map[string]int) {
	if len(omitted) == 0 {
		return
	}
	w.name("omitted")
	w.begin()
	for _, name := range slices.Sorted(maps.Keys(omitted)) {
		w.number(name, int64(omitted[name]))
	}
	w.end()
}

func (w *objectWriter) request(r *BackupRequest) {
	w.begin()
	w.textIf("requestId", r.RequestID)
	w.text("clientName", r.ClientName)
	w.textIf("instanceName", r.InstanceName)
	w.textIf("backupsetName", r.BackupsetName)
	w.text("subclientName", r.SubclientName)
	w.textIf("storagePolicyName", r.StoragePolicyName)
	w.textIf("appName", r.AppName)
	w.textIf("backupLevel", r.BackupLevel)
	w.boolean("adHocBackup", r.AdHocBackup)
	w.textIf("onDemandInputFile", r.OnDemandInputFile)
	if !r.NotAfter.IsZero() {
		w.time("notAfter", r.NotAfter)
	}
	w.labels(r.Labels)
	w.end()
}

func (w *objectWriter) message(m *Message) {
	w.time("requestedAt", m.RequestedAt)
	w.text("payloadHash", m.PayloadHash)
}

func (w *objectWriter) submitting(e *JobSubmitting) {
	w.begin()
	w.text("requestId", e.RequestID)
	w.text("source", e.Source)
	w.textIf("replayOf", e.ReplayOf)
	w.name("request")
	w.request(&e.Request)
	w.message(&e.Message)
	w.text("owner", e.Owner)
	w.text("nonce", e.Nonce)
	w.number("epoch", int64(e.Epoch))
	w.number("leaseMillis", e.LeaseMillis)
	if e.DoubtSequence != 0 {
		w.name("doubtSequence")
		w.data = strconv.AppendUint(w.data, e.DoubtSequence, 10)
	}
	w.textIf("doubtTaskId", e.DoubtTaskID)
	if e.DoubtUnlikely {
		w.boolean("doubtUnlikely", true)
	}
	w.textIf("lastError", e.LastError)
	if !e.NextAttemptAt.IsZero() {
		w.time("nextAttemptAt", e.NextAttemptAt)
	}
	w.time("submittingAt", e.SubmittingAt)
	w.omitted(e.Omitted)
	w.end()
}

func (w *objectWriter) started(e *JobStarted) {
	w.begin()
	w.text("requestId", e.RequestID)
	w.text("source", e.Source)
	w.textIf("clientName", e.ClientName)
	w.textIf("instanceName", e.InstanceName)
	w.textIf("backupsetName", e.BackupsetName)
	w.textIf("subclientName", e.SubclientName)
	w.textIf("storagePolicyName", e.StoragePolicyName)
	w.textIf("backupLevel", e.BackupLevel)
	w.textIf("onDemandInputFile", e.OnDemandInputFile)
	w.labels(e.Labels)
	w.textIf("replayOf", e.ReplayOf)
	w.message(&e.Message)
	w.text("jobId", e.JobID)
	w.list("jobIds", e.JobIDs)
	w.textIf("taskId", e.TaskID)
	w.number("attempts", int64(e.Attempts))
	w.time("startedAt", e.StartedAt)
	w.boolean("adopted", e.Adopted)
	w.omitted(e.Omitted)
	w.end()
}
