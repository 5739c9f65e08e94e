package vendorapi

import (
	"context"
	"net/http"
	"regexp"
	"time"
)

const opWhoAmI = "WhoAmI"

const (
	// votes is how often the vendor is asked whose a token is, before a denial is
	// believed: behind a load balancer each call may reach another web server, and
	// one that does not know a token says the same as one whose user may not.
	// splitVotes is the same once the servers were seen to disagree.
	votes      = 3
	splitVotes = 6
)

// opinion is what the vendor's web servers say about a token.
type opinion int

const (
	unknownToken opinion = iota // the first that was asked does not know it
	splitOpinion                // some know it and some do not
	knownToken                  // all that were asked name its user
)

// agreement is what is known about the web servers.
type agreement struct {
	// token was known to all votes, until a time: then one vote is enough.
	token *token
	until time.Time
	// split: they disagreed about some token, now or earlier.
	split bool
}

// whose asks the vendor whose a token is. It stops at the first server that does
// not know the token. An error means that it cannot be told.
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

// agreed reports whether the servers agreed about a token a short time ago.
func (s *session) agreed(t *token) bool {
	return s.agreement.token == t && time.Now().Before(s.agreement.until)
}

// knows reports whether the vendor names the user of a token. A token that may not
// ask counts as unknown. Basis: the vendor's SDK calls WhoAmI and reads userName.
func (c *Client) knows(ctx context.Context, t *token) (bool, error) {
	resp, err := c.do(ctx, call{op: opWhoAmI, method: http.MethodPost, path: "/WhoAmI", accept: "application/json"}, t.header())
	switch {
	case err != nil:
		return false, err
	case resp.Status == http.StatusOK && !isAccessDenied(resp) && userName.Match(resp.Body) && !isPage(resp.Body):
		return true, nil
	case isAccessDenied(resp), isClientError(resp.Status) && loadOf(resp.Status, resp.Header) == loadNormal:
		return false, nil
	}
	e := &Error{Op: opWhoAmI, Status: resp.Status, load: loadOf(resp.Status, resp.Header), Message: "cannot tell whether the token is still accepted"}
	code, message := reasonOf(response{Status: resp.Status, Header: resp.Header, Body: t.hide(resp.Body)})
	if e.Code = code; message != "" {
		e.Message += ": " + message
	}
	return false, e
}

// userName matches the user of an answer in XML or JSON.
var userName = regexp.MustCompile(`\buserName"?\s*[:=]\s*"[^"]+"`)
