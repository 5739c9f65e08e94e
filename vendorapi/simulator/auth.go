package simulator

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Limits on logging in. Assumed: the vendor documents that accounts lock, but neither
// after how many attempts nor for how long.
const (
	attemptsAllowed = 5
	lockTime        = 5 * time.Minute
)

type loginAttempts struct {
	failed      int
	lockedUntil time.Time
}

// sessions holds the tokens that were issued.
type sessions struct {
	gateway    bool
	idle       time.Duration
	accessLife time.Duration
	logins     map[string]*session     // by token, without "QSDK "
	access     map[string]*accessToken // by token, including older ones of a chain
	issued     []string                // every secret part of a token, for Secrets
}

// session is a login. Documented: it ends after a time of inactivity, by
// default 30 minutes, which Login's timeout changes.
type session struct {
	user   *user
	server int // the server that issued its token
	idle   time.Duration
	used   time.Time
	over   bool
}

func (s *session) valid(now time.Time) bool { return !s.over && now.Sub(s.used) < s.idle }

// newSecret returns the secret part of a new token. Recorded: the token is "QSDK " and
// hexadecimal digits (Postman collection).
func (s *sessions) newSecret() string {
	secret := randomHex()
	s.issued = append(s.issued, secret)
	return secret
}

func randomHex() string {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// authenticate returns the user of the token in a call to a server, or nil.
//
// Documented: a login token goes into Authtoken as "QSDK …", an access token
// into Authorization as "Bearer …". Recorded: the prefix may be missing, and
// clients also send access tokens in Authtoken. Assumed: a login token as Bearer
// is refused, except by the SaaS gateway, which accepts nothing else.
func (s *sessions) authenticate(h http.Header, server int, now time.Time) *user {
	bearer, isBearer := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
	token := h.Get("Authtoken")
	token = strings.TrimPrefix(strings.TrimPrefix(token, "QSDK "), "Bearer ")
	login := token
	if s.gateway {
		login = bearer
	}
	if found := s.logins[login]; found != nil && found.server == server && found.valid(now) {
		found.used = now
		return found.user
	}
	if isBearer {
		token = bearer
	}
	if found := s.access[token]; found != nil && found.valid(now) {
		return found.chain.user
	}
	return nil
}

// end expires the session of a call's token.
func (s *sessions) end(h http.Header) {
	for _, value := range []string{h.Get("Authtoken"), h.Get("Authorization")} {
		value = strings.TrimPrefix(strings.TrimPrefix(value, "QSDK "), "Bearer ")
		if found := s.logins[value]; found != nil {
			found.over = true
		}
		if found := s.access[value]; found != nil {
			found.expires = time.Time{}
		}
	}
}

// loginRequest is DM2ContentIndexing_CheckCredentialReq. Documented: in XML all members are
// attributes; the password is Base64 of UTF-8; timeout is in minutes.
type loginRequest struct {
	XMLName  xml.Name `json:"-" xml:"DM2ContentIndexing_CheckCredentialReq"`
	Domain   scalar   `json:"domain" xml:"domain,attr"`
	Username scalar   `json:"username" xml:"username,attr"`
	Password scalar   `json:"password" xml:"password,attr"`
	Timeout  scalar   `json:"timeout" xml:"timeout,attr"`
}

// login answers POST Login.
//
// Recorded: a refusal has status 200, errList and no token (SDK and others);
// errList is present and empty after success (Postman collection); code 1116 is
// bad credentials (Morpheus). Assumed: the texts, and the code of a locked account.
func (s *Simulator) login(c *call) answer {
	var req loginRequest
	if err := readBody(c.r.Header, c.body, &req); err != nil {
		return badRequest()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := string(req.Username)
	if i := strings.LastIndexByte(name, '\\'); i >= 0 {
		name = name[i+1:]
	}
	u := s.dir.users[strings.ToLower(name)]
	if u == nil {
		s.account.LoginFailures++
		return s.loginRefused(loginAttempts{failed: 1}, c.now)
	}
	if a, limited := s.limit.check(u.Company, c.r.Method, c.now); limited {
		s.account.RateLimited++
		return a
	}
	tries := &u.login
	if c.now.Before(tries.lockedUntil) {
		s.account.LoginFailures++
		return s.loginRefused(*tries, c.now)
	}
	if !tries.lockedUntil.IsZero() {
		*tries = loginAttempts{}
	}
	if string(req.Password) != u.Password {
		s.account.LoginFailures++
		if tries.failed++; tries.failed >= attemptsAllowed {
			tries.lockedUntil = c.now.Add(lockTime)
		}
		return s.loginRefused(*tries, c.now)
	}
	*tries = loginAttempts{}
	idle := s.sessions.idle
	if minutes := req.Timeout.number(0); minutes > 0 {
		idle = time.Duration(minutes) * time.Minute
	}
	secret := s.sessions.newSecret()
	s.sessions.logins[secret] = &session{user: u, server: c.server, idle: idle, used: c.now}
	s.account.Logins++
	s.account.TokensIssued++
	if s.sessions.gateway { // Documented: the SaaS gateway's answer
		return ok("", fields{{"data", fields{{"authToken", secret}}}})
	}
	return ok("DM2ContentIndexing_CheckCredentialResp", fields{
		{"aliasName", "1"},
		{"userGUID", fmt.Sprintf("00000000-0000-0000-0000-%012d", u.id)},
		{"loginAttempts", 0},
		{"remainingLockTime", 0},
		{"smtpAddress", ""},
		{"userName", u.Name},
		{"providerType", 1},
		{"ccn", 0},
		{"token", "QSDK " + secret},
		{"capability", 0},
		{"forcePasswordChange", false},
		{"isAccountLocked", false},
		{"ownerOrganization", fields{{"providerId", 0}, {"providerDomainName", u.Company}}},
		{"errList", []fields{}},
	})
}

// loginRefused returns a refusal. Assumed: the gateway's is JSON too.
func (s *Simulator) loginRefused(tries loginAttempts, now time.Time) answer {
	locked := now.Before(tries.lockedUntil)
	code, text := 1116, "Username/Password are incorrect. Please re-enter your credentials."
	remaining := 0
	if locked {
		code, text = 1117, "The user account is locked."
		remaining = seconds(tries.lockedUntil.Sub(now))
	}
	root := "DM2ContentIndexing_CheckCredentialResp"
	if s.sessions.gateway {
		root = ""
	}
	return ok(root, fields{
		{"aliasName", ""},
		{"userGUID", ""},
		{"loginAttempts", tries.failed},
		{"remainingLockTime", remaining},
		{"userName", ""},
		{"isAccountLocked", locked},
		{"errList", []fields{{{"errLogMessage", text}, {"errorCode", code}}}},
	})
}

// logout answers POST Logout. Recorded: plain text (PHP client).
func (s *Simulator) logout(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions.end(c.r.Header)
	delete(s.sessions.logins, strings.TrimPrefix(c.r.Header.Get("Authtoken"), "QSDK "))
	return text(http.StatusOK, "User logged out")
}

// renewLogin answers POST RenewLoginToken. Recorded: the SDK calls it with an
// expired token after a 401. Assumed: it works once for every login token that
// was not logged out, and the old token ends.
func (s *Simulator) renewLogin(c *call) answer {
	var req struct {
		SessionID scalar `json:"sessionId" xml:"sessionId,attr"`
	}
	if err := readBody(c.r.Header, c.body, &req); err != nil {
		return badRequest()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := strings.TrimPrefix(string(req.SessionID), "QSDK ")
	found := s.sessions.logins[old]
	if found == nil {
		return ok("DM2ContentIndexing_RenewLoginTokenResp", fields{
			{"error", fields{{"errLogMessage", "Invalid session."}, {"errorCode", 5}}}})
	}
	secret := s.sessions.newSecret()
	s.sessions.logins[secret] = &session{user: found.user, server: c.server, idle: found.idle, used: c.now}
	delete(s.sessions.logins, old)
	s.account.TokensIssued++
	return ok("DM2ContentIndexing_RenewLoginTokenResp", fields{{"token", "QSDK " + secret}})
}

// whoAmI answers POST WhoAmI. Recorded: the SDK reads XML although it accepts JSON.
func (s *Simulator) whoAmI(c *call) answer {
	a := ok("CvEntities_ProcessingInstructionInfo", fields{
		{"user", fields{{"userName", c.user.Name}, {"userId", c.user.id}}}})
	a.onlyXML = true
	return a
}
