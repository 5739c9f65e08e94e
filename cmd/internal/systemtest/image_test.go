package systemtest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"
	tcnetwork "github.com/testcontainers/testcontainers-go/network"
	tcwait "github.com/testcontainers/testcontainers-go/wait"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/publisher/natstest/clustertest"
	"backhaul/publisher/natstest/waittest"
)

// TestImage runs the image as it is meant to be run: read-only, without any
// capability, as a user without a name. It needs a Docker engine and the docker
// command; without one it is skipped, and fails in CI.
func TestImage(t *testing.T) {
	if err := clustertest.Engine(t); err != nil {
		programtest.Missing(t, fmt.Sprintf("no Docker engine: %v", err))
	}
	image := buildImage(t)
	t.Run("reproducible", func(t *testing.T) {
		if again := buildImage(t); again.id != image.id {
			t.Errorf("the same files made the images %s and %s", image.id, again.id)
		}
	})
	t.Run("serves and drains", func(t *testing.T) { testImageServes(t, image.tag) })
	t.Run("refuses", func(t *testing.T) { testImageRefuses(t, image.tag) })
}

type builtImage struct{ tag, id string }

// buildImage is what `make image` does.
func buildImage(t *testing.T) builtImage {
	t.Helper()
	tool := filepath.Join(t.TempDir(), "image")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", tool, "backhaul/deploy/image")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build deploy/image: %v\n%s", err, out)
	}
	tag := fmt.Sprintf("backhaul-imagetest:%d-%s", os.Getpid(), strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-")))
	cmd := exec.CommandContext(t.Context(), tool, "-dockerfile", programtest.InRepository(t, "deploy", "Dockerfile"), "-tag", tag,
		"-label", "org.opencontainers.image.version=v0.0.0-test",
		"program/backhaul="+programtest.Binary(t, "backhaul"), "state/data/")
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("build the image: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		// By its name: another one may have the same id.
		if out, err := exec.Command("docker", "rmi", tag).CombinedOutput(); err != nil {
			t.Errorf("remove the image: %v\n%s", err, out)
		}
	})
	_, id, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	return builtImage{tag: tag, id: id}
}

// hardened is how the image claims to work: nothing but its volume can be written
// to. What is published is so on loopback.
func hardened(ports ...string) testcontainers.CustomizeRequestOption {
	return testcontainers.WithHostConfigModifier(func(hc *container.HostConfig) {
		hc.ReadonlyRootfs = true
		hc.CapDrop = []string{"ALL"}
		hc.SecurityOpt = []string{"no-new-privileges:true"}
		hc.PortBindings = network.PortMap{}
		for _, port := range ports {
			hc.PortBindings[network.MustParsePort(port)] = []network.PortBinding{
				{HostIP: netip.AddrFrom4([4]byte{127, 0, 0, 1}), HostPort: "0"},
			}
		}
	})
}

func runContainer(t *testing.T, image string, options ...testcontainers.ContainerCustomizer) *testcontainers.DockerContainer {
	t.Helper()
	c, err := testcontainers.Run(t.Context(), image, append(options, testcontainers.WithLogger(tclog.TestLogger(t)))...)
	testcontainers.CleanupContainer(t, c)
	if err != nil {
		t.Fatalf("%v\n%s", err, containerLog(t, c))
	}
	return c
}

// containerLog returns the output of a container, "" if it does not exist.
func containerLog(t *testing.T, c *testcontainers.DockerContainer) string {
	t.Helper()
	if c == nil {
		return ""
	}
	logs, err := c.Logs(context.WithoutCancel(t.Context()))
	if err != nil {
		return err.Error()
	}
	defer func() { _ = logs.Close() }()
	text, _ := io.ReadAll(logs)
	return string(text)
}

// published returns the address of a container's port, which changes with each start.
func published(t *testing.T, c *testcontainers.DockerContainer, port, scheme string) string {
	t.Helper()
	address, err := c.PortEndpoint(t.Context(), port, scheme)
	if err != nil {
		t.Fatal(err)
	}
	return address
}

