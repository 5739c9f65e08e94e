package simulator_test

import (
	"encoding/xml"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"backhaul/vendorapi/simulator"
)

// node is an XML document without spaces and with attributes in any order.
type node struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []node     `xml:",any"`
}

func tree(t *testing.T, document string) (name string, attributes map[string]string, children []any) {
	t.Helper()
	var n node
	if err := xml.Unmarshal([]byte(document), &n); err != nil {
		t.Fatalf("%v in %q", err, document)
	}
	return n.XMLName.Local, attributesOf(n), childrenOf(n)
}

func attributesOf(n node) map[string]string {
	attributes := make(map[string]string)
	for _, a := range n.Attrs {
		attributes[a.Name.Local] = a.Value
	}
	return attributes
}

func childrenOf(n node) (children []any) {
	for _, c := range n.Children {
		children = append(children, []any{c.XMLName.Local, attributesOf(c), childrenOf(c)})
	}
	return children
}

func wantTree(t *testing.T, got, want string) {
	t.Helper()
	gotName, gotAttributes, gotChildren := tree(t, got)
	wantName, wantAttributes, wantChildren := tree(t, want)
	if gotName != wantName || !reflect.DeepEqual(gotAttributes, wantAttributes) || !reflect.DeepEqual(gotChildren, wantChildren) {
		t.Errorf("answer %s\nwant   %s", got, want)
	}
}

func TestCreateTask_AnswersTheVendorsSample(t *testing.T) {
	_, c := start(t, simulator.Config{})
	got := c.post("/CreateTask", sampleXML(t), "Content-Type: application/xml", "Accept: ")
	wantTree(t, got.body, vendorPage(t, "when the request is successful\n", "This is a sample response when"))
	if ct := got.header.Get("Content-Type"); ct != "application/xml; charset=utf-8" {
		t.Errorf("Content-Type %q", ct)
	}

	unknown := strings.ReplaceAll(sampleXML(t), "stestgroup", "no-such-group")
	got = c.post("/CreateTask", unknown, "Content-Type: application/xml", "Accept: application/xml")
	wantTree(t, got.body, vendorPage(t, "when the request is not successful.\n", "Loading..."))
}

func TestCreateTask_StartsTheSameJobFromXMLAndJSON(t *testing.T) {
	var details []any
	for _, form := range []struct{ contentType, body string }{
		{"application/xml", sampleXML(t)},
		{"application/json", sampleJSON(t)},
		{"", sampleJSON(t)},
		{"", sampleXML(t)},
	} {
		_, c := direct(t, simulator.Config{})
		got := c.post("/CreateTask", form.body, "Content-Type: "+form.contentType)
		got.want("taskId", "4038", "jobIds.0", "5976", "jobIds.1", "")
		task := c.get("/Job/5976/TaskDetails")
		task.want("taskInfo.associations.0.subclientName", "stestgroup",
			"taskInfo.associations.0.applicationId", "134",
			"taskInfo.subTasks.0.options.backupOpts.backupLevel", "2",
			"taskInfo.subTasks.0.options.backupOpts.adHocBackup", "true",
			"taskInfo.subTasks.0.options.backupOpts.onDemandInputFile", "/sk/s-directive-file-blob.txt",
			"taskInfo.subTasks.0.options.backupOpts.mediaOpt.storagePolicy.storagePolicyName", "default-plan")
		details = append(details, task.find("taskInfo"))
	}
	for i := range details {
		if !reflect.DeepEqual(details[i], details[0]) {
			t.Errorf("form %d started another job than form 0:\n%v\n%v", i, details[i], details[0])
		}
	}
}

func TestCreateTask_IncrementsIDs(t *testing.T) {
	_, c := direct(t, simulator.Config{})
	c.post("/CreateTask", task("stestgroup", "")).want("taskId", "4038", "jobIds.0", "5976")
	c.post("/CreateTask", task("nowhere", "")).want("errorCode", "587207178")
	c.post("/createTask", task("load-7", "")).want("taskId", "4039", "jobIds.0", "5977")
	c.post("/createtask/", task("LOAD-7", "")).want("taskId", "4040", "jobIds.0", "5978")
}

func TestCreateTask_WholeBackupSet(t *testing.T) {
	world := simulator.DefaultWorld()
	world.Clients[0].Instances[0].BackupSets[0].ContentGroups = []string{"a", "b", "c", "load-*"}
	_, c := direct(t, simulator.Config{World: world})
	request := strings.Replace(sampleXML(t), "<subclientName>stestgroup</subclientName>", "", 1)
	got := c.post("/CreateTask", request, "Content-Type: text/xml", "Accept: application/xml")
	wantTree(t, got.body, `<TMMsg_CreateTaskResp taskId="4038"><jobIds val="5976"/><jobIds val="5977"/><jobIds val="5978"/></TMMsg_CreateTaskResp>`)
}

