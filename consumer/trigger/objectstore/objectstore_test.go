package objectstore_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"backhaul/consumer/trigger/objectstore"
	"backhaul/consumer/trigger/objectstore/objectstoretest"
)

const secretKey = "Geheim/4c1f"

func store(t *testing.T, url string, change func(*objectstore.Config)) *objectstore.Store {
	t.Helper()
	cfg := objectstore.Config{
		Endpoint: url, PathStyle: true,
		AccessKey: func() (string, error) { return "AKIDEXAMPLE", nil },
		SecretKey: func() (string, error) { return secretKey, nil },
	}
	if change != nil {
		change(&cfg)
	}
	s, err := objectstore.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore_Put(t *testing.T) {
	server := objectstoretest.Start(t, "lists")
	s := store(t, server.URL, nil)
	for _, content := range []string{"/a/1\n", "/a/1\n/a/2 ü\n"} {
		if err := s.Put(t.Context(), "lists", "a/b+c ü.txt", []byte(content)); err != nil {
			t.Fatal(err)
		}
		if got := server.Get("lists", "a/b+c ü.txt"); got != content {
			t.Errorf("the object is %q, want %q", got, content)
		}
	}
}

// A large list is one request as well, so it cannot be left incomplete.
func TestStore_PutSendsOneRequest(t *testing.T) {
	server := objectstoretest.Start(t, "lists")
	content := strings.Repeat("/container/a/long/path/to/some/object.bin\n", 400_000) // 17 MB
	if err := store(t, server.URL, nil).Put(t.Context(), "lists", "x", []byte(content)); err != nil {
		t.Fatal(err)
	}
	if got := server.Written(); len(got) != 1 || got["/lists/x"] != 1 {
		t.Errorf("the requests were %v", got)
	}
	if server.Get("lists", "x") != content {
		t.Error("the object has other content")
	}
}

func TestStore_PutReturnsTheStoresCode(t *testing.T) {
	server := objectstoretest.Start(t, "lists")
	for name, test := range map[string]struct {
		status int
		bucket string
		want   string
	}{
		"busy":           {http.StatusServiceUnavailable, "lists", "503"},
		"forbidden":      {http.StatusForbidden, "lists", "AccessDenied: Access Denied"},
		"no such bucket": {0, "others", "NoSuchBucket: The specified bucket does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			server.Fail(func(*http.Request) int { asked++; return test.status })
			err := store(t, server.URL, nil).Put(t.Context(), test.bucket, "x", []byte("y"))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("the error is %v, want one with %q", err, test.want)
			}
			if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), secretKey) {
				t.Error("the error shows the key")
			}
			if asked != 1 {
				t.Errorf("it was asked %d times: the caller knows how long it may wait", asked)
			}
		})
	}
}

// Put signs and sends an object as configured, to a store with its own root certificate.
func TestStore_PutUsesItsConfiguration(t *testing.T) {
	got := make(chan http.Header, 1)
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header }))
	t.Cleanup(server.Close)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for region, want := range map[string]string{"": "us-east-1", "eu-central-1": "eu-central-1"} {
		s := store(t, server.URL, func(cfg *objectstore.Config) { cfg.CAFile, cfg.Region = roots, region })
		if err := s.Put(t.Context(), "lists", "x", []byte("y")); err != nil {
			t.Fatal(err)
		}
		if h := <-got; !strings.Contains(h.Get("Authorization"), "/"+want+"/s3/") || h.Get("Content-Md5") == "" {
			t.Errorf("the region %q: the headers are %v", region, h)
		}
	}
}

func TestStore_PutEndsWithItsContext(t *testing.T) {
	server := objectstoretest.Start(t, "lists")
	hanging, over := make(chan struct{}), make(chan struct{})
	defer close(over)
	server.Fail(func(*http.Request) int { close(hanging); <-over; return 0 })
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-hanging; cancel() }()
	done := make(chan error, 1)
	go func() { done <- store(t, server.URL, nil).Put(ctx, "lists", "x", []byte("y")) }()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("Put has not returned after a minute")
	}
}

func TestStore_PutWithoutCredentials(t *testing.T) {
	server := objectstoretest.Start(t, "lists")
	gone := errors.New("the file is gone")
	s := store(t, server.URL, func(cfg *objectstore.Config) { cfg.SecretKey = func() (string, error) { return "", gone } })
	if err := s.Put(t.Context(), "lists", "x", nil); !errors.Is(err, gone) {
		t.Errorf("the error is %v", err)
	}
	if n := len(server.Written()); n != 0 {
		t.Error("an object was written without credentials")
	}
}

func TestNew_RefusesInvalidSettings(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []objectstore.Config{
		{Endpoint: ""}, {Endpoint: "s3.example.com"}, {Endpoint: "ftp://s3.example.com"}, {Endpoint: "https://s3.example.com/bucket"},
		{Endpoint: "https://user:" + secretKey + "@s3.example.com"}, {Endpoint: "https://user:password@s3.example.com"}, {Endpoint: "https://s3.example.com", CAFile: empty}, {Endpoint: "https://s3.example.com", CAFile: empty + "x"},
	} {
		_, err := objectstore.New(cfg)
		if err == nil {
			t.Errorf("New accepts %+v", cfg.Endpoint)
		} else if strings.Contains(err.Error(), secretKey) {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}
