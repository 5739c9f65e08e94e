package objectstore

import (
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"
)

// Advice returns what to do about an error of [Store.Put], or "" if that is not known.
func Advice(err error, bucket string) string {
	answer, _ := errors.AsType[minio.ErrorResponse](err)
	switch answer.Code {
	case "NoSuchBucket":
		return "create the bucket " + bucket + ", or correct the container of the directive"
	case "AccessDenied", "AllAccessDisabled":
		return "permit the access key s3:PutObject below the prefix"
	case "InvalidAccessKeyId", "SignatureDoesNotMatch":
		return "set BACKHAUL_TRIGGER_S3_ACCESS_KEY and BACKHAUL_TRIGGER_S3_SECRET_KEY to a key of this store"
	case "AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException":
		return "set BACKHAUL_TRIGGER_S3_REGION to the region of the bucket"
	case "RequestTimeTooSkewed":
		return "set the clock of this machine"
	}
	if name, ok := errors.AsType[*net.DNSError](err); ok {
		if strings.HasPrefix(name.Name, bucket+".") {
			return "no server has the name " + name.Name + ": set BACKHAUL_TRIGGER_S3_PATH_STYLE=true, unless the store has a host name for each bucket"
		}
		return "correct the host name in BACKHAUL_TRIGGER_S3_ENDPOINT"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "set BACKHAUL_TRIGGER_S3_CA to the root certificate of the store"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the certificate has another name: correct the endpoint, or set BACKHAUL_TRIGGER_S3_PATH_STYLE=true if the bucket is in the name"
	}
	if answer.StatusCode == 403 {
		return "see the access key, its permissions and the path style"
	}
	return ""
}

// pathOnly reports whether no bucket can be part of the endpoint's host name: it is an IP address or
// this machine.
func pathOnly(endpoint *url.URL) bool {
	host := endpoint.Hostname()
	return net.ParseIP(host) != nil || strings.EqualFold(host, "localhost")
}
