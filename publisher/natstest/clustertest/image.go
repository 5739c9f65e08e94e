package clustertest

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

//go:embed Dockerfile
var dockerfile []byte

//go:embed nats.conf
var config []byte

const repository = "backhaul-clustertest"

// image is the name of an image of the program. It is named by its content, so it
// is built once.
func image(ctx context.Context, provider *testcontainers.DockerProvider, program string) (string, error) {
	files, err := buildContext(program)
	if err != nil {
		return "", fmt.Errorf("image: %w", err)
	}
	tag := fmt.Sprintf("%x", sha256.Sum256(files))[:16]
	there, err := provider.Client().ImageList(ctx, client.ImageListOptions{
		Filters: make(client.Filters).Add("reference", repository+":"+tag),
	})
	if err != nil {
		return "", fmt.Errorf("image: %w", err)
	}
	if len(there.Items) > 0 {
		return repository + ":" + tag, nil
	}
	return provider.BuildImage(ctx, &testcontainers.ContainerRequest{FromDockerfile: testcontainers.FromDockerfile{
		ContextArchive: bytes.NewReader(files), Repo: repository, Tag: tag, KeepImage: true,
	}})
}

// buildContext is a tar archive of all that goes into the image.
func buildContext(program string) ([]byte, error) {
	binary, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, file := range []struct {
		name    string
		mode    int64
		content []byte
	}{{"Dockerfile", 0o644, dockerfile}, {"nats.conf", 0o644, config}, {"nats-server", 0o755, binary}} {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: file.name, Mode: file.mode, Size: int64(len(file.content))}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(file.content); err != nil {
			return nil, err
		}
	}
	err = w.Close()
	return archive.Bytes(), err
}

// label marks the containers and networks of this user's tests.
func label() map[string]string {
	return map[string]string{"backhaul.clustertest": strconv.Itoa(os.Getuid())}
}

// sweep removes what has the label.
func sweep(ctx context.Context, engine client.APIClient) error {
	filters := make(client.Filters)
	for name, value := range label() {
		filters.Add("label", name+"="+value)
	}
	containers, err := engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		return err
	}
	networks, err := engine.NetworkList(ctx, client.NetworkListOptions{Filters: filters})
	if err != nil {
		return err
	}
	var failed []error
	for _, left := range containers.Items {
		_, err := engine.ContainerRemove(ctx, left.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		failed = append(failed, err)
	}
	for _, left := range networks.Items {
		_, err := engine.NetworkRemove(ctx, left.ID, client.NetworkRemoveOptions{})
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// lock waits until no other process of this user runs a cluster. The kernel
// gives it back when the process ends, however that happens.
func lock(t testing.TB) {
	t.Helper()
	path := filepath.Join(os.TempDir(), fmt.Sprintf("backhaul-clustertest-%d.lock", os.Getuid()))
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatalf("clustertest: %v", err)
	}
	t.Cleanup(func() { _ = file.Close() })
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for waits := false; ; waits = true {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			t.Fatalf("clustertest: lock %s: %v", path, err)
		}
		if !waits {
			t.Logf("clustertest: another test runs a cluster; waiting for %s", path)
		}
		select {
		case <-ticker.C:
		case <-t.Context().Done():
			t.Fatalf("clustertest: %v", t.Context().Err())
		}
	}
}
