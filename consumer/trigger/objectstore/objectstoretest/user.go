package objectstoretest

import (
	"bytes"
	"context"
	"io"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/notification"
)

// User changes objects in a store that runs elsewhere, as its users do. Its methods may be
// called at any time and do not end the test.
type User struct {
	// Multipart counts the uploads in parts.
	Multipart int

	client *minio.Client
}

// NewUser returns a user of the store that listens on address, without TLS.
func NewUser(address, accessKey, secretKey string) (*User, error) {
	client, err := minio.New(address, &minio.Options{Creds: credentials.NewStaticV4(accessKey, secretKey, ""), BucketLookup: minio.BucketLookupPath})
	return &User{client: client}, err
}

const userPatience = 30 * time.Second

// Bucket makes a bucket that sends notifications of created and removed objects to a target.
func (u *User) Bucket(name string, versions bool, partition, region, target, kind string) error {
	ctx, cancel := context.WithTimeout(context.Background(), userPatience)
	defer cancel()
	if err := u.client.MakeBucket(ctx, name, minio.MakeBucketOptions{}); err != nil {
		return err
	}
	if versions {
		if err := u.client.EnableVersioning(ctx, name); err != nil {
			return err
		}
	}
	queue := notification.NewConfig(notification.NewArn(partition, "sqs", region, target, kind))
	queue.AddEvents(notification.ObjectCreatedAll, notification.ObjectRemovedAll)
	var config notification.Configuration
	config.AddQueue(queue)
	return u.client.SetBucketNotification(ctx, name, config)
}

// Put writes an object, in parts if it is larger than 5 MiB.
func (u *User) Put(bucket, key string, size int) (version string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), userPatience)
	defer cancel()
	const part = 5 << 20
	if size > part {
		u.Multipart++
	}
	info, err := u.client.PutObject(ctx, bucket, key, bytes.NewReader(make([]byte, size)), int64(size), minio.PutObjectOptions{PartSize: part})
	return info.VersionID, err
}

// Copy copies an object within its bucket.
func (u *User) Copy(bucket, from, to string) error {
	ctx, cancel := context.WithTimeout(context.Background(), userPatience)
	defer cancel()
	_, err := u.client.CopyObject(ctx, minio.CopyDestOptions{Bucket: bucket, Object: to}, minio.CopySrcOptions{Bucket: bucket, Object: from})
	return err
}

// Delete deletes an object or one version of it. In a bucket with versions, it returns the
// version of the delete marker that it made.
func (u *User) Delete(bucket, key, version string) (marker string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), userPatience)
	defer cancel()
	if err := u.client.RemoveObject(ctx, bucket, key, minio.RemoveObjectOptions{VersionID: version}); err != nil || version != "" {
		return "", err
	}
	for object := range u.client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: key, WithVersions: true}) {
		if object.Err != nil {
			return "", object.Err
		}
		if object.Key == key && object.IsDeleteMarker && object.IsLatest {
			marker = object.VersionID
		}
	}
	return marker, nil
}

// Get returns the content of an object.
func (u *User) Get(bucket, key string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), userPatience)
	defer cancel()
	object, err := u.client.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return "", err
	}
	defer func() { _ = object.Close() }()
	data, err := io.ReadAll(object)
	return string(data), err
}

// Ready returns an error while the store does not answer.
func (u *User) Ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err := u.client.ListBuckets(ctx)
	return err
}
