package objectstore

import (
	"testing"
	"testing/synctest"
	"time"
)

// A file of credentials that was replaced is read within a minute, and not for each object.
func TestKeys_expire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		value := "one"
		read := func() (string, error) { return value, nil }
		k := &keys{access: read, secret: read}
		if !k.IsExpired() {
			t.Error("they are used before they are read")
		}
		if v, err := k.Retrieve(); err != nil || v.AccessKeyID != "one" || v.SecretAccessKey != "one" {
			t.Errorf("%+v, %v", v, err)
		}
		value = "two"
		time.Sleep(keysLast) //nolint:forbidigo // the bubble's time
		if k.IsExpired() {
			t.Error("they are read again at once")
		}
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's time
		if !k.IsExpired() {
			t.Error("they are used for ever")
		}
	})
}
