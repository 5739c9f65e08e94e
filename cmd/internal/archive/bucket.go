package archive

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"sync"
	"time"

	"backhaul/consumer/trigger/objectstore"
)

// Bucket is an archive in a bucket of an object store. Its tiles and bundles are locked against
// deletion, and its checkpoint is replaced by compare-and-set: of two archivers one succeeds.
type Bucket struct {
	objects *objectstore.Bucket
	url     string
	options BucketOptions

	mu   sync.Mutex
	etag string // of the checkpoint that was read or written last, "" if there was none
}

// BucketOptions are those of [NewBucket].
type BucketOptions struct {
	// Retention is how long what was archived cannot be deleted, from the time at which the
	// events were stored. Defaults to the bucket's own retention.
	Retention time.Duration
	// Governance lets users with a permission of their own end it before.
	Governance bool
}

// tailRetention bounds the retention of what is soon replaced: the checkpoint, and the tiles and
// bundles that are not full.
const tailRetention = 30 * 24 * time.Hour

// maxSkew is how wrong the clock of this host may be: stores refuse requests with another time.
const maxSkew = 15 * time.Minute

// NewBucket returns the archive in a bucket. url is what people call it.
func NewBucket(objects *objectstore.Bucket, url string, o BucketOptions) *Bucket {
	return &Bucket{objects: objects, url: url, options: o}
}

func (b *Bucket) String() string { return b.url }

// Read implements [Store].
func (b *Bucket) Read(ctx context.Context, name string) ([]byte, error) {
	data, etag, err := b.objects.Get(ctx, name)
	if name == CheckpointName && (err == nil || errors.Is(err, fs.ErrNotExist)) {
		b.mu.Lock()
		b.etag = etag
		b.mu.Unlock()
	}
	return data, err
}

// lock returns how long a file must stay. newest is when the newest event in it was stored, by the
// clock of the NATS server. If that is later than now, which the store compares with its own clock,
// the NATS server's clock is wrong, and now counts: no one could end a retention that is too long.
func (b *Bucket) lock(name string, newest time.Time, held bool) objectstore.Lock {
	l := objectstore.Lock{Governance: b.options.Governance, Held: held}
	retention := b.options.Retention
	if partial(name) || name == CheckpointName {
		retention = min(retention, tailRetention)
	}
	if now := time.Now(); newest.After(now) {
		newest = now
	}
	// A store refuses a retention that has ended by its own clock.
	if until := newest.Add(retention); retention > 0 && time.Until(until) > maxSkew {
		l.Until = until
	}
	return l
}

// Write implements [Store].
func (b *Bucket) Write(ctx context.Context, name string, data []byte, k Keep) error {
	lock := b.lock(name, k.Newest, k.Held)
	_, err := b.objects.Put(ctx, name, data, objectstore.Condition{Absent: true}, lock)
	if !errors.Is(err, objectstore.ErrChanged) {
		return err
	}
	there, _, err := b.objects.Get(ctx, name)
	if err != nil || bytes.Equal(there, data) {
		return err
	}
	if err := b.unchanged(ctx); err != nil {
		return err
	}
	return &OccupiedError{name}
}

// unchanged returns [ErrOther] if the checkpoint is another one than was read or written last.
func (b *Bucket) unchanged(ctx context.Context) error {
	_, etag, err := b.objects.Get(ctx, CheckpointName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if etag != b.etag {
		return ErrOther
	}
	return nil
}

// Swap implements [Store]. It reads the checkpoint back: one that was refused may be there all the
// same, because its answer was lost, and a proxy may answer for a store that never saw it.
func (b *Bucket) Swap(ctx context.Context, checkpoint []byte, k Keep) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, err := b.objects.Put(ctx, CheckpointName, checkpoint, objectstore.Condition{Absent: b.etag == "", ETag: b.etag}, b.lock(CheckpointName, k.Newest, false))
	refused := errors.Is(err, objectstore.ErrChanged)
	if err != nil && !refused {
		return err
	}
	there, etag, err := b.objects.Get(ctx, CheckpointName)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case bytes.Equal(there, checkpoint):
		b.etag = etag
		return nil
	case refused || etag != b.etag:
		return ErrOther
	}
	return errors.New("the store has said that it keeps the checkpoint, and has still the former one: something between here and the store answers for it")
}

// Remove implements [Store]. Without a permission to delete they stay, and nothing reads them.
func (b *Bucket) Remove(ctx context.Context, below string) { _ = b.objects.Delete(ctx, below) }

// Lock implements [Store]. A bucket has no lock: two archivers write the same bytes, and one of
// them replaces the checkpoint.
func (b *Bucket) Lock() (unlock func(), err error) { return func() {}, nil }
