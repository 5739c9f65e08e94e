package vendorapi

import (
	"errors"
	"net/http"
	"testing"

	"backhaul/vendorapi/internal/gate"
	"backhaul/vendorapi/secretstest"
)

// The table of the package documentation, by the answers that lead to each row.
func TestError_saysWhatComesNext(t *testing.T) {
	t.Parallel()
	retryAfter := http.Header{"Retry-After": {"3"}}
	refusal := []byte(`{"errorCode": 2, "errorMessage": "no"}`)
	for name, test := range map[string]struct {
		resp                               response
		verdict                            Verdict
		repeat, lookFirst, pauses, outages bool
	}{
		"200 without a job":       {resp: response{Status: 200}, verdict: Unknown, lookFirst: true},
		"200 with an error":       {resp: response{Status: 200, Body: refusal}, verdict: Refused},
		"401":                     {resp: response{Status: 401}, verdict: AuthRefused},
		"404":                     {resp: response{Status: 404}, verdict: NotSent, repeat: true},
		"429":                     {resp: response{Status: 429}, verdict: Throttled, repeat: true, pauses: true},
		"500":                     {resp: response{Status: 500}, verdict: Unknown, lookFirst: true},
		"502":                     {resp: response{Status: 502}, verdict: Unknown, lookFirst: true, outages: true},
		"503":                     {resp: response{Status: 503}, verdict: Unknown, lookFirst: true, outages: true},
		"503 with Retry-After":    {resp: response{Status: 503, Header: retryAfter}, verdict: Throttled, lookFirst: true, pauses: true},
		"504":                     {resp: response{Status: 504}, verdict: Unknown, lookFirst: true, outages: true},
		"504 with Retry-After":    {resp: response{Status: 504, Header: retryAfter}, verdict: Unknown, lookFirst: true, outages: true},
		"503 of the API itself":   {resp: response{Status: 503, Body: refusal}, verdict: Unknown, lookFirst: true},
		"429 beside a task of it": {resp: response{Status: 429, Body: []byte(`{"taskId": 7}`)}, verdict: Unknown, lookFirst: true, pauses: true},
	} {
		_, err := classify(test.resp)
		e, ok := errors.AsType[*Error](err)
		if !ok {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		if e.Verdict != test.verdict || e.repeatable() != test.repeat || e.LookupFirst() != test.lookFirst || isOutage(err) != test.outages {
			t.Errorf("%s: %s, repeatable %t, look first %t, outage %t; want %+v", name, e.Verdict, e.repeatable(), e.LookupFirst(), isOutage(err), test)
		}
		if got := loadOf(test.resp.Status, test.resp.Header).pauses(); got != test.pauses {
			t.Errorf("%s: pauses %t", name, got)
		}
		secretstest.NotShown(t, []string{"geheim"}, err)
	}
	held := new(Client)
	held.breaker = gate.NewBreaker(isOutage, saysNothing)
	for _, reason := range []CooldownReason{CooldownThrottled, CooldownOutage} {
		if e, ok := errors.AsType[*Error](held.notAsked(Cooldown{For: 1, Reason: reason})); !ok || !e.NotAsked() || e.LookupFirst() {
			t.Errorf("%v: got %+v", reason, e)
		}
	}
}