func testImageServes(t *testing.T, image string) {
	between, err := tcnetwork.New(t.Context())
	testcontainers.CleanupNetwork(t, between)
	if err != nil {
		t.Fatal(err)
	}
	vendor := runContainer(t, image,
		testcontainers.WithCmd("simulator", "--listen", ":8081"),
		testcontainers.WithExposedPorts("8081/tcp"), hardened("8081/tcp"),
		tcnetwork.WithNetwork([]string{"commvault"}, between),
		testcontainers.WithWaitStrategy(tcwait.ForHTTP("/simulator/account").WithPort("8081/tcp")))
	service := runContainer(t, image,
		testcontainers.WithEnv(map[string]string{
			"BACKHAUL_NATS_LISTEN":          ":4222",
			"BACKHAUL_VENDOR_ENDPOINT":      "http://commvault:8081/webconsole/api",
			"BACKHAUL_VENDOR_INSECURE_HTTP": "true",
			"BACKHAUL_VENDOR_USERNAME":      "backhaul",
			"BACKHAUL_VENDOR_PASSWORD":      "simulator",
			"TZ":                            "Asia/Kolkata", // only this half hour from UTC proves that zones are known
		}),
		testcontainers.WithExposedPorts("4222/tcp", "9090/tcp"), hardened("4222/tcp", "9090/tcp"),
		tcnetwork.WithNetwork(nil, between),
		// The image's check, more often.
		testcontainers.WithConfigModifier(func(c *container.Config) {
			c.Healthcheck = &container.HealthConfig{Interval: time.Second, Timeout: 10 * time.Second}
		}),
		testcontainers.WithWaitStrategy(tcwait.ForHTTP("/readyz").WithPort("9090/tcp").WithStartupTimeout(time.Minute)))

	client := programtest.Connect(t, published(t, service, "4222/tcp", "nats"))
	client.Publish("backup.request.billing", nil, programtest.SampleRequest("image-1"))
	client.WaitForOutcomes()
	wantStarted(t, client, "image-1")
	waittest.Eventually(t, "a healthy container", func() bool {
		state, err := service.State(t.Context())
		return err == nil && state.Health != nil && state.Health.Status == container.Healthy
	})
	if code, out := inContainer(t, service, "/backhaul", "healthcheck"); code != 0 || !strings.Contains(out, "ready") {
		t.Errorf("healthcheck: exit code %d, %s", code, out)
	}
	if code, out := inContainer(t, service, "/backhaul", "healthcheck", "--admin-addr", "127.0.0.1:1"); code != 1 {
		t.Errorf("healthcheck where nobody answers: exit code %d, %s", code, out)
	}

	// It is stopped while the vendor takes its time.
	simulator := published(t, vendor, "8081/tcp", "http")
	post(t, simulator+"/simulator/script", "slow:2s")
	client.Publish("backup.request.billing", nil, programtest.SampleRequest("image-2"))
	waittest.Eventually(t, "call at the vendor", func() bool {
		_, account := programtest.Probe(t, simulator+"/simulator/account")
		return strings.Contains(account, `image-2`)
	})
	patience := time.Minute
	if err := service.Stop(t.Context(), &patience); err != nil {
		t.Fatal(err)
	}
	state, err := service.State(t.Context())
	if err != nil || state.ExitCode != programtest.ExitDone {
		t.Errorf("after SIGTERM: %v, exit code %d", err, state.ExitCode)
	}
	log := containerLog(t, service)
	if !strings.Contains(log, `"drained"`) || !strings.Contains(log, "+05:30") {
		t.Errorf("the log has no drain, or no time of India:\n%s", log)
	}

	// The volume has what was on record.
	if err := service.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	programtest.WaitForStatus(t, published(t, service, "9090/tcp", "http")+"/readyz", http.StatusOK)
	again := programtest.Connect(t, published(t, service, "4222/tcp", "nats"))
	wantStarted(t, again, "image-1")
	wantStarted(t, again, "image-2")
	if n := again.Messages(publisher.RequestsStream); n != 0 {
		t.Errorf("%d requests are left", n)
	}
}

func wantStarted(t *testing.T, c *programtest.Client, id string) {
	t.Helper()
	if n := len(c.Stored(publisher.EventsStream, "backup.event.job-started.billing."+id)); n != 1 {
		t.Errorf("%d events say that %s started, want 1", n, id)
	}
}

// inContainer runs a second command in a container.
func inContainer(t *testing.T, c *testcontainers.DockerContainer, command ...string) (code int, output string) {
	t.Helper()
	code, out, err := c.Exec(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	return code, string(text)
}

func post(t *testing.T, url, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 {
		t.Fatalf("POST %s: %s", url, resp.Status)
	}
}

// testImageRefuses: what the image does not offer fails with the reason.
func testImageRefuses(t *testing.T, image string) {
	vendor := map[string]string{
		"BACKHAUL_VENDOR_ENDPOINT": "https://vendor.invalid/webconsole/api", "BACKHAUL_VENDOR_USERNAME": "u", "BACKHAUL_VENDOR_PASSWORD": programtest.Password,
	}
	elsewhere := map[string]string{"BACKHAUL_STORE_DIR": "/elsewhere"}
	for name, c := range map[string]struct {
		env     []map[string]string
		options []testcontainers.ContainerCustomizer
		code    int
		says    string
	}{
		"no endpoint":      {nil, []testcontainers.ContainerCustomizer{hardened()}, programtest.ExitUsage, "BACKHAUL_VENDOR_ENDPOINT"},
		"read-only root":   {[]map[string]string{vendor, elsewhere}, []testcontainers.ContainerCustomizer{hardened()}, programtest.ExitUsage, "read-only file system"},
		"unprivileged":     {[]map[string]string{vendor, elsewhere}, nil, programtest.ExitUsage, "permission denied"}, // even if the root can be written to
		"NATS unreachable": {[]map[string]string{vendor, {"BACKHAUL_NATS_URL": "nats://127.0.0.1:1"}}, []testcontainers.ContainerCustomizer{hardened()}, programtest.ExitUnreachable, "127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			options := append(slices.Clone(c.options), testcontainers.WithWaitStrategy(tcwait.ForExit().WithExitTimeout(time.Minute)))
			for _, env := range c.env {
				options = append(options, testcontainers.WithEnv(env))
			}
			refusing := runContainer(t, image, options...)
			state, err := refusing.State(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			log := containerLog(t, refusing)
			programtest.NoSecrets(t, log)
			if state.ExitCode != c.code || !strings.Contains(log, c.says) {
				t.Errorf("exit code %d, want %d with %q in\n%s", state.ExitCode, c.code, c.says, log)
			}
		})
	}
}
