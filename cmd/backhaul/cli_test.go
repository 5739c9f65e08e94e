package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"backhaul/cmd/internal/programtest"
	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	vendor := []string{"BACKHAUL_VENDOR_ENDPOINT=https://vendor.invalid/webconsole/api", "BACKHAUL_VENDOR_USERNAME=u", "BACKHAUL_VENDOR_PASSWORD=" + programtest.Password, "BACKHAUL_ADMIN_ADDR=off"}
	for name, c := range map[string]struct {
		env    []string
		args   []string
		code   int
		stderr string
	}{
		"help":             {nil, []string{"--help"}, exitDone, ""},
		"version":          {nil, []string{"version"}, exitDone, ""},
		"completion":       {nil, []string{"completion", "bash"}, exitDone, ""},
		"unknown command":  {nil, []string{"rum"}, exitUsage, `"rum"`},
		"unknown flag":     {nil, []string{"run", "--nat"}, exitUsage, "--nat"},
		"near command":     {nil, []string{"statsu"}, exitUsage, "did you mean backhaul status?"},
		"near subcommand":  {nil, []string{"dlq", "lsit"}, exitUsage, "did you mean backhaul dlq ls?"},
		"another level":    {nil, []string{"explain"}, exitUsage, "did you mean backhaul policy explain or backhaul trigger explain?"},
		"another parent":   {nil, []string{"policy", "replay"}, exitUsage, "did you mean backhaul dlq replay or backhaul trigger replay?"},
		"near flag":        {nil, []string{"run", "--vendor-endpont=x"}, exitUsage, "did you mean --vendor-endpoint?"},
		"near flag below":  {nil, []string{"dlq", "list", "--nats-url", "x"}, exitUsage, "unknown flag: --nats-url"},
		"near variable":    {append([]string{"BACKHAUL_VENDOR_TIMOUT=1s"}, vendor...), []string{"config", "check"}, exitUsage, "did you mean BACKHAUL_VENDOR_TIMEOUT?"},
		"variable, status": {[]string{"BACKHAUL_NATS_ULR=nats://127.0.0.1:1"}, []string{"status"}, exitUsage, "did you mean BACKHAUL_NATS_URL?"},
		"other's variable": {append([]string{"BACKHAUL_TRIGGER_ROUTES=/routes.yaml", "BACKHAUL_TRIGGER_SERVICE_HOST=10.0.0.1"}, vendor...), []string{"config", "check"}, exitDone, ""},
		"argument":         {nil, []string{"run", "now"}, exitUsage, "now"},
		"no endpoint":      {nil, []string{"run"}, exitUsage, "BACKHAUL_VENDOR_ENDPOINT"},
		"no user":          {vendor[:1], []string{"run"}, exitUsage, "BACKHAUL_VENDOR_USERNAME"},
		"no password":      {vendor[:2], []string{"run"}, exitUsage, "BACKHAUL_VENDOR_PASSWORD_FILE"},
		"plain http":       {vendor[1:], []string{"run", "--vendor-endpoint", "http://vendor.invalid/api"}, exitUsage, "plain http"},
		"no scheme":        {vendor[1:], []string{"run", "--vendor-endpoint", "127.0.0.1:28081/webconsole/api"}, exitUsage, `vendor endpoint "127.0.0.1:28081/webconsole/api" has no https://: put https:// in front (BACKHAUL_VENDOR_ENDPOINT, --vendor-endpoint)`},
		"another scheme":   {vendor[1:], []string{"run", "--vendor-endpoint", "ftp://u:" + programtest.Password + "@x/y?" + programtest.Password}, exitUsage, `vendor endpoint "ftp://xxxxx@x/y?xxxxx" has no https://: put https:// in front instead of ftp://`},
		"no host":          {vendor[1:], []string{"run", "--vendor-endpoint", "https:///api"}, exitUsage, "--vendor-endpoint)"},
		"bad last":         {nil, []string{"events", "--last", "x"}, exitUsage, `invalid argument "x" for "--last" flag: must be a whole number; see --help`},
		"bad address":      {nil, []string{"simulator", "--listen", "nowhere"}, exitFailed, "(--listen)"},
		"bad number":       {append([]string{"BACKHAUL_MAX_IN_FLIGHT=many"}, vendor...), []string{"run"}, exitUsage, "BACKHAUL_MAX_IN_FLIGHT"},
		"bad duration":     {vendor, []string{"run", "--vendor-timeout", "5"}, exitUsage, "--vendor-timeout"},
		"bad choice":       {vendor, []string{"run", "--in-doubt", "guess"}, exitUsage, "reconcile, fail"},
		"bad listen":       {vendor, []string{"run", "--nats-listen", "nowhere"}, exitUsage, "--nats-listen: is"},
		"NATS unreachable": {vendor, []string{"run", "--nats", "nats://127.0.0.1:1"}, exitUnreachable, "127.0.0.1:1"},
		"NATS password":    {vendor, []string{"run", "--nats", "nats://u:" + url.PathEscape(programtest.Password) + "@127.0.0.1:1"}, exitUnreachable, "xxxxx@127.0.0.1:1"},
		"NATS no URL":      {vendor, []string{"run", "--nats", "nats://u:" + programtest.Password + "@127.0.0.1:1"}, exitUsage, "--nats: number 1"},
		"config check":     {vendor, []string{"config", "check"}, exitDone, ""},
		"config bad":       {vendor[1:], []string{"config", "check", "-o", "json"}, exitUsage, ""},
		"config argument":  {nil, []string{"config", "show", "now"}, exitUsage, "now"},
		"config no file":   {vendor, []string{"run", "--config", "none.yaml"}, exitUsage, "none.yaml"},
		"config no action": {nil, []string{"config", "chek"}, exitUsage, `"chek"`},
		"setup alone":      {nil, []string{"setup"}, exitUsage, "--nats"},
		"events alone":     {nil, []string{"events"}, exitUsage, "--nats"},
		"bad kind":         {nil, []string{"events", "--kind", "job-done"}, exitUsage, "job-done"},
		"bad since":        {nil, []string{"events", "--since", "yesterday"}, exitUsage, "--since"},
		"bad output":       {nil, []string{"version", "--output", "xml"}, exitUsage, "--output"},
		"bad source":       {nil, []string{"request", "--source", "a.b"}, exitUsage, "--source"},
		"bad request":      {nil, []string{"request", "--client-name", "c"}, exitUsage, "/subclientName"},
		"health of off":    {vendor, []string{"healthcheck"}, exitUsage, "admin listener is off"},
		"health of any":    {nil, []string{"healthcheck", "--admin-addr", "127.0.0.1:0"}, exitUsage, "port 0"},
		"bad script":       {nil, []string{"simulator", "--script", "earthquake"}, exitUsage, "earthquake"},
		"bad life":         {nil, []string{"simulator", "--life", "earthquake=1"}, exitUsage, "earthquake"},
		"bad next life":    {nil, []string{"simulator", "--next-lives", "earthquake"}, exitUsage, "earthquake"},
		"bad fault":        {nil, []string{"simulator", "--fault", "earthquake=1"}, exitUsage, "earthquake"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, _, stderr := programtest.Once(t, c.env, "", c.args...)
			if code != c.code || !strings.Contains(stderr, c.stderr) {
				t.Errorf("exit code %d, want %d with %q in\n%s", code, c.code, c.stderr, stderr)
			}
		})
	}
}

