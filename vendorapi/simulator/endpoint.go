package simulator

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// endpoint is one operation of the web service. A "*" in the path matches a job id or an
// action.
type endpoint struct {
	name   string
	method string
	path   string
	open   bool // works without a token
	answer func(*Simulator, *call) answer
}

var endpoints = []endpoint{
	{"CreateTask", http.MethodPost, "/createtask", false, (*Simulator).createTask},
	{"Login", http.MethodPost, "/login", true, (*Simulator).login},
	{"RenewLoginToken", http.MethodPost, "/renewlogintoken", true, (*Simulator).renewLogin},
	{"AccessTokenRenew", http.MethodPost, "/v4/accesstoken/renew", true, (*Simulator).renewAccess},
	{"Logout", http.MethodPost, "/logout", false, (*Simulator).logout},
	{"WhoAmI", http.MethodPost, "/whoami", false, (*Simulator).whoAmI},
	{"Job", http.MethodGet, "/job/*", false, (*Simulator).job},
	{"JobList", http.MethodGet, "/job", false, (*Simulator).jobList},
	{"Jobs", http.MethodPost, "/jobs", false, (*Simulator).jobSearch},
	{"JobDetails", http.MethodPost, "/jobdetails", false, (*Simulator).jobDetails},
	{"TaskDetails", http.MethodGet, "/job/*/taskdetails", false, (*Simulator).taskDetails},
	{"AdvancedDetails", http.MethodGet, "/job/*/advanceddetails", false, (*Simulator).job},
	{"JobAction", http.MethodPost, "/job/*/action/*", false, (*Simulator).jobAction},
	{"MultiJobOperation", http.MethodPost, "/jobs/multijoboperation", false, (*Simulator).multiJobOperation},
	{"Events", http.MethodGet, "/events", false, (*Simulator).eventList},
	{"QCommand", http.MethodPost, "/qcommand/qoperation execute", false, (*Simulator).qCommand},
	{"CommServ", http.MethodGet, "/commserv", false, (*Simulator).commServ},
	{"JobManagementSetting", http.MethodGet, "/commserv/jobmanagementsetting", false, (*Simulator).jobManagement},
	{"AccessNodes", http.MethodGet, "/vsaclientandclientgrouplist", false, (*Simulator).accessNodes},
	{"Client", http.MethodGet, "/client", false, (*Simulator).clientList},
	{"Subclient", http.MethodGet, "/subclient", false, (*Simulator).subclientList},
	{"Probe", http.MethodGet, "", true, (*Simulator).probe},
}

// Reads is the name of all endpoints with the method GET that need a token, for faults of
// reads.
const Reads = "Reads"

// Endpoints returns the names of the endpoints for ScriptFor and ParseFaults. The last one
// is Reads.
func Endpoints() []string {
	var names []string
	for _, e := range endpoints {
		names = append(names, e.name)
	}
	return append(names, Reads)
}

// endpointName returns the canonical form of an endpoint's name in any case, and whether
// it exists. The empty name means CreateTask.
func endpointName(name string) (string, bool) {
	if name == "" {
		return "CreateTask", true
	}
	for _, known := range Endpoints() {
		if strings.EqualFold(known, name) {
			return known, true
		}
	}
	return "", false
}

// findEndpoint returns the endpoint of a lower-case path and the values of its "*". For an
// existing path with another method it returns a nil endpoint and non-nil args.
func findEndpoint(method, path string) (found *endpoint, args []string) {
	path = strings.TrimRight(path, "/")
	for i := range endpoints {
		e := &endpoints[i]
		values, ok := match(e.path, path)
		switch {
		case ok && e.method == method:
			return e, values
		case ok:
			args = values
		}
	}
	return nil, args
}

// match compares a path with a pattern, part by part.
func match(pattern, path string) (values []string, ok bool) {
	want, have := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(have) {
		return nil, false
	}
	values = []string{}
	for i := range want {
		switch {
		case want[i] == "*" && have[i] != "":
			values = append(values, have[i])
		case want[i] != have[i]:
			return nil, false
		}
	}
	return values, true
}

// call is one call of an endpoint.
type call struct {
	r    *http.Request
	args []string
	body []byte
	user *user
	// server is the number of the server that answers, from 0.
	server int
	now    time.Time
	fault  Fault // the call's fault, if any
}

