package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backhaul/cmd/internal/programtest"
	"backhaul/vendorapi/simulator"
)

// A file alone is enough to run, and its mistakes are reported before anything starts.
func TestRunFromAConfigurationFile(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	s.Run.Stop(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	setting := func(name string) string {
		for _, v := range s.Env {
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value
			}
		}
		t.Fatalf("no %s in %v", name, s.Env)
		return ""
	}
	secret := write("password", programtest.Password+"\n")
	text := "nats:\n  url: " + setting("BACKHAUL_NATS_URL") + "\nadmin:\n  addr: \"off\"\n" +
		"vendor:\n  endpoint: " + setting("BACKHAUL_VENDOR_ENDPOINT") + "\n  username: backhaul\n  passwordFile: " + secret + "\n"
	file := write("backhaul.yaml", text)
	s.Env = []string{"BACKHAUL_CONFIG=" + file}

	code, out, stderr := programtest.Once(t, s.Env, "", "config", "show", "-o", "json")
	var origins []string
	for dec := json.NewDecoder(strings.NewReader(out)); dec.More(); {
		var v struct{ Key, Origin string }
		if err := dec.Decode(&v); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		if v.Origin != "default" {
			origins = append(origins, v.Key+" "+strings.TrimPrefix(v.Origin, file))
		}
	}
	if got, want := strings.Join(origins, ", "), "nats.url :2, vendor.endpoint :6, vendor.username :7, vendor.password :8, admin.addr :4"; code != exitDone || got != want {
		t.Errorf("config show: exit code %d, %s\ngot  %s\nwant %s", code, stderr, got, want)
	}
	if code, out, stderr := programtest.Once(t, s.Env, "", "config", "check"); code != exitDone {
		t.Errorf("config check: exit code %d, %s%s", code, out, stderr)
	}
	s.StartRun(t)
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("file-1"))
	s.WaitForOutcomes()
	s.OneJob("file-1")

	bad := write("bad.yaml", text+"  pasword: "+programtest.Password+"\nwork: {maxInFlight: 0}\n")
	code, out, _ = programtest.Once(t, nil, "", "config", "check", "--config", bad, "-o", "json")
	var answer struct {
		OK       bool
		Problems []string
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil || code != exitUsage || answer.OK || len(answer.Problems) != 2 {
		t.Errorf("exit code %d, %v, %s", code, err, out)
	}
	if code, _, stderr := programtest.Once(t, nil, "", "run", "--config", bad); code != exitUsage || !strings.Contains(stderr, "bad.yaml:9: vendor.pasword: unknown, did you mean vendor.passwordFile?") {
		t.Errorf("run: exit code %d, %s", code, stderr)
	}
}
