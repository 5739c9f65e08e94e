package schemas

import (
	"regexp"
	"testing"
)

// FuzzLabelKey compares the check with the expression of schemas/backup-request.v1.json.
func FuzzLabelKey(f *testing.F) {
	expression := regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$`)
	for _, key := range []string{"", "a", "-a", "a-", "Z9._/-x", "é", "a b", "a\n", string(make([]byte, 64)),
		"a23456789012345678901234567890123456789012345678901234567890123", "a234567890123456789012345678901234567890123456789012345678901234"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if got, want := isLabelKey(key), expression.MatchString(key); got != want {
			t.Errorf("%q: %v, want %v", key, got, want)
		}
	})
}
