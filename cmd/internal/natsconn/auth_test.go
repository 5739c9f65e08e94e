package natsconn_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/natsconn"
	"backhaul/cmd/internal/service"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/secretstest"
)

const password = "geheim-Ü-7f3a"

// serve runs a server with these options until the test ends.
func serve(t *testing.T, options server.Options) (url string) {
	t.Helper()
	options.ServerName, options.Host, options.NoSigs, options.NoLog = "demanding", "127.0.0.1", true, true
	if options.Port == 0 {
		options.Port = server.RANDOM_PORT
	}
	srv, err := server.NewServer(&options)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server is not ready after 20 s")
	}
	return "nats://" + srv.Addr().String()
}

// settings are read as the program reads them.
func settings(t *testing.T, env map[string]string) (config.NATS, error) {
	t.Helper()
	var environ []string
	for name, value := range env {
		environ = append(environ, name+"="+value)
	}
	cfg, err := config.Load(pflag.NewFlagSet("test", pflag.ContinueOnError), environ)
	if err != nil {
		return config.NATS{}, err
	}
	return cfg.NATS, nil
}

// try connects with these settings. Nothing that is logged or said on the way
// shows a secret.
func try(t *testing.T, env map[string]string, secrets ...string) (*nats.Conn, error) {
	t.Helper()
	cfg, err := settings(t, env)
	if err != nil {
		return nil, err
	}
	var log bytes.Buffer
	nc, err := service.Join(t.Context(), cfg, "test", zerolog.New(&log))
	secretstest.NotShown(t, secrets, log.String(), err, cfg.Auth, cfg.TLS)
	if err != nil {
		return nil, err
	}
	t.Cleanup(nc.Close)
	return nc, nc.Flush()
}

func file(t *testing.T, name string, data []byte) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Each way to say who connects, and each way to encrypt, against a server that
// demands it; by the settings, and by a context of the nats command.
func TestConnect_everyWay(t *testing.T) {
	t.Parallel()
	user := newUser(t)
	pki := newPKI(t)
	nkey := file(t, "user.nk", user.seed)
	creds := file(t, "user.creds", user.creds)
	userPassword := server.Options{Username: "relay", Password: password}
	for name, c := range map[string]struct {
		demands server.Options
		env     map[string]string // in addition to the URL
		context map[string]any
		// refused is the error of a client without credentials.
		refused string
	}{
		"user":          {userPassword, map[string]string{"USER": "relay", "PASSWORD": password}, map[string]any{"user": "relay", "password": password}, "Authorization Violation"},
		"password file": {userPassword, map[string]string{"USER": "relay", "PASSWORD_FILE": file(t, "password", []byte(password+"\n"))}, nil, "Authorization Violation"},
		"token":         {server.Options{Authorization: password}, map[string]string{"TOKEN": password}, map[string]any{"token": password}, "Authorization Violation"},
		"nkey":          {user.nkeyServer(), map[string]string{"NKEY": nkey}, map[string]any{"nkey": nkey}, "Authorization Violation"},
		"creds":         {user.operatorServer(t), map[string]string{"CREDS": creds}, map[string]any{"creds": creds}, "Authorization Violation"},
		"user JWT":      {user.operatorServer(t), map[string]string{"CREDS": creds}, map[string]any{"user_jwt": user.jwt, "user_seed": string(user.seed)}, "Authorization Violation"},
		"TLS":           {pki.server(t, false), map[string]string{"CA": pki.ca}, map[string]any{"ca": pki.ca}, "certificate signed by unknown authority"},
		"mutual TLS": {pki.server(t, true), map[string]string{"CA": pki.ca, "CERT": pki.cert, "KEY": pki.key},
			map[string]any{"ca": pki.ca, "cert": pki.cert, "key": pki.key}, "certificate signed by unknown authority"},
		"TLS first": {pki.firstServer(t), map[string]string{"CA": pki.ca, "TLS_FIRST": "true"}, map[string]any{"ca": pki.ca, "tls_first": true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := serve(t, c.demands)
			secrets := []string{password, string(user.seed)}
			env := map[string]string{"BACKHAUL_NATS_URL": url}
			if nc, err := try(t, env, secrets...); err == nil {
				t.Errorf("without anything: connected to %s", nc.ConnectedUrl())
			} else if _, ok := errors.AsType[*natsconn.UnreachableError](err); !ok || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("without anything: %v, want %q", err, c.refused)
			}
			for setting, value := range c.env {
				env["BACKHAUL_NATS_"+setting] = value
			}
			if _, err := try(t, env, secrets...); err != nil {
				t.Errorf("by settings: %v", err)
			}
			if c.context == nil {
				return
			}
			c.context["url"], c.context["description"], c.context["color_scheme"] = url, "a test", "red"
			if _, err := try(t, contextEnv(t, "prod", c.context), secrets...); err != nil {
				t.Errorf("by a context: %v", err)
			}
		})
	}
}

// contextEnv is an environment with this context of the nats command, selected.
func contextEnv(t *testing.T, name string, context map[string]any) map[string]string {
	t.Helper()
	data, err := json.Marshal(context)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "nats", "context"), 0o700); err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string][]byte{filepath.Join("context", name+".json"): data, "context.txt": []byte(name + "\n")} {
		if err := os.WriteFile(filepath.Join(dir, "nats", path), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return map[string]string{"XDG_CONFIG_HOME": dir, "BACKHAUL_NATS_CONTEXT": config.SelectedContext}
}

func TestConnect_aListOfServers(t *testing.T) {
	t.Parallel()
	alive := serve(t, server.Options{Username: "relay", Password: password})
	withUser := strings.Replace(alive, "nats://", "nats://relay:"+url.PathEscape(password)+"@", 1)
	nc, err := try(t, map[string]string{"BACKHAUL_NATS_URL": "nats://127.0.0.1:1, " + withUser}, password)
	if err != nil {
		t.Fatal(err)
	}
	if got := nc.ConnectedAddr(); got != strings.TrimPrefix(alive, "nats://") {
		t.Errorf("connected to %s, want the one that is alive, %s", got, alive)
	}
}

// A password that is replaced at both ends is found again, without a restart.
func TestConnect_aReplacedPassword(t *testing.T) {
	t.Parallel()
	old := server.Options{ServerName: "demanding", Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, Username: "relay", Password: "first-" + password}
	first, err := server.NewServer(&old)
	if err != nil {
		t.Fatal(err)
	}
	first.Start()
	if !first.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server is not ready after 20 s")
	}
	secret := file(t, "password", []byte("first-"+password))
	nc, err := try(t, map[string]string{"BACKHAUL_NATS_URL": "nats://" + first.Addr().String(), "BACKHAUL_NATS_USER": "relay", "BACKHAUL_NATS_PASSWORD_FILE": secret}, password)
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan struct{}, 100)
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrAuthorization) {
			refused <- struct{}{}
		}
	})
	port := first.Addr().String()[strings.LastIndex(first.Addr().String(), ":")+1:]
	first.Shutdown()
	first.WaitForShutdown()
	second := server.Options{Username: "relay", Password: "second-" + password}
	if _, err := fmt.Sscan(port, &second.Port); err != nil {
		t.Fatal(err)
	}
	serve(t, second)
	for range 3 { // more often than the client would bear by itself
		select {
		case <-refused:
		case <-time.After(time.Minute):
			t.Fatalf("not refused within a minute, the connection is %s", nc.Status())
		}
	}
	if err := os.WriteFile(secret, []byte("second-"+password), 0o600); err != nil {
		t.Fatal(err)
	}
	waittest.Eventually(t, "reconnection", nc.IsConnected)
}
