package vendorapi

import (
	_ "embed"
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"backhaul/schemas"
)

// Formats of a request's body. The answer's format does not depend on it.
const (
	FormatXML  = "xml"
	FormatJSON = "json"
)

// Task is one backup to start.
type Task struct {
	schemas.BackupRequest
	// Marker is the text by which the job can be found.
	Marker string
}

// The two forms of the request: the sample of the vendor's page with placeholders for values, and
// the marker in commonOpts/jobDescription, which the job's task details show. The JSON form has the
// numbers that the vendor's SDK sends in place of the words of the XML form. Basis:
// https://documentation.commvault.com/2023e/essential/post_run_backup_job_rest_api_operation_02.html
// and https://github.com/Commvault/cvpysdk, cvpysdk/subclient.py, _backup_json.
var (
	//go:embed create_task.xml
	createTaskXML string
	//go:embed create_task.json
	createTaskJSON string

	bodies = map[string]body{
		FormatXML:  {mediaType: "application/xml", template: parseTemplate(createTaskXML), quote: appendXML},
		FormatJSON: {mediaType: "application/json", template: parseTemplate(createTaskJSON), quote: appendJSON},
	}
)

// body is a format of the request.
type body struct {
	mediaType string
	template  []templateLine
	quote     func(dst []byte, value string) ([]byte, error)
}

// templateLine is a line with a placeholder for one value, which is left out when the value is
// empty, or one or more lines without a placeholder.
type templateLine struct {
	before, after string
	value         func(Task) string // nil without a placeholder
	bare          bool              // the value is written without quoting
}

// placeholders are the values by their names in the templates.
var placeholders = map[string]templateLine{
	"clientName":        {value: func(t Task) string { return t.ClientName }},
	"instanceName":      {value: func(t Task) string { return t.InstanceName }},
	"backupsetName":     {value: func(t Task) string { return t.BackupsetName }},
	"subclientName":     {value: func(t Task) string { return t.SubclientName }},
	"storagePolicyName": {value: func(t Task) string { return t.StoragePolicyName }},
	"appName":           {value: func(t Task) string { return t.AppName }},
	"backupLevel":       {value: func(t Task) string { return t.BackupLevel }},
	"adHocBackup":       {value: func(t Task) string { return strconv.FormatBool(t.AdHocBackup) }, bare: true},
	"onDemandInputFile": {value: func(t Task) string { return t.OnDemandInputFile }},
	"marker":            {value: func(t Task) string { return t.Marker }},
}

// parseTemplate reads a template with at most one {{name}} in a line. White space around a line has
// no meaning in either format.
func parseTemplate(text string) []templateLine {
	var lines []templateLine
	for raw := range strings.Lines(text) {
		raw = strings.TrimSpace(raw)
		before, rest, hasPlaceholder := strings.Cut(raw, "{{")
		if !hasPlaceholder {
			if n := len(lines); n > 0 && lines[n-1].value == nil {
				lines[n-1].before += raw
			} else {
				lines = append(lines, templateLine{before: raw})
			}
			continue
		}
		name, after, _ := strings.Cut(rest, "}}")
		line, known := placeholders[name]
		if !known {
			panic("vendorapi: no value for the placeholder " + name)
		}
		line.before, line.after = before, after
		lines = append(lines, line)
	}
	return lines
}

// write appends the task's body.
func (b body) write(data []byte, t Task) ([]byte, error) {
	for _, line := range b.template {
		if line.value == nil {
			data = append(data, line.before...)
			continue
		}
		value := line.value(t)
		if value == "" {
			continue
		}
		data = append(data, line.before...)
		if line.bare {
			data = append(data, value...)
		} else {
			var err error
			if data, err = b.quote(data, value); err != nil {
				return nil, err
			}
		}
		data = append(data, line.after...)
	}
	return data, nil
}

// appendXML returns an error for text that XML cannot carry. Replacing it would change the name,
// and so the backup.
func appendXML(dst []byte, s string) ([]byte, error) {
	if i := strings.IndexFunc(s, notInXML); i >= 0 || !utf8.ValidString(s) {
		return nil, fmt.Errorf("%q cannot be written as XML", s)
	}
	if !strings.ContainsAny(s, "&<>\"'\t\n\r") {
		return append(dst, s...), nil // almost every name
	}
	w := appender(dst)
	err := xml.EscapeText(&w, []byte(s))
	return w, err
}

func notInXML(c rune) bool {
	return c < 0x20 && c != '\t' && c != '\n' && c != '\r' || c == 0xfffe || c == 0xffff
}

// appendJSON returns an error for text that is not UTF-8.
func appendJSON(dst []byte, s string) ([]byte, error) { return jsontext.AppendQuote(dst, s) }

// appender is a slice with a Write method.
type appender []byte

func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}
