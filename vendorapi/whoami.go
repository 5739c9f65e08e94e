package vendorapi

import (
	"context"
	"net/http"
	"regexp"
	"sync"
	"time"
)

const opWhoAmI = "WhoAmI"

const (
	// votes is how often WhoAmI is called before a denial counts: behind a load balancer each call
	// may reach another web server, and a server that does not know a token sends the same answer
	// as one whose user lacks a permission. splitVotes replaces it once the servers have disagreed.
	votes      = 3
	splitVotes = 6
)

// opinion is the combined answer of the vendor's web servers about a token.
type opinion int

const (
	unknownToken opinion = iota // the first server does not know it
	splitOpinion                // some servers know it and some do not
	knownToken                  // all servers name its user
)

// agreement is what earlier answers showed about the web servers.
type agreement struct {
	// token was known to all servers; until then one call is enough.
	token *token
	until time.Time
	// split means that they disagreed about some token, now or earlier.
	split bool
}

// whose calls WhoAmI with a token several times, and stops at the first server that does not know
// it. An error means that the answer is not known.
func (s *session) whose(ctx context.Context, t *token) (opinion, error) {
	ask := votes
	switch now := time.Now(); {
	case s.agreement.split:
		ask = splitVotes
	case s.agreement.token == t && now.Before(s.agreement.until):
		ask = 1
	}
	for n := range ask {
		known, err := s.client.knows(ctx, t)
		switch {
		case err != nil:
			return unknownToken, err
		case !known && n > 0:
			s.agreement = agreement{split: true}
			return splitOpinion, nil
		case !known:
			return unknownToken, nil
		}
	}
	return knownToken, nil
}

// agreed reports whether the servers agreed about a token recently.
func (s *session) agreed(t *token) bool {
	return s.agreement.token == t && time.Now().Before(s.agreement.until)
}

// knows reports whether the vendor names the user of a token. A token without permission for WhoAmI
// counts as unknown. Basis: https://github.com/Commvault/cvpysdk, cvpysdk/cvpysdk.py, which reads
// userName.
func (c *Client) knows(ctx context.Context, t *token) (bool, error) {
	resp, err := c.do(ctx, call{op: opWhoAmI, method: http.MethodPost, path: "/WhoAmI", accept: "application/json"}, t.header())
	switch {
	case err != nil:
		return false, err
	case resp.Status == http.StatusOK && !isAccessDenied(resp) && userName().Match(resp.Body) && !isPage(resp.Body):
		return true, nil
	case isAccessDenied(resp), isClientError(resp.Status) && loadOf(resp.Status, resp.Header) == loadNormal:
		return false, nil
	}
	e := &Error{Op: opWhoAmI, Status: resp.Status, load: loadOf(resp.Status, resp.Header), Message: "it is not known whether the token is still accepted"}
	code, message := reasonOf(response{Status: resp.Status, Header: resp.Header, Body: t.hide(resp.Body)})
	if e.Code = code; message != "" {
		e.Message += ": " + message
	}
	return false, e
}

// userName matches the user in an answer in XML or JSON.
var userName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\buserName"?\s*[:=]\s*"[^"]+"`) })
