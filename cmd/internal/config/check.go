package config

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"backhaul/cmd/internal/policy"
	"backhaul/cmd/internal/secret"
	"backhaul/cmd/internal/serverurl"
	"backhaul/cmd/internal/storedir"
	"backhaul/cmd/internal/strictyaml"
	"backhaul/schemas/bounded"
	"backhaul/vendorapi"
)

// Check reads the settings and returns every problem that [Load] and [Config.CheckRun]
// find, in one [*Error]. It does not use the network.
func Check(flags *pflag.FlagSet, environ []string) error {
	c, problems := read(flags, environ)
	if err, ok := errors.AsType[*Error](c.CheckRun()); ok && !c.unknown {
		problems = append(problems, err.Problems...)
	}
	if len(problems) > 0 {
		return &Error{Problems: problems}
	}
	return nil
}

// CheckRun returns an [*Error] if `backhaul run` cannot work with the settings. It
// starts nothing and changes nothing.
func (c *Config) CheckRun() error {
	var e Error
	e.checkVendor(c)
	e.checkNATS(c.NATS)
	e.checkPolicy(c.Work.PolicyFile, c.Follow.On)
	c.Follow.check(&e)
	c.Protection.check(&e, c.Follow)
	if !c.Admin.Off() {
		if !isAddress(c.Admin.Addr) {
			e.add("BACKHAUL_ADMIN_ADDR: is %q, must be an address such as 127.0.0.1:9090, or off", c.Admin.Addr)
		}
		c.Admin.check(&e)
	}
	if problem := c.Admin.problem(); problem != "" {
		e.add("BACKHAUL_ADMIN_PPROF: %s", problem)
	}
	if len(e.Problems) > 0 {
		c.locate(e.Problems)
		return &e
	}
	return nil
}

// locate replaces the environment variable in each problem with the origin of the
// value.
func (c *Config) locate(problems []string) {
	for i, s := range c.settings() {
		if i >= len(c.origins) || c.origins[i] == originDefault {
			continue
		}
		replaced := []string{"(" + s.env + ")", "(" + c.origins[i] + ")", "(" + s.env + "_FILE)", "(" + c.origins[i] + ")"}
		if strings.HasPrefix(c.origins[i], originContext) { // where one of a pair of files is
			replaced = append(replaced, "("+s.env+",", "("+c.origins[i]+",", ", "+s.env+")", ", "+c.origins[i]+")")
		}
		names := strings.NewReplacer(replaced...)
		for j, p := range problems {
			if rest, ok := strings.CutPrefix(p, s.env+": "); ok {
				given := c.origins[i]
				if given != s.env && given != "--"+s.flag {
					given += ": " + s.key // the line of a file, which does not name it
				}
				p = given + ": " + rest
			}
			problems[j] = names.Replace(p)
		}
	}
}

func (e *Error) add(format string, args ...any) {
	e.Problems = append(e.Problems, fmt.Sprintf(format, args...))
}

// checkEndpoint adds what is wrong with the vendor's endpoint, which is not empty.
func (e *Error) checkEndpoint(endpoint string, insecureHTTP bool) {
	const names = "BACKHAUL_VENDOR_ENDPOINT, --vendor-endpoint"
	scheme, rest, hasScheme := strings.Cut(endpoint, "://")
	if !hasScheme || strings.ContainsAny(scheme, ":/?#@") {
		scheme, rest, hasScheme = "", endpoint, false
	}
	plain := strings.EqualFold(scheme, "http")
	if !plain && !strings.EqualFold(scheme, "https") {
		if i := strings.LastIndexByte(rest, '@'); i >= 0 { // before it is a user or password
			rest = "xxxxx@" + rest[i+1:]
		}
		shown, way := serverurl.MaskOne(rest), "put https:// in front"
		if hasScheme {
			shown, way = scheme+"://"+shown, way+" instead of "+scheme+"://"
		}
		e.add("vendor endpoint %q has no https://: %s (%s)", shown, way, names)
		return
	}
	switch err := vendorapi.CheckEndpoint(endpoint, insecureHTTP); {
	case err != nil && plain && !insecureHTTP:
		e.add("%v (%s, --vendor-insecure-http)", err, names)
	case err != nil:
		e.add("%v (%s)", err, names)
	}
}

