package config

import (
	"backhaul/cmd/internal/secret"
	"backhaul/consumer/trigger/objectstore"
)

// CheckTrigger returns an [*Error] if `backhaul trigger` cannot work with the
// settings. It starts nothing. directives reports whether a route has a directive.
func (c *Config) CheckTrigger(directives bool) error {
	var e Error
	if c.NATS.URL == "" {
		e.add("`backhaul trigger` needs a server: set --nats or BACKHAUL_NATS_URL, for example nats://127.0.0.1:4222, or --nats-context")
	}
	if !c.Admin.Off() && !isAddress(c.Admin.Addr) {
		e.add("BACKHAUL_ADMIN_ADDR: is %q, must be an address such as 127.0.0.1:9090, or off", c.Admin.Addr)
	}
	if problem := c.Admin.problem(); problem != "" {
		e.add("BACKHAUL_ADMIN_PPROF: %s", problem)
	}
	if directives {
		e.checkStore(c.Trigger.S3)
	}
	if len(e.Problems) > 0 {
		c.locate(e.Problems)
		return &e
	}
	return nil
}

// CheckStore returns an [*Error] if directive files cannot be written with the settings.
func (c *Config) CheckStore() error {
	var e Error
	e.checkStore(c.Trigger.S3)
	if len(e.Problems) > 0 {
		c.locate(e.Problems)
		return &e
	}
	return nil
}

func (e *Error) checkStore(s S3) {
	if s.Endpoint == "" {
		e.add("a route has a directive, and nowhere to write it: set BACKHAUL_TRIGGER_S3_ENDPOINT or --s3-endpoint, for example https://s3.eu-central-1.amazonaws.com")
		return
	}
	if s.plain() {
		e.add("BACKHAUL_TRIGGER_S3_ENDPOINT: plain http to another machine: use https, or set --s3-insecure-http")
	}
	if !s.AccessKey.Given() || !s.SecretKey.Given() {
		e.add("a route has a directive: set BACKHAUL_TRIGGER_S3_ACCESS_KEY and BACKHAUL_TRIGGER_S3_SECRET_KEY, or files with them in …_FILE")
		return
	}
	if _, err := objectstore.New(s.Store()); err != nil {
		e.add("%v (BACKHAUL_TRIGGER_S3_ENDPOINT, BACKHAUL_TRIGGER_S3_CA)", err)
	}
	for _, key := range []struct {
		env   string
		value secret.Source
	}{{"BACKHAUL_TRIGGER_S3_ACCESS_KEY", s.AccessKey}, {"BACKHAUL_TRIGGER_S3_SECRET_KEY", s.SecretKey}} {
		if _, err := key.value.Read(); err != nil {
			e.add("%s: %v", key.env, err)
		}
	}
}
