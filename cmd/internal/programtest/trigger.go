package programtest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"backhaul/consumer/trigger/objectstore/objectstoretest"
)

// StoreKey is the secret key of the object store. No other text contains it.
const StoreKey = "s3-Geheim-1f77"

// Notification returns what MinIO sends for a new object.
func Notification(container, key string) []byte {
	return fmt.Appendf(nil, `{"EventName":"s3:ObjectCreated:Put","Key":"%s/%s","Records":[{"eventVersion":"2.0","eventSource":"minio:s3",
"eventName":"s3:ObjectCreated:Put","eventTime":"2026-11-23T10:00:00Z","s3":{"bucket":{"name":%q},"object":{"key":%q,"size":7}}}]}`, container, key, container, key)
}

// TriggerEnv returns the environment of `backhaul trigger` with a routes file of this text.
func TriggerEnv(t *testing.T, natsURL string, store *objectstoretest.Server, routes string) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "routes.yaml")
	if err := os.WriteFile(file, []byte(routes), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{
		"BACKHAUL_NATS_URL=" + natsURL, "BACKHAUL_TRIGGER_ROUTES=" + file, "BACKHAUL_ADMIN_ADDR=127.0.0.1:0",
		"BACKHAUL_TRIGGER_S3_ENDPOINT=" + store.URL, "BACKHAUL_TRIGGER_S3_PATH_STYLE=true",
		"BACKHAUL_TRIGGER_S3_ACCESS_KEY=backhaul", "BACKHAUL_TRIGGER_S3_SECRET_KEY=" + StoreKey,
	}
}

// SameLines compares two lists without their order.
func SameLines(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if slices.Equal(got, want) {
		return
	}
	times := make(map[string]int, len(want))
	for _, line := range want {
		times[line]--
	}
	for _, line := range got {
		times[line]++
	}
	lost, double, foreign := 0, 0, 0
	for line, n := range times {
		switch {
		case n < 0:
			lost++
		case n > 0 && slices.Contains(want, line):
			double++
		case n > 0:
			foreign++
		}
	}
	t.Errorf("%s: %d lost, %d double, %d that did not change, of %d", what, lost, double, foreign, len(want))
}