func TestRequestAndEventsCommands(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	client := []string{"--client-name", "s-adhoc-object-storage"}

	code, out, stderr := programtest.Once(t, s.Env, "", append(client, "request", "--subclient-name", "stestgroup", "--request-id", "cli-1", "--label", "ticket=CHG-17", "--wait", "-o", "json")...)
	var event struct {
		Type string
		Data struct {
			RequestID string
			JobID     string
			Labels    map[string]string
		}
	}
	if err := json.Unmarshal([]byte(out), &event); err != nil || code != exitDone {
		t.Fatalf("exit code %d, %v: %s%s", code, err, out, stderr)
	}
	if event.Type != "backhaul.job.started.v1" || event.Data.RequestID != "cli-1" || event.Data.JobID != "5976" || event.Data.Labels["ticket"] != "CHG-17" {
		t.Errorf("got %s", out)
	}

	if code, out, _ = programtest.Once(t, s.Env, "", append(client, "request", "--subclient-name", "no-such-group", "--wait")...); code != exitFailed || !strings.Contains(out, "587207178") {
		t.Errorf("a refused request: exit code %d, %s", code, out)
	}
	// The same id for another content group is not the same request.
	if code, out, _ = programtest.Once(t, s.Env, "", append(client, "request", "--subclient-name", "load-1", "--request-id", "cli-1", "--wait")...); code != exitFailed {
		t.Errorf("a reused id: exit code %d, %s", code, out)
	}

	file := `{"requestId":"f-1","clientName":"s-adhoc-object-storage","subclientName":"load-1"}
{"requestId":"f-2","clientName":"s-adhoc-object-storage",
 "subclientName":"load-2"}`
	if code, out, stderr = programtest.Once(t, s.Env, file, "request", "--source", "billing", "--file", "-", "--wait"); code != exitDone || strings.Count(out, "job-started") != 2 {
		t.Errorf("a file of two: exit code %d, %s%s", code, out, stderr)
	}
	s.OneJob("f-1")
	s.OneJob("f-2")
	if code, _, stderr = programtest.Once(t, s.Env, file+`{"clientName":"x"}`, "request", "--file", "-"); code != exitUsage || !strings.Contains(stderr, "-:3: ") {
		t.Errorf("a bad third request: exit code %d, %s", code, stderr)
	}

	code, out, _ = programtest.Once(t, s.Env, "", "events", "--source", "billing", "--kind", "job-started", "--since", "1h")
	if code != exitDone || strings.Count(out, "\n") != 2 || !strings.Contains(out, "f-2") {
		t.Errorf("events: exit code %d, %s", code, out)
	}
	follow := programtest.Start(t, s.Env, "backhaul", "events", "--follow", "--kind", "job-started", "-o", "json")
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("live-1"))
	follow.WaitFor(t, `"billing/live-1/job-started"`)
	if code := follow.Stop(t); code != exitDone || strings.Contains(follow.Output.String(), "canceled") {
		t.Errorf("events --follow, interrupted: exit code %d, want %d\n%s", code, exitDone, follow.Output)
	}
}

