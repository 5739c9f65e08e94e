package vendorapi

import (
	"strings"
	"sync/atomic"
	"time"

	"backhaul/vendorapi/internal/http1"
)

// token authorises calls. Tokens are compared by address.
type token struct {
	name string // of the header field
	// value is a pointer because fmt prints unexported fields without calling their methods.
	value *Secret
	idle  time.Duration // how long it may stay unused; 0 is for ever
	made  time.Time     // when the vendor issued it to this client; zero for a configured token
	// accepted is when a call with the token was last answered, in UNIX nanoseconds.
	accepted *atomic.Int64
}

func newToken(name string, value Secret) *token {
	return &token{name: name, value: &value, accepted: new(atomic.Int64)}
}

// isRecent reports whether the vendor issued or accepted the token so recently that it cannot have
// expired.
func (t *token) isRecent() bool {
	accepted := time.Unix(0, t.accepted.Load())
	return time.Since(t.made) < shortestLife || time.Since(accepted) < shortestLife
}

func (t *token) header() http1.Field { return http1.Field{Name: t.name, Value: string(*t.value)} }

// is reports whether two tokens have the same text.
func (t *token) is(other *token) bool { return *t.value == *other.value }

// hide removes the token from an answer: some pages repeat the request.
func (t *token) hide(body []byte) []byte {
	value := string(*t.value)
	if _, after, ok := strings.Cut(value, " "); ok {
		value = after
	}
	return hidden(body, value)
}
