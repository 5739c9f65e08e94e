// Package page serves the console page, which operators open in a browser:
//
//	GET  /                                recent requests, counts, the last hour; ?state=&backup=&source=&client=&group=&q=&page=
//	GET  /requests/{source}/{key}         one request with all its events
//	GET  /protection, /protection/{group} content groups: until when each is protected; ?state=&client=&group=&owner=&page=
//	GET  /dead-letters, /dead-letters/{n} failed requests, and why; ?source=&code=&state=&q=&before=&dropped=
//	GET  /live, /live/…                   the changes of a page, as server-sent events
//	GET  /assets/…                        style, script, icon
//	GET  /login, POST /login, /logout     a session, for users with the token
//	POST /dead-letters/{n}/replay         the request again, under a new id
//	POST /dead-letters/{n}/drop           deletes it for good
//	GET  /dead-letters/replay             the dead letters that a filter selects, and what a replay does; ?source=&code=&state=&q=&all=
//	POST /dead-letters/replay             replays them
//	GET  /dead-letters/drop               the dead letters that a filter selects, and what a drop does; ?source=&code=&state=&q=&all=
//	POST /dead-letters/drop               drops them
//	GET  /cancel                          the requests that wait and are selected; ?source=&client=&group=&label=&id=&all=
//	POST /cancel                          ends them, where nothing was sent
//	POST /requests/{source}/{key}/jobs/{job}  suspends, resumes or kills a job of the request at the vendor
//	POST /pause, /resume                  the queue, for all replicas
//
// # Without and with JavaScript
//
// Every page is complete without JavaScript and reloads itself periodically. With it, one
// script replaces the parts that the server has rendered again. A viewer gets the current
// state at most twice a second. Nothing is queued, a viewer that is too slow is
// disconnected, and there are at most [maxStreams].
//
// # Safety
//
// Shown data is untrusted. html/template escapes it, and the content security policy
// allows only our own scripts and styles.
//
// Reading needs no password: by default the listener is on loopback, where console refuses
// foreign host names; another address is a decision of the operator. Every change needs a
// session (a cookie that scripts and other sites cannot read), a POST from our own pages,
// and the secret of the session in the form. Sessions need the token, are in memory, and
// end after eight hours or when the token changes. After some wrong tokens further wrong
// ones are answered by 429; the right one always works. Each action is recorded as an
// event. Without a token the page is read-only, and says so.
package page

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"backhaul/cmd/internal/console"
	"backhaul/cmd/internal/console/state"
	"backhaul/cmd/internal/operator"
	"backhaul/cmd/internal/protection/watch"
	"backhaul/consumer/budget"
	"backhaul/consumer/scope"
	"backhaul/consumer/turn"
	"backhaul/vendorapi"
)

// Config is what a page shows and may do.
type Config struct {
	// Version and Owner name the process.
	Version, Owner string
	// CommandCenter is the URL of a job with {jobId} in it, "" for no links.
	CommandCenter string
	// Token returns the token that permits changes. Nil makes the page read-only.
	Token func() (string, error)
	// Exposed: the listener is not on loopback.
	Exposed bool

	State  *state.State
	Vendor Vendor
	// Checks are those of the process.
	Checks []console.Check
	// Waits returns the content groups with requests that wait for each other; nil for none.
	Waits func() []turn.Waiting
	// Paused returns the scopes that are paused; nil for none.
	Paused  func() []scope.Pause
	Letters DeadLetters
	Queue   Queue
	// Canceller cancels requests; nil if this process may not.
	Canceller Canceller
	// Jobs acts on jobs at the vendor; nil if this process has no credentials of the vendor.
	Jobs Jobs
	// Missing returns those of the subjects on which this process may not publish, none if that
	// cannot be found out. Nil is like none.
	Missing func(ctx context.Context, subjects ...string) []string
	// Explain adds to the error of an action what NATS did not permit meanwhile. Nil adds nothing.
	Explain func(error) error
	// Protection is how content groups stand.
	Protection *watch.Watch
}

