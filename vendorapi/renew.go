package vendorapi

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
)

const opRenew = "AccessToken/Renew"

// renewPair renews a pair, in one attempt. Unless the error is a [*LoginError], or an [*Error] with
// verdict NotSent or Throttled, the vendor may have renewed the pair.
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

// readRenewal returns the new pair of an answer. An answer that is not clearly a refusal may be a
// renewal, as with CreateTask. No error contains the answer itself.
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
		return tokenPair{}, &LoginError{Code: env.code, Message: "the vendor does not renew the token pair; put a new one into its file: " +
			statusAnd(resp, reason, readErr)}
	case neverArrived(resp.Status):
		return tokenPair{}, &Error{Verdict: NotSent, Op: opRenew, Status: resp.Status, Message: reason, RetryAfter: loginPause}
	}
	return tokenPair{}, &Error{Op: opRenew, Status: resp.Status, Code: env.code, load: load,
		Message: cmp.Or(reason, fmt.Sprintf("the answer (%d bytes) is not one to a renewal", len(resp.Body)))}
}

// pairMember matches a token in an answer. It is a pattern because a pair that cannot be read is
// lost, and this answer is not always well-formed JSON:
// https://github.com/centreon/centreon-plugins,
// src/apps/backup/commvault/commserve/restapi/custom/api.pm, works around that. Other public
// clients read the pair from an inner object, and other operations answer in XML whatever Accept
// names.
var pairMember = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\b(accessToken|refreshToken)"?\s*[:=]\s*("(?:[^"\\]|\\.)*")`)
})

// tokenExpiry matches the expiry of the new access token, in UNIX seconds. Basis: public clients
// read it. It is only displayed: a token is used until it is refused.
var tokenExpiry = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\btokenExpiryTimestamp"?\s*[:=]\s*"?([0-9]{1,12})\b`)
})

func expiry(body []byte) int64 {
	found := tokenExpiry().FindSubmatch(body)
	if found == nil {
		return 0
	}
	seconds, _ := strconv.ParseInt(string(found[1]), 10, 64)
	return seconds
}

func findPair(body string) (pair tokenPair) {
	for _, found := range pairMember().FindAllStringSubmatch(body, -1) {
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
