// Package objectstore writes directive files with the S3 protocol.
//
// # Guarantees
//
// [Store.Put] writes an object as a whole or not at all: one PUT with its length
// and its checksum, no multipart upload that could stay behind. Writing the same
// bytes under the same name again changes nothing. No credential is ever part of
// an error.
//
// # Failure handling
//
// Nothing is repeated here: the caller knows how long it may wait.
//
// # Concurrency
//
// A Store is safe for concurrent use. Credentials are read anew when they are a
// minute old, so that a replaced file is found.
package objectstore

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"backhaul/schemas/bounded"
)

// Config is where objects are written.
type Config struct {
	// Endpoint is the URL of the S3 API, such as https://s3.eu-central-1.amazonaws.com.
	Endpoint string
	// Region defaults to us-east-1, which most that are not AWS take.
	Region string
	// PathStyle: the bucket is part of the path, not of the host's name.
	PathStyle bool
	// CAFile has the only roots to trust. Defaults to the system's.
	CAFile string
	// AccessKey and SecretKey read the credentials as they are now.
	AccessKey, SecretKey func() (string, error)
}

// Store writes objects.
type Store struct{ client *minio.Client }

const (
	defaultRegion = "us-east-1"
	dialTimeout   = 10 * time.Second
	// answerTimeout is how long the store may take once it has an object.
	answerTimeout = 20 * time.Second
	// keysLast is for how long credentials are used before they are read again.
	keysLast = time.Minute
)

// New is a store. It asks nothing yet.
func New(cfg Config) (*Store, error) {
	endpoint, err := url.Parse(cfg.Endpoint)
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https" || endpoint.Path != "" && endpoint.Path != "/" || endpoint.User != nil {
		return nil, errors.New("the endpoint of the object store must be a URL such as https://s3.eu-central-1.amazonaws.com, without path or user")
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: dialTimeout, ResponseHeaderTimeout: answerTimeout, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if cfg.CAFile != "" {
		pem, err := bounded.ReadFile(cfg.CAFile, bounded.Small)
		if err != nil {
			return nil, fmt.Errorf("roots of the object store: %w", err)
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("roots of the object store: %s has no certificate", cfg.CAFile)
		}
	}
	region, lookup := cfg.Region, minio.BucketLookupDNS
	if region == "" {
		region = defaultRegion
	}
	if cfg.PathStyle {
		lookup = minio.BucketLookupPath
	}
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds: credentials.New(&keys{access: cfg.AccessKey, secret: cfg.SecretKey}), Secure: endpoint.Scheme == "https",
		Region: region, BucketLookup: lookup, Transport: transport, MaxRetries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("object store: %w", err)
	}
	return &Store{client: client}, nil
}

// Put writes an object, over one of the same name. Whatever the error is, somebody
// may set it right meanwhile: a permission, a bucket, the network.
func (s *Store) Put(ctx context.Context, bucket, name string, data []byte) error {
	_, err := s.client.PutObject(ctx, bucket, name, bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{
		ContentType: "text/plain; charset=utf-8", DisableMultipart: true, SendContentMd5: true,
	})
	return withCode(err)
}

// withCode puts the store's code before its message, which differs from store to store.
func withCode(err error) error {
	if answer, ok := errors.AsType[minio.ErrorResponse](err); ok && answer.Code != "" && !strings.Contains(err.Error(), answer.Code) {
		return fmt.Errorf("%s: %w", answer.Code, err)
	}
	return err
}

// keys reads the credentials.
type keys struct {
	access, secret func() (string, error)
	until          time.Time
}

// RetrieveWithCredContext implements credentials.Provider.
func (k *keys) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	access, err := k.access()
	if err != nil {
		return credentials.Value{}, err
	}
	secret, err := k.secret()
	if err != nil {
		return credentials.Value{}, err
	}
	k.until = time.Now().Add(keysLast)
	return credentials.Value{AccessKeyID: access, SecretAccessKey: secret, SignerType: credentials.SignatureV4}, nil
}

// Retrieve implements credentials.Provider.
func (k *keys) Retrieve() (credentials.Value, error) { return k.RetrieveWithCredContext(nil) }

// IsExpired implements credentials.Provider.
func (k *keys) IsExpired() bool { return time.Now().After(k.until) }
