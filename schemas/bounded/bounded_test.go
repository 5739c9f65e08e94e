package bounded

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestRead_NamesItsLimit(t *testing.T) {
	t.Parallel()
	if data, err := Read(strings.NewReader("12345"), 5); err != nil || string(data) != "12345" {
		t.Errorf("got %q, %v", data, err)
	}
	_, err := Read(bytes.NewReader(make([]byte, 6)), 5)
	if _, ok := errors.AsType[*SizeError](err); !ok || !strings.Contains(err.Error(), "more than 5 bytes") {
		t.Errorf("got %v", err)
	}
}

func TestReadFile_RefusesEndlessFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	large, pipe := filepath.Join(dir, "large"), filepath.Join(dir, "pipe")
	if err := os.WriteFile(large, make([]byte, 11), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		large: "more than 10 bytes", pipe: "not a regular file", dir: "is a directory", "/dev/zero": "not a regular file", filepath.Join(dir, "none"): "no such file",
	} {
		if _, err := ReadFile(name, 10); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	if data, err := ReadFile(large, 11); err != nil || len(data) != 11 {
		t.Errorf("got %d bytes, %v", len(data), err)
	}
}
