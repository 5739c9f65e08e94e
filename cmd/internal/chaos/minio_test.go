package chaos

import (
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"backhaul/cmd/internal/programtest"
	"backhaul/consumer/trigger/objectstore/objectstoretest"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
)

var (
	minioBinary  = flag.String("trigger.minio", "", "`program` minio, for TestRealMinIO")
	minioObjects = flag.Int("trigger.objects", 3000, "objects that TestRealMinIO writes, copies and deletes")
)

// A MinIO publishes what happens to objects to JetStream. Both replicas of the trigger are
// killed every second, and for a third of the time NATS is away. Each change is in exactly one
// list; the lists are in the same buckets, and start nothing.
func TestRealMinIO(t *testing.T) {
	if *minioBinary == "" {
		t.Skip("needs the program minio: -trigger.minio=PROGRAM")
	}
	s := startMinIO(t)
	env := programtest.TriggerEnv(t, s.url, &objectstoretest.Server{URL: "http://" + s.address}, "routes:\n"+
		"- {container: plain, clientName: c, subclientName: plain, window: {quiet: 500ms, max: 3s, maxPaths: 60}, directive: {container: plain, prefix: .backhaul/}}\n"+
		"- {container: kept, clientName: c, subclientName: kept, window: {quiet: 500ms, max: 3s, maxPaths: 60}, directive: {container: kept, prefix: .backhaul/}}\n")
	if code, _, stderr := programtest.Once(t, env[:1], "", "setup", "--trigger"); code != 0 {
		t.Fatal(stderr)
	}
	for bucket, versions := range map[string]bool{"plain": false, "kept": true} {
		if err := s.user.Bucket(bucket, versions, "minio", "", "BACKHAUL", "nats"); err != nil {
			t.Fatal(err)
		}
	}
	w := &objectWork{user: s.user, wanted: make(map[string]listings)}
	worked := make(chan error, 1)
	go func() { worked <- w.run(*minioObjects) }()

	began, kills := time.Now(), 0
	kill := time.NewTicker(time.Second)
	defer kill.Stop()
	var away, back time.Time
	for over := false; !over; {
		replicas := []*programtest.Process{programtest.Start(t, env, "backhaul", "trigger"), programtest.Start(t, env, "backhaul", "trigger")}
		<-kill.C
		for _, p := range replicas {
			p.Kill()
		}
		kills++
		done := int(w.done.Load())
		switch {
		case away.IsZero() && done > *minioObjects/3:
			s.nats.Kill()
			away = time.Now()
		case !away.IsZero() && back.IsZero() && done > *minioObjects*2/3:
			s.startNATS(t)
			back = time.Now()
		}
		select {
		case err := <-worked:
			if err != nil {
				t.Fatal(err)
			}
			worked <- nil
			over = !back.IsZero() && s.queued(t) == 0 && programtest.Connect(t, s.url).Messages(publisher.StorageStream) == 0
		default:
		}
		if time.Since(began) > 8*time.Minute {
			t.Fatalf("%d of %d objects after %s, %d notifications wait in MinIO", done, *minioObjects, time.Since(began), s.queued(t))
		}
	}
	requests, paths := s.judge(t, w.wanted)
	t.Logf("%d changes of %d objects (%d in parts) in %s: %d requests with %d paths; both replicas killed %d times, NATS away for %s",
		w.changes, len(w.wanted), s.user.Multipart, time.Since(began).Round(time.Second), requests, paths, kills, back.Sub(away).Round(time.Second))
}

// realMinIO is a MinIO with the NATS server that it publishes to.
type realMinIO struct {
	user         *objectstoretest.User
	address      string // of MinIO
	queue        string // what MinIO could not publish yet
	nats         *programtest.Process
	natsDir, url string
}

func startMinIO(t *testing.T) *realMinIO {
	t.Helper()
	program, err := exec.LookPath(*minioBinary)
	if err != nil {
		t.Fatal(err)
	}
	natsAddress := programtest.FreeAddress(t)
	s := &realMinIO{address: programtest.FreeAddress(t), queue: t.TempDir(), natsDir: t.TempDir(), url: "nats://" + natsAddress}
	s.startNATS(t)
	if s.user, err = objectstoretest.NewUser(s.address, "backhaul", programtest.StoreKey); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "server", "--quiet", "--address", s.address, "--console-address", programtest.FreeAddress(t), t.TempDir())
	programtest.StartCommand(t, cmd, []string{
		"MINIO_ROOT_USER=backhaul", "MINIO_ROOT_PASSWORD=" + programtest.StoreKey, "MINIO_BROWSER=off", "MINIO_UPDATE=off", "HOME=" + t.TempDir(),
		"MINIO_NOTIFY_NATS_ENABLE_BACKHAUL=on", "MINIO_NOTIFY_NATS_ADDRESS_BACKHAUL=" + natsAddress, "MINIO_NOTIFY_NATS_SUBJECT_BACKHAUL=storage.event.minio",
		"MINIO_NOTIFY_NATS_JETSTREAM_BACKHAUL=on", "MINIO_NOTIFY_NATS_QUEUE_DIR_BACKHAUL=" + s.queue, "MINIO_NOTIFY_NATS_QUEUE_LIMIT_BACKHAUL=100000",
	})
	waittest.Eventually(t, "answer of MinIO", func() bool { return s.user.Ready() == nil })
	return s
}