// answer is the answer of an endpoint: a message, or a literal body.
type answer struct {
	status      int
	message     *message
	onlyXML     bool // the message is XML regardless of Accept
	onlyJSON    bool // the message is JSON regardless of Accept
	preferJSON  bool // the message is JSON unless the caller accepts only XML
	contentType string
	header      map[string]string
	body        []byte
}

func ok(root string, list fields) answer {
	return answer{status: http.StatusOK, message: &message{root, list}}
}

func text(status int, body string) answer {
	return answer{status: status, contentType: "text/plain; charset=utf-8", body: []byte(body)}
}

// badRequest returns the answer to an unreadable body. Documented for CreateTask (API
// reference, a bare string).
func badRequest() answer {
	return text(http.StatusBadRequest, "Request body is empty or format is invalid.")
}

// accessDenied counts and returns the answer to a call without a valid token. Documented
// for CreateTask (API reference): 401, code 5.
func (s *Simulator) accessDenied() answer {
	s.account.Unauthorised++
	return answer{status: http.StatusUnauthorized, preferJSON: true, message: &message{"CVGui_GenericResp",
		fields{{"errorMessage", "Access denied"}, {"errorCode", 5}}}}
}

const maxBody = 1 << 20

// serve handles one call: authentication and limits, faults before the endpoint, the
// endpoint, faults after it.
func (s *Simulator) serve(w http.ResponseWriter, r *http.Request, e *endpoint, args []string) {
	defer s.enter(e)()
	c := &call{r: r, args: args, server: s.serverOf(w, r), now: s.now()}
	var err error
	if c.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
		http.Error(w, "Request Entity Too Large", http.StatusRequestEntityTooLarge)
		return
	}
	refusal, p := s.admit(e, c)
	if refusal != nil {
		s.write(w, c, *refusal, None)
		return
	}
	if a, answered := s.before(c, p); answered {
		s.write(w, c, a, None)
		return
	}
	a := s.asRecorded(e, e.answer(s, c))
	s.after(w, c, p, a)
}

// admit authenticates the caller, applies the rate limit and plans the call's faults.
func (s *Simulator) admit(e *endpoint, c *call) (refusal *answer, p plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !e.open {
		if c.user = s.sessions.authenticate(c.r.Header, c.server, c.now); c.user == nil {
			a := s.accessDenied()
			return &a, plan{}
		}
		if e.name == "CreateTask" && s.limit.tooEarly(c) {
			s.account.RetryAfterViolations++
		}
		if a, limited := s.limit.check(c.user.Company, c.r.Method, c.now); limited {
			s.account.RateLimited++
			return &a, plan{}
		}
	}
	p = s.chaos.plan(e)
	c.fault = p.fault
	s.account.injected(p)
	return nil, p
}

// write sends an answer. It returns after the last byte was passed to net/http.
func (s *Simulator) write(w http.ResponseWriter, c *call, a answer, spelling Kind) {
	body, contentType := s.encode(c.r, a, spelling)
	h := w.Header()
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	for name, value := range a.header {
		h.Set(name, value)
	}
	s.mu.Lock()
	s.limit.noteAnswer(c, announced(c, a), s.now())
	s.mu.Unlock()
	w.WriteHeader(a.status)
	_, _ = w.Write(body) // fails only if the caller has disconnected
}

func (s *Simulator) encode(r *http.Request, a answer, spelling Kind) (body []byte, contentType string) {
	if a.message == nil {
		return a.body, a.contentType
	}
	st := style{json: acceptsJSON(r.Header.Get("Accept"), a.preferJSON) && !a.onlyXML || a.onlyJSON || a.message.root == "", spelling: spelling}
	return a.message.encode(st), st.contentType()
}

// acceptsJSON reports whether the answer is JSON. Documented: Accept selects
// application/xml or application/json, and the vendor's page shows XML. Assumed: the first
// of the two decides; without either it is XML, but JSON for a 401.
func acceptsJSON(accept string, fallback bool) bool {
	accept = strings.ToLower(accept)
	j, x := strings.Index(accept, "/json"), strings.Index(accept, "/xml")
	switch {
	case j < 0 && x < 0:
		return fallback
	case j < 0 || x < 0:
		return x < 0
	}
	return j < x
}

// probe answers GET of the base path. Recorded: the SDK expects 200 there.
func (*Simulator) probe(*call) answer { return answer{status: http.StatusOK} }
