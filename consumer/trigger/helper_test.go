package trigger

import (
	"net/http"
	"testing"

	"backhaul/deploy"
)

func failPuts(r *http.Request) int {
	if r.Method == http.MethodPut {
		return http.StatusServiceUnavailable
	}
	return 0
}

func shipped(t testing.TB, file string) []byte {
	t.Helper()
	data, err := deploy.TriggerStreams.ReadFile("streams/trigger/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
