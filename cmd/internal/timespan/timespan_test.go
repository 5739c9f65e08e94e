package timespan

import (
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90m": 90 * time.Minute, "8d": 8 * day, "1d12h": 36 * time.Hour, "0d": 0, "0": 0, "1.5h": 90 * time.Minute, "106751d": 106751 * day,
	} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("%q is %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "7", "-1h", "+1h", "-1d", "1.5d", "1h2d", "1d-1h", "1dd", "106752d", "106751d24h", "9999999999999d", "7D", "1d "} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("7d12h")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse(text)
		if err == nil && d < 0 {
			t.Errorf("%q is %s", text, d)
		}
	})
}

func TestFormat(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"8d": "8d", "24h": "1d", "1d12h": "36h0m0s", "90m": "1h30m0s", "0s": "0s"} {
		d, err := Parse(text)
		if got := Format(d); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", text, got, err, want)
		}
		if again, err := Parse(Format(d)); err != nil || again != d {
			t.Errorf("%s: %s is read as %s, %v", text, Format(d), again, err)
		}
	}
}