func TestSetup(t *testing.T) {
	t.Parallel()
	env := []string{"BACKHAUL_NATS_URL=" + programtest.NATSServer(t)}
	if code, out, stderr := programtest.Once(t, env, "", "setup"); code != exitDone || strings.Count(out, "created") != 8 {
		t.Fatalf("first: exit code %d, %s%s", code, out, stderr)
	}
	if code, out, _ := programtest.Once(t, env, "", "setup", "-o", "json"); code != exitDone || strings.Count(out, `"created":false`) != 8 {
		t.Errorf("again: exit code %d, %s", code, out)
	}
}

// The simulator is set and asked from outside while it runs.
func TestSimulatorCommand(t *testing.T) {
	t.Parallel()
	worldFile := filepath.Join(t.TempDir(), "world.json")
	const someWorld = `{"clients":[{"name":"files","instances":[{"name":"files","backupSets":[{"name":"nightly","contentGroups":["home"]}]}]}],
		"users":[{"name":"ann","password":"cGFzczEyMw==","accessToken":"given-to-ann"}]}`
	if err := os.WriteFile(worldFile, []byte(someWorld), 0o600); err != nil {
		t.Fatal(err)
	}
	p := programtest.Start(t, nil, "backhaul", "simulator", "--listen", "127.0.0.1:0", "--world", worldFile,
		"--fault", "slow=10ms", "--script", "502", "--reads", "2", "--log-format", "json")
	p.WaitFor(t, "simulating Commvault")
	endpoint := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(p.Output.String())
	call := func(method, path, body string) (status int, answer string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, endpoint+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer given-to-ann")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, err.Error()
		}
		defer func() { _ = resp.Body.Close() }()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(data)
	}
	const backup = `{"taskInfo":{"associations":[{"clientName":"files","subclientName":"home"}],"subTasks":[{"options":{"commonOpts":{"jobDescription":"m"}}}]}}`
	for _, step := range []struct {
		method, path, body string
		status             int
		answer             string
	}{
		{"POST", "/webconsole/api/CreateTask", backup, 502, "Bad Gateway"},
		{"POST", "/webconsole/api/CreateTask", backup, 200, `<jobIds val="5976"/>`},
		{"POST", "/simulator/faults", "cut-after-start=1", 204, ""},
		{"POST", "/webconsole/api/CreateTask", backup, 0, "EOF"},
		{"POST", "/simulator/faults", "", 204, ""},
		{"POST", "/simulator/script", "Job/504", 204, ""},
		{"GET", "/webconsole/api/Job/5976", "", 504, ""},
		{"GET", "/webconsole/api/Job/5976", "", 200, `jobId="5976"`},
		{"GET", "/webconsole/api/Job/5976", "", 429, "Rate limit is exceeded"},
		{"GET", "/simulator/account", "", 200, `"jobsStarted": 2`},
		{"POST", "/simulator/reset", "", 204, ""},
		{"GET", "/simulator/account", "", 200, `"jobsStarted": 0`},
	} {
		if status, answer := call(step.method, step.path, step.body); status != step.status || !strings.Contains(answer, step.answer) {
			t.Errorf("%s %s %s: %d %s, want %d with %q", step.method, step.path, step.body, status, answer, step.status, step.answer)
		}
	}
	if code := p.Stop(t); code != exitDone {
		t.Errorf("exit code %d", code)
	}
}