// startNATS starts the server, or starts it again with what it had stored.
func (s *realMinIO) startNATS(t *testing.T) {
	t.Helper()
	address := strings.TrimPrefix(s.url, "nats://")
	waittest.Eventually(t, "port of the server that was killed", func() bool {
		listener, err := net.Listen("tcp", address) // a connection of another program may have it
		return err == nil && listener.Close() == nil
	})
	_, port, _ := strings.Cut(address, ":")
	s.nats = programtest.Start(t, nil, "nats-server", "-a", "127.0.0.1", "-p", port, "-js", "-sd", s.natsDir)
	s.nats.WaitFor(t, "Server is ready")
}

// queued returns how many notifications MinIO could not publish yet.
func (s *realMinIO) queued(t *testing.T) (n int) {
	t.Helper()
	err := filepath.WalkDir(s.queue, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			n++
		}
		return nil // it deletes files meanwhile
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// judge compares the lists of all requests with what is wanted.
func (s *realMinIO) judge(t *testing.T, wanted map[string]listings) (requests, paths int) {
	t.Helper()
	listed := make(map[string]int)
	contents := make(map[string]string)
	for _, msg := range waiting(programtest.Connect(t, s.url)) {
		var req struct{ RequestID, OnDemandInputFile string }
		if err := json.Unmarshal(msg.Data, &req); err != nil {
			t.Fatal(err)
		}
		if before, again := contents[req.RequestID]; again {
			if before != string(msg.Data) {
				t.Errorf("the request %s is there with other content: %s, then %s", req.RequestID, before, msg.Data)
			}
			continue
		}
		contents[req.RequestID] = string(msg.Data)
		bucket, name, _ := strings.Cut(strings.TrimPrefix(req.OnDemandInputFile, "/"), "/")
		content, err := s.user.Get(bucket, name)
		if err != nil {
			t.Errorf("the request %s has no list: %v", msg.Data, err)
			continue
		}
		for line := range strings.Lines(content) {
			listed[strings.TrimSuffix(line, "\n")]++
			paths++
		}
	}
	var wrong []string
	for path, want := range wanted {
		if n := listed[path]; n < want.least || n > want.most {
			wrong = append(wrong, fmt.Sprintf("%q is in %d lists, want %d to %d (%s)", path, n, want.least, want.most, want.what))
		}
		delete(listed, path)
	}
	for path := range listed {
		wrong = append(wrong, fmt.Sprintf("%q is listed and did not change", path))
	}
	slices.Sort(wrong)
	if len(wrong) > 0 {
		t.Errorf("%d of %d: %s", len(wrong), len(wanted), strings.Join(wrong[:min(len(wrong), 20)], "\n"))
	}
	return len(contents), paths
}

// listings is in how many lists a path must be. Changes of one object that follow each other
// are in one list or in several, depending on where windows end.
type listings struct {
	least, most int
	what        string
}

// objectWork changes objects, one after the other.
type objectWork struct {
	user    *objectstoretest.User
	wanted  map[string]listings
	changes int
	done    atomic.Int64
}

func (w *objectWork) run(objects int) error {
	var last string // an object to copy
	for n := range objects {
		bucket, key := "plain", fmt.Sprintf("%d/a b+c%%20ä=%05d.bin", n%7, n)
		want := listings{1, 1, "put"}
		var err error
		switch n % 10 {
		default:
			_, err = w.user.Put(bucket, key, 100)
			last = key
			w.changes++
		case 4:
			want.what = "copied"
			err = w.user.Copy(bucket, last, key)
			w.changes++
		case 5:
			if want.what = "put in parts"; n%50 == 5 {
				_, err = w.user.Put(bucket, key, 6<<20)
			} else {
				_, err = w.user.Put(bucket, key, 0)
			}
			w.changes++
		case 6:
			bucket = "kept"
			_, err = w.user.Put(bucket, key, 100)
			w.changes++
		case 7:
			bucket, want = "kept", listings{1, 2, "two versions"}
			err = w.versions(bucket, key)
		case 8:
			want = listings{0, 1, "put and deleted"}
			if _, err = w.user.Put(bucket, key, 100); err == nil {
				_, err = w.user.Delete(bucket, key, "")
			}
			w.changes += 2
		case 9:
			bucket, want = "kept", listings{1, 2, "deleted and brought back"}
			err = w.undelete(bucket, key)
		}
		if err != nil {
			return fmt.Errorf("%s /%s/%s: %w", want.what, bucket, key, err)
		}
		w.wanted["/"+bucket+"/"+key] = want
		w.done.Store(int64(n + 1))
	}
	return nil
}

func (w *objectWork) versions(bucket, key string) error {
	w.changes += 2
	if _, err := w.user.Put(bucket, key, 100); err != nil {
		return err
	}
	_, err := w.user.Put(bucket, key, 200)
	return err
}

func (w *objectWork) undelete(bucket, key string) error {
	w.changes += 3
	if _, err := w.user.Put(bucket, key, 100); err != nil {
		return err
	}
	marker, err := w.user.Delete(bucket, key, "")
	if err != nil {
		return err
	}
	if marker == "" {
		return fmt.Errorf("the deletion made no delete marker")
	}
	_, err = w.user.Delete(bucket, key, marker)
	return err
}
