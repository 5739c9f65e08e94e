package config

import (
	"strings"
	"testing"

	"backhaul/cmd/internal/serverurl"
	"backhaul/vendorapi/secretstest"
)

func TestNATSCheck_serversAsTheNATSCommandTakesThem(t *testing.T) {
	for url, want := range map[string]string{
		"127.0.0.1:4222": "", "localhost:4222": "", "nats.example.com": "", "[::1]:4222": "", "a:4222, b:4222,nats://c:4222": "",
		"u:geheim-7f@127.0.0.1:4222": "", "geheim-7f@a": "",
		"nsc://operator/account/user":   "nsc generate creds",
		"nats://a,nsc://operator/a/u":   "nsc generate creds",
		"127.0.0.1:port":                "number 1 is not a URL",
		"a:4222,u:geheim-7f%@127.0.0.1": "number 2 is not a URL",
		"nats://":                       "number 1 is not a URL",
	} {
		cfg, err := loadWith(t, map[string]string{"BACKHAUL_NATS_URL": url})
		if err != nil {
			t.Fatal(err)
		}
		err = cfg.NATS.Check()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
		secretstest.NotShown(t, []string{"geheim-7f"}, err, serverurl.Mask(url))
	}
	_, err := loadWith(t, map[string]string{"BACKHAUL_NATS_URL": "geheim-7f@a:4222", "BACKHAUL_NATS_USER": "u", "BACKHAUL_NATS_PASSWORD": "p"})
	if err == nil || !strings.Contains(err.Error(), "2 ways") {
		t.Errorf("a token without a scheme and a user: %v", err)
	}
}

func TestLoad_tildeInPaths(t *testing.T) {
	for _, home := range []string{"/home/u", ""} {
		want := "~/a"
		if home != "" {
			want = home + "/a"
		}
		context := writeContext(t, "prod", `{"ca":"~/a"}`)
		cfg, err := loadWith(t, map[string]string{"HOME": home, "XDG_CONFIG_HOME": context + "/.config",
			"BACKHAUL_NATS_CONTEXT": "prod", "BACKHAUL_NATS_CREDS": "~/a", "BACKHAUL_VENDOR_PASSWORD_FILE": "~/a"})
		if err != nil {
			t.Fatal(err)
		}
		if cfg.NATS.TLS.CA != want || cfg.NATS.Auth.Creds != want || cfg.Vendor.Password.File() != want {
			t.Errorf("home %q: %q, %q, %q, want %q", home, cfg.NATS.TLS.CA, cfg.NATS.Auth.Creds, cfg.Vendor.Password.File(), want)
		}
	}
}

func TestShow_masksQueriesAndUsers(t *testing.T) {
	const secrets = "u:geheim-7f@v.example.com/api?sig=geheim-7f,geheim-8f&x=1#geheim-9f"
	env := map[string]string{
		"BACKHAUL_VENDOR_ENDPOINT": "https://" + secrets, "BACKHAUL_TRIGGER_S3_ENDPOINT": secrets,
		"BACKHAUL_ADMIN_COMMAND_CENTER_URL": "https://u:geheim-7f@v/cc?sig=geheim-8f#/jobs/{jobId}", "BACKHAUL_NATS_URL": "u:geheim-7f@a:4222,wss://b:1/?t=geheim-8f",
	}
	values, err := Show(parsed(t), environ(env))
	if err != nil {
		t.Fatal(err)
	}
	secretstest.NotShown(t, []string{"geheim"}, values)
	for key, want := range map[string]string{
		"vendor.endpoint": "https://xxxxx@v.example.com/api?xxxxx#xxxxx", "trigger.s3Endpoint": "xxxxx@v.example.com/api?xxxxx#xxxxx",
		"nats.url": "xxxxx@a:4222,wss://b:1/?xxxxx", "admin.commandCenterURL": "https://xxxxx@v/cc?xxxxx#/jobs/{jobId}",
	} {
		for _, v := range values {
			if v.Key == key && v.Value != want {
				t.Errorf("%s: %q, want %q", key, v.Value, want)
			}
		}
	}
}

func TestAdminCheck_masksTheURL(t *testing.T) {
	var e Error
	Admin{CommandCenterURL: "https://u:geheim-7f@v/jobs?sig=geheim-8f"}.check(&e)
	if len(e.Problems) != 1 || !strings.Contains(e.Problems[0], "https://xxxxx@v/jobs") {
		t.Errorf("got %q", e.Problems)
	}
	secretstest.NotShown(t, []string{"geheim"}, e.Problems)
}
