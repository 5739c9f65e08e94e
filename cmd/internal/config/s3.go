package config

import (
	"fmt"
	"net/url"

	"backhaul/cmd/internal/secret"
	"backhaul/consumer/trigger/objectstore"
	"backhaul/vendorapi"
)

// S3 is an object store.
type S3 struct {
	Endpoint     string
	Region       string
	PathStyle    bool
	CA           string
	InsecureHTTP bool
	AccessKey    secret.Source
	SecretKey    secret.Source
}

// s3Place is what the settings of one object store have of their own.
type s3Place struct {
	group Group
	// key, env and flag begin the names of the settings.
	key, env, flag string
	// store is what the settings are of.
	store string
	// endpoint, access and plain end the descriptions: what the store must be, what the key must be
	// allowed, and what can be read on the way without TLS.
	endpoint, access, plain string
}

// settings returns the rows of an object store.
func (s *S3) settings(p s3Place) []setting {
	return []setting{
		{
			group: p.group, key: p.key + "Endpoint", env: p.env + "ENDPOINT", flag: p.flag + "endpoint",
			field: &s.Endpoint, url: true,
			usage: "`URL` of the S3 API of " + p.store,
			doc:   "For example https://s3.eu-central-1.amazonaws.com. " + p.endpoint,
		},
		{
			group: p.group, key: p.key + "Region", env: p.env + "REGION", flag: p.flag + "region",
			field: &s.Region, fallback: objectstore.DefaultRegion,
			usage: "`region` of " + p.store,
		},
		{
			group: p.group, key: p.key + "PathStyle", env: p.env + "PATH_STYLE", flag: p.flag + "path-style",
			field: &s.PathStyle, fallback: "false",
			usage: "path style for " + p.store + ": the bucket is part of the path, not of the host's name",
			doc:   "What MinIO and Ceph usually want. An endpoint with an IP address or localhost has it always.",
		},
		{
			group: p.group, key: p.key + "CA", env: p.env + "CA", flag: p.flag + "ca",
			field: &s.CA, reads: true,
			usage: "PEM `file` with the only roots to trust for " + p.store,
		},
		{
			group: p.group, key: p.key + "InsecureHTTP", env: p.env + "INSECURE_HTTP", flag: p.flag + "insecure-http",
			field: &s.InsecureHTTP, fallback: "false",
			usage: "allow plain http to " + p.store + " on another machine",
			doc:   p.plain + " can then be read on the way; the secret key is never sent.",
		},
		{
			group: p.group, key: p.key + "AccessKey", env: p.env + "ACCESS_KEY",
			field: &s.AccessKey,
			usage: "the access key of " + p.store,
			doc:   p.access,
		},
		{
			group: p.group, key: p.key + "SecretKey", env: p.env + "SECRET_KEY",
			field: &s.SecretKey,
			usage: "the secret key of that access key",
		},
	}
}

// plain reports whether the endpoint is on another machine, and its URL has no https and is not
// allowed to have none.
func (s S3) plain() bool {
	u, err := url.Parse(s.Endpoint)
	return err == nil && u.Scheme == "http" && u.Hostname() != "" && !s.InsecureHTTP && vendorapi.CheckEndpoint("http://"+u.Host, false) != nil
}

// Store returns the configuration of the object store.
func (s S3) Store() objectstore.Config {
	read := func(k secret.Source) func() (string, error) {
		return func() (string, error) {
			value, err := k.Read()
			if err != nil {
				return "", fmt.Errorf("credentials of the object store: %w", err)
			}
			return value, nil
		}
	}
	return objectstore.Config{
		Endpoint: s.Endpoint, Region: s.Region, PathStyle: s.PathStyle, CAFile: s.CA,
		AccessKey: read(s.AccessKey), SecretKey: read(s.SecretKey),
	}
}
