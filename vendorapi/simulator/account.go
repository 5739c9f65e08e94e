package simulator

import (
	"maps"
	"slices"
	"strconv"
)

// Account counts what a simulator has received and done. It contains no secrets.
type Account struct {
	CreateTaskCalls int                 `json:"createTaskCalls"`
	JobsStarted     int                 `json:"jobsStarted"`
	JobsResubmitted int                 `json:"jobsResubmitted"` // under a new id, of the jobs before
	JobsByMarker    map[string][]string `json:"jobsByMarker"`    // jobDescription -> job ids; jobs without a description are left out

	Logins        int `json:"logins"`
	LoginFailures int `json:"loginFailures"`
	TokensIssued  int `json:"tokensIssued"`
	Unauthorised  int `json:"unauthorised"` // 401 answered
	RefreshReuse  int `json:"refreshReuse"` // renewals with an older access token pair

	RateLimited          int `json:"rateLimited"`          // 429 answered
	RetryAfterViolations int `json:"retryAfterViolations"` // CreateTask calls before an announced wait was over
	MaxConcurrent        int `json:"maxConcurrent"`        // CreateTask calls at the same time
	Connections          int `json:"connections"`          // needs ConnState in the http.Server

	Calls  map[string]int `json:"calls"`  // by endpoint
	Faults map[string]int `json:"faults"` // injected, by kind
}

// account is the running count.
type account struct {
	Account
	concurrent int
}

func newAccount() account {
	return account{Account: Account{Calls: make(map[string]int), Faults: make(map[string]int)}}
}

// enter counts the beginning of a call and returns a function that counts its end.
func (s *Simulator) enter(e *endpoint) (leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.Calls[e.name]++
	if e.name != "CreateTask" {
		return func() {}
	}
	s.account.CreateTaskCalls++
	s.account.concurrent++
	s.account.MaxConcurrent = max(s.account.MaxConcurrent, s.account.concurrent)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.account.concurrent--
	}
}

func (a *account) injected(p plan) {
	if p.delay > 0 {
		a.Faults[string(Delay)]++
	}
	if p.slow > 0 {
		a.Faults[string(Slow)]++
	}
	if p.fault.Kind != "" && p.fault.Kind != None {
		a.Faults[p.fault.String()]++
	}
}

// Account returns the counts so far.
func (s *Simulator) Account() Account {
	s.mu.Lock()
	a, jobs := s.account.Account, s.jobs.jobs
	a.Calls, a.Faults = maps.Clone(a.Calls), maps.Clone(a.Faults)
	s.mu.Unlock()

	// The jobs' ids and descriptions never change, so they are read without the lock.
	a.JobsByMarker = make(map[string][]string)
	for _, j := range jobs {
		if j.from != nil {
			a.JobsResubmitted++
			continue
		}
		a.JobsStarted++
		if marker := j.asked.description; marker != "" {
			a.JobsByMarker[marker] = append(a.JobsByMarker[marker], strconv.Itoa(j.id))
		}
	}
	return a
}

// Secrets returns what must never be in a log or an error of a client: the world's access
// and refresh tokens, the users' passwords as Login sends them, and the secret part of
// every issued token. It is for tests.
func (s *Simulator) Secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	secrets := slices.Clone(s.sessions.issued)
	for _, u := range s.dir.users {
		secrets = append(secrets, u.Password, u.AccessToken, u.RefreshToken)
	}
	return secrets
}
