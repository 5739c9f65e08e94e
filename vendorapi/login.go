package vendorapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
)

// errNoSecret means that the file or variable of a secret is empty. Sending an empty secret would
// be a failed login, and failed logins lock the account.
var errNoSecret = errors.New("the secret is empty")

const (
	// loginTimeout is the idle time in minutes that the login requests, the vendor's default.
	// Basis: https://api.commvault.com/docs/SP32/api/cv/AuthenticationOperations/login.
	loginTimeout = 30
	// idleLimit is the idle time after which a session is not used again.
	idleLimit = 25 * time.Minute
)

// login gets the token of a session with a user name and a password.
type login struct {
	client   *Client
	username string
	password func() (Secret, error)
	name     string // [Auth.PasswordName]
	gate     loginGate
	refused  atomic.Pointer[Secret] // the last one that the vendor refused, or nil
}

// next logs in; the previous token has no influence.
func (l *login) next(ctx context.Context, _ *token) (*token, error) {
	password, err := l.secret()
	if err != nil {
		return nil, err
	}
	account := l.username + "\x00" + string(password)
	if err := l.gate.enter(ctx, account); err != nil {
		l.refused.Store(&password)
		return nil, l.named(err)
	}
	value, err := l.send(ctx, password)
	l.gate.leave(ctx, account, err)
	if err != nil {
		l.refused.Store(&password)
		return nil, l.named(err)
	}
	t := authtoken(value)
	t.idle, t.made = idleLimit, time.Now()
	return t, nil
}

// named adds to the error of a refused password where the password is set.
func (l *login) named(err error) error {
	if refusal, ok := errors.AsType[*LoginError](err); ok {
		refusal.Setting = l.name
	}
	return err
}

func (l *login) secret() (Secret, error) {
	password, err := l.password()
	if err == nil && password == "" {
		err = errNoSecret
	}
	return password, err
}

// send logs in. Its errors do not contain the password.
func (l *login) send(ctx context.Context, password Secret) (Secret, error) {
	encoded := base64.StdEncoding.EncodeToString([]byte(password))
	body, err := json.Marshal(map[string]any{
		"mode":     4, // as https://github.com/Commvault/cvpysdk, cvpysdk/cvpysdk.py, _login
		"username": l.username,
		"password": encoded,
		"timeout":  loginTimeout,
	})
	if err != nil {
		return "", err
	}
	resp, err := l.client.do(ctx, call{
		op: opLogin, method: http.MethodPost, path: "/Login",
		contentType: "application/json", accept: "application/json", body: body,
	})
	if err != nil {
		return "", err
	}
	value, err := readLogin(resp)
	err = l.client.notAtBase(resp, err)
	mask := strings.NewReplacer(encoded, "***", string(password), "***")
	if refusal, ok := errors.AsType[*LoginError](err); ok {
		refusal.Message = mask.Replace(refusal.Message)
	}
	if failure, ok := errors.AsType[*Error](err); ok {
		failure.Message = mask.Replace(failure.Message)
	}
	return value, err
}

// replaced reports whether the password differs from the one that was refused.
func (l *login) replaced(*token) bool {
	password, err := l.secret()
	refused := l.refused.Load()
	return err == nil && refused != nil && password != *refused
}

// end logs out. The answer has no effect: it is 200, or 401 if the session is over. Basis: the
// vendor's Postman collection (https://github.com/BrandonLundt/commvault-powershell-extentions) for
// 200; assumed for 401.
//
// With a budget there is no logout, because it is a writing call that could start a job: the session
// ends when it has been idle for [loginTimeout].
func (l *login) end(ctx context.Context, t *token) {
	if l.client.budget != nil {
		return
	}
	_, _ = l.client.do(ctx, call{op: "Logout", method: http.MethodPost, path: "/Logout", accept: "*/*"}, t.header())
}

func authtoken(value Secret) *token {
	return newToken("Authtoken", qsdk(value))
}

// qsdk adds the scheme that tokens have in the Authtoken header, as
// https://github.com/Commvault/cvpysdk (cvpysdk/commcell.py) does.
func qsdk(value Secret) Secret {
	for _, scheme := range []string{"QSDK ", "SAML ", "Bearer "} {
		if strings.HasPrefix(string(value), scheme) {
			return value
		}
	}
	return "QSDK " + value
}

