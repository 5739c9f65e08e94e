package page_test

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"backhaul/publisher"
	"backhaul/schemas"
)

// A letter of 20 KB, nested as deep as it can be, took hundreds of megabytes to show. It is not parallel: it counts what the
// process allocates.
func TestALetterIsShownWithABound(t *testing.T) {
	b := newBench(t)
	for name, data := range map[string]string{
		"deep": strings.Repeat("[", 9_999) + strings.Repeat("]", 9_999),
		"long": `"` + strings.Repeat("x", 500_000) + `"`,
		"text": strings.Repeat("x\n", 250_000),
	} {
		err := b.pub.DeadLetter(t.Context(), publisher.DeadLetter{
			Subject: "backup.request.billing", Data: []byte(data), Key: publisher.Key{Source: "billing", Name: name}, RequestID: name,
			Header: schemas.Header{"X-Long": {strings.Repeat("x", 60_000)}}, Sequence: uint64(len(name)), Time: time.Now(), Code: name, Reason: name,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for number := 1; number <= 3; number++ {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		resp, body := b.do(http.MethodGet, fmt.Sprintf("/dead-letters/%d", number), nil)
		runtime.ReadMemStats(&after)
		if resp.StatusCode != http.StatusOK || len(body) > 128<<10 {
			t.Errorf("letter %d: status %d, %d bytes", number, resp.StatusCode, len(body))
		}
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 16<<20 {
			t.Errorf("letter %d: %d bytes allocated", number, allocated)
		}
	}
}
