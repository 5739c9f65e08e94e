package natsconn

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// UserInfo is the subject on which any server from 2.10 on answers what the user may publish and
// subscribe to, if the user may ask.
const UserInfo = "$SYS.REQ.USER.INFO"

// Subjects are what a user may publish. A nil *Subjects permits everything in the account.
type Subjects struct {
	Allow []string `json:"allow"`
	Deny  []string `json:"deny"`
}

// MayPublish asks the server what the user of a connection may publish. To try it would be to do it.
func MayPublish(ctx context.Context, nc *nats.Conn) (*Subjects, error) {
	var answer struct {
		Data struct {
			Permissions *struct {
				Publish *Subjects `json:"publish"`
			} `json:"permissions"`
		} `json:"data"`
	}
	msg, err := nc.RequestWithContext(ctx, UserInfo, nil)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil || answer.Data.Permissions == nil {
		return nil, err
	}
	return answer.Data.Permissions.Publish, nil
}

// Allows reports whether every subject that matches may be published.
func (s *Subjects) Allows(subject string) bool {
	if s == nil {
		return true
	}
	allowed := len(s.Allow) == 0
	for _, pattern := range s.Allow {
		allowed = allowed || covers(pattern, subject)
	}
	for _, pattern := range s.Deny {
		if overlaps(pattern, subject) {
			return false
		}
	}
	return allowed
}

// covers reports whether a pattern matches everything that another one matches.
func covers(pattern, other string) bool {
	have, want := strings.Split(pattern, "."), strings.Split(other, ".")
	for i, token := range have {
		switch {
		case token == ">":
			return len(want) > i
		case i >= len(want), want[i] == ">", token != "*" && token != want[i]:
			return false
		}
	}
	return len(have) == len(want)
}

// overlaps reports whether some subject matches both patterns.
func overlaps(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		switch {
		case x[i] == ">", y[i] == ">":
			return true
		case x[i] != "*" && y[i] != "*" && x[i] != y[i]:
			return false
		}
	}
	return len(x) == len(y)
}

const (
	// userInfoPatience bounds the wait for what the user may publish: a server that does not permit
	// the question does not answer it.
	userInfoPatience = 2 * time.Second
	// userInfoAgain is how long a question without an answer is not repeated.
	userInfoAgain = time.Minute
)

// Grants finds out what the user of a connection may not publish. It is safe for concurrent use.
type Grants struct {
	nc *nats.Conn

	mu     sync.Mutex
	notYet time.Time // no question before
}

// NewGrants returns the grants of a connection's user.
func NewGrants(nc *nats.Conn) *Grants { return &Grants{nc: nc} }

// Missing returns those of the subjects that may not be published, none if that cannot be found out.
func (g *Grants) Missing(ctx context.Context, subjects ...string) []string {
	g.mu.Lock()
	unknown := time.Now().Before(g.notYet)
	g.mu.Unlock()
	if unknown {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, userInfoPatience)
	defer cancel()
	publish, err := MayPublish(ctx, g.nc)
	if err != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.notYet = time.Now().Add(userInfoAgain)
		return nil
	}
	return slices.DeleteFunc(slices.Clone(subjects), publish.Allows)
}
