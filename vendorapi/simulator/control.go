package simulator

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// controlPath is the path of the control interface for tests and operators. It is not part
// of Commvault, has no authentication and is meant for loopback.
//
//	GET  /simulator/account      the counts: Account
//	GET  /simulator/behaviours   the simulated behaviours: []Behaviour
//	POST /simulator/faults       set faults; the body is a text for ParseFaults
//	POST /simulator/script       add faults for the next calls; the body is a text for ParseScript
//	POST /simulator/blackout     open or close a blackout window: on, off
//	POST /simulator/reset        restore the initial state
const controlPath = "/simulator/"

func (s *Simulator) serveControl(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	order := strings.TrimSpace(string(body))
	switch r.Method + " " + strings.TrimPrefix(r.URL.Path, controlPath) {
	case "GET account":
		writeJSON(w, s.Account())
	case "GET behaviours":
		writeJSON(w, Behaviours())
	case "POST faults":
		chances, err := ParseFaults(order)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.SetFaults(chances)
		w.WriteHeader(http.StatusNoContent)
	case "POST script":
		script, err := ParseScript(order)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		for endpoint, faults := range script {
			s.ScriptFor(endpoint, faults...)
		}
		w.WriteHeader(http.StatusNoContent)
	case "POST blackout":
		if order != "on" && order != "off" {
			http.Error(w, "the body must be on or off", http.StatusBadRequest)
			return
		}
		s.SetBlackout(order == "on")
		w.WriteHeader(http.StatusNoContent)
	case "POST reset":
		s.Reset()
		w.WriteHeader(http.StatusNoContent)
	default:
		http.NotFound(w, r)
	}
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
