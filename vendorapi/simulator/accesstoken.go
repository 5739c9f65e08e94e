package simulator

import "time"

// refreshLife is how long a refresh token may be used. Documented: 14 days (SaaS).
const refreshLife = 14 * 24 * time.Hour

// chain is an access token pair with all pairs that it was renewed to.
type chain struct {
	user    *user
	current *accessToken
	dead    bool
}

// accessToken is one pair of a chain.
type accessToken struct {
	chain   *chain
	refresh string
	issued  time.Time
	expires time.Time
}

// valid reports whether the token is its chain's current one and has not expired.
// Recorded: users note that a renewal makes the old token invalid everywhere.
func (t *accessToken) valid(now time.Time) bool {
	return !t.chain.dead && t.chain.current == t && now.Before(t.expires)
}

// issue makes a pair the current one of a chain.
func (s *sessions) issue(ch *chain, access, refresh string, now time.Time) *accessToken {
	t := &accessToken{chain: ch, refresh: refresh, issued: now, expires: now.Add(s.accessLife)}
	ch.current = t
	s.access[access] = t
	return t
}

// renewAccess answers POST V4/AccessToken/Renew.
//
// Documented: the answer is a new pair; an older pair invalidates the whole
// chain. Recorded: a flat answer with these members, and no header needed
// (public clients). Assumed: a refusal is the 401 of an expired token.
func (s *Simulator) renewAccess(c *call) answer {
	var req struct {
		AccessToken  scalar `json:"accessToken"`
		RefreshToken scalar `json:"refreshToken"`
	}
	if err := readBody(c.r.Header, c.body, &req); err != nil {
		return badRequest()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.sessions.access[string(req.AccessToken)]
	if found == nil || found.refresh != string(req.RefreshToken) || found.chain.dead {
		return s.accessDenied()
	}
	if found.chain.current != found {
		found.chain.dead = true
		s.account.RefreshReuse++
		return s.accessDenied()
	}
	if c.now.Sub(found.issued) >= refreshLife {
		return s.accessDenied()
	}
	access, refresh := s.sessions.newSecret(), s.sessions.newSecret()
	t := s.sessions.issue(found.chain, access, refresh, c.now)
	s.account.TokensIssued++
	return ok("Api_RenewAccessTokenResp", fields{
		{"accessTokenId", found.chain.user.id},
		{"tokenName", found.chain.user.Name},
		{"accessToken", access},
		{"refreshToken", refresh},
		{"renewableUntilTimestamp", c.now.AddDate(1, 0, 0).Unix()},
		{"tokenExpiryTimestamp", t.expires.Unix()},
		{"refreshTokenExpiryTimestamp", c.now.Add(refreshLife).Unix()},
	})
}
