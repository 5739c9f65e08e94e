package policy

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"backhaul/schemas"
)

func parse(t *testing.T, text string) *Policy {
	t.Helper()
	p, err := Parse("policy.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// request returns a request with its defaults, as the consumer passes it. members is JSON.
func request(t *testing.T, members string) schemas.BackupRequest {
	t.Helper()
	m, err := schemas.DecodeRequest(nil, []byte("{"+members+"}"))
	if err != nil {
		t.Fatal(err)
	}
	return m.Request
}

// judge returns the verdict of Explain after checking that Allows agrees.
func judge(t *testing.T, p *Policy, source string, r schemas.BackupRequest) Verdict {
	t.Helper()
	v := p.Explain(source, r)
	if ok, perHour := p.Allows(source, &r); ok != v.Allowed || perHour != v.RequestsPerHour {
		t.Fatalf("Allows says %t, %d; Explain says %+v", ok, perHour, v)
	}
	return v
}

// denied returns the names of the members that the nearest rule denies.
func denied(v Verdict) string {
	if v.Allowed || len(v.Rules) == 0 {
		return ""
	}
	nearest := slices.MinFunc(v.Rules, func(a, b RuleVerdict) int { return len(a.Denied) - len(b.Denied) })
	var names []string
	for _, d := range nearest.Denied {
		names = append(names, d.Member)
	}
	return strings.Join(names, " ")
}

const everyDimension = `
sources:
  billing:
    allow:
      - clientName: [files]
        instanceName: [files, second]
        backupsetName: [nightly]
        subclientName: [home, "load-*"]
        storagePolicyName: [gold]
        appName: [Cloud Apps]
        backupLevel: [INCREMENTAL, DIFFERENTIAL]
        adHocBackup: [true]
        onDemandInputFile: [/sk, /lists/billing/]
`

// Each member alone can cause a denial, whose reason says what to list.
func TestPolicy_DeniesEachMember(t *testing.T) {
	t.Parallel()
	p := parse(t, everyDimension)
	sound := map[string]string{
		"clientName": `"files"`, "instanceName": `"files"`, "backupsetName": `"nightly"`, "subclientName": `"home"`, "storagePolicyName": `"gold"`,
		"onDemandInputFile": `"/sk/x.txt"`,
	}
	join := func(member, value string) string {
		all := make(map[string]string)
		for name, v := range sound {
			all[name] = v
		}
		if member != "" {
			all[member] = value
		}
		var texts []string
		for name, v := range all {
			if v != "" {
				texts = append(texts, `"`+name+`":`+v)
			}
		}
		return strings.Join(texts, ",")
	}
	if v := judge(t, p, "billing", request(t, join("", ""))); !v.Allowed {
		t.Fatalf("the sound request is denied: %s", v.Reason())
	}
	for name, test := range map[string]struct {
		member, value string // the value as JSON, "" to leave it out
		says          string
	}{
		"client":             {"clientName", `"other"`, `to allow it, list "other"`},
		"client's case":      {"clientName", `"Files"`, `upper and lower case`},
		"instance":           {"instanceName", `"third"`, `"third"`},
		"backup set":         {"backupsetName", `"weekly"`, `"weekly"`},
		"default backup set": {"backupsetName", "", `"defaultBackupSet"`},
		"content group":      {"subclientName", `"homes"`, `"homes"`},
		"pattern":            {"subclientName", `"load"`, `"load"`},
		"plan":               {"storagePolicyName", `"silver"`, `"silver"`},
		"no plan":            {"storagePolicyName", "", `to allow it, list ""`},
		"agent":              {"appName", `"Exchange"`, `"Exchange"`},
		"level":              {"backupLevel", `"FULL"`, `"FULL"`},
		"not ad hoc":         {"adHocBackup", "false", `to allow it, list false`},
		"path":               {"onDemandInputFile", `"/other/x.txt"`, `to allow it, list "/other/"`},
		"path that begins":   {"onDemandInputFile", `"/sku/x.txt"`, `"/sku/"`},
		"path above":         {"onDemandInputFile", `"/lists/x.txt"`, `"/lists/"`},
		"path that climbs":   {"onDemandInputFile", `"/sk/../etc/x.txt"`, `the segment ".."`},
	} {
		t.Run(name, func(t *testing.T) {
			v := judge(t, p, "billing", request(t, join(test.member, test.value)))
			reason := v.Reason()
			if v.Allowed || denied(v) != test.member {
				t.Fatalf("%q denied, want %s: %s", denied(v), test.member, reason)
			}
			for _, want := range []string{`source "billing"`, test.member, test.says, "policy.yaml:"} {
				if !strings.Contains(reason, want) {
					t.Errorf("want %s in %s", want, reason)
				}
			}
			if strings.Contains(reason, "lists/billing") {
				t.Errorf("the reason reveals the policy: %s", reason)
			}
		})
	}
	both := judge(t, p, "billing", request(t, join("clientName", `"other"`)+`,"backupLevel":"FULL"`))
	if got := denied(both); got != "clientName backupLevel" {
		t.Errorf("%q denied, want both", got)
	}
}

// A rule with the fewest lists allows a request with the fewest members, and its
// defaults spelt out, but nothing else.
func TestPolicy_AllowsOnlyDefaultsWithoutAList(t *testing.T) {
	t.Parallel()
	p := parse(t, "sources:\n  billing:\n    allow:\n      - {clientName: [files], subclientName: [home]}\n")
	const least = `"clientName":"files","subclientName":"home"`
	for members, want := range map[string]string{
		"":                                    "",
		`,"instanceName":"files"`:             "",
		`,"backupLevel":"INCREMENTAL"`:        "",
		`,"backupsetName":"defaultBackupSet"`: "",
		`,"appName":"Cloud Apps"`:             "",
		`,"adHocBackup":false`:                "",
		`,"requestId":"x","labels":{"a":"b"},"notAfter":"2030-01-01T00:00:00Z"`: "",
		`,"instanceName":"other"`:                       "instanceName",
		`,"backupLevel":"FULL"`:                         "backupLevel",
		`,"backupsetName":"other"`:                      "backupsetName",
		`,"appName":"Exchange"`:                         "appName",
		`,"storagePolicyName":"gold"`:                   "storagePolicyName",
		`,"onDemandInputFile":"/sk/x"`:                  "onDemandInputFile",
		`,"adHocBackup":true`:                           "adHocBackup",
		`,"onDemandInputFile":"/x","adHocBackup":false`: "adHocBackup onDemandInputFile",
	} {
		v := judge(t, p, "billing", request(t, least+members))
		if got := denied(v); got != want || v.Allowed != (want == "") {
			t.Errorf("%s: %q denied, want %q", members, got, want)
		}
	}
}

func TestPolicy_UsesTheSourcesEntry(t *testing.T) {
	t.Parallel()
	const text = `
sources:
  billing:
    requestsPerHour: 5
    allow:
      - {clientName: [a], subclientName: [one]}
      - {clientName: [b], subclientName: [two, three]}
  closed:
    allow: []
`
	const others = `
  "*":
    allow:
      - {clientName: ["*"], subclientName: [shared]}
`
	for name, test := range map[string]struct {
		text, source, client, group string
		allowed                     bool
		says                        string
	}{
		"first rule":            {text, "billing", "a", "one", true, ""},
		"second rule":           {text, "billing", "b", "three", true, ""},
		"half of each":          {text, "billing", "a", "two", false, "the nearest of 2 rules"},
		"no rule":               {text, "closed", "a", "one", false, "policy.yaml:8"},
		"no entry":              {text, "crm", "a", "one", false, `"crm" has no entry in policy.yaml`},
		"no entry, others":      {text + others, "crm", "x", "shared", true, ""},
		"others are not merged": {text + others, "billing", "a", "shared", false, "subclientName"},
		"closed, with others":   {text + others, "closed", "a", "shared", false, "may not request any backup"},
		"source named *":        {text, "*", "a", "one", false, "no entry"},
	} {
		p := parse(t, test.text)
		v := judge(t, p, test.source, request(t, `"clientName":"`+test.client+`","subclientName":"`+test.group+`"`))
		if v.Allowed != test.allowed || !test.allowed && !strings.Contains(v.Reason(), test.says) {
			t.Errorf("%s: %+v %s", name, v, v.Reason())
		}
	}
	if v := parse(t, text+others).Explain("crm", schemas.BackupRequest{}); v.Entry != AnySource || v.Line != 11 {
		t.Errorf("the entry of others is %q in line %d", v.Entry, v.Line)
	}
}

// A member that a later version of the contract adds must be judged too.
func TestMembers_CoverTheRequest(t *testing.T) {
	t.Parallel()
	free := []string{"requestId", "notAfter", "labels"} // do not affect what the vendor does
	for field := range reflect.TypeFor[schemas.BackupRequest]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		judged := slices.ContainsFunc(members[:], func(m member) bool { return m.name == name })
		if judged == slices.Contains(free, name) {
			t.Errorf("%s: judged is %t", name, judged)
		}
	}
}

func TestMatchPath(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		listed, path string
		want         bool
	}{
		{"/sk", "/sk", true},
		{"/sk", "/sk/x", true},
		{"/sk/", "/sk/x/y.txt", true},
		{"/sk", "/sku/x", false},
		{"/sk/", "/sk", true},
		{"/sk", "/SK/x", false},
		{"/", "/sk/x", true},
		{"/", "", false},
		{"/sk", "", false},
		{"", "", true},
		{"", "/sk/x", false},
		{"*", "", true},
		{"*", "/a/../b", true},
		{"/sk", "/sk/..", false},
		{"/sk", "/sk/../x", false},
		{"/sk", "/sk/./x", false},
		{"/sk", "/sk//x", false},
		{"/sk", "//sk/x", false},
		{"/sk", "/sk/x/", false},
		{"/sk", "/sk/.. /x", false},
		{"/sk", "/sk/.../x", false},
		{"/sk", `/sk/..\..\x`, false},
		{"/sk", "/sk/x\n/y", false},
		{"/sk", "/sk/x\x7f", false},
		{"/", "/", false},
		{"/", "/..", false},
		{"/sk", "/sk/..x", true},
		{"/sk", "/sk/x y/ü.txt", true},
		{"/sk", "/sk/%2e%2e/x", true}, // the vendor does not decode it
	} {
		if got := matchPath(test.listed, test.path); got != test.want {
			t.Errorf("%q for %q: %t", test.listed, test.path, got)
		}
	}
}

