package objectstore

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"backhaul/consumer/trigger/objectstore/objectstoretest"
)

func TestAdvice(t *testing.T) {
	code := func(code string, status int) error {
		return fmt.Errorf("put: %w", minio.ErrorResponse{Code: code, StatusCode: status})
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{code("NoSuchBucket", 404), "create the bucket scans"},
		{code("AccessDenied", 403), "s3:PutObject"},
		{code("SignatureDoesNotMatch", 403), "BACKHAUL_TRIGGER_S3_SECRET_KEY"},
		{code("AuthorizationHeaderMalformed", 400), "BACKHAUL_TRIGGER_S3_REGION"},
		{code("RequestTimeTooSkewed", 403), "clock"},
		{code("", 403), "permissions"},
		{&net.DNSError{Name: "scans.store.example"}, "BACKHAUL_TRIGGER_S3_PATH_STYLE=true"},
		{&net.DNSError{Name: "store.example"}, "BACKHAUL_TRIGGER_S3_ENDPOINT"},
		{x509.UnknownAuthorityError{}, "BACKHAUL_TRIGGER_S3_CA"},
		{x509.HostnameError{Certificate: &x509.Certificate{}}, "BACKHAUL_TRIGGER_S3_PATH_STYLE=true"},
		{errors.New("other"), ""},
	} {
		if got := Advice(c.err, "scans"); !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
}

// An endpoint with an IP address needs no setting to have path style.
func TestNew_hasPathStyleForAddresses(t *testing.T) {
	t.Parallel()
	server := objectstoretest.Start(t, "scans")
	key := func() (string, error) { return "key", nil }
	store, err := New(Config{Endpoint: server.URL, AccessKey: key, SecretKey: key})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Put(t.Context(), "scans", "x/1", []byte("1")); err != nil || server.Get("scans", "x/1") != "1" {
		t.Errorf("got %v", err)
	}
	if err := store.Put(t.Context(), "none", "x/1", []byte("1")); Advice(err, "none") == "" {
		t.Errorf("a bucket that is not there: %v", err)
	}
	for host, want := range map[string]bool{"192.0.2.1:9000": true, "[2001:db8::1]:9000": true, "localhost:9000": true, "s3.example.com": false, "minio:9000": false} {
		if u, err := url.Parse("http://" + host); err != nil || pathOnly(u) != want {
			t.Errorf("%s: %t, %v", host, !want, err)
		}
	}
}
