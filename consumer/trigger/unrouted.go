package trigger

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// CodeNoRoute is the code of the dead letter of a notification that no route takes, see
// [Routes].KeepUnrouted.
const CodeNoRoute = "NO_ROUTE"

const (
	// maxUnrouted is how many containers are counted one by one.
	maxUnrouted = 200
	// unroutedPause is the shortest time between two lines of the log.
	unroutedPause = time.Minute
)

// Unrouted has the changes that no route takes.
type Unrouted struct {
	// Changes is how many there were since the process began to read.
	Changes int `json:"changes"`
	// Containers has the containers with most changes, at most 50, and Others how many changes
	// are in other ones.
	Containers []UnroutedContainer `json:"containers,omitempty"`
	Others     int                 `json:"others,omitempty"`
}

// UnroutedContainer has the changes in one container.
type UnroutedContainer struct {
	System    string `json:"system,omitempty"`
	Account   string `json:"account,omitempty"`
	Container string `json:"container"`
	Changes   int    `json:"changes"`
	// Last is when the last one was read, and Key the key that it is about.
	Last time.Time `json:"last"`
	Key  string    `json:"key"`
}

// maxTold is how many containers are in a [State], which is sent twice a second.
const maxTold = 50

// unrouted counts the changes that no route takes. It belongs to the goroutine of Run.
type unrouted struct {
	changes    int
	containers map[place]*UnroutedContainer
	logged     time.Time
	unlogged   int // changes since the last line of the log
	last       Change
}

// isUnrouted reports whether no route has to do with a change. A deletion that only removes a
// creation from a window is not unrouted.
func (rs *Routes) isUnrouted(c Change, reason Reason) bool {
	return reason == ReasonNoRoute && len(rs.Holders(c)) == 0
}

// note counts a change.
func (u *unrouted) note(c Change) {
	u.changes++
	u.unlogged++
	u.last = c
	if u.containers == nil {
		u.containers = make(map[place]*UnroutedContainer)
	}
	at := place{system: shown(c.System), account: shown(c.Account), container: shown(c.Container)}
	one := u.containers[at]
	if one == nil {
		if len(u.containers) >= maxUnrouted {
			return
		}
		one = &UnroutedContainer{System: at.system, Account: at.account, Container: at.container}
		u.containers[at] = one
	}
	one.Changes++
	one.Last, one.Key = time.Now().UTC(), shown(c.Key)
}

// shown returns the beginning of a name. One may be as long as a message, and the state is one
// message too.
func shown(name string) string {
	const most = 200
	if len(name) > most {
		return strings.ToValidUTF8(name[:most], "") + "…"
	}
	return name
}

// state returns what was counted, the containers with most changes first.
func (u *unrouted) state() *Unrouted {
	if u.changes == 0 {
		return nil
	}
	all := slices.SortedFunc(maps.Values(u.containers), func(a, b *UnroutedContainer) int {
		return cmp.Or(b.Changes-a.Changes, cmp.Compare(a.Container, b.Container), cmp.Compare(a.System, b.System), cmp.Compare(a.Account, b.Account))
	})
	told := &Unrouted{Changes: u.changes, Others: u.changes}
	for _, one := range all[:min(len(all), maxTold)] {
		told.Containers = append(told.Containers, *one)
		told.Others -= one.Changes
	}
	return told
}

// logUnrouted writes one line about the changes that no route takes, at most once in
// unroutedPause.
func (t *Trigger) logUnrouted(now time.Time) {
	u := &t.unrouted
	if u.unlogged == 0 || now.Sub(u.logged) < unroutedPause {
		return
	}
	t.log.Warn().Int("changes", u.unlogged).Int("containers", len(u.containers)).
		Str("system", shown(u.last.System)).Str("container", shown(u.last.Container)).Str("key", shown(u.last.Key)).
		Msg("no route takes changes, `backhaul trigger unrouted` lists their containers")
	u.logged, u.unlogged, u.last = now, 0, Change{}
}

// keepUnrouted publishes a dead letter of a notification with changes that no route takes, if
// the routes say so.
func (s *session) keepUnrouted(ctx context.Context, msg *nats.Msg, m *message, changes []Change) error {
	if !s.routes.KeepUnrouted || m.reason != "" {
		return nil
	}
	n, first := 0, Change{}
	for _, c := range changes {
		if _, reason := s.routes.Match(c); s.routes.isUnrouted(c, reason) {
			if n++; n == 1 {
				first = c
			}
		}
	}
	if n == 0 {
		return nil
	}
	reason := fmt.Sprintf("no route takes %d of its %d changes; the first: %s of %s in container %s of system %s", n, len(changes),
		first.Kind, shown(first.Key), shown(first.Container), shown(first.System))
	return s.keepLetter(ctx, msg, m, CodeNoRoute, reason)
}
