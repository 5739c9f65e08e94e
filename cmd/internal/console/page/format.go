package page

import (
	"fmt"
	"hash/fnv"
	"html/template"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"backhaul/cmd/internal/console/state"
	"backhaul/cmd/internal/deadletter"
	"backhaul/cmd/internal/history"
	"backhaul/cmd/internal/protection/watch"
	"backhaul/cmd/internal/show"
	"backhaul/publisher"
	"backhaul/schemas"
)

// functions returns what templates may call.
func functions(versions map[string]string) template.FuncMap {
	return template.FuncMap{
		"asset":         func(name string) string { return "/assets/" + name + "?v=" + versions[name] },
		"clock":         clock,
		"stamp":         func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000 UTC") },
		"iso":           func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
		"duration":      duration,
		"count":         count,
		"word":          history.Status.Word,
		"tone":          tone,
		"standStatuses": func() []watch.Status { return watch.Statuses },
		"whyWords":      watch.WhyText,
		"limitOf":       limitOf,
		"jobAt":         func(pattern, id string) jobAt { return jobAt{id, jobURL(pattern, id)} },
		"backups":       func() []state.Backup { return state.Backups },
		"backupURL": func(b state.Backup) string {
			return "/" + form{Backup: string(b), Page: 1}.query()
		},
		"letterStates": func() []deadletter.State { return deadletter.States },
		"statuses":     func() []history.Status { return history.Statuses },
		"rowID":        rowID,
		"link":         requestPath,
		"replayed":     replayedPath,
		"job":          jobURL,
		"stateURL":     func(s history.Status) string { return "/" + form{State: string(s), Page: 1}.query() },
		"login":        func(next string) string { return "/login?" + url.Values{"next": {next}}.Encode() },
		"zero":         zeroClass,
		"json":         show.JSON,
		"line":         show.Line,
		"orDash": func(s string) string {
			if s == "" {
				return "–"
			}
			return show.Line(s)
		},
	}
}

// tone returns how a backup stands, in a word for style.css. It never stands alone: the
// state or outcome is shown with it.
func tone(b history.Backup) string {
	switch {
	case b.KeptAll():
		return "kept"
	case b.State == history.JobFinished && b.Outcome.Kept():
		return "part"
	case b.State == history.JobFinished:
		return "lost"
	case b.State == history.JobUnfollowed:
		return "odd"
	case b.State == history.JobStarted, b.State == history.JobState(schemas.StateRunning):
		return "runs"
	}
	return "held"
}

// zeroClass returns the class of a number that is 0, which is shown in grey, "" for another.
func zeroClass(n any) template.HTMLAttr {
	if fmt.Sprint(n) == "0" {
		return ` class="zero"`
	}
	return ""
}

// clock returns the time of day, with the date if it is not today.
func clock(t, now time.Time) string {
	t, now = t.UTC(), now.UTC()
	if t.Year() == now.Year() && t.YearDay() == now.YearDay() {
		return t.Format("15:04:05")
	}
	if t.Year() != now.Year() {
		return t.Format("2006-01-02")
	}
	return t.Format("01-02 15:04")
}

// duration returns a duration with the precision that a reader needs.
func duration(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return strconv.FormatFloat(math.Round(d.Seconds()*10)/10, 'f', -1, 64) + " s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	default:
		return fmt.Sprintf("%d d", int(d.Hours()/24))
	}
}

// count returns a number with its digits in groups: 12 345.
func count(n any) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "\u202f" + digits[i:]
	}
	return digits
}

// rowID returns the same HTML id for the same request. Its key may have any
// characters.
func rowID(key publisher.Key) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key.String()))
	return "r" + strconv.FormatUint(h.Sum64(), 36)
}

func requestPath(key publisher.Key) string {
	return "/requests/" + url.PathEscape(key.Source) + "/" + url.PathEscape(key.Name)
}

// replayedPath returns the path of the request that an event names as <source>/<key>.
// A source may contain a slash, a key may not.
func replayedPath(name string) string {
	at := strings.LastIndexByte(name, '/')
	return requestPath(publisher.Key{Source: name[:max(at, 0)], Name: name[at+1:]})
}

// jobAt is a job and its address in the Command Center, "" if that is not known.
type jobAt struct{ ID, URL string }

// limit is when a promise was broken or will be.
type limit struct {
	At   time.Time
	Past bool
	For  time.Duration
}

// limitOf returns the limit that counts for a content group: of a breached one when the first
// promise was broken.
func limitOf(s watch.Standing, now time.Time) limit {
	if len(s.Broken) > 0 {
		return limit{s.Broken[0].Since, true, now.Sub(s.Broken[0].Since)}
	}
	return limit{s.Limit, false, s.Limit.Sub(now)}
}

// jobURL returns the address of a job in the Command Center.
func jobURL(pattern, jobID string) string {
	return strings.ReplaceAll(pattern, "{jobId}", url.PathEscape(jobID))
}
