package vendorapi

import (
	"context"
	"errors"
	"fmt"
)

// Ways to authorise calls.
const (
	// AuthLogin gets a QSDK token with a user name and a password.
	AuthLogin = "login"
	// AuthToken uses a token that another program renews.
	AuthToken = "token"
	// AuthBearer uses an access token and renews it with its refresh token.
	AuthBearer = "bearer"
)

// Auth is how calls are authorised.
type Auth struct {
	// Mode is AuthLogin, AuthToken or AuthBearer.
	Mode     string
	Username string
	// Password and Token are called for each login, so that a replaced secret is read again.
	Password func() (Secret, error)
	Token    func() (Secret, error)
	// PasswordName says where Password is set, for the error of a refused one, such as the name of a
	// setting and its file. It may be empty.
	PasswordName string
	// TokenPairFile is the file of AuthBearer: JSON with accessToken and refreshToken. Each renewal
	// rewrites it. All processes that use the pair must share this one file, see the package
	// documentation.
	TokenPairFile string
	// Logins shares the refused logins of AuthLogin with other processes; Process is the name of
	// this one. Defaults to nil: only refusals of this process count.
	Logins  Logins
	Process string
}

// Check returns an error if the configuration cannot work. A token pair may be missing at first;
// its directory must exist and be writable.
func (a Auth) Check() error {
	switch {
	case a.Mode == AuthLogin && (a.Username == "" || a.Password == nil):
		return errors.New("vendor auth login needs a user name and a password")
	case a.Mode == AuthToken && a.Token == nil:
		return errors.New("vendor auth token needs a token")
	case a.Mode == AuthBearer && a.TokenPairFile == "":
		return errors.New("vendor auth bearer needs a token pair file")
	case a.Mode == AuthBearer:
		return pairFile(a.TokenPairFile).check()
	case a.Mode != AuthLogin && a.Mode != AuthToken:
		return fmt.Errorf("vendor auth %q must be %s, %s or %s", a.Mode, AuthLogin, AuthToken, AuthBearer)
	}
	return nil
}

// source supplies tokens. Each mode has its own.
type source interface {
	// next returns a token for the next calls. If refused is non-nil, the vendor has just not
	// accepted it, and next returns another token or errNoOther.
	next(ctx context.Context, refused *token) (*token, error)
	// replaced reports whether a new secret has been configured in place of a refused one, so that
	// there is no need to wait. It may be called at any time.
	replaced(refused *token) bool
	// end gives up a token.
	end(ctx context.Context, t *token)
}

// errNoOther means that there is no better token than the refused one.
var errNoOther = errors.New("the source has no other token")

func newSource(c *Client, auth Auth) source {
	switch auth.Mode {
	case AuthLogin:
		return &login{client: c, username: auth.Username, password: auth.Password, name: auth.PasswordName, gate: loginGate{store: auth.Logins, by: auth.Process}}
	case AuthBearer:
		return &pairRenewal{client: c, file: pairFile(auth.TokenPairFile)}
	default:
		return given{auth.Token}
	}
}

// given reads a token that another program renews.
type given struct {
	read func() (Secret, error)
}

func (g given) next(_ context.Context, refused *token) (*token, error) {
	secret, err := g.read()
	if err == nil && secret == "" {
		err = errNoSecret
	}
	if err != nil {
		return nil, err
	}
	t := authtoken(secret)
	if refused != nil && refused.is(t) {
		return nil, errNoOther
	}
	return t, nil
}

func (g given) replaced(refused *token) bool {
	_, err := g.next(context.Background(), refused)
	return err == nil
}

// end does nothing: the token belongs to another program.
func (given) end(context.Context, *token) {}
