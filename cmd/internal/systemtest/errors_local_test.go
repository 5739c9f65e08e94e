package systemtest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// nobodyID is a user who may read nothing of root's.
const nobodyID = 65534

// localError is a mistake on this machine or in the endpoint, and the program's error.
type localError struct {
	args []string
	env  []string
	user uint32 // 0 for the test's own
	code int
	says []string
	not  []string
}

// startsWithin is shorter than any wait of a start: a mistake is reported
// at once. A machine under load gets what it needs.
const startsWithin = 20 * time.Second

func (e localError) check(t *testing.T) {
	t.Helper()
	program := programtest.Binary(t, "backhaul") // which may have to be built
	ctx, cancel := context.WithTimeout(t.Context(), startsWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, e.args...)
	cmd.Env = append(append(programtest.CleanEnv(), "BACKHAUL_ADMIN_ADDR=off"), e.env...)
	if cmd.Dir = t.TempDir(); e.user != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: e.user, Gid: e.user}}
		cmd.Dir = "/"
	}
	out, err := cmd.CombinedOutput()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		t.Fatal(err)
	}
	if code := cmd.ProcessState.ExitCode(); code != e.code {
		t.Errorf("exit code %d (%v), want %d", code, ctx.Err(), e.code)
	}
	for _, text := range e.says {
		if !strings.Contains(string(out), text) {
			t.Errorf("it does not say %q", text)
		}
	}
	for _, text := range e.not {
		if strings.Contains(string(out), text) {
			t.Errorf("it says %q", text)
		}
	}
	programtest.NoSecrets(t, string(out))
	if t.Failed() {
		t.Logf("it says:\n%s", out)
	}
}

// forAnyUser makes the program one that every user may run, and returns a directory of
// root's that they may enter.
func forAnyUser(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		programtest.Missing(t, "only root can start a program as another user")
	}
	if err := os.Chmod(filepath.Dir(programtest.Binary(t, "backhaul")), 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "backhaul-store-") //nolint:usetesting // t.TempDir is for its owner only
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func mustWrite(t *testing.T, file, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return file
}

func mustMkdir(t *testing.T, dir string, mode os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, mode); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Each error of this machine and of the endpoint names its cause and the way out, at
// once.
func TestLocalErrorsNameTheirCause(t *testing.T) {
	t.Parallel()
	run := []string{"run", "--nats-listen", "127.0.0.1:0"}
	vendor := programtest.ServiceEnv("", "https://vendor.invalid/webconsole/api")[1:]
	asNobody := []string{"this process runs as user 65534", "chown -R 65534 ", "BACKHAUL_STORE_DIR"}
	for name, prepare := range map[string]func(t *testing.T) localError{
		"store directory that may not be entered": func(t *testing.T) localError {
			store := mustMkdir(t, filepath.Join(forAnyUser(t), "store"), 0o700)
			return localError{args: append(run, "--store-dir", store), user: nobodyID, code: programtest.ExitUsage,
				says: append(asNobody, "open "+store+"/backhaul.moved: permission denied"), not: []string{"moved to", "were moved", "were :"}}
		},
		"store directory that may not be written": func(t *testing.T) localError {
			store := mustMkdir(t, filepath.Join(forAnyUser(t), "store"), 0o755)
			return localError{args: append(run, "--store-dir", store), user: nobodyID, code: programtest.ExitUsage,
				says: append(asNobody, "open "+store+"/backhaul.lock: permission denied")}
		},
		"store directory that may not be made": func(t *testing.T) localError {
			store := filepath.Join(forAnyUser(t), "store")
			return localError{args: append(run, "--store-dir", store), user: nobodyID, code: programtest.ExitUsage,
				says: append(asNobody, "mkdir "+store+": permission denied")}
		},
		"streams of another user in the store": func(t *testing.T) localError {
			store := mustMkdir(t, filepath.Join(forAnyUser(t), "store"), 0o777)
			mustMkdir(t, filepath.Join(store, "jetstream"), 0o755)
			return localError{args: append(run, "--store-dir", store), user: nobodyID, code: programtest.ExitUsage, says: append(asNobody, "storage directory is not writable")}
		},
		"store directory below a file": func(t *testing.T) localError {
			file := mustWrite(t, filepath.Join(t.TempDir(), "file"), "", 0o600)
			return localError{args: append(run, "--store-dir", filepath.Join(file, "store")), code: programtest.ExitUsage,
				says: []string{"not a directory", "set BACKHAUL_STORE_DIR to a directory that user"}, not: []string{"moved"}}
		},
		"marker that is a directory": func(t *testing.T) localError {
			store := t.TempDir()
			mustMkdir(t, filepath.Join(store, "backhaul.moved"), 0o755)
			return localError{args: append(run, "--store-dir", store), code: programtest.ExitUsage,
				says: []string{"read " + store + "/backhaul.moved: is a directory", "BACKHAUL_STORE_DIR"}, not: []string{"were :"}}
		},
		"store to migrate that may not be read": func(t *testing.T) localError {
			store := mustMkdir(t, filepath.Join(forAnyUser(t), "store"), 0o700)
			return localError{args: []string{"migrate", "--from-store", store}, env: []string{"BACKHAUL_NATS_URL=" + programtest.NATSServer(t)}, user: nobodyID, code: programtest.ExitUsage,
				says: []string{"permission denied", "this process runs as user 65534", "--from-store"}, not: []string{"BACKHAUL_STORE_DIR", "has no directory"}}
		},
		"busy embedded port": func(t *testing.T) localError {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = listener.Close() })
			address := listener.Addr().String()
			return localError{args: []string{"run", "--nats-listen", address, "--store-dir", t.TempDir()}, code: programtest.ExitUsage,
				says: []string{"listen tcp " + address + ": bind: address already in use", "stop the program", "BACKHAUL_NATS_LISTEN", "BACKHAUL_NATS_URL"}}
		},
		"embedded address of another machine": func(t *testing.T) localError {
			return localError{args: []string{"run", "--nats-listen", "192.0.2.1:4222", "--store-dir", t.TempDir()}, code: programtest.ExitUsage,
				says: []string{"listen tcp 192.0.2.1:4222: bind: cannot assign requested address", "BACKHAUL_NATS_LISTEN"}, not: []string{"stop the program"}}
		},
		"endpoint without its path": func(t *testing.T) localError {
			_, endpoint := simulatortest.Start(t, simulator.Config{})
			return localError{args: []string{"check"}, env: programtest.ServiceEnv(programtest.NATSServer(t), strings.TrimSuffix(endpoint, "/webconsole/api"))[:4], code: programtest.ExitFailed,
				says: []string{": 404: the API does not seem to be at the endpoint", endpoint, "/commandcenter/api", "set BACKHAUL_VENDOR_ENDPOINT"},
				not:  []string{"not sent", "see the credentials"}}
		},
		"endpoint of a website": func(t *testing.T) localError {
			site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "/commandcenter/", http.StatusFound)
			}))
			t.Cleanup(site.Close)
			return localError{args: []string{"check"}, env: programtest.ServiceEnv(programtest.NATSServer(t), site.URL)[:4], code: programtest.ExitFailed,
				says: []string{"302, redirected to /commandcenter/", "the API does not seem to be at the endpoint " + site.URL, "set BACKHAUL_VENDOR_ENDPOINT"},
				not:  []string{"see the credentials"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := prepare(t)
			e.env = append(vendor[:len(vendor):len(vendor)], e.env...)
			e.check(t)
		})
	}
}

