package objectstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"

	"backhaul/schemas/bounded"
)

// Bucket is what is below a prefix of one bucket. It is safe for concurrent use.
type Bucket struct {
	store        *Store
	name, prefix string
}

// Bucket returns the objects of a bucket whose names begin with prefix.
func (s *Store) Bucket(name, prefix string) *Bucket { return &Bucket{s, name, prefix} }

// ErrChanged means that an object is not the one that a [Condition] asks for.
var ErrChanged = errors.New("the object is another one by now")

// Condition says what must be there when an object is written. The zero Condition asks for nothing.
type Condition struct {
	// Absent: there must be no object of this name.
	Absent bool
	// ETag must be that of the object that is replaced.
	ETag string
}

// Lock says how long an object cannot be deleted. The bucket must have object lock.
type Lock struct {
	// Until is when retention ends. Defaults to the bucket's default.
	Until time.Time
	// Governance lets users with a permission of their own end the retention before.
	Governance bool
	// Held keeps the object until the hold is taken away (legal hold).
	Held bool
}

// maxObject bounds what [Bucket.Get] reads.
const maxObject = 64 << 20

// Get returns an object and its ETag. The error is [fs.ErrNotExist] if there is none.
func (b *Bucket) Get(ctx context.Context, name string) (data []byte, etag string, err error) {
	object, err := b.store.client.GetObject(ctx, b.name, b.prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return nil, "", withCode(err)
	}
	defer func() { _ = object.Close() }()
	if data, err = bounded.Read(object, maxObject); err == nil {
		var info minio.ObjectInfo
		if info, err = object.Stat(); err == nil {
			return data, info.ETag, nil
		}
	}
	if answer, ok := errors.AsType[minio.ErrorResponse](err); ok && answer.Code == minio.NoSuchKey {
		return nil, "", fmt.Errorf("%s: %w", b.prefix+name, fs.ErrNotExist)
	}
	return nil, "", withCode(err)
}

// Put writes an object as a whole and returns its ETag. The error is [ErrChanged] if the condition
// does not hold; then nothing was written.
func (b *Bucket) Put(ctx context.Context, name string, data []byte, c Condition, l Lock) (etag string, err error) {
	options := minio.PutObjectOptions{ContentType: "application/octet-stream", DisableMultipart: true, SendContentMd5: true}
	if !l.Until.IsZero() {
		options.Mode, options.RetainUntilDate = minio.Compliance, l.Until
		if l.Governance {
			options.Mode = minio.Governance
		}
	}
	if l.Held {
		options.LegalHold = minio.LegalHoldEnabled
	}
	switch {
	case c.Absent:
		options.SetMatchETagExcept("*")
	case c.ETag != "":
		options.SetMatchETag(c.ETag)
	}
	info, err := b.store.client.PutObject(ctx, b.name, b.prefix+name, bytes.NewReader(data), int64(len(data)), options)
	if answer, ok := errors.AsType[minio.ErrorResponse](err); ok && (answer.StatusCode == http.StatusPreconditionFailed || answer.StatusCode == http.StatusConflict && answer.Code == "ConditionalRequestConflict") {
		return "", fmt.Errorf("%s: %w", b.prefix+name, ErrChanged)
	}
	return info.ETag, withCode(err)
}

// Delete deletes all objects below a name, as far as it may. In a bucket with versions they only
// get a delete marker.
func (b *Bucket) Delete(ctx context.Context, below string) error {
	for object := range b.store.client.ListObjects(ctx, b.name, minio.ListObjectsOptions{Prefix: b.prefix + below + "/", Recursive: true}) {
		if object.Err != nil {
			return withCode(object.Err)
		}
		if err := b.store.client.RemoveObject(ctx, b.name, object.Key, minio.RemoveObjectOptions{}); err != nil {
			return withCode(err)
		}
	}
	return nil
}

// Hold sets or takes away the legal hold of an object.
func (b *Bucket) Hold(ctx context.Context, name string, held bool) error {
	status := minio.LegalHoldDisabled
	if held {
		status = minio.LegalHoldEnabled
	}
	return withCode(b.store.client.PutObjectLegalHold(ctx, b.name, b.prefix+name, minio.PutObjectLegalHoldOptions{Status: &status}))
}
