package consumer

import (
	"testing"
	"time"

	"backhaul/schemas"
)

// An outcome is about a copy if it is about another message with the same id and content.
func TestRequest_isCopy(t *testing.T) {
	t.Parallel()
	stored := time.Now().Add(-time.Minute)
	req := &request{message: schemas.Message{RequestedAt: stored, PayloadHash: "same"}}
	unnamed := &request{message: req.message, anonymous: true}
	for name, c := range map[string]struct {
		req      *request
		about    schemas.Message
		is, copy bool
	}{
		"this message":                {req, req.message, true, false},
		"the same content":            {req, schemas.Message{RequestedAt: stored.Add(1), PayloadHash: "same"}, true, true},
		"other content":               {req, schemas.Message{RequestedAt: stored.Add(1), PayloadHash: "other"}, false, false},
		"this message, without an id": {unnamed, req.message, true, false},
		"the same content, no id":     {unnamed, schemas.Message{RequestedAt: stored.Add(1), PayloadHash: "same"}, false, false},
	} {
		if is, isCopy := c.req.is(c.about), c.req.isCopy(c.about); is != c.is || isCopy != c.copy {
			t.Errorf("%s: is %t, isCopy %t, want %t and %t", name, is, isCopy, c.is, c.copy)
		}
	}
}
