package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// controlPath is the path of the control interface for tests and operators. It is not part
// of Commvault, has no authentication and is meant for loopback.
//
//	GET  /simulator/account      the counts: Account
//	GET  /simulator/behaviours   the simulated behaviours: []Behaviour
//	POST /simulator/faults       set faults; the body is a text for ParseFaults
//	POST /simulator/script       add faults for the next calls; the body is a text for ParseScript
//	POST /simulator/blackout     open or close a blackout window: on, off
//	POST /simulator/lives        set the lives of new jobs by chance; the body is a text for ParseLives
//	POST /simulator/next-lives   add lives for the next jobs; the body is a text for ParseLifeScript
//	POST /simulator/life?job=ID  give an active job another life; the body is a text for ParseLife
//	GET  /simulator/clock        the simulator's time
//	POST /simulator/clock        move the clock on by a duration, or: stop, run
//	POST /simulator/reset        restore the initial state
const controlPath = "/simulator/"

func (s *Simulator) serveControl(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	if err := s.control(w, r, strings.TrimSpace(string(body))); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

// control answers a call of the control interface, unless it returns an error.
func (s *Simulator) control(w http.ResponseWriter, r *http.Request, order string) error {
	switch r.Method + " " + strings.TrimPrefix(r.URL.Path, controlPath) {
	case "GET account":
		writeJSON(w, s.Account())
	case "GET behaviours":
		writeJSON(w, Behaviours())
	case "GET clock":
		writeJSON(w, s.now())
	case "POST faults":
		chances, err := ParseFaults(order)
		if err != nil {
			return err
		}
		s.SetFaults(chances)
		w.WriteHeader(http.StatusNoContent)
	case "POST script":
		script, err := ParseScript(order)
		if err != nil {
			return err
		}
		for endpoint, faults := range script {
			s.ScriptFor(endpoint, faults...)
		}
		w.WriteHeader(http.StatusNoContent)
	case "POST blackout":
		if order != "on" && order != "off" {
			return errors.New("the body must be on or off")
		}
		s.SetBlackout(order == "on")
		w.WriteHeader(http.StatusNoContent)
	case "POST lives", "POST next-lives", "POST life", "POST clock":
		if err := s.controlLives(strings.TrimPrefix(r.URL.Path, controlPath), r.URL.Query().Get("job"), order); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
	case "POST reset":
		s.Reset()
		w.WriteHeader(http.StatusNoContent)
	default:
		http.NotFound(w, r)
	}
	return nil
}

// controlLives changes lives or the clock.
func (s *Simulator) controlLives(what, job, order string) error {
	switch what {
	case "lives":
		rules, err := ParseLives(order)
		if err != nil {
			return err
		}
		s.SetLives(rules)
	case "next-lives":
		next, err := ParseLifeScript(order)
		if err != nil {
			return err
		}
		s.ScriptLives(next...)
	case "life":
		l, err := ParseLife(order)
		if err != nil {
			return err
		}
		return s.SetLife(job, l)
	case "clock":
		if order == "stop" || order == "run" {
			s.StopClock(order == "stop")
			return nil
		}
		d, err := time.ParseDuration(order)
		if err != nil || d < 0 {
			return fmt.Errorf("%q is not a duration, stop or run", order)
		}
		s.Advance(d)
	}
	return nil
}

func writeJSON(w http.ResponseWriter, value any) {
	body, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n')) // fails only if the caller has disconnected
}