// A wrong endpoint and a broken policy are conditions, in one line with the way out.
func TestLocalErrorsAreConditions(t *testing.T) {
	t.Parallel()
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: programtest.World()})
	url := programtest.NATSServer(t)
	policyFile := mustWrite(t, filepath.Join(t.TempDir(), "policy.yaml"), "sources:\n  billing:\n    allow:\n      - {clientName: [\"*\"], subclientName: [\"*\"], storagePolicyName: [\"*\"], onDemandInputFile: [\"/\"]}\n", 0o600)
	host := strings.TrimSuffix(endpoint, "/webconsole/api")
	s := &programtest.Service{Client: programtest.Connect(t, url), Sim: sim, Env: append(programtest.ServiceEnv(url, host), "BACKHAUL_VENDOR_RETRY_BUDGET=1s")}
	without := s.Env
	s.Env = append(s.Env, "BACKHAUL_POLICY_FILE="+policyFile)
	s.StartRun(t)
	admin := programtest.AdminURL(t, s.Run)
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("nowhere-1"))
	mustWrite(t, policyFile, "sources:\n  billing: {alow: []}\n  crm: {alow: []}\n", 0o600)
	conditions := []string{
		"the API does not seem to be at the endpoint " + host + "; its base is usually " + endpoint + " or ", ", to be set as BACKHAUL_VENDOR_ENDPOINT",
		"policy: " + policyFile + ":2: ", "more); the policy with SHA-256 ", "`backhaul policy check " + policyFile + "` lists every problem",
	}
	said := func(text string) bool {
		for _, one := range conditions {
			if !strings.Contains(text, one) {
				return false
			}
		}
		return true
	}
	waittest.Eventually(t, "the conditions in /readyz?verbose", func() bool {
		status, text := programtest.Probe(t, admin+"/readyz?verbose")
		return status == http.StatusOK && said(text)
	})
	env := append(without, "BACKHAUL_ADMIN_ADDR="+strings.TrimPrefix(admin, "http://"))
	for _, command := range []string{"status", "check"} {
		if _, out, stderr := programtest.Once(t, env, "", command); !said(out) || strings.ContainsRune(out, '\uFFFD') {
			t.Errorf("%s says:\n%s%s", command, out, stderr)
		}
	}
	if log := s.Run.Output.String(); !strings.Contains(log, "its base is usually "+endpoint) {
		t.Errorf("not in the log:\n%s", log)
	}
}