func TestCreateTask_Refusals(t *testing.T) {
	sample := sampleJSON(t)
	replace := func(old, new string) string {
		if !strings.Contains(sample, old) {
			t.Fatalf("the sample has no %s", old)
		}
		return strings.ReplaceAll(sample, old, new)
	}
	const noSubclients = "587207178"
	for _, test := range []struct{ name, body, code string }{
		{"client", replace(`"clientName":"s-adhoc-object-storage"`, `"clientName":"x"`), noSubclients},
		{"no client", replace(`"clientName":"s-adhoc-object-storage",`, ""), noSubclients},
		{"instance", replace(`"instanceName":"s-adhoc-object-storage"`, `"instanceName":"x"`), noSubclients},
		{"backup set", replace("defaultBackupSet", "x"), noSubclients},
		{"content group", replace("stestgroup", "x"), noSubclients},
		{"agent", replace("Cloud Apps", "File System"), noSubclients},
		{"associations", `{"taskInfo":{"subTasks":[{}]}}`, "587204050"},
		{"subtasks", `{"taskInfo":{"associations":[{"clientName":"x"}]}}`, "2"},
		{"operation", replace(`"operationType":2`, `"operationType":1001`), "2"},
		{"plan", replace("default-plan", "x"), "2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			sim, c := direct(t, simulator.Config{})
			c.post("/CreateTask", test.body).want("errorCode", test.code, "taskId", "", "jobIds", "")
			if n := sim.Account().JobsStarted; n != 0 {
				t.Errorf("%d jobs started", n)
			}
		})
	}
	for _, test := range []struct{ name, contentType, body string }{
		{"empty", "application/json", ""},
		{"space", "application/json", " \n"},
		{"text", "application/json", "garbage"},
		{"list", "application/json", "[]"},
		{"half", "application/json", sample[:200]},
		{"half XML", "application/xml", sampleXML(t)[:200]},
		{"another root", "application/xml", "<TMMsg_Other><taskInfo/></TMMsg_Other>"},
		{"another request", "application/json", `{"TMMsg_CreateTaskReq":` + sample + `}`},
		{"XML as JSON", "application/json", sampleXML(t)},
		{"JSON as XML", "application/xml", sample},
		{"level", "application/json", replace("INCREMENTAL", "SOMETIMES")},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, c := direct(t, simulator.Config{})
			got := c.call(http.StatusBadRequest, http.MethodPost, "/CreateTask", test.body, "Content-Type: "+test.contentType)
			if got.body != "Request body is empty or format is invalid." {
				t.Errorf("body %q", got.body)
			}
		})
	}
}

func TestCreateTask_ByIDs(t *testing.T) {
	_, c := direct(t, simulator.Config{})
	clientID := c.get("/Client").text("clientProperties.0.client.clientEntity.clientId")
	groups := c.get("/Subclient?clientId=" + clientID)
	groups.want("subClientProperties.0.subClientEntity.subclientName", "stestgroup")
	id := groups.text("subClientProperties.0.subClientEntity.subclientId")
	for _, association := range []string{
		`{"subclientId":` + id + `}`,
		`{"clientId":"` + clientID + `","subclientId":"` + id + `","applicationId":134}`,
	} {
		c.post("/CreateTask", `{"taskInfo":{"associations":[`+association+`],"subTasks":[{}]}}`).want("jobIds.1", "", "errorCode", "")
	}
	c.post("/CreateTask", `{"taskInfo":{"associations":[{"subclientId":999}],"subTasks":[{}]}}`).want("errorCode", "587207178")
	c.get("/Job/5977").want("jobs.0.jobSummary.subclient.subclientId", id)
}

func TestCreateTask_NotImmediate(t *testing.T) {
	sim, c := direct(t, simulator.Config{})
	c.post("/CreateTask", strings.Replace(sampleJSON(t), `"taskType":1`, `"taskType":4`, 1)).
		want("taskId", "4038", "jobIds", "", "errorCode", "")
	if n := sim.Account().JobsStarted; n != 0 {
		t.Errorf("%d jobs started", n)
	}
}

func TestSimulator_AnswersByAccept(t *testing.T) {
	_, c := direct(t, simulator.Config{})
	for accept, want := range map[string]string{
		"":                                     "<",
		"*/*":                                  "<",
		"application/xml":                      "<",
		"text/xml":                             "<",
		"application/json":                     "{",
		"application/json, application/xml":    "{",
		"application/xml, application/json":    "<",
		"Application/JSON;charset=utf-8, */*":  "{",
		"application/vnd.something, image/png": "<",
	} {
		for _, body := range []string{sampleJSON(t), sampleXML(t)} {
			if got := c.post("/CreateTask", body, "Accept: "+accept, "Content-Type: "); !strings.HasPrefix(got.body, want) {
				t.Errorf("Accept %q: answer %s", accept, got.body)
			}
		}
	}
}

func TestSimulator_AcceptsPathsInAnyCase(t *testing.T) {
	_, c := direct(t, simulator.Config{})
	c.get("")
	for _, path := range []string{"/Nothing", "/Job/1/2", "/Job//TaskDetails", "/V4/AccessToken", "x"} {
		c.call(http.StatusNotFound, http.MethodGet, path, "")
	}
	for path, method := range map[string]string{"/CreateTask": http.MethodGet, "/Job/1": http.MethodPost, "/Jobs": http.MethodPut} {
		c.call(http.StatusMethodNotAllowed, method, path, "")
	}
	upper := *c
	upper.endpoint = strings.Replace(c.endpoint, "webconsole", "WebConsole", 1)
	upper.post("/CREATETASK", sampleJSON(t))

	other := *c
	other.endpoint = "http://simulator.invalid/CommandCenter/api"
	other.post("/CreateTask", sampleJSON(t)).want("taskId", "4039")
	other.endpoint = "http://simulator.invalid/another/api"
	other.call(http.StatusNotFound, http.MethodPost, "/CreateTask", sampleJSON(t))

	_, root := newClient(t, simulator.Config{BasePath: "/"})
	root.endpoint = "http://simulator.invalid"
	root.login()
	root.post("/CreateTask", sampleJSON(t)).want("taskId", "4038")
}
