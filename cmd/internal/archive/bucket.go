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
	// Retention is how long nobody can delete what was archived, from the time at which the
	// events were stored. Defaults to the bucket's own retention.
	Retention time.Duration
	// Governance lets users with a permission of their own end it before.
	Governance bool
}

// tailRetention bounds the retention of what is soon replaced: the checkpoint, and the tiles and
// bundles that are not full.
const tailRetention = 30 * 24 * time.Hour

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
// clock of the NATS server: a clock of this host that is wrong makes no retention short.
func (b *Bucket) lock(name string, newest time.Time, held bool) objectstore.Lock {
	l := objectstore.Lock{Governance: b.options.Governance, Held: held}
	retention := b.options.Retention
	if partial(name) || name == CheckpointName {
		retention = min(retention, tailRetention)
	}
	if until := newest.Add(retention); retention > 0 && time.Until(until) > 0 {
		l.Until = until
	}
	return l
}

// Write implements [Store]. What is there already has the same bytes, unless it is of an archiver
// that crashed before it signed them.
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
	_, err = b.objects.Put(ctx, name, data, objectstore.Condition{}, lock)
	return err
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

// Swap implements [Store].
func (b *Bucket) Swap(ctx context.Context, checkpoint []byte, k Keep) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	etag, err := b.objects.Put(ctx, CheckpointName, checkpoint, objectstore.Condition{Absent: b.etag == "", ETag: b.etag}, b.lock(CheckpointName, k.Newest, false))
	if errors.Is(err, objectstore.ErrChanged) {
		// It may be this one: its answer was lost.
		there, current, readErr := b.objects.Get(ctx, CheckpointName)
		switch {
		case readErr != nil:
			return readErr
		case !bytes.Equal(there, checkpoint):
			return ErrOther
		}
		etag, err = current, nil
	}
	if err == nil {
		b.etag = etag
	}
	return err
}

// Remove implements [Store]. Without a permission to delete they stay, and nothing reads them.
func (b *Bucket) Remove(ctx context.Context, below string) { _ = b.objects.Delete(ctx, below) }

// Lock implements [Store]. A bucket has no lock: two archivers write the same bytes, and one of
// them replaces the checkpoint.
func (b *Bucket) Lock() (unlock func(), err error) { return func() {}, nil }
