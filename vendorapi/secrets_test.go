package vendorapi

import (
	"testing"

	"backhaul/vendorapi/secretstest"
	"backhaul/vendorapi/simulator"
)

func TestEveryFileLooksForSecrets(t *testing.T) { secretstest.EveryFile(t) }

// TestClient_showsNothingIssued takes the very tokens that the vendor gave out, and
// looks for them in what a client and its errors show after all kinds of ends.
func TestClient_showsNothingIssued(t *testing.T) {
	world := simulator.DefaultWorld()
	sim, c := onLoopback(t, simulator.Config{World: world})
	var shown []any
	for _, kind := range []simulator.Kind{
		simulator.None, simulator.Unauthorised, simulator.Refused500, simulator.Crash, simulator.HTML, simulator.PlainText,
		simulator.Malformed, simulator.CutAfterStart, simulator.ResetAfterStart, simulator.HalfBody, simulator.TaskOnly, simulator.TooManyRequests,
	} {
		sim.Script(simulator.Fault{Kind: kind})
		job, err := c.CreateTask(t.Context(), testTask())
		shown = append(shown, job, err, c)
	}
	c.Close(t.Context())
	shown = append(shown, sim.Account())
	secrets := sim.Secrets()
	if a := sim.Account(); a.TokensIssued < 2 || len(secrets) < a.TokensIssued+3 {
		t.Fatalf("%d secrets, %d tokens issued", len(secrets), a.TokensIssued)
	}
	secretstest.NotShown(t, secrets, shown...)
	noSecrets(t, shown...)
}