// loginAnswer is the answer to Login in either format: HTTP 200 with a token, or without one and
// with the reason in errList. Basis: saved answers in the vendor's Postman collection
// (https://github.com/BrandonLundt/commvault-powershell-extentions).
type loginAnswer struct {
	XMLName  xml.Name     `json:"-"`
	Token    string       `json:"token" xml:"token,attr"`
	Locked   flexibleText `json:"isAccountLocked" xml:"isAccountLocked,attr"`
	LockTime flexibleText `json:"remainingLockTime" xml:"remainingLockTime,attr"` // s
	Attempts flexibleText `json:"loginAttempts" xml:"loginAttempts,attr"`         // that failed
	Code     flexibleText `json:"errorCode" xml:"errorCode,attr"`
	Message  flexibleText `json:"errorMessage" xml:"errorMessage,attr"`
	Text     flexibleText `json:"message" xml:"-"` // read by a published client, and of gateways
	ErrList  []struct {
		Code    flexibleText `json:"errorCode" xml:"errorCode,attr"`
		Message flexibleText `json:"errLogMessage" xml:"errLogMessage,attr"`
	} `json:"errList" xml:"errList"`
	Data struct {
		AuthToken string `json:"authToken"`
	} `json:"data" xml:"-"`
}

// parse reads an answer. It reports whether the answer has the form of one to Login.
func (a *loginAnswer) parse(body []byte) bool {
	text := bytes.TrimSpace(bytes.TrimPrefix(body, utf8BOM))
	switch {
	case bytes.HasPrefix(text, []byte("{")):
		return json.Unmarshal(text, a) == nil
	case bytes.HasPrefix(text, []byte("<")):
		return xml.Unmarshal(text, a) == nil && strings.HasSuffix(a.XMLName.Local, "Resp")
	}
	return false
}

// refusal returns the reason why there is no token.
func (a *loginAnswer) refusal() *LoginError {
	e := &LoginError{Code: string(a.Code), Message: shortened(string(a.Message))}
	if len(a.ErrList) > 0 {
		e.Code, e.Message = string(a.ErrList[0].Code), shortened(string(a.ErrList[0].Message))
	}
	if a.Data.AuthToken != "" {
		e.Message = "this is a gateway, whose logins this client does not use; give it a token"
	}
	if a.Locked == "true" || a.Locked == "1" {
		seconds, _ := strconv.ParseUint(string(a.LockTime), 10, 31)
		e.Locked = time.Duration(seconds) * time.Second
	}
	return e
}

// readLogin returns the token of an answer. The error is a [*LoginError] if the credentials were
// refused. No error contains the answer itself, which may have the token in it.
func readLogin(resp response) (Secret, error) {
	code, message := reasonOf(resp)
	e := &Error{Verdict: NotSent, Op: opLogin, Status: resp.Status, Code: code, Message: message, load: loadOf(resp.Status, resp.Header)}
	switch e.load {
	case rateLimited:
		e.Verdict, e.RetryAfter = Throttled, retryAfter(resp.Header)
		return "", e
	case overloaded, unavailable:
		e.RetryAfter = retryAfter(resp.Header)
		return "", e
	}
	var answer loginAnswer
	parsed := answer.parse(resp.Body)
	if !parsed {
		answer = loginAnswer{}
	}
	refusal := answer.refusal()
	attempts, _ := strconv.Atoi(string(answer.Attempts))
	denied := resp.Status == http.StatusUnauthorized || resp.Status == http.StatusForbidden
	decided := resp.Status < 500 && *refusal != (LoginError{}) || resp.Status == http.StatusInternalServerError && isDecision(refusal.Code)
	switch {
	case resp.Status == http.StatusOK && answer.Token != "":
		return qsdk(Secret(answer.Token)), nil
	case resp.Status == http.StatusOK && parsed, denied, decided:
		if *refusal == (LoginError{}) {
			_, readErr := readEnvelope(resp.Body)
			refusal.Code, refusal.Message = code, statusAnd(resp, cmp.Or(message, shortened(string(answer.Text))), readErr)
		}
		refusal.nearlyLocked = attempts >= nearlyLocked
		refusal.unsure = attempts == 0 && refusal.Locked == 0 && refusal.Code != badCredentials && resp.Status != http.StatusUnauthorized
		return "", refusal
	}
	e.Message = cmp.Or(e.Message, fmt.Sprintf("the answer (%d bytes) is not one to a login", len(resp.Body)))
	return "", e
}

// badCredentials is the code of a wrong user or password. Basis: a published client treats it so
// ; other codes may stand for anything.
const badCredentials = "1116"

// isDecision reports whether the vendor decided on a code, see [envelope.refuses].
func isDecision(code string) bool { return envelope{code: code}.refuses() }
