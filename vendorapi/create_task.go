package vendorapi

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"text/template"
	"unicode/utf8"

	"backhaul/schemas"
)

// Job is a started backup job. Ids are decimal numbers as text.
type Job struct {
	ID string
	// IDs is every job that the one call started, ID first.
	IDs    []string
	TaskID string
}

// createTaskXML is the vendor page's sample request with our values in it, and
// the marker in commonOpts/jobDescription, which the job's task details show.
// Basis: the vendor's page "POST Run Backup Job" for object storage.
//
//go:embed create_task.xml
var createTaskXML string

var createTaskTemplate = template.Must(template.New("create_task.xml").
	Funcs(template.FuncMap{"xml": escapeXML}).
	Parse(withoutIndent(createTaskXML)))

// withoutIndent joins the lines: white space between elements means nothing.
func withoutIndent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimSpace(line))
	}
	return b.String()
}

// escapeXML refuses what XML cannot carry, because it would be replaced: another
// name is another backup.
func escapeXML(s string) (string, error) {
	if i := strings.IndexFunc(s, notInXML); i >= 0 || !utf8.ValidString(s) {
		return "", fmt.Errorf("%q cannot be written as XML", s)
	}
	var b strings.Builder
	err := xml.EscapeText(&b, []byte(s))
	return b.String(), err
}

func notInXML(c rune) bool {
	return c < 0x20 && c != '\t' && c != '\n' && c != '\r' || c == 0xfffe || c == 0xffff
}

// Task is one backup to start.
type Task struct {
	schemas.BackupRequest
	// Marker is the text by which the job can be found again.
	Marker string
}

func (t Task) xml() ([]byte, error) {
	var b bytes.Buffer
	b.Grow(len(createTaskXML))
	err := createTaskTemplate.Execute(&b, t)
	return b.Bytes(), err
}

// CreateTask starts a job, in one attempt. The error is an [*Error]; unless its
// verdict is Unknown there certainly is no job. A deadline of ctx is also set on
// the connection: nothing is sent after it.
func (c *Client) CreateTask(ctx context.Context, t Task) (Job, error) {
	body, err := t.xml()
	if err != nil {
		return Job{}, &Error{Verdict: NotSent, Op: opCreateTask, Err: err}
	}
	resp, err := c.authorised(ctx, call{
		op: opCreateTask, method: http.MethodPost, path: "/CreateTask",
		contentType: "application/xml", accept: "application/xml", body: body,
	})
	if err != nil {
		return Job{}, err
	}
	job, err := classify(resp)
	if e, ok := errors.AsType[*Error](err); ok && e.Verdict == Throttled {
		c.quiet.extend(e.RetryAfter)
	}
	for _, id := range job.IDs {
		c.known.put(id, t.Marker)
	}
	return job, err
}