// Vendor reports the condition of Commvault.
type Vendor struct {
	// Trouble is nil if its last answer was one.
	Trouble func() error
	// Remark replaces "answers" while Trouble is nil, unless it returns "".
	Remark func() string
	// Cooldown returns how long no job may be started, and why.
	Cooldown func() vendorapi.Cooldown
	// Next returns when a job may be started again, or when an attempt that failed is repeated;
	// zero if that is now, or not known.
	Next func() time.Time
	// StartsPerHour is the most jobs that are started in an hour, 0 for any number.
	StartsPerHour int
	// Budget returns what is left of the budget of writing calls, and why it cannot be used as it
	// is set. Nil without a budget.
	Budget func() (budget.View, error)
}

// Queue lets the requests wait, for all replicas, and leaves an event of who
// wants it.
type Queue interface {
	Pause(ctx context.Context, by operator.By, d time.Duration) error
	Resume(ctx context.Context, by operator.By) error
	PauseScope(ctx context.Context, by operator.By, s scope.Scope, d time.Duration) error
	ResumeScope(ctx context.Context, by operator.By, s scope.Scope) error
}

// Page answers for the paths of the package doc.
type Page struct {
	cfg       Config
	log       zerolog.Logger
	mux       *http.ServeMux
	sessions  *sessions
	templates func() *template.Template // parsed for who looks at a page first
	streams   streams
	onDemand  chan struct{} // bounds reads of the stream
	stopped   <-chan struct{}
}

//go:embed templates assets
var files embed.FS

// csp lets a page use our own files and nothing else.
const csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// maxOnDemand is how many reads of old requests go on at once.
const maxOnDemand = 4

// New returns a page. Its streams end with ctx.
func New(ctx context.Context, cfg Config, log zerolog.Logger) (*Page, error) {
	p := &Page{
		cfg: cfg, log: log, mux: http.NewServeMux(), sessions: newSessions(cfg.Token),
		onDemand: make(chan struct{}, maxOnDemand), stopped: ctx.Done(),
	}
	versions, err := p.serveAssets()
	if err != nil {
		return nil, err
	}
	p.templates = sync.OnceValue(func() *template.Template {
		return template.Must(template.New("").Funcs(functions(versions)).ParseFS(files, "templates/*.html"))
	})
	p.mux.HandleFunc("GET /{$}", p.list)
	p.mux.HandleFunc("GET /live", p.liveList)
	p.mux.HandleFunc("GET /requests/{source}/{key}", p.request)
	p.mux.HandleFunc("GET /live/requests/{source}/{key}", p.liveRequest)
	p.mux.HandleFunc("GET /protection", p.protection)
	p.mux.HandleFunc("GET /live/protection", p.liveProtection)
	p.mux.HandleFunc("GET /protection/{group}", p.group)
	p.mux.HandleFunc("GET /live/protection/{group}", p.liveGroup)
	p.mux.HandleFunc("GET /dead-letters", p.letters)
	p.mux.HandleFunc("GET /dead-letters/{number}", p.letter)
	p.mux.HandleFunc("GET /dead-letters/replay", p.bulkForm(p.replayMany()))
	p.mux.Handle("POST /dead-letters/replay", p.action(p.bulkAct(p.replayMany())))
	p.mux.HandleFunc("GET /dead-letters/drop", p.bulkForm(p.dropMany()))
	p.mux.Handle("POST /dead-letters/drop", p.action(p.bulkAct(p.dropMany())))
	p.mux.HandleFunc("GET /cancel", p.cancelForm)
	p.mux.Handle("POST /cancel", p.action(p.cancel))
	p.mux.HandleFunc("GET /login", p.loginForm)
	p.mux.HandleFunc("POST /login", p.login)
	p.mux.Handle("POST /logout", p.action(p.logout))
	p.mux.Handle("POST /dead-letters/{number}/replay", p.action(p.replay))
	p.mux.Handle("POST /dead-letters/{number}/drop", p.action(p.drop))
	p.mux.Handle("POST /requests/{source}/{key}/jobs/{job}", p.action(p.actOnJob))
	p.mux.Handle("POST /pause", p.action(p.pause))
	p.mux.Handle("POST /resume", p.action(p.resume))
	return p, nil
}

