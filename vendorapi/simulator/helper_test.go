package simulator_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	"backhaul/vendorapi/secretstest"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// client is a plain HTTP client of a simulator. It shares no code with vendorapi.
type client struct {
	t        testing.TB
	http     *http.Client
	endpoint string
	token    string
	sim      *simulator.Simulator // whose secrets no answer shows; nil is not checked
}

// start serves a simulator on loopback, with a client that is logged in.
func start(t testing.TB, cfg simulator.Config) (*simulator.Simulator, *client) {
	t.Helper()
	sim, endpoint := simulatortest.Start(t, cfg)
	c := &client{t: t, http: &http.Client{Transport: &http.Transport{}}, endpoint: endpoint, sim: sim}
	t.Cleanup(c.http.CloseIdleConnections)
	noSecrets(t, sim)
	c.login()
	return sim, c
}

// direct calls the handler without a server, with a client that is logged in.
func direct(t testing.TB, cfg simulator.Config) (*simulator.Simulator, *client) {
	t.Helper()
	sim, c := newClient(t, cfg)
	c.login()
	return sim, c
}

// newClient calls the handler without a server, with a client that is not logged in.
func newClient(t testing.TB, cfg simulator.Config) (*simulator.Simulator, *client) {
	t.Helper()
	sim := simulator.New(cfg)
	c := &client{t: t, http: &http.Client{Transport: handlerTransport{sim}}, endpoint: "http://simulator.invalid/webconsole/api", sim: sim}
	noSecrets(t, sim)
	return sim, c
}

// noSecrets fails the test if the account shows a secret when the test ends.
func noSecrets(t testing.TB, sim *simulator.Simulator) {
	if _, isTest := t.(*testing.T); isTest { // a benchmark's account is long
		t.Cleanup(func() { secretstest.NotShown(t, append(sim.Secrets(), "QSDK"), sim.Account()) })
	}
}

type handlerTransport struct{ handler http.Handler }

func (h handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	h.handler.ServeHTTP(w, r)
	return w.Result(), nil
}

type reply struct {
	t      testing.TB
	status int
	header http.Header
	body   string
}

// send makes one call. Header lines have the form "Name: value".
func (c *client) send(method, path, body string, header ...string) (reply, error) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.endpoint+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if c.token != "" {
		r.Header.Set("Authtoken", c.token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Accept", "application/json")
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
		if value == "" {
			r.Header.Del(name)
		}
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return reply{}, err
	}
	got, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close() // what was read counts
	if _, isTest := c.t.(*testing.T); isTest && c.sim != nil && !givesTokens(path) {
		secretstest.NotShown(c.t, c.sim.Secrets(), got, resp.Header)
	}
	return reply{c.t, resp.StatusCode, resp.Header, string(got)}, err
}

// givesTokens reports whether an endpoint's answers contain a token.
func givesTokens(path string) bool {
	path = strings.ToLower(path)
	return strings.Contains(path, "login") || strings.Contains(path, "accesstoken")
}

// call makes one call that must be answered with the given status.
func (c *client) call(status int, method, path, body string, header ...string) reply {
	c.t.Helper()
	got, err := c.send(method, path, body, header...)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	if got.status != status {
		c.t.Fatalf("%s %s: status %d, want %d: %s", method, path, got.status, status, got.body)
	}
	return got
}

func (c *client) get(path string, header ...string) reply {
	c.t.Helper()
	return c.call(http.StatusOK, http.MethodGet, path, "", header...)
}

func (c *client) post(path, body string, header ...string) reply {
	c.t.Helper()
	return c.call(http.StatusOK, http.MethodPost, path, body, header...)
}

func (c *client) login() {
	c.t.Helper()
	c.token = c.post("/Login", loginBody("backhaul", "simulator")).text("token")
	if !strings.HasPrefix(c.token, "QSDK ") {
		c.t.Fatalf("token %q", c.token)
	}
}

// start starts a job of a content group and returns its id.
func (c *client) start(group, marker string) string {
	c.t.Helper()
	return c.post("/CreateTask", task(group, marker)).text("jobIds.0")
}

// status returns the status of a job, or "" if the simulator does not list it.
func (c *client) status(id string) string {
	c.t.Helper()
	list := c.get("/Job/" + id)
	if list.text("totalRecordsWithoutPaging") == "0" {
		return ""
	}
	return list.text("jobs.0.jobSummary.status")
}

func loginBody(name, password string) string {
	return fmt.Sprintf(`{"username":%q,"password":%q}`, name, base64.StdEncoding.EncodeToString([]byte(password)))
}

// task returns a small CreateTask request.
func task(group, marker string) string {
	return fmt.Sprintf(`{"taskInfo":{"associations":[{"clientName":"s-adhoc-object-storage","subclientName":%q}],
		"task":{"taskType":1},"subTasks":[{"subTask":{"subTaskType":2,"operationType":2},
		"options":{"backupOpts":{"backupLevel":"Incremental"},"commonOpts":{"jobDescription":%q}}}]}}`, group, marker)
}

// find returns the value at a path such as "jobs.0.jobSummary.status", or nil.
func (r reply) find(path string) any {
	r.t.Helper()
	var value any
	decoder := json.NewDecoder(strings.NewReader(r.body))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		r.t.Fatalf("%v in %q", err, r.body)
	}
	for part := range strings.SplitSeq(path, ".") {
		switch v := value.(type) {
		case map[string]any:
			value = v[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}

// text returns the value of find as text, or "".
func (r reply) text(path string) string {
	r.t.Helper()
	value := r.find(path)
	if value == nil {
		return ""
	}
	return fmt.Sprint(value)
}

// want fails the test unless the values at the paths are these.
func (r reply) want(pairs ...string) {
	r.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if got := r.text(pairs[i]); got != pairs[i+1] {
			r.t.Errorf("%s is %q, want %q in %s", pairs[i], got, pairs[i+1], r.body)
		}
	}
}

// vendorPage returns the part of the vendor's page between two lines.
func vendorPage(t testing.TB, after, before string) string {
	t.Helper()
	page, err := os.ReadFile("testdata/post-run-backup-job.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), after)
	part, _, found2 := strings.Cut(rest, before)
	if !found || !found2 {
		t.Fatalf("the vendor's page has nothing between %q and %q", after, before)
	}
	return strings.TrimSpace(part)
}

func sampleXML(t testing.TB) string {
	return vendorPage(t, "Sample Request\n", "Sample Response\n")
}

func sampleJSON(t testing.TB) string {
	t.Helper()
	body, err := os.ReadFile("testdata/create-task.json")
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