// The shipped example is valid and does what its comments say.
func TestLoad_ShippedExample(t *testing.T) {
	t.Parallel()
	p, err := Load(filepath.Join("..", "..", "..", "deploy", "policy.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	const group = `"clientName":"s-adhoc-object-storage","subclientName":"stestgroup"`
	for _, test := range []struct {
		source, members string
		want            bool
	}{
		{"billing", group, true},
		{"billing", group + `,"storagePolicyName":"default-plan","onDemandInputFile":"/sk/s-directive-file-blob.txt"`, true},
		{"billing", group + `,"onDemandInputFile":"/other/x.txt"`, false},
		{"billing", group + `,"backupLevel":"FULL"`, false},
		{"billing", `"clientName":"s-adhoc-object-storage","subclientName":"load-7","backupLevel":"FULL"`, true},
		{"billing", `"clientName":"s-adhoc-object-storage","subclientName":"load-7"`, false},
		{"storage-team", `"clientName":"x","instanceName":"y","subclientName":"z","backupLevel":"FULL","onDemandInputFile":"/a//b","adHocBackup":false`, true},
		{"retired-shop", `"clientName":"shared-object-storage","subclientName":"self-service"`, false},
		{"anybody", `"clientName":"shared-object-storage","subclientName":"self-service"`, true},
		{"anybody", group, false},
	} {
		if v := judge(t, p, test.source, request(t, test.members)); v.Allowed != test.want {
			t.Errorf("%s %s: %+v", test.source, test.members, v)
		}
	}
	if v := p.Explain("billing", request(t, group)); v.RequestsPerHour != 100 {
		t.Errorf("billing has %d requests per hour", v.RequestsPerHour)
	}
	if entries, rules := p.Size(); entries != 4 || rules != 4 {
		t.Errorf("%d entries with %d rules", entries, rules)
	}
}

// The policies in POLICY.md are valid, and its table of requests is true for the first.
func TestPolicy_AgreesWithItsDocument(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "deploy", "POLICY.md"))
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(shown) == 0 {
		t.Fatal("no policy is shown")
	}
	for _, text := range shown[1:] {
		parse(t, text[1])
	}
	p := parse(t, shown[0][1])
	rows := regexp.MustCompile("(?m)^\\| `(\\{.*\\})` \\| (allowed|denied)").FindAllStringSubmatch(string(page), -1)
	if len(rows) < 5 {
		t.Fatalf("%d requests are shown", len(rows))
	}
	for _, row := range rows {
		members := `"clientName":"files","subclientName":"home",` + strings.Trim(row[1], "{}")
		if v := judge(t, p, "billing", request(t, strings.TrimSuffix(members, ","))); v.Allowed != (row[2] == "allowed") {
			t.Errorf("%s is not %s: %+v", row[1], row[2], v)
		}
	}
	for _, m := range members {
		if !strings.Contains(string(page), "| `"+m.name+"` |") {
			t.Errorf("the page does not explain %s", m.name)
		}
	}
}

func TestPolicy_AllowsDoesNotAllocate(t *testing.T) {
	p := parse(t, everyDimension)
	r := request(t, `"clientName":"files","backupsetName":"nightly","subclientName":"load-7","storagePolicyName":"gold","onDemandInputFile":"/sk/x.txt"`)
	if n := testing.AllocsPerRun(100, func() {
		if ok, _ := p.Allows("billing", &r); !ok {
			t.Fatal("denied")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
