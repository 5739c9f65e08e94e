package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/tlog"
	"k8s.io/klog/v2"

	"backhaul/publisher"
)

func TestMain(m *testing.M) {
	klog.LogToStderr(false) // of tessera's fsck
	klog.SetOutput(io.Discard)
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("k8s.io/klog/v2.(*flushDaemon).run.func1"))
}

var made = time.Unix(1_764_340_000, 123).UTC()

// place is where the stream of the tests begins.
var place = &publisher.Place{Stream: "BACKUP_EVENTS", Created: made, Next: 1}

// keyPair is a private key of a log and its public one.
func keyPair(t testing.TB, name string) (Signer, Keys) {
	t.Helper()
	private, public, err := GenerateKey(name)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := OpenPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := OpenPublicKeys("# the log's key\n" + public + "\n")
	if err != nil || keys.String() != signer.Keys.String() {
		t.Fatalf("the public key is %s, of the private one %s: %v", keys, signer.Keys, err)
	}
	return signer, keys
}

// message is a message with this sequence.
func message(sequence uint64) jetstream.RawStreamMsg {
	return jetstream.RawStreamMsg{
		Sequence: sequence, Time: made.Add(time.Duration(sequence) * time.Millisecond),
		Subject: fmt.Sprintf("backup.event.job-submitting.billing.r-%d", sequence),
		Header:  nats.Header{"ce-id": {fmt.Sprintf("billing/r-%d/job-submitting", sequence)}, "Nats-Trace": {"a", "b"}},
		Data:    fmt.Appendf(nil, `{"requestId":"r-%d"}`, sequence),
	}
}

func messages(first, last uint64) (all []jetstream.RawStreamMsg) {
	for n := first; n <= last; n++ {
		all = append(all, message(n))
	}
	return all
}

// archiveTest is an archive in a directory.
type archiveTest struct {
	*testing.T
	dir    string
	store  Store
	signer Signer
	keys   Keys
}

func newArchive(t *testing.T) *archiveTest {
	a := &archiveTest{T: t, dir: filepath.Join(t.TempDir(), "archive")}
	a.store = NewDir(a.dir)
	a.signer, a.keys = keyPair(t, "backhaul.example.com/events")
	return a
}

func (a *archiveTest) open() *Log {
	a.Helper()
	l, err := Open(a.Context(), a.store, a.signer, Options{})
	if err != nil {
		a.Fatal(err)
	}
	return l
}

// append opens the archive, appends and closes it again, as a process does that ends then.
func (a *archiveTest) append(begin *publisher.Place, messages ...jetstream.RawStreamMsg) Checkpoint {
	a.Helper()
	l := a.open()
	defer l.Close()
	if err := l.Append(a.Context(), begin, messages); err != nil {
		a.Fatal(err)
	}
	return l.Checkpoint()
}

func (a *archiveTest) reader() *Reader {
	a.Helper()
	r, err := NewReader(a.Context(), a.store, a.keys)
	if err != nil {
		a.Fatal(err)
	}
	return r
}

func (a *archiveTest) read() (all []jetstream.RawStreamMsg) {
	a.Helper()
	if err := a.reader().Messages(a.Context(), 0, func(m Message) error {
		all = append(all, *m.RawStreamMsg)
		return nil
	}); err != nil {
		a.Fatal(err)
	}
	return all
}

// The tiles, bundles and checkpoints are what libraries of others expect.
func TestLog_isReadByAnotherLibrary(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	next := uint64(1)
	for _, n := range []uint64{1, 254, 1, 300, 1, 70_000, 100} {
		begin := place
		if next > 1 {
			begin = nil
		}
		a.append(begin, messages(next, next+n-1)...)
		next += n
		a.check()
	}
	if got := a.read(); len(got) != int(next-1) || got[70].Subject != message(71).Subject || fmt.Sprint(got[70].Header) != fmt.Sprint(message(71).Header) {
		t.Errorf("read %d messages of %d; one of them is %+v", len(got), next-1, got[70])
	}
}

// check makes another library check the archive, and an inclusion proof of every 997th leaf.
func (a *archiveTest) check() {
	a.Helper()
	files := client.FileFetcher{Root: a.dir}
	hashes := func(bundle []byte) ([][]byte, error) {
		var b api.EntryBundle
		if err := b.UnmarshalText(bundle); err != nil {
			return nil, err
		}
		var all [][]byte
		for _, entry := range b.Entries {
			all = append(all, rfc6962.DefaultHasher.HashLeaf(entry))
		}
		return all, nil
	}
	if err := fsck.New(a.keys.Name(), a.keys[0], files, hashes, fsck.Opts{N: 2}).Check(a.Context()); err != nil {
		a.Fatalf("tessera's fsck: %v", err)
	}
	checkpoint, _, _, err := client.FetchCheckpoint(a.Context(), files.ReadCheckpoint, a.keys[0], a.keys.Name())
	if err != nil {
		a.Fatal(err)
	}
	builder, err := client.NewProofBuilder(a.Context(), checkpoint.Size, files.ReadTile)
	if err != nil {
		a.Fatal(err)
	}
	r := a.reader()
	for index := uint64(0); index < checkpoint.Size; index += 997 {
		bundle, err := client.GetEntryBundle(a.Context(), files.ReadEntryBundle, index/tileWidth, checkpoint.Size)
		if err != nil {
			a.Fatal(err)
		}
		leaf := rfc6962.DefaultHasher.HashLeaf(bundle.Entries[index%tileWidth])
		theirs, err := builder.InclusionProof(a.Context(), index)
		if err != nil {
			a.Fatal(err)
		}
		ours, err := tlog.ProveRecord(r.N, int64(index), r.hashes(a.Context()))
		if err != nil || fmt.Sprint(ours) != fmt.Sprint(asHashes(theirs)) {
			a.Fatalf("the proof of leaf %d is %v, and not as another library has it: %v", index, ours, err)
		}
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, checkpoint.Size, leaf, theirs, checkpoint.Hash); err != nil {
			a.Fatalf("leaf %d: %v", index, err)
		}
	}
}

