package trigger

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"backhaul/consumer/internal/sleep"
	"backhaul/schemas"
)

// Store is where directive files are written: the cloud account that is backed up.
type Store interface {
	// Put writes an object, over one of the same name.
	Put(ctx context.Context, container, name string, data []byte) error
}

// Labels that the trigger adds to requests, beside those of the route.
const (
	// LabelChanges is how many objects and directories changed.
	LabelChanges = LabelPrefix + "changes"
	// LabelFirst and LabelLast are the places of the window's first and last
	// notification in the stream.
	LabelFirst = LabelPrefix + "first"
	LabelLast  = LabelPrefix + "last"
	// LabelSince is when the first of them was stored.
	LabelSince = LabelPrefix + "since"
	// LabelDirective says what became of the directive file of a route that has
	// one: [DirectiveListed], or why there is none. LabelDirectiveSHA256,
	// LabelDirectiveSize and LabelDirectivePaths are about its content.
	LabelDirective       = LabelPrefix + "directive"
	LabelDirectiveSHA256 = LabelPrefix + "directive.sha256"
	LabelDirectiveSize   = LabelPrefix + "directive.size"
	LabelDirectivePaths  = LabelPrefix + "directive.paths"
)

// The values of LabelDirective. All but the first stand for a plain INCREMENTAL,
// which looks for the changes itself.
const (
	DirectiveListed      = "listed"
	DirectiveUnlistable  = "unlistable"  // a path that no line can stand for
	DirectiveDeletion    = "deletion"    // what is gone cannot be listed
	DirectiveTooMany     = "too-many"    // one notification had more paths than a window may
	DirectiveUnavailable = "unavailable" // the store took no file for too long
)

// DirectiveResults are the values of LabelDirective.
var DirectiveResults = []string{DirectiveListed, DirectiveUnlistable, DirectiveDeletion, DirectiveTooMany, DirectiveUnavailable}

// request is what a window asks for, without a directive file.
func (w *window) request(g *group) schemas.BackupRequest {
	req := g.route.Request
	req.RequestID = requestID(g.name, w.first, w.last, w.latest)
	req.Labels = maps.Clone(req.Labels)
	if req.Labels == nil {
		req.Labels = make(map[string]string)
	}
	req.Labels[LabelChanges] = strconv.Itoa(w.paths)
	req.Labels[LabelFirst] = strconv.FormatUint(w.first, 10)
	req.Labels[LabelLast] = strconv.FormatUint(w.last, 10)
	req.Labels[LabelSince] = w.since.UTC().Format(time.RFC3339Nano)
	return req
}

// list is the content of a directive file: the paths of what changed, each once,
// sorted so that the same changes make the same file. why says why there is none.
func (w *window) list(r *Route) (content []byte, paths int, why string) {
	if w.paths > r.Window.MaxPaths {
		return nil, 0, DirectiveTooMany
	}
	lines := make([]string, 0, w.paths)
	for _, h := range w.objects {
		if !h.counts {
			continue
		}
		if h.Kind != KindCreated {
			return nil, 0, DirectiveDeletion
		}
		path, why := h.route.Path(h.Change)
		if why != "" {
			return nil, 0, DirectiveUnlistable
		}
		lines = append(lines, path)
	}
	slices.Sort(lines)
	lines = slices.Compact(lines) // containers of two accounts may have one name
	return []byte(strings.Join(lines, "\n") + "\n"), len(lines), ""
}

// listed makes the request one for the paths of a directive file.
func listed(req *schemas.BackupRequest, d *Directive, content []byte, paths int) {
	req.AdHocBackup, req.OnDemandInputFile = true, "/"+d.Container+"/"+d.object(req.RequestID)
	req.Labels[LabelDirective] = DirectiveListed
	req.Labels[LabelDirectiveSHA256] = schemas.HashBytes(content)
	req.Labels[LabelDirectiveSize] = strconv.Itoa(len(content))
	req.Labels[LabelDirectivePaths] = strconv.Itoa(paths)
}

// object is the name of the directive file of a request.
func (d *Directive) object(requestID string) string { return d.Prefix + requestID + ".txt" }

const (
	// storeGivesUp is how long a window tries to write its directive file before it
	// asks for a plain INCREMENTAL instead. A backup that looks for the changes
	// itself is better than none.
	storeGivesUp = 10 * time.Minute
	putTimeout   = 30 * time.Second
	firstPause   = 250 * time.Millisecond
	longestPause = 15 * time.Second
)

// upload writes a directive file, again and again until the store takes it. The
// name and the content are the same each time. It ends with ctx, or when it has
// taken too long.
func (t *Trigger) upload(ctx context.Context, d *Directive, name string, content []byte) error {
	giveUp := time.Now().Add(t.cfg.StoreGivesUp)
	for wait := firstPause; ; wait = min(2*wait, longestPause) {
		attempt, cancel := context.WithTimeout(ctx, putTimeout)
		err := t.store.Put(attempt, d.Container, name, content)
		cancel()
		t.observe.Uploaded(len(content), err)
		if err == nil {
			t.storeTrouble.note(nil)
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		t.storeTrouble.note(fmt.Errorf("write /%s/%s: %w", d.Container, name, err))
		if t.storeLog.Changed(err) {
			t.log.Warn().Err(err).Str("object", "/"+d.Container+"/"+name).Msg("cannot write a directive file, trying again")
		}
		if time.Now().After(giveUp) {
			return err
		}
		if !sleep.For(ctx, wait) {
			return context.Cause(ctx)
		}
	}
}
