package vendorapi

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"backhaul/schemas"
	"backhaul/vendorapi/internal/http1"
	"backhaul/vendorapi/secretstest"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	fingerprintRounds = 1000
	goleak.VerifyTestMain(m)
}

const (
	testUser     = "backhaul"  // of simulator.DefaultWorld
	testPassword = "simulator" // of simulator.DefaultWorld
	// worldToken and worldRefresh are the token pair of simulator.DefaultWorld.
	worldToken   = "simulator-access"
	worldRefresh = "simulator-refresh"
	testMarker   = "backhaul:billing/inv-2026-11-23-0007"
)

// testTask is the backup of the vendor's page.
func testTask() Task {
	return Task{
		Marker: testMarker,
		BackupRequest: schemas.BackupRequest{
			ClientName: "s-adhoc-object-storage", InstanceName: "s-adhoc-object-storage",
			BackupsetName: "defaultBackupSet", SubclientName: "stestgroup", StoragePolicyName: "default-plan",
			AppName: "Cloud Apps", BackupLevel: "INCREMENTAL",
			AdHocBackup: true, OnDemandInputFile: "/sk/s-directive-file-blob.txt",
		},
	}
}

// loadTask is a backup of one of the simulator's many content groups, so that
// jobs do not stand in each other's way.
func loadTask(n int) Task {
	t := testTask()
	t.SubclientName = fmt.Sprintf("load-%d", n)
	t.Marker = fmt.Sprintf("backhaul:load/%d", n)
	return t
}

func fixed(s Secret) func() (Secret, error) { return func() (Secret, error) { return s, nil } }

func loginAuth() Auth {
	return Auth{Mode: AuthLogin, Username: testUser, Password: fixed(testPassword)}
}

func tokenAuth(token Secret) Auth { return Auth{Mode: AuthToken, Token: fixed(token)} }

// newTestClient is a client of an endpoint, by login unless the configuration
// says otherwise. It never uses a proxy of the environment.
func newTestClient(t testing.TB, endpoint string, change ...func(*Config)) *Client {
	t.Helper()
	cfg := Config{Endpoint: endpoint, Auth: loginAuth(), InsecureHTTP: true}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	transportOf(c).Proxy = nil
	t.Cleanup(transportOf(c).CloseIdleConnections)
	return c
}

func withAuth(a Auth) func(*Config) { return func(cfg *Config) { cfg.Auth = a } }

func transportOf(c *Client) *http1.Transport { return c.transport }

// onLoopback is a simulator and a client of it over real sockets.
func onLoopback(t testing.TB, cfg simulator.Config, change ...func(*Config)) (*simulator.Simulator, *Client) {
	t.Helper()
	sim, endpoint := simulatortest.Start(t, cfg)
	return sim, newTestClient(t, endpoint, change...)
}

// onPipe is the same over pipes, for a synctest bubble. The client keeps its own
// transport: only the dialling is another.
func onPipe(t testing.TB, cfg simulator.Config, change ...func(*Config)) (*simulator.Simulator, *Client) {
	t.Helper()
	sim, endpoint, transport := simulatortest.StartPipe(t, cfg)
	c := newTestClient(t, endpoint, change...)
	transportOf(c).DialContext = transport.DialContext
	return sim, c
}

// vendor is a small web service for answers that the simulator has not. Login
// works; every other operation is answered by its function, else with 404.
type vendor struct {
	mu     sync.Mutex
	calls  map[string]int
	answer map[string]http.HandlerFunc
	logins int
	url    string
}

// startVendor serves operations, named by the last part of their path.
func startVendor(t testing.TB, answer map[string]http.HandlerFunc) *vendor {
	t.Helper()
	v := &vendor{calls: make(map[string]int), answer: answer}
	server := httptest.NewServer(v)
	t.Cleanup(server.Close)
	v.url = server.URL + "/api"
	return v
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	op := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	v.mu.Lock()
	v.calls[op]++
	handler := v.answer[op]
	if op == "Login" && handler == nil {
		v.logins++
		n := v.logins
		handler = func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, `{"token":"`+vendorToken(n)+`"}`) }
	}
	v.mu.Unlock()
	if handler == nil {
		http.NotFound(w, r)
		return
	}
	handler(w, r)
}

// count is how often an operation was called.
func (v *vendor) count(op string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.calls[op]
}

// vendorToken is the token of the nth login at a vendor.
func vendorToken(n int) string { return fmt.Sprintf("QSDK 5ec7e75ec7e75ec7e7%04d", n) }

// always answers every call alike.
func always(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { reply(w, status, body) }
}

func reply(w http.ResponseWriter, status int, body string) {
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

// wantVerdict checks an error's verdict and that no error shows a secret.
func wantVerdict(t testing.TB, err error, want Verdict) *Error {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("error %v (%T), want an *Error", err, err)
	}
	if e.Verdict != want {
		t.Errorf("verdict %s, want %s: %v", e.Verdict, want, err)
	}
	noSecrets(t, err)
	return e
}

// wantJob checks that there is no error and a job.
func wantJob(t testing.TB, job Job, err error) {
	t.Helper()
	if err != nil {
		noSecrets(t, err)
		t.Fatal(err)
	}
	if positive(job.ID) == "" || len(job.IDs) == 0 || job.IDs[0] != job.ID {
		t.Errorf("%+v is no started job", job)
	}
}

// noSecrets fails the test if a secret of any test here is shown by one of the
// values, whatever is done with it.
func noSecrets(t testing.TB, values ...any) {
	t.Helper()
	secretstest.NotShown(t, []string{
		testSecret, base64.StdEncoding.EncodeToString([]byte(testPassword)), worldToken, worldRefresh, "5ec7e7", "QSDK", "Bearer",
	}, values...)
	for _, v := range values {
		if shown := fmt.Sprintf("%+v", v); issuedToken.MatchString(shown) {
			t.Errorf("a token of the simulator is shown: %.500s", shown)
		}
	}
}

// issuedToken is what the simulator's tokens look like.
var issuedToken = regexp.MustCompile(`[0-9a-f]{48}`)

// testSecret is a password that is part of no other text, unlike the simulator's.
const testSecret = "Tr0ub4dor&3 hunter2"

// dials counts connections and can refuse them.
type dials struct {
	made   atomic.Int32
	refuse atomic.Bool
	wrap   func(net.Conn) net.Conn
}

// on makes a client's transport dial through it.
func (d *dials) on(c *Client) *dials {
	dial := transportOf(c).DialContext
	transportOf(c).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if d.refuse.Load() {
			return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", errRefused)}
		}
		d.made.Add(1)
		conn, err := dial(ctx, network, addr)
		if err == nil && d.wrap != nil {
			conn = d.wrap(conn)
		}
		return conn, err
	}
	return d
}

var errRefused = errors.New("connection refused")

// within is a context that ends after d.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// permitted allows every attempt.
func permitted(context.Context) (time.Time, error) { return time.Now().Add(time.Hour), nil }