func asHashes(proof [][]byte) tlog.RecordProof {
	hashes := tlog.RecordProof{}
	for _, data := range proof {
		hashes = append(hashes, tlog.Hash(data))
	}
	return hashes
}

// What is there already is left out, and what is missing becomes a gap, however messages come.
func TestLog_exactlyOnce(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	a.append(place, messages(1, 300)...)
	a.append(nil, messages(290, 310)...)
	a.append(nil, messages(1, 5)...)
	a.append(nil, append(messages(311, 320), messages(330, 340)...)...)
	for i, m := range a.read() {
		want := uint64(i + 1)
		if want > 320 {
			want += 9
		}
		if m.Sequence != want {
			t.Fatalf("message %d has the sequence %d, want %d", i, m.Sequence, want)
		}
	}
	l := a.open()
	defer l.Close()
	if got, want := l.Place(), (publisher.Place{Stream: "BACKUP_EVENTS", Created: made, Next: 341}); got != want {
		t.Errorf("the archive ends at %+v, want %+v", got, want)
	}
	if got, want := l.Last(), message(340); got.Sequence != 340 || !got.Time.Equal(want.Time) || got.Subject != want.Subject {
		t.Errorf("the last message is %+v, want %+v", got, want)
	}
}

// The archive depends on the messages alone, and not on how they came: so nothing is lost when
// two archivers, or the same one before and after a crash, write the same files.
func TestLog_isDeterministic(t *testing.T) {
	t.Parallel()
	a, b := newArchive(t), newArchive(t)
	b.signer, b.keys = a.signer, a.keys
	a.append(place, messages(1, 1000)...)
	b.append(place, messages(1, 3)...)
	b.append(nil, messages(4, 700)...)
	got := b.append(nil, messages(600, 1000)...)
	if want, err := os.ReadFile(filepath.Join(a.dir, CheckpointName)); err != nil || string(want) != string(got.Note) {
		t.Errorf("the checkpoint is\n%s, want\n%s", got.Note, want)
	}
}

func TestLog_messagesOfAnySize(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	var all []jetstream.RawStreamMsg
	for i, size := range []int{0, 1, maxLeaf - 200, maxLeaf, maxLeaf + 1, 300_000, 0} {
		m := message(uint64(i + 1))
		m.Data = []byte(strings.Repeat("\x00\xffx\n", size/4+1)[:size])
		if i%2 == 0 {
			m.Header = nil
		}
		all = append(all, m)
	}
	a.append(place, all...)
	got := a.read()
	if len(got) != len(all) {
		t.Fatalf("read %d messages, want %d", len(got), len(all))
	}
	for i, m := range got {
		if fmt.Sprintf("%q", m.Data) != fmt.Sprintf("%q", all[i].Data) || fmt.Sprint(m.Header) != fmt.Sprint(all[i].Header) || !m.Time.Equal(all[i].Time) {
			t.Errorf("message %d was read as another one", i)
		}
	}
	a.check()
}

// One process appends at a time.
func TestLog_twoAtOnce(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	l := a.open()
	if _, err := Open(a.Context(), a.store, a.signer, Options{}); !errors.Is(err, ErrOther) {
		t.Errorf("a second one opens it: %v", err)
	}
	l.Close()
	a.append(place, messages(1, 2)...)
}

// faulty is a store that fails in a call, before or after it has done what it should.
type faulty struct {
	Store
	mu          sync.Mutex
	calls, fail int
	after       bool
}

var errFault = errors.New("no space left on device")

func (f *faulty) fault(do func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.calls == f.fail && !f.after {
		return errFault
	}
	err := do()
	if f.calls == f.fail && err == nil {
		return errFault
	}
	if f.calls > f.fail {
		return errFault // the process is gone
	}
	return err
}

func (f *faulty) Write(ctx context.Context, name string, data []byte, k Keep) error {
	return f.fault(func() error { return f.Store.Write(ctx, name, data, k) })
}

func (f *faulty) Swap(ctx context.Context, checkpoint []byte, k Keep) error {
	return f.fault(func() error { return f.Store.Swap(ctx, checkpoint, k) })
}

// Whatever write is the last one before a crash: the next process goes on, and its archive is
// the one of a process that never crashed.
func TestLog_aCrashAtEveryWrite(t *testing.T) {
	t.Parallel()
	whole := newArchive(t)
	whole.append(place, messages(1, 600)...)
	want := whole.append(nil, messages(601, 900)...)
	for _, after := range []bool{false, true} {
		for fail, crashed := 1, true; crashed; fail++ {
			a := newArchive(t)
			a.signer, a.keys = whole.signer, whole.keys
			a.append(place, messages(1, 200)...)
			a.append(nil, messages(201, 600)...)
			l := a.open()
			l.store = &faulty{Store: a.store, fail: fail, after: after}
			// After the crash there may be more in the stream than before it.
			err := l.Append(t.Context(), nil, messages(601, 850))
			crashed = err != nil
			l.Close()
			if crashed && !errors.Is(err, errFault) {
				t.Fatal(err)
			}
			if got := a.append(nil, messages(601, 900)...); string(got.Note) != string(want.Note) {
				t.Fatalf("after a fault in write %d the checkpoint is\n%s, want\n%s", fail, got.Note, want.Note)
			}
			a.check()
		}
	}
}
