package simulator

import (
	"net"
	"net/http"
	"strings"
	"sync"
)

// Simulator is a simulated Commvault web service. It is an http.Handler and
// safe for concurrent use.
type Simulator struct {
	cfg       Config
	basePaths []string // lower case, without a slash at the end
	clock     clock
	recorded  map[string]recorded // by endpoint; never changes

	// mu guards the fields below and everything that they refer to.
	mu       sync.Mutex
	dir      *directory
	sessions sessions
	balancer balancer
	jobs     jobStore
	lives    lives
	limit    limiter
	chaos    chaos
	account  account
}

// New returns a simulator. It starts no goroutines.
func New(cfg Config) *Simulator {
	cfg = cfg.withDefaults()
	s := &Simulator{basePaths: basePaths(cfg.BasePath), clock: clock{base: cfg.Now}}
	if cfg.Recording != nil {
		s.recorded = cfg.replay(*cfg.Recording)
	}
	s.cfg = cfg
	s.Reset()
	return s
}

// basePaths returns the paths under which the web service is reached. Recorded: clients
// call the older one of the Web Console or the newer one of the Command Center.
func basePaths(configured string) []string {
	if configured == "" {
		return []string{"/webconsole/api", "/commandcenter/api"}
	}
	return []string{strings.ToLower(strings.TrimRight(configured, "/"))}
}

// cutBasePath returns a lower-case path without its base path, and whether it has one.
func (s *Simulator) cutBasePath(path string) (rest string, found bool) {
	for _, base := range s.basePaths {
		if rest, found = strings.CutPrefix(path, base); found {
			return rest, true
		}
	}
	return "", false
}

// Reset restores the state after New: without jobs, sessions and faults, and with the
// first ids.
func (s *Simulator) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock.reset()
	cfg, now := s.cfg, s.now()
	s.dir = newDirectory(cfg.World)
	s.sessions = sessions{gateway: cfg.Gateway, idle: cfg.TokenIdle, accessLife: cfg.AccessTokenLife,
		logins: make(map[string]*session), access: make(map[string]*accessToken)}
	s.balancer = newBalancer(cfg.Servers, cfg.Sticky)
	for _, u := range s.dir.users {
		if u.AccessToken != "" {
			s.sessions.issue(&chain{user: u}, u.AccessToken, u.RefreshToken, now)
		}
	}
	s.jobs = jobStore{visible: cfg.VisibleAfter, listed: cfg.ListedAfter, blackout: cfg.Blackout}
	s.lives = lives{seed: cfg.Seed, usual: newCourse(Life{Steps: []Step{{Status: statusRunning}}, End: End{Status: statusCompleted}}, cfg.JobDuration)}
	s.lives.set(cfg.Lives, cfg.JobDuration)
	s.limit = limiter{limit: cfg.RateLimit, windows: make(map[string]*window), waits: make(map[*user]*waits)}
	s.chaos = newChaos(cfg.Seed)
	s.replayFaults()
	s.account = newAccount()
}

// Script sets faults for the next calls of CreateTask, one for each call, in this order.
// A call with a scripted fault gets no fault by chance. Calls that are answered with 401,
// or with 429 by the rate limit, do not consume a scripted fault.
func (s *Simulator) Script(faults ...Fault) { s.ScriptFor("CreateTask", faults...) }

// ScriptFor sets faults for the next calls of an endpoint, one for each call, after those
// that are set already. It panics on an unknown endpoint or kind. See Endpoints for the
// names.
func (s *Simulator) ScriptFor(endpoint string, faults ...Fault) {
	name := mustKnow(endpoint, faults...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chaos.scripts[name] = append(s.chaos.scripts[name], faults...)
}

// mustKnow returns an endpoint's name in its canonical case. It panics if the endpoint or
// a kind is unknown, because a test with a misspelt name would test nothing.
func mustKnow(endpoint string, faults ...Fault) string {
	name, known := endpointName(endpoint)
	if !known {
		panic("simulator: unknown endpoint " + endpoint)
	}
	for _, f := range faults {
		if !f.Kind.known() {
			panic("simulator: unknown kind of fault " + string(f.Kind))
		}
	}
	return name
}

// SetFaults replaces the faults that calls get by chance, and restarts the random
// numbers from the seed. It panics on an unknown endpoint or kind. ParseFaults returns
// chances from text.
func (s *Simulator) SetFaults(chances []Chance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chaos.set(chances)
}

// SetBlackout opens or closes a blackout window. Queued jobs run when it closes.
func (s *Simulator) SetBlackout(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs.setBlackout(on, s.now())
}

// ConnState counts connections. Set it as the ConnState of the http.Server.
func (s *Simulator) ConnState(_ net.Conn, state http.ConnState) {
	if state == http.StateNew {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.account.Connections++
	}
}

// ServeHTTP answers a call of the web service, or of the control interface
// under /simulator/. To cut a connection it panics with http.ErrAbortHandler, on which
// net/http closes the connection.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", s.now().UTC().Format(http.TimeFormat)) // Recorded: IIS sends it
	if strings.HasPrefix(r.URL.Path, controlPath) {
		s.serveControl(w, r)
		return
	}
	// Recorded: paths are accepted in any case, as by IIS.
	rest, ok := s.cutBasePath(strings.ToLower(r.URL.Path))
	if !ok {
		http.NotFound(w, r)
		return
	}
	e, args := findEndpoint(r.Method, rest)
	switch {
	case e == nil && args == nil:
		http.NotFound(w, r)
	case e == nil: // Assumed: as IIS does
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
	default:
		s.serve(w, r, e, args)
	}
}
