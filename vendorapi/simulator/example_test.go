package simulator_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"backhaul/vendorapi/simulator"
)

// A simulator is an http.Handler. Account returns what it has received.
func Example() {
	vendor := simulator.New(simulator.Config{})
	server := httptest.NewServer(vendor)
	defer server.Close()
	vendor.ScriptFor("Login", simulator.Fault{Kind: simulator.HTML})

	for range 2 {
		answer, err := http.Post(server.URL+"/webconsole/api/Login", "application/json",
			strings.NewReader(`{"username": "backhaul", "password": "c2ltdWxhdG9y"}`))
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = answer.Body.Close()
		fmt.Println(answer.Status)
	}
	fmt.Println("logins:", vendor.Account().Logins)
	// Output:
	// 503 Service Unavailable
	// 200 OK
	// logins: 1
}

// A job goes through the steps of its life as the simulator's clock moves on.
func ExampleSimulator_ScriptLives() {
	vendor := simulator.New(simulator.Config{})
	vendor.StopClock(true)
	vendor.ScriptLives(simulator.MustParseLife("waiting:30s,pending:2m(13:30 no contact),running:1m,killed(ann not needed)"))
	call := func(method, path, body string) string {
		r := httptest.NewRequest(method, "/webconsole/api"+path, strings.NewReader(body))
		r.Header.Set("Authtoken", "simulator-access")
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		vendor.ServeHTTP(w, r)
		return w.Body.String()
	}
	call(http.MethodPost, "/CreateTask", `{"taskInfo": {"associations": [{"clientName": "s-adhoc-object-storage", "subclientName": "stestgroup"}], "subTasks": [{}]}}`)
	for range 4 {
		_, after, _ := strings.Cut(call(http.MethodGet, "/Job/5976", ""), ` status="`)
		status, _, _ := strings.Cut(after, `"`)
		fmt.Println(status)
		vendor.Advance(time.Minute + 10*time.Second)
	}
	// Output:
	// Waiting
	// Pending
	// Pending
	// Killed
}

// ParseFaults reads what `backhaul simulator --faults` takes.
func ExampleParseFaults() {
	chances, err := simulator.ParseFaults("cut-after-start=0.05,503=0.1:10s,Jobs/429=0.2")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, chance := range chances {
		fmt.Println(chance.Endpoint, chance.Fault, chance.Probability, chance.For)
	}
	// Output:
	// CreateTask cut-after-start 0.05 0s
	// CreateTask 503 0.1 10s
	// Jobs 429 0.2 0s
}