// maxForm bounds what is read of a form.
const maxForm = 16 << 10

func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", csp)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	p.mux.ServeHTTP(w, r)
}

// serveAssets serves the embedded files. They may be cached while their address has
// the hash of their content.
func (p *Page) serveAssets() (versions map[string]string, err error) {
	versions = map[string]string{}
	entries, err := fs.ReadDir(files, "assets")
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		data, err := fs.ReadFile(files, path.Join("assets", entry.Name()))
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(data)
		versions[entry.Name()] = hex.EncodeToString(sum[:6])
		p.mux.HandleFunc("GET /assets/"+entry.Name(), func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("v") == versions[entry.Name()] {
				w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
			}
			http.ServeContent(w, r, entry.Name(), time.Time{}, bytes.NewReader(data))
		})
	}
	return versions, nil
}

// chrome is what surrounds every page.
type chrome struct {
	Title   string
	Section string // which entry of the navigation is current
	Version string
	Owner   string
	// Live is where the changes of this page come from, "" for a page that stays.
	Live string
	// Refresh is after how many seconds a browser without scripts reloads, 0: never.
	Refresh int
	Session *session // nil for a reader
	Access  access
	Self    string // the address of this page
}

// access says who may change something.
type access struct {
	// CanSignIn: there is a token.
	CanSignIn bool
	// Exposed is true if other machines can read the page.
	Exposed bool
}

func (p *Page) chrome(r *http.Request, title, section string) chrome {
	return chrome{
		Title: title, Section: section, Version: p.cfg.Version, Owner: p.cfg.Owner, Session: p.sessions.of(r),
		Access: access{CanSignIn: p.cfg.Token != nil, Exposed: p.cfg.Exposed}, Self: r.URL.RequestURI(),
	}
}

// render writes a template as the answer.
func (p *Page) render(w http.ResponseWriter, status int, name string, data any) {
	var out bytes.Buffer
	if err := p.templates().ExecuteTemplate(&out, name, data); err != nil {
		p.log.Error().Err(err).Str("template", name).Msg("the page cannot be rendered")
		http.Error(w, "the page cannot be rendered", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = out.WriteTo(w) // a reader that has gone does not want to know
}

// notice is a page with one sentence.
type notice struct {
	chrome
	Text string
	// SignIn offers the login.
	SignIn bool
}

func (p *Page) say(w http.ResponseWriter, r *http.Request, status int, format string, args ...any) {
	n := notice{chrome: p.chrome(r, http.StatusText(status), ""), Text: fmt.Sprintf(format, args...)}
	n.SignIn = status == http.StatusUnauthorized
	if r.Method != http.MethodGet {
		n.Self = "/"
	}
	p.render(w, status, "notice.html", n)
}

// errBusy says that enough is read at the moment.
type errBusy struct{}

func (errBusy) Error() string { return "too many old requests are being read at the moment; try again" }

// readLimit bounds what is read of the stream for one view.
const readLimit = 5 * time.Second

// demand reads what is not held in memory, few at a time.
func (p *Page) demand(ctx context.Context, read func(context.Context) error) error {
	select {
	case p.onDemand <- struct{}{}:
		defer func() { <-p.onDemand }()
	default:
		return errBusy{}
	}
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	err := read(ctx)
	if err != nil && p.cfg.State.Away() {
		return errAway{}
	}
	return err
}

// errAway says in one sentence why nothing can be read.
type errAway struct{}

func (errAway) Error() string { return "NATS is not connected; try again when it is back" }
