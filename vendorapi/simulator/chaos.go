package simulator

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"
)

// chaos decides which fault a call gets.
type chaos struct {
	seed    int64
	scripts map[string][]Fault    // by endpoint
	chances map[string][]Chance   // by endpoint
	draws   map[string]*rand.Rand // by endpoint, so that one's calls don't change another's faults
}

func newChaos(seed int64) chaos {
	c := chaos{seed: seed, scripts: make(map[string][]Fault)}
	c.set(nil)
	return c
}

func (c *chaos) set(chances []Chance) {
	c.chances, c.draws = make(map[string][]Chance), make(map[string]*rand.Rand)
	for _, chance := range chances {
		name := mustKnow(chance.Endpoint, chance.Fault)
		c.chances[name] = append(c.chances[name], chance)
		hash := fnv.New64a()
		_, _ = hash.Write([]byte(name)) // never fails
		c.draws[name] = rand.New(rand.NewPCG(uint64(c.seed), hash.Sum64()))
	}
}

// plan is what happens to one call: at most one fault, and waits in addition.
type plan struct {
	delay, slow time.Duration
	fault       Fault
}

func (p *plan) add(f Fault) {
	switch f.Kind {
	case Delay:
		p.delay += f.span()
	case Slow:
		p.slow += f.span()
	default:
		if p.fault.Kind == "" {
			p.fault = f
		}
	}
}

// plan takes the next scripted fault or draws by chance. Every chance takes one random
// number at every call, so that the same seed and order of calls give the same faults.
func (c *chaos) plan(e *endpoint) plan {
	var p plan
	names := []string{e.name}
	if e.method == http.MethodGet && !e.open {
		names = append(names, Reads)
	}
	for _, name := range names {
		if script := c.scripts[name]; len(script) > 0 {
			p.add(script[0])
			c.scripts[name] = script[1:]
			return p
		}
	}
	for _, name := range names {
		for _, chance := range c.chances[name] {
			if c.draws[name].Float64() < chance.Probability {
				p.add(chance.Fault)
			}
		}
	}
	return p
}

// before applies a plan's faults that precede the endpoint.
func (s *Simulator) before(c *call, p plan) (a answer, answered bool) {
	if p.fault.Kind == CutBeforeStart {
		panic(http.ErrAbortHandler)
	}
	if p.fault.Kind.answersInstead() && !p.fault.AfterStart {
		return s.instead(c, p.fault), true
	}
	if p.delay > 0 && !pause(c.r.Context(), p.delay) {
		panic(http.ErrAbortHandler)
	}
	if p.delay > 0 {
		c.now = s.now()
	}
	return answer{}, false
}

// instead returns the answer of a fault that replaces the endpoint's answer.
func (s *Simulator) instead(c *call, f Fault) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.now = s.now()
	if f.Kind == Unauthorised {
		s.sessions.end(c.r.Header)
		return s.accessDenied()
	}
	a := f.answer()
	if f.Kind == TooManyRequests {
		s.account.RateLimited++
	}
	return a
}

// after applies a plan's faults that follow the endpoint, and answers.
func (s *Simulator) after(w http.ResponseWriter, c *call, p plan, a answer) {
	ctx := c.r.Context()
	wait := p.slow
	switch p.fault.Kind {
	case HangAfterStart, LateStart:
		wait += p.fault.span()
	}
	if wait > 0 && !pause(ctx, wait) {
		panic(http.ErrAbortHandler)
	}
	switch p.fault.Kind {
	case HangAfterStart, CutAfterStart:
		panic(http.ErrAbortHandler)
	case ResetAfterStart:
		reset(w)
	case HalfBody:
		s.writeHalf(w, c.r, a)
	case Trickle:
		s.trickle(w, c.r, a, p.fault.span())
		return
	case PlainText:
		// Recorded: plain text served as application/json (Postman collection). Assumed: this text.
		a = answer{status: http.StatusOK, contentType: "application/json; charset=utf-8", body: []byte("Task created successfully.")}
	case Empty: // Recorded: the SDK handles empty answers
		a = answer{status: http.StatusOK, contentType: a.contentType}
	case Malformed:
		body, contentType := s.encode(c.r, a, None)
		a = answer{status: http.StatusOK, contentType: contentType, body: body[:len(body)*2/3]}
	}
	if p.fault.Kind.answersInstead() {
		a = s.instead(c, p.fault)
	}
	s.write(w, c, a, p.fault.Kind)
}

// pause waits, and reports whether the client is still connected.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// writeHalf sends a header that announces the whole answer, half of it, and
// closes the connection.
func (s *Simulator) writeHalf(w http.ResponseWriter, r *http.Request, a answer) {
	body, contentType := s.encode(r, a, None)
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(a.status)
	_, _ = w.Write(body[:len(body)/2]) // fails only if the caller has disconnected
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// trickle sends the answer byte by byte while the client is connected.
func (s *Simulator) trickle(w http.ResponseWriter, r *http.Request, a answer, each time.Duration) {
	body, contentType := s.encode(r, a, None)
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(a.status)
	for i := range body {
		_ = http.NewResponseController(w).Flush()
		if !pause(r.Context(), each) {
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(body[i : i+1]) // pause detects a disconnected client
	}
}

// reset closes the connection so that the client gets "connection reset by peer", if it
// is a TCP connection that can be hijacked.
func reset(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
	panic(http.ErrAbortHandler)
}