func (e *Error) checkVendor(c *Config) {
	if c.Vendor.Endpoint == "" {
		e.add("no vendor endpoint: set BACKHAUL_VENDOR_ENDPOINT or --vendor-endpoint, for example https://m6.metallic.io/webconsole/api (or try `backhaul demo`)")
	} else {
		e.checkEndpoint(c.Vendor.Endpoint, c.Vendor.InsecureHTTP)
	}
	switch c.Vendor.Auth {
	case vendorapi.AuthLogin:
		if c.Vendor.Username == "" {
			e.add("no vendor user: set BACKHAUL_VENDOR_USERNAME or --vendor-username")
		}
		e.checkSecret("password", "BACKHAUL_VENDOR_PASSWORD", c.Vendor.Password)
	case vendorapi.AuthToken:
		e.checkSecret("token", "BACKHAUL_VENDOR_TOKEN", c.Vendor.Token)
	case vendorapi.AuthBearer:
		// A missing file is allowed, the service waits for it. A malformed one is a problem.
		if c.Vendor.TokenPairFile == "" {
			e.add("no vendor token pair: set BACKHAUL_VENDOR_TOKEN_PAIR_FILE or --vendor-token-pair-file")
		} else if err := c.Vendor.Client(c.Work.MaxInFlight).Auth.Check(); err != nil {
			e.add("%v (BACKHAUL_VENDOR_TOKEN_PAIR_FILE)", err)
		}
	}
	e.checkCA("vendor CA file", "BACKHAUL_VENDOR_CA", c.Vendor.CA)
}

func (e *Error) checkSecret(what, env string, s secret.Source) {
	if !s.Given() {
		e.add("no vendor %s: set %s or, better, %s_FILE", what, env, env)
		return
	}
	if _, err := s.Read(); err != nil {
		e.add("vendor %s: %v (%s_FILE)", what, err, env)
	}
}

func (e *Error) checkPolicy(file string, following bool) {
	if file == "" {
		return
	}
	p, err := policy.Load(file)
	if err == nil && !following {
		err = p.NeedsFollowing()
	}
	if wrong, ok := errors.AsType[*strictyaml.Error](err); ok {
		e.Problems = append(e.Problems, wrong.Each()...)
	} else if err != nil {
		e.add("%v (BACKHAUL_POLICY_FILE)", err)
	}
}

func (e *Error) checkCA(what, env, file string) {
	if file == "" {
		return
	}
	data, err := bounded.ReadFile(file, bounded.Small)
	if err != nil {
		e.add("%s: %v (%s)", what, err, env)
	} else if !x509.NewCertPool().AppendCertsFromPEM(data) {
		e.add("%s: no PEM certificate in %s (%s)", what, file, env)
	}
}

func (e *Error) checkNATS(n NATS) {
	if n.URL != "" {
		e.Problems = append(e.Problems, n.problems()...)
		return
	}
	if !isAddress(n.Embedded.Listen) {
		e.add("BACKHAUL_NATS_LISTEN: is %q, must be an address such as 127.0.0.1:4222", n.Embedded.Listen)
	}
	info, err := os.Stat(n.Embedded.StoreDir)
	if err == nil && !info.IsDir() {
		err = errors.New("is not a directory")
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // what does not exist is made
		e.add("BACKHAUL_STORE_DIR: %s", storedir.Problem("BACKHAUL_STORE_DIR", n.Embedded.StoreDir, err))
	} else if why := storedir.Refusal(n.Embedded.StoreDir); why != "" {
		e.add("BACKHAUL_STORE_DIR: %s", why)
	}
}

// isAddress reports whether the text has the form of an address to listen on.
func isAddress(text string) bool {
	_, port, err := net.SplitHostPort(text)
	_, portErr := strconv.ParseUint(port, 10, 16)
	return err == nil && portErr == nil
}
