package config

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"backhaul/vendorapi/secretstest"
)

func loadEnviron(environ ...string) error {
	_, err := Load(pflag.NewFlagSet("", pflag.ContinueOnError), environ)
	return err
}

func TestLoad_refusesUnknownVariables(t *testing.T) {
	const value = "hush-7"
	for name, want := range map[string]string{
		"BACKHAUL_VENDOR_ENDPIONT":        "did you mean BACKHAUL_VENDOR_ENDPOINT?",
		"BACKHAUL_VENDR_PASSWORD_FILE":    "did you mean BACKHAUL_VENDOR_PASSWORD_FILE?",
		"BACKHAUL_VENDOR_PASSWORDFILE":    "did you mean BACKHAUL_VENDOR_PASSWORD_FILE?",
		"BACKHAUL_VENDOR_PASWORD":         "did you mean BACKHAUL_VENDOR_PASSWORD?",
		"BACKHAUL_CONFIG_FILE":            "",
		"BACKHAUL_CONFG":                  "did you mean BACKHAUL_CONFIG?",
		"BACKHAUL_WORK_MAX_IN_FLIGHT":     "did you mean BACKHAUL_MAX_IN_FLIGHT?",
		"BACKHAUL_VENDOR_STARTS_PER_HOUR": "did you mean BACKHAUL_STARTS_PER_HOUR?",
		"BACKHAUL_NATS_STORE_DIR":         "did you mean BACKHAUL_STORE_DIR?",
		"BACKHAUL_ENDPOINT":               "did you mean BACKHAUL_VENDOR_ENDPOINT?",
		"BACKHAUL_S3_ENDPOINT":            "did you mean BACKHAUL_TRIGGER_S3_ENDPOINT?",
		"BACKHAUL_ROUTES":                 "did you mean BACKHAUL_TRIGGER_ROUTES?",
		"BACKHAUL_vendor_endpoint":        "did you mean BACKHAUL_VENDOR_ENDPOINT?",
		"BACKHUAL_VENDOR_ENDPOINT":        "did you mean BACKHAUL_VENDOR_ENDPOINT?",
		"backhaul_vendor_password":        "did you mean BACKHAUL_VENDOR_PASSWORD?",
		"BACKHAUL_ENTIRELY_ELSE":          "",
		"BACKHAUL_":                       "",
		// A guessed name of a setting, not a service of Kubernetes.
		"BACKHAUL_ADMIN_PORT":        "",
		"BACKHAUL_PORT":              "",
		"BACKHAUL_NATS_SERVICE_HOST": "",
	} {
		err := loadEnviron(name+"="+value, "PATH=/bin")
		if err == nil {
			t.Errorf("%s is accepted", name)
			continue
		}
		if got := err.Error(); !strings.Contains(got, name+": unknown environment variable"+map[bool]string{true: ", "}[want != ""]+want) || strings.Count(got, "did you mean") > strings.Count(want, "did you mean") {
			t.Errorf("%s: the error is %q, want %q", name, got, want)
		}
		secretstest.NotShown(t, []string{value}, err)
	}
}

func TestLoad_acceptsVariablesThatAreNoSettings(t *testing.T) {
	for _, variable := range []string{
		"BACKHAUL_VENDR_PASSWORD=", // sets nothing
		"BACKHAUL=1", "BACKHAULER_VENDOR=1", "BACKUP_ROUTES=x", "OTHER_VENDOR_ENDPOINT=x", "VENDOR_ENDPOINT=x",
		"BACKHAUL_IMAGE=backhaul:latest",
		// Kubernetes, for the services backhaul, backhaul-trigger and backhaul-nats.
		"BACKHAUL_SERVICE_HOST=10.96.0.7", "BACKHAUL_SERVICE_PORT=9090", "BACKHAUL_SERVICE_PORT_ADMIN=9090",
		"BACKHAUL_PORT=tcp://10.96.0.7:9090", "BACKHAUL_PORT_9090_TCP=tcp://10.96.0.7:9090",
		"BACKHAUL_PORT_9090_TCP_PROTO=tcp", "BACKHAUL_PORT_9090_TCP_PORT=9090", "BACKHAUL_PORT_9090_TCP_ADDR=10.96.0.7",
		"BACKHAUL_TRIGGER_SERVICE_HOST=fd00::7", "BACKHAUL_NATS_PORT_4222_TCP=tcp://[fd00::7]:4222", "BACKHAUL_NATS_PORT=tcp://10.96.0.7:4222",
		"BACKHAUL_NATS_SERVICE_PORT_MONITOR=8222",
	} {
		if err := loadEnviron(variable); err != nil {
			t.Errorf("%s: %v", variable, err)
		}
	}
}

// A setting with such a name could not be distinguished from a service's address.
func TestSettings_areNotNamedAsServices(t *testing.T) {
	for _, s := range new(Config).settings() {
		if serviceEnv().MatchString(s.env) {
			t.Errorf("%s is a name that Kubernetes may give", s.env)
		}
		if err := loadEnviron(s.env + "=0"); err != nil && strings.Contains(err.Error(), "unknown") {
			t.Errorf("%s: %v", s.env, err)
		}
	}
}
