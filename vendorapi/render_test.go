package vendorapi

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"
)

// render returns what a client sends, in both formats.
func TestRender_isWhatIsSent(t *testing.T) {
	t.Parallel()
	for _, format := range []string{FormatXML, FormatJSON, ""} {
		var path, contentType string
		var body []byte
		v := startVendor(t, map[string]http.HandlerFunc{"CreateTask": func(w http.ResponseWriter, r *http.Request) {
			path, contentType = r.URL.Path, r.Header.Get("Content-Type")
			body, _ = io.ReadAll(r.Body)
			reply(w, 200, `{"taskId":4038,"jobIds":["5976"]}`)
		}})
		client := newTestClient(t, v.url, func(cfg *Config) { cfg.Format = format })
		job, err := client.CreateTask(within(t, time.Minute), testTask())
		wantJob(t, job, err)
		rendered, err := Render(format, testTask())
		if err != nil {
			t.Fatal(err)
		}
		if "/api"+rendered.Path != path || rendered.ContentType != contentType || !bytes.Equal(rendered.Body, body) || len(body) == 0 {
			t.Errorf("%q: rendered %s %s\n%s\nsent %s %s\n%s", format, rendered.Path, rendered.ContentType, rendered.Body, path, contentType, body)
		}
		if !bytes.Contains(rendered.Body, []byte(testMarker)) {
			t.Errorf("%q: no marker in %s", format, rendered.Body)
		}
	}
}

func TestRender_refuses(t *testing.T) {
	t.Parallel()
	task := testTask()
	task.SubclientName = ""
	if _, err := Render(FormatXML, task); err == nil {
		t.Error("a task without a content group is rendered")
	}
	task = testTask()
	task.StoragePolicyName = "\x01"
	if _, err := Render(FormatXML, task); err == nil {
		t.Error("a task that XML cannot carry is rendered")
	}
	if _, err := Render("yaml", testTask()); err == nil {
		t.Error("an unknown format is accepted")
	}
}
