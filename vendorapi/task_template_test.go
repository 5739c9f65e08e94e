package vendorapi

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

// taskAtVendor starts a task in a format and is what the vendor then shows of it.
func taskAtVendor(t *testing.T, format string, task Task) map[string]any {
	t.Helper()
	world := simulator.DefaultWorld()
	world.Clients = append(world.Clients, simulator.Client{
		Name: task.ClientName, AppName: task.AppName, Instances: []simulator.Instance{{
			Name: task.InstanceName, BackupSets: []simulator.BackupSet{{Name: task.BackupsetName, ContentGroups: []string{task.SubclientName}}},
		}},
	})
	world.Plans = append(world.Plans, task.StoragePolicyName)
	_, client := onLoopback(t, simulator.Config{World: world}, func(cfg *Config) { cfg.Format = format })
	job, err := client.CreateTask(within(t, 10*time.Second), task)
	wantJob(t, job, err)
	resp, err := client.read(within(t, 10*time.Second), call{op: opTaskDetails, method: http.MethodGet, path: "/Job/" + job.ID + "/TaskDetails"})
	if err != nil {
		t.Fatal(err)
	}
	var shown map[string]any
	if err := json.Unmarshal(resp.Body, &shown); err != nil {
		t.Fatal(err)
	}
	return shown
}

func TestRender_bothFormatsStartTheSameJob(t *testing.T) {
	odd := Task{Marker: `backhaul:billing/a"b`, BackupRequest: schemas.BackupRequest{
		ClientName: `c & "d" <e>`, InstanceName: `i 'j' ]]>`, BackupsetName: `b\c`, SubclientName: "größe 測試",
		AppName: "Cloud Apps", BackupLevel: schemas.LevelFull, StoragePolicyName: "plan {{x}}",
		AdHocBackup: true, OnDemandInputFile: "/a b/c&d.txt",
	}}
	for name, task := range map[string]Task{"the sample": testTask(), "odd names": odd} {
		asXML, asJSON := taskAtVendor(t, FormatXML, task), taskAtVendor(t, FormatJSON, task)
		if !reflect.DeepEqual(asXML, asJSON) {
			t.Errorf("%s: the vendor understood\n%v as XML and\n%v as JSON", name, asXML, asJSON)
		}
		if shown, _ := json.Marshal(asJSON); !strings.Contains(string(shown), jsonText(task.Marker)) || !strings.Contains(string(shown), jsonText(task.SubclientName)) {
			t.Errorf("%s: marker or content group is not among %s", name, shown)
		}
	}
}

func jsonText(s string) string {
	data, _ := json.Marshal(s)
	return string(data)
}

// Every combination of optional values gives a document that can be read.
func TestRender_JSONWithoutOptionalValues(t *testing.T) {
	for _, plan := range []string{"", "p"} {
		for _, file := range []string{"", "/f"} {
			task := testTask()
			task.StoragePolicyName, task.OnDemandInputFile, task.AdHocBackup = plan, file, file != ""
			data, err := bodies[FormatJSON].write(nil, task)
			if err != nil {
				t.Fatal(err)
			}
			var document map[string]any
			if err := json.Unmarshal(data, &document); err != nil {
				t.Errorf("plan %q, file %q: %v in %s", plan, file, err, data)
			}
			if strings.Contains(string(data), "storagePolicyName") != (plan != "") || strings.Contains(string(data), "onDemandInputFile") != (file != "") {
				t.Errorf("plan %q, file %q: %s", plan, file, data)
			}
		}
	}
}

func TestNew_refusesAnUnknownFormat(t *testing.T) {
	if _, err := New(Config{Endpoint: "https://vendor.invalid", Auth: loginAuth(), Format: "yaml"}); err == nil || !strings.Contains(err.Error(), "xml or json") {
		t.Errorf("got %v", err)
	}
}
