package vendorapi

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
)

const opRenew = "AccessToken/Renew"

// renewPair asks the vendor for the next pair, in one attempt. Unless the error
// is a [*LoginError] or an [*Error] that says NotSent or Throttled, the pair may
// have been renewed.
func (c *Client) renewPair(ctx context.Context, pair tokenPair) (tokenPair, error) {
	body, err := json.Marshal(pair)
	if err != nil {
		return tokenPair{}, err
	}
	resp, err := c.do(ctx, call{
		op: opRenew, method: http.MethodPost, path: "/V4/AccessToken/Renew",
		contentType: "application/json", accept: "application/json", body: body,
	}, pair.token().header())
	if err != nil {
		return tokenPair{}, err
	}
	next, err := readRenewal(resp, pair)
	if err == nil {
		c.tokenExpires.Store(expiry(resp.Body))
	}
	return next, c.notAtBase(resp, err)
}

// readRenewal takes the new pair from an answer. It is as careful as with an
// answer to CreateTask: what is not clearly a refusal may have been a renewal. No
// error shows the answer itself.
func readRenewal(resp response, old tokenPair) (tokenPair, error) {
	next := findPair(string(resp.Body))
	env, readErr := readEnvelope(resp.Body)
	ok := resp.Status >= 200 && resp.Status < 300
	_, reason := reasonOf(resp)
	reason = strings.NewReplacer(old.Access, "***", old.Refresh, "***").Replace(reason)
	denied := resp.Status == http.StatusUnauthorized || resp.Status == http.StatusForbidden
	load := loadOf(resp.Status, resp.Header)
	switch {
	case ok && next.usable() && next.Access != old.Access:
		return next, nil
	case next.Access != "" && next.Access != old.Access, next.Refresh != "" && next.Refresh != old.Refresh:
		return tokenPair{}, &Error{Op: opRenew, Status: resp.Status, Message: "the answer is not a new token pair"}
	case load == rateLimited:
		return tokenPair{}, &Error{Verdict: Throttled, Op: opRenew, Status: resp.Status, RetryAfter: retryAfter(resp.Header)}
	case denied, readErr == nil && env.refuses() && (ok || isClientError(resp.Status)):
		return tokenPair{}, &LoginError{Code: env.code, Message: "the vendor does not renew the token pair, a new one has to be put into its file: " +
			statusAnd(resp, reason, readErr)}
	case neverArrived(resp.Status):
		return tokenPair{}, &Error{Verdict: NotSent, Op: opRenew, Status: resp.Status, Message: reason, RetryAfter: loginPause}
	}
	return tokenPair{}, &Error{Op: opRenew, Status: resp.Status, Code: env.code, load: load,
		Message: cmp.Or(reason, fmt.Sprintf("%d bytes that are no answer to a renewal", len(resp.Body)))}
}

// pairMember finds a token in an answer. A pattern, because a pair that cannot be
// read is lost: a public monitoring plugin (Centreon) found that this answer is
// sometimes not well-formed, others that the pair may be in an object of its own,
// and other operations answer in XML whatever was asked for.
var pairMember = regexp.MustCompile(`\b(accessToken|refreshToken)"?\s*[:=]\s*("(?:[^"\\]|\\.)*")`)

// tokenExpiry is when the new access token ends, in UNIX seconds. Basis: read by
// public clients. It is only shown: a token is used until it is refused.
var tokenExpiry = regexp.MustCompile(`\btokenExpiryTimestamp"?\s*[:=]\s*"?([0-9]{1,12})\b`)

func expiry(body []byte) int64 {
	found := tokenExpiry.FindSubmatch(body)
	if found == nil {
		return 0
	}
	seconds, _ := strconv.ParseInt(string(found[1]), 10, 64)
	return seconds
}

func findPair(body string) (pair tokenPair) {
	for _, found := range pairMember.FindAllStringSubmatch(body, -1) {
		field := &pair.Access
		if found[1] == "refreshToken" {
			field = &pair.Refresh
		}
		if *field == "" {
			_ = json.Unmarshal([]byte(found[2]), field) // left empty, it is no pair
		}
	}
	return pair
}
