// Package objectstore writes directive files with the S3 protocol.
//
// # Guarantees
//
// [Store.Put] writes an object as a whole or not at all: it uses one PUT with the length
// and the checksum, and no multipart upload that could be left incomplete. Writing the
// same bytes under the same name again changes nothing. Errors never contain credentials.
//
// # Failure handling
//
// The package does not retry: the caller knows how long it may wait.
//
// # Concurrency
//
// A Store is safe for concurrent use. Credentials are read again after a minute, so that
// a replaced file takes effect.
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

// Config configures a [Store].
type Config struct {
	// Endpoint is the URL of the S3 API, such as https://s3.eu-central-1.amazonaws.com.
	Endpoint string
	// Region defaults to us-east-1, which most stores other than AWS accept.
	Region string
	// PathStyle puts the bucket into the path instead of the host name. An endpoint with an IP
	// address or localhost has path style always.
	PathStyle bool
	// CAFile contains the only trusted root certificates. Defaults to the system's.
	CAFile string
	// AccessKey and SecretKey return the current credentials.
	AccessKey, SecretKey func() (string, error)
}

// Store writes objects.
type Store struct{ client *minio.Client }

const (
	// DefaultRegion is the region of a store that names none.
	DefaultRegion = "us-east-1"

	dialTimeout = 10 * time.Second
	// answerTimeout bounds the wait for the response after an object is sent.
	answerTimeout = 20 * time.Second
	// keysLast is how long credentials are used before they are read again.
	keysLast = time.Minute
)

// New returns a store. It does not connect yet.
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
			return nil, fmt.Errorf("root certificates of the object store: %w", err)
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("root certificates of the object store: %s contains no certificate in PEM format", cfg.CAFile)
		}
	}
	region, lookup := cfg.Region, minio.BucketLookupDNS
	if region == "" {
		region = DefaultRegion
	}
	if cfg.PathStyle || pathOnly(endpoint) {
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

// Put writes an object and replaces one of the same name. Every error can be temporary,
// because its cause can be fixed meanwhile: a permission, a bucket, the network.
func (s *Store) Put(ctx context.Context, bucket, name string, data []byte) error {
	_, err := s.client.PutObject(ctx, bucket, name, bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{
		ContentType: "text/plain; charset=utf-8", DisableMultipart: true, SendContentMd5: true,
	})
	return withCode(err)
}

// withCode prefixes an error with the store's code, because messages differ between stores.
func withCode(err error) error {
	if answer, ok := errors.AsType[minio.ErrorResponse](err); ok && answer.Code != "" && !strings.Contains(err.Error(), answer.Code) {
		return fmt.Errorf("%s: %w", answer.Code, err)
	}
	return err
}

// keys is a credentials.Provider that reads the configured credentials.
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
