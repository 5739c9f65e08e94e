package test

import (
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chartutil"
)

// What cannot work is refused before anything is changed in a cluster.
func TestRefused(t *testing.T) {
	for what, c := range map[string]struct{ values, want string }{
		"nothing set":                     {"", "config.nats.url: name the NATS server"},
		"no vendor":                       {"config: {nats: {url: nats://n}}", "config.vendor.endpoint: name"},
		"no user":                         {"config: {nats: {url: nats://n}, vendor: {endpoint: https://v}}", "config.vendor.username"},
		"no password":                     {"config: {nats: {url: nats://n}, vendor: {endpoint: https://v, username: u}}", "files: vendor.passwordFile"},
		"no token":                        {"config: {nats: {url: nats://n}, vendor: {endpoint: https://v, auth: token}}", "files: vendor.tokenFile"},
		"no volume for a pair":            {"config: {nats: {url: nats://n}, vendor: {endpoint: https://v, auth: bearer}}", "tokenPair.existingClaim"},
		"embedded, two replicas":          {"embedded: {enabled: true}", "replicas must be 1"},
		"embedded, KEDA":                  {"replicas: 1\nembedded: {enabled: true}\nkeda: {enabled: true}", "replicas must be 1 and keda off"},
		"embedded, and a server":          {"replicas: 1\nembedded: {enabled: true}\nconfig: {nats: {url: nats://n}}", "two servers"},
		"KEDA, no monitoring":             {good + "keda: {enabled: true}", "keda.monitoringEndpoint"},
		"KEDA, bounds":                    {good + "keda: {enabled: true, monitoringEndpoint: 'n:8222', minReplicas: 5}", "keda.maxReplicas"},
		"KEDA, to nothing":                {good + "keda: {minReplicas: 0}", "/keda/minReplicas"},
		"no replicas":                     {good + "replicas: 0", "/replicas"},
		"an unknown value":                {good + "replica: 3", "additional properties 'replica' not allowed"},
		"an unknown setting":              {good2("vendor: {endpoimt: https://v}"), "additional properties 'endpoimt' not allowed"},
		"an unknown section":              {"config: {vender: {}}", "additional properties 'vender' not allowed"},
		"a duration without a unit":       {good2("work: {drainTimeout: '25'}"), "/config/work/drainTimeout"},
		"a number as text":                {good2("work: {maxInFlight: '64'}"), "/config/work/maxInFlight"},
		"no such choice":                  {good2("vendor: {auth: basic}"), "/config/vendor/auth"},
		"a setting that the chart makes":  {good2("admin: {addr: ':1'}"), "additional properties 'addr' not allowed"},
		"a secret as text":                {good2("vendor: {password: hunter2}"), "additional properties 'password' not allowed"},
		"a secret as text in files":       {"files: {vendor.passwordFile: hunter2}", "/files/vendor.passwordFile"},
		"a secret in a ConfigMap":         {"files: {vendor.passwordFile: {configMap: m, key: k}}", "'/files/vendor.passwordFile'"},
		"a secret in the environment":     {good + "extraEnv: [{name: BACKHAUL_VENDOR_PASSWORD, value: hunter2}]", "/extraEnv/0"},
		"a file that is no setting":       {"files: {vendor.passwordfile: {secret: s, key: k}}", "not allowed"},
		"a vendor's secret for the setup": {"setup: {files: {vendor.passwordFile: {secret: s, key: k}}}", "not allowed"},
		"a digest that is none":           {good + "image: {digest: latest}", "/image/digest"},
		"trigger, embedded":               {"replicas: 1\nembedded: {enabled: true}\nconfig: {vendor: {endpoint: https://v, username: u}}\nfiles: {vendor.passwordFile: {secret: s, key: k}}\ntrigger: {enabled: true}", "trigger.enabled"},
		"trigger, no routes":              {good + "trigger: {enabled: true}", "trigger.routes"},
		"trigger, no object store":        {good + "trigger: {enabled: true, routes: [{directive: {container: c}}]}", "config.trigger.s3Endpoint"},
		"trigger, no keys":                {"config: {nats: {url: nats://n}, vendor: {endpoint: https://v, username: u}, trigger: {s3Endpoint: https://s}}\nfiles: {vendor.passwordFile: {secret: s, key: k}}\ntrigger: {enabled: true, routes: [{directive: {container: c}}]}", "trigger.s3AccessKeyFile"},
		"trigger, a secret as text":       {good2("trigger: {s3SecretKey: hunter2}"), "additional properties 's3SecretKey' not allowed"},
		"a vendor's secret for trigger":   {"trigger: {files: {vendor.passwordFile: {secret: s, key: k}}}", "not allowed"},
		"archive, embedded":               {"replicas: 1\nembedded: {enabled: true}\nconfig: {vendor: {endpoint: https://v, username: u}}\nfiles: {vendor.passwordFile: {secret: s, key: k}}\narchive: {enabled: true}", "archive.enabled"},
		"archive, no key":                 {good + "archive: {enabled: true}", "files: archive.keyFile"},
		"archive, two on a volume":        {goodArchive("") + "archive: {enabled: true, replicas: 2}", "archive.replicas"},
		"archive, no store of the bucket": {goodArchive("location: s3://b") + "archive: {enabled: true}", "config.archive.s3Endpoint"},
		"archive, no keys of the bucket":  {goodArchive("location: s3://b, s3Endpoint: https://s") + "archive: {enabled: true}", "archive.s3AccessKeyFile"},
		"archive, a directory of a pod":   {good2("archive: {location: /tmp/archive}"), "/config/archive/location"},
		"archive, a key as text":          {good2("archive: {key: hunter2}"), "additional properties 'key' not allowed"},
		"archive, a key in a ConfigMap":   {"files: {archive.keyFile: {configMap: m, key: k}}", "'/files/archive.keyFile'"},
		"a vendor's secret for archive":   {"archive: {files: {vendor.passwordFile: {secret: s, key: k}}}", "not allowed"},
		"an age without a unit":           {good + "setup: {eventsMaxAge: '14'}", "/setup/eventsMaxAge"},
		"a peer with a typo":              {good + "networkPolicy: {nats: {to: [{podSelecter: {}}]}}", "podSelecter"},
	} {
		values, err := chartutil.ReadValues([]byte(c.values))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		_, err = render(load(t), values, versions[0])
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows the secret", what)
		}
	}
	if values, err := chartutil.ReadValues([]byte(good)); err != nil {
		t.Fatal(err)
	} else if _, err := render(load(t), values, versions[0]); err != nil {
		t.Errorf("the good values: %v", err)
	}
}

const good = `
config: {nats: {url: nats://n}, vendor: {endpoint: https://v, username: u}}
files: {vendor.passwordFile: {secret: s, key: k}}
`

// goodArchive has the key of an archive, and these settings of it.
func goodArchive(settings string) string {
	return "config: {nats: {url: nats://n}, vendor: {endpoint: https://v, username: u}, archive: {" + settings + "}}\n" +
		"files: {vendor.passwordFile: {secret: s, key: k}, archive.keyFile: {secret: s, key: k}}\n"
}

// good2 has one more section of the configuration.
func good2(section string) string {
	return "config:\n  nats: {url: nats://n}\n  " + section + "\n"
}