var fenced = regexp.MustCompile("(?s)```text\n\\$ make demo\n(.*?)```")

// The README shows lines of what the demo prints, in their order.
func TestDemoPrintsWhatTheReadmeShows(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	shown := fenced.FindSubmatch(readme)
	if shown == nil {
		t.Fatal("the README has no demo")
	}
	code, out, stderr := programtest.Once(t, nil, "", "demo")
	if code != exitDone {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if stderr != "" {
		t.Errorf("the demo warns: %s", stderr)
	}
	rest := out
	for line := range strings.Lines(string(shown[1])) {
		_, after, found := strings.Cut(rest, line)
		if !found {
			t.Fatalf("the README shows the line %q, which the demo does not print, or prints earlier:\n%s", line, out)
		}
		rest = after
	}
}

// Every command and flag that the documents name exists.
func TestDocumentsNameRealCommands(t *testing.T) {
	t.Parallel()
	root := newRootCommand()
	command := regexp.MustCompile("(?m)(?:^|`|/|\\s)backhaul ([a-z]+)((?: --?[a-z-]+[^\n`]*)?)")
	flag := regexp.MustCompile(`--([a-z-]+)`)
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "deploy/CONFIGURATION.md", "deploy/OPERATIONS.md", "deploy/TRIGGER.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range command.FindAllStringSubmatch(string(text), -1) {
			cmd, _, err := root.Find([]string{m[1]})
			if err != nil || cmd == root {
				if strings.HasPrefix(m[2], " -") {
					t.Errorf("%s: no command backhaul %s", name, m[1])
				}
				continue
			}
			cmd.InitDefaultHelpFlag()
			for _, f := range flag.FindAllStringSubmatch(m[2], -1) {
				if cmd.Flags().Lookup(f[1]) == nil {
					t.Errorf("%s: backhaul %s has no flag --%s", name, m[1], f[1])
				}
			}
		}
	}
}

