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

// Store writes directive files to the cloud account that is backed up.
type Store interface {
	// Put writes an object and replaces one of the same name.
	Put(ctx context.Context, container, name string, data []byte) error
}

// Labels that the trigger adds to requests, in addition to those of the route.
const (
	// LabelChanges is how many objects and directories changed.
	LabelChanges = LabelPrefix + "changes"
	// LabelFirst and LabelLast are the stream sequences of the window's first and last
	// notification.
	LabelFirst = LabelPrefix + "first"
	LabelLast  = LabelPrefix + "last"
	// LabelSince and LabelUntil are when the first and last notification were stored. A request
	// has no LabelUntil if the labels of its route and LabelUser are [MaxLabels].
	LabelSince = LabelPrefix + "since"
	LabelUntil = LabelPrefix + "until"
	// LabelUser is who made the changes, as far as the notifications name them. A request of a
	// route with [MaxLabels] labels does not have it.
	LabelUser = LabelPrefix + "user"
	// LabelDirective is set for a route with a directive: [DirectiveListed], or why the
	// request has no directive file. LabelDirectiveSHA256, LabelDirectiveSize and
	// LabelDirectivePaths describe its content.
	LabelDirective       = LabelPrefix + "directive"
	LabelDirectiveSHA256 = LabelPrefix + "directive.sha256"
	LabelDirectiveSize   = LabelPrefix + "directive.size"
	LabelDirectivePaths  = LabelPrefix + "directive.paths"
	// LabelDirectiveWhy says how many changes cannot be listed, which is the first of them,
	// and why.
	LabelDirectiveWhy = LabelPrefix + "directive.why"
)

// Values of LabelDirective. All but the first mean a plain INCREMENTAL, which finds the
// changes itself.
const (
	DirectiveListed      = "listed"
	DirectiveUnlistable  = "unlistable"  // a path cannot be a line of the file
	DirectiveDeletion    = "deletion"    // an object was deleted, and cannot be listed
	DirectiveTooMany     = "too-many"    // one notification has more paths than a window may
	DirectiveUnavailable = "unavailable" // the store accepted no file for too long
)

// DirectiveResults has the values of LabelDirective.
var DirectiveResults = []string{DirectiveListed, DirectiveUnlistable, DirectiveDeletion, DirectiveTooMany, DirectiveUnavailable}

// request returns the window's request, without a directive file.
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
	// With a list, the trigger adds eight labels more, and a request may have 32.
	room := MaxLabels - len(g.route.Request.Labels)
	if by := w.users.String(); by != "" && room > 0 {
		req.Labels[LabelUser] = by
		room--
	}
	if room > 0 {
		req.Labels[LabelUntil] = w.latest.UTC().Format(time.RFC3339Nano)
	}
	return req
}

// unlisted is why a window has no directive file.
type unlisted struct {
	result string // one of DirectiveResults
	// paths is how many changes cannot be listed, first is the first of them, and why is its
	// reason.
	paths int
	first string
	why   string
}

// add counts a change that cannot be listed. A deletion is the reason before any other.
func (u *unlisted) add(result, path, why string) {
	if u.result != result && result == DirectiveDeletion {
		*u = unlisted{result: result}
	}
	if u.result != "" && u.result != result {
		return
	}
	if u.result = result; u.paths == 0 || path < u.first {
		u.first, u.why = path, why
	}
	u.paths++
}

func (u *unlisted) String() string {
	if u.paths == 0 {
		return ""
	}
	text := fmt.Sprintf("%d not listed: %s; the first is %s", u.paths, u.why, strconv.QuoteToASCII(u.first[:min(len(u.first), maxLabelValue)]))
	if len(text) > maxLabelValue {
		text = text[:maxLabelValue-3] + "..."
	}
	return text
}

// maxLabelValue is how many bytes the value of a label may have.
const maxLabelValue = 256

// list returns the content of the window's directive file: each changed path once, sorted so
// that the same changes make the same file. If there can be no file, it returns the reason
// as no.
func (w *window) list(r *Route) (content []byte, paths int, no unlisted) {
	if w.paths > r.Window.MaxPaths {
		return nil, 0, unlisted{result: DirectiveTooMany}
	}
	lines := make([]string, 0, w.paths)
	for name, h := range w.objects {
		if !h.counts {
			continue
		}
		c := name.created()
		c.Kind = h.kind
		path, why := h.route.Path(c)
		switch {
		case h.kind != KindCreated:
			no.add(DirectiveDeletion, c.Container+"/"+c.Key, why)
		case why != "":
			no.add(DirectiveUnlistable, c.Container+"/"+c.Key, why)
		default:
			lines = append(lines, path)
		}
	}
	if no.result != "" {
		return nil, 0, no
	}
	slices.Sort(lines)
	lines = slices.Compact(lines) // containers of two accounts may have one name
	return []byte(strings.Join(lines, "\n") + "\n"), len(lines), no
}

// listed makes the request one for the paths in a directive file.
func listed(req *schemas.BackupRequest, d *Directive, content []byte, paths int) {
	req.AdHocBackup, req.OnDemandInputFile = true, "/"+d.Container+"/"+d.object(req.RequestID)
	req.Labels[LabelDirective] = DirectiveListed
	req.Labels[LabelDirectiveSHA256] = schemas.HashBytes(content)
	req.Labels[LabelDirectiveSize] = strconv.Itoa(len(content))
	req.Labels[LabelDirectivePaths] = strconv.Itoa(paths)
}

// object returns the name of the directive file of a request.
func (d *Directive) object(requestID string) string { return d.Prefix + requestID + ".txt" }

const (
	// storeGivesUp is the default of [Config].StoreGivesUp.
	storeGivesUp = 10 * time.Minute
	putTimeout   = 30 * time.Second
	firstPause   = 250 * time.Millisecond
	longestPause = 15 * time.Second
)

// upload writes a directive file, and repeats that until the store accepts it, ctx ends, or
// [Config].StoreGivesUp has passed. Each attempt has the same name and content.
func (t *Trigger) upload(ctx context.Context, d *Directive, name string, content []byte) error {
	giveUp := time.Now().Add(t.cfg.StoreGivesUp)
	for wait := firstPause; ; wait = min(2*wait, longestPause) {
		attempt, cancel := context.WithTimeout(ctx, putTimeout)
		err := t.store.Put(attempt, d.Container, name, content)
		cancel()
		t.observe.Uploaded(len(content), err)
		if err == nil {
			t.storeTrouble.Note(nil)
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		t.storeTrouble.Note(fmt.Errorf("write /%s/%s: %w", d.Container, name, err))
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
