package console

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// limited records the deadline of an answer.
type limited struct {
	*httptest.ResponseRecorder
	until *time.Time
}

func (l limited) SetWriteDeadline(until time.Time) error {
	*l.until = until
	return nil
}

// An answer has writeTimeout to be read, but a profile lasts as long as it is asked for.
func TestAnswersAreLimited(t *testing.T) {
	t.Parallel()
	c, err := Start(t.Context(), "", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	for path, want := range map[string]time.Duration{"/livez": writeTimeout, "/": writeTimeout, "/debug/pprof/profile": 0, "/debugging": writeTimeout} {
		until := time.Now().Add(time.Hour)
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8080"+path, nil)
		before := time.Now()
		c.handler().ServeHTTP(limited{httptest.NewRecorder(), &until}, r)
		switch {
		case want == 0 && !until.IsZero():
			t.Errorf("%s: the answer ends after %s, want no end", path, until.Sub(before))
		case want > 0 && (until.Before(before.Add(want)) || until.After(time.Now().Add(want))):
			t.Errorf("%s: the answer ends after %s, want %s", path, until.Sub(before), want)
		}
	}
}