// Input without an end is refused, whatever reads it, and the error names the limit.
func TestInputsWithoutAnEnd(t *testing.T) {
	t.Parallel()
	server := "BACKHAUL_NATS_URL=nats://127.0.0.1:1"
	for _, c := range []struct {
		env  []string
		args []string
		want string
	}{
		{nil, []string{"request", "--file", "/dev/zero", "--dry-run"}, "more than 67108864 bytes"},
		{nil, []string{"schema", "validate", "/dev/zero"}, "more than 67108864 bytes"},
		{nil, []string{"trigger", "explain", "/dev/zero", "--routes", "/dev/zero"}, "not a regular file"},
		{[]string{server}, []string{"dlq", "replay", "1", "--file", "/dev/zero"}, "more than 67108864 bytes"},
		{[]string{server}, []string{"events", "--config", "/dev/zero"}, "not a regular file"},
		{[]string{"BACKHAUL_VENDOR_PASSWORD_FILE=/dev/zero", "BACKHAUL_VENDOR_USERNAME=u", "BACKHAUL_VENDOR_ENDPOINT=https://vendor.invalid/api"}, []string{"config", "check"}, "not a regular file"},
	} {
		code, out, stderr := programtest.Once(t, c.env, "", c.args...)
		if code == exitDone || !strings.Contains(out+stderr, c.want) {
			t.Errorf("%v: exit code %d, want %q in %s%s", c.args, code, c.want, out, stderr)
		}
	}
}

// The command, the validator and the service name a mistake with the same words.
func TestMistakesAreNamedAlike(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ content, want string }{
		"UTF-16":           {"\xff\xfe{\x00}\x00", "it is UTF-16, save it as UTF-8"},
		"trailing comma":   {`{"clientName":"c","subclientName":"s",}`, "there is a comma before the closing bracket"},
		"cut off":          {`{"clientName":"c"`, "it does not end"},
		"lower-case level": {`{"clientName":"c","subclientName":"s","backupLevel":"full"}`, `/backupLevel: is "full", must be one of FULL, INCREMENTAL`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := writeFile(t, test.content)
			_, service := schemas.DecodeRequest(nil, []byte(test.content))
			_, validator, _ := programtest.Once(t, nil, "", "schema", "validate", file)
			_, _, command := programtest.Once(t, nil, "", "request", "--file", file, "--dry-run")
			for who, said := range map[string]string{"service": fmt.Sprint(service), "validator": validator, "command": command} {
				if !strings.Contains(said, test.want) {
					t.Errorf("the %s says %q, want %q", who, said, test.want)
				}
			}
		})
	}
	// Windows writes files with a byte order mark. It is removed from a file, and refused in a message.
	const marked, mark = "\ufeff" + `{"clientName":"c","subclientName":"s"}`, "it begins with a byte order mark, save it as UTF-8 without one"
	file := writeFile(t, marked)
	if _, err := schemas.DecodeRequest(nil, []byte(marked)); err == nil || !strings.Contains(err.Error(), mark) {
		t.Errorf("the service says %v, want %q", err, mark)
	}
	for _, args := range [][]string{{"schema", "validate", file}, {"request", "--file", file, "--dry-run"}} {
		if code, out, stderr := programtest.Once(t, nil, "", args...); code != exitDone || !strings.Contains(stderr, mark) {
			t.Errorf("%v: exit code %d, %s%s", args, code, out, stderr)
		}
	}
}

// A wrong number of arguments is answered by their names.
func TestArguments(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"job suspend":           "arguments: 0 given, must be `backhaul job suspend JOB...`",
		"job kill 1 2":          "--reason is missing",
		"status a b":            "arguments: 2 given, must be `backhaul status [REQUEST]`",
		"schema validate":       "arguments: 0 given, must be `backhaul schema validate FILE...`",
		"pause now":             "unexpected argument",
		"trigger explain a b c": "",
	} {
		if code, _, stderr := programtest.Once(t, nil, "", strings.Fields(line)...); code != exitUsage || !strings.Contains(stderr, want) || strings.Contains(stderr, "arg(s)") {
			t.Errorf("%s: exit code %d, %s, want %q", line, code, stderr, want)
		}
	}
}

func TestVersionFlag(t *testing.T) {
	t.Parallel()
	_, want, _ := programtest.Once(t, nil, "", "version")
	if code, out, _ := programtest.Once(t, nil, "", "--version"); code != exitDone || out != want || want == "" {
		t.Errorf("exit code %d, %q, want %q", code, out, want)
	}
}
