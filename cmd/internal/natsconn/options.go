package natsconn

// Options are how to join a server. [Connect] does not check them; a wrong one makes the
// connection fail.
type Options struct {
	// URL is one server, or several with commas.
	URL  string
	Auth Auth
	TLS  TLS
	// InboxPrefix replaces "_INBOX" in reply subjects. Defaults to "_INBOX".
	InboxPrefix string
}

// Auth is who connects. The first way that is set is used.
type Auth struct {
	Creds string // a file with JWT and seed
	NKey  string // a file with a seed

	User     string
	Password func() (string, error) // read at each connect

	Token func() (string, error) // read at each connect; nil without a token

	JWT  string
	Seed func() (string, error) // of the JWT

	// Origin is where that is set, for errors.
	Origin string
}

// TLS is how the connection is secured.
type TLS struct {
	CA, Cert, Key string // files
	// First begins with the handshake, before the server's greeting.
	First bool
}

// EmbeddedOptions are of the server that runs in this process.
type EmbeddedOptions struct {
	Listen   string // HOST:PORT; port 0 means any free port
	StoreDir string
}

// OptionsError is a setting with which no server can be joined or started. Nothing was
// started.
type OptionsError struct {
	Problem string
}

func (e *OptionsError) Error() string { return "configuration: " + e.Problem }
