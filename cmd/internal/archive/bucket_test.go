package archive

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer/trigger/objectstore"
	"backhaul/consumer/trigger/objectstore/objectstoretest"
)

// newBucket is an archive in a bucket of a server, and a way to open it as another process does.
func newBucket(t *testing.T, o BucketOptions) (a *archiveTest, server *objectstoretest.Server, again func() Store) {
	t.Helper()
	server = objectstoretest.Start(t, "evidence")
	text := func(value string) func() (string, error) { return func() (string, error) { return value, nil } }
	again = func() Store {
		s, err := objectstore.New(objectstore.Config{Endpoint: server.URL, PathStyle: true, AccessKey: text("AKIDEXAMPLE"), SecretKey: text("Geheim/4c1f")})
		if err != nil {
			t.Fatal(err)
		}
		return NewBucket(s.Bucket("evidence", "backhaul/"), "s3://evidence/backhaul", o)
	}
	a = &archiveTest{T: t, store: again()}
	a.signer, a.keys = keyPair(t, "backhaul.example.com/events")
	return a, server, again
}

// A bucket has the same files as a directory.
func TestBucket_asADirectory(t *testing.T) {
	t.Parallel()
	a, server, again := newBucket(t, BucketOptions{})
	dir := newArchive(t)
	dir.signer, dir.keys = a.signer, a.keys
	for _, w := range []*archiveTest{a, dir} {
		w.append(place, messages(1, 300)...)
		w.append(nil, messages(301, 700)...)
	}
	if err := filepath.WalkDir(dir.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == lockName {
			return err
		}
		name, _ := filepath.Rel(dir.dir, path)
		want, err := os.ReadFile(path)
		if got := server.Get("evidence", "backhaul/"+name); err == nil && got != string(want) {
			t.Errorf("%s differs", name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	a.store = again()
	if report := a.verify(); len(report.Problems) > 0 || report.Events != 700 {
		t.Errorf("%+v", report)
	}
}

// Whatever request fails, or is done without an answer: the next process goes on.
func TestBucket_aCrashAtEveryWrite(t *testing.T) {
	t.Parallel()
	whole := newArchive(t)
	want := whole.append(place, messages(1, 900)...)
	for _, after := range []bool{false, true} {
		for fail, crashed := 1, true; crashed; fail++ {
			a, server, again := newBucket(t, BucketOptions{})
			a.signer, a.keys = whole.signer, whole.keys
			a.append(place, messages(1, 200)...)
			l := a.open()
			calls := 0
			gone := func(r *http.Request) bool {
				if r.Method != http.MethodPut {
					return calls >= fail
				}
				calls++
				return calls >= fail
			}
			if after {
				server.LoseAnswers(gone)
			} else {
				server.Fail(func(r *http.Request) int { return map[bool]int{true: http.StatusServiceUnavailable}[gone(r)] })
			}
			crashed = l.Append(t.Context(), nil, messages(201, 850)) != nil
			l.Close()
			server.Fail(nil)
			server.LoseAnswers(nil)
			a.store = again()
			if got := a.append(nil, messages(201, 900)...); string(got.Note) != string(want.Note) {
				t.Fatalf("after a fault in request %d the checkpoint is\n%s, want\n%s", fail, got.Note, want.Note)
			}
			if report := a.verify(); len(report.Problems) > 0 {
				t.Fatal(report.Problems)
			}
		}
	}
}

// An answer that is lost is no other archiver.
func TestBucket_aLostAnswer(t *testing.T) {
	t.Parallel()
	a, server, _ := newBucket(t, BucketOptions{})
	a.append(place, messages(1, 5)...)
	l := a.open()
	defer l.Close()
	server.LoseAnswers(func(r *http.Request) bool {
		return strings.HasSuffix(r.URL.Path, "/checkpoint") && r.Method == http.MethodPut
	})
	if err := l.Append(t.Context(), nil, messages(6, 7)); err == nil {
		t.Log("the client repeated it")
	}
	server.LoseAnswers(nil)
	if err := l.Append(t.Context(), nil, messages(6, 9)); err != nil && !errors.Is(err, ErrOther) {
		t.Fatal(err)
	}
	a.append(nil, messages(6, 9)...)
	if got := a.read(); len(got) != 9 {
		t.Errorf("%d messages, want 9", len(got))
	}
}

// Two archivers at once: one of them signs, the other one is told. Nothing is there twice.
func TestBucket_twoAtOnce(t *testing.T) {
	t.Parallel()
	a, _, again := newBucket(t, BucketOptions{})
	a.append(place, messages(1, 10)...)
	first := a.open()
	a.store = again()
	second := a.open()
	if err := first.Append(t.Context(), nil, messages(11, 300)); err != nil {
		t.Fatal(err)
	}
	if err := second.Append(t.Context(), nil, messages(11, 20)); !errors.Is(err, ErrOther) {
		t.Errorf("the second one writes behind the back of the first one: %v", err)
	}
	// It slept until the stream had lost an event that the first one has.
	late := append(messages(11, 14), messages(16, 300)...)
	if err := second.Append(t.Context(), nil, late); !errors.Is(err, ErrOther) {
		t.Errorf("it overwrites what was signed: %v", err)
	}
	if report := a.verify(); len(report.Problems) > 0 || report.Events != 300 || len(report.Gaps) > 0 {
		t.Errorf("%+v", report)
	}
}

// Files are locked from the time of their events on; what is replaced soon, for a month at most.
func TestBucket_objectLock(t *testing.T) {
	t.Parallel()
	const years = 7 * 365 * 24 * time.Hour
	a, server, _ := newBucket(t, BucketOptions{Retention: years})
	var mu sync.Mutex
	until := make(map[string]string)
	hold := make(map[string]string)
	server.Fail(func(r *http.Request) int {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodPut {
			name := strings.TrimPrefix(r.URL.Path, "/evidence/backhaul/")
			until[name] = r.Header.Get("X-Amz-Object-Lock-Mode") + " " + r.Header.Get("X-Amz-Object-Lock-Retain-Until-Date")
			hold[name] = r.Header.Get("X-Amz-Object-Lock-Legal-Hold")
		}
		return 0
	})
	l, err := Open(t.Context(), a.store, a.signer, Options{Hold: HoldLabel("legal-hold")})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	now := time.Now().UTC()
	all := messages(1, 300)
	for i := range all {
		all[i].Time = now
	}
	if err := l.Append(t.Context(), place, all); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"tile/entries/000": "COMPLIANCE " + now.Add(years).Format(time.RFC3339), "tile/0/000": "COMPLIANCE " + now.Add(years).Format(time.RFC3339),
		"tile/entries/001.p/45": "COMPLIANCE " + now.Add(tailRetention).Format(time.RFC3339), "checkpoint": "COMPLIANCE " + now.Add(tailRetention).Format(time.RFC3339),
	} {
		if until[name] != want {
			t.Errorf("%s is locked as %q, want %q", name, until[name], want)
		}
	}
	held := event(301, "r-x", failed())
	held.Time = now
	held.Data = []byte(strings.Replace(string(held.Data), `"source":"billing"`, `"source":"billing","labels":{"legal-hold":"CASE-7"}`, 1))
	if err := l.Append(t.Context(), nil, append([]jetstream.RawStreamMsg{held}, messages(302, 900)...)); err != nil {
		t.Fatal(err)
	}
	if hold["tile/entries/001"] != "ON" || hold["tile/entries/000"] != "" || hold["tile/entries/002"] != "" {
		t.Errorf("held are %v", hold)
	}
}

// While the bucket is away nothing is lost, and the error says what it is.
func TestBucket_away(t *testing.T) {
	t.Parallel()
	a, server, _ := newBucket(t, BucketOptions{})
	a.append(place, messages(1, 5)...)
	l := a.open()
	defer l.Close()
	server.Fail(func(*http.Request) int { return http.StatusForbidden })
	if err := l.Append(t.Context(), nil, messages(6, 9)); err == nil || !strings.Contains(err.Error(), "s3://evidence/backhaul: write tile/") {
		t.Errorf("the error is %v", err)
	}
	server.Fail(nil)
	if err := l.Append(t.Context(), nil, messages(6, 9)); err != nil {
		t.Fatal(err)
	}
	if got := a.read(); len(got) != 9 {
		t.Errorf("%d messages, want 9", len(got))
	}
}
