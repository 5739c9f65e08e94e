package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"backhaul/schemas/bounded"
)

// SelectedContext names the context that `nats context select` has chosen.
const SelectedContext = "@selected"

// natsContext has those fields of a context file of the nats command that say how to
// connect.
//
// nats-io/jsm.go/natscontext reads these files too. It was tried (0.5.1) and not taken: it adds
// 47 packages and 7.9 MB to the program, an expression language among them; it runs the commands
// nsc and op to resolve references; and it returns a connection, not values, so that
// `config show` could not say where a value comes from, and flags could not override one.
type natsContext struct {
	URL         string `json:"url"`
	Token       string `json:"token"`
	User        string `json:"user"`
	Password    string `json:"password"`
	Creds       string `json:"creds"`
	NKey        string `json:"nkey"`
	Cert        string `json:"cert"`
	Key         string `json:"key"`
	CA          string `json:"ca"`
	TLSFirst    bool   `json:"tls_first"`
	InboxPrefix string `json:"inbox_prefix"`
	UserJWT     string `json:"user_jwt"`
	UserSeed    string `json:"user_seed"`

	// What cannot be followed.
	NSC               string `json:"nsc"`
	SocksProxy        string `json:"socks_proxy"`
	JetStreamDomain   string `json:"jetstream_domain"`
	JetStreamPrefix   string `json:"jetstream_api_prefix"`
	WindowsCertStore  string `json:"windows_cert_store"`
	WindowsCertMatch  string `json:"windows_cert_match"`
	WindowsCertMatchB string `json:"windows_cert_match_by"`
}

// settings returns the values of the context by the keys of our settings.
func (n natsContext) settings() map[string]string {
	values := map[string]string{
		"nats.url": n.URL, "nats.user": n.User, "nats.password": n.Password, "nats.token": n.Token,
		"nats.creds": n.Creds, "nats.nkey": n.NKey, "nats.cert": n.Cert, "nats.key": n.Key, "nats.ca": n.CA,
		"nats.inboxPrefix": n.InboxPrefix,
	}
	if n.URL == "" {
		values["nats.url"] = "nats://127.0.0.1:4222" // as the nats command does
	}
	if n.TLSFirst {
		values["nats.tlsFirst"] = "true"
	}
	return values
}

// paths returns the fields that name files.
func (n *natsContext) paths() []*string { return []*string{&n.Creds, &n.NKey, &n.Cert, &n.Key, &n.CA} }

// contextDir returns the directory in which the nats command keeps its contexts.
func contextDir(lookupEnv func(string) (string, bool)) (string, error) {
	if dir, _ := lookupEnv("XDG_CONFIG_HOME"); dir != "" {
		return filepath.Join(dir, "nats"), nil
	}
	home, _ := lookupEnv("HOME")
	if home == "" {
		return "", errors.New("neither XDG_CONFIG_HOME nor HOME is set, so the contexts of the nats command cannot be located")
	}
	return filepath.Join(home, ".config", "nats"), nil
}

// readContext reads a context of the nats command. name is what it is called,
// also if it was asked for as the selected one. The error shows nothing of what
// the file says.
func readContext(asked string, lookupEnv func(string) (string, bool)) (name string, n natsContext, err error) {
	dir, err := contextDir(lookupEnv)
	if err != nil {
		return asked, n, err
	}
	name = asked
	if asked == SelectedContext {
		data, err := bounded.ReadText(filepath.Join(dir, "context.txt"), bounded.Small)
		if name = strings.TrimSpace(string(data)); err != nil || name == "" {
			return asked, n, errors.New("no context is selected; name one, or run `nats context select`")
		}
	}
	if strings.ContainsAny(name, `/\`) || strings.Contains(name, "..") {
		return name, n, fmt.Errorf("%q cannot be the name of a context", name)
	}
	file := filepath.Join(dir, "context", name+".json")
	data, err := bounded.ReadText(file, bounded.Small)
	if errors.Is(err, fs.ErrNotExist) {
		return name, n, fmt.Errorf("there is no context %s%s (%s)", name, known(dir), file)
	}
	if err != nil {
		return name, n, err
	}
	if err := json.Unmarshal(data, &n); err != nil {
		return name, n, fmt.Errorf("%s is not a context of the nats command: %s", file, jsonProblem(err))
	}
	for _, path := range n.paths() {
		*path = expanded(*path, lookupEnv)
	}
	if err := n.refuse(); err != nil {
		return name, n, fmt.Errorf("context %s (%s): %w", name, file, err)
	}
	return name, n, nil
}

// expanded returns a path with the home directory for its "~", as the nats command has it.
func expanded(path string, lookupEnv func(string) (string, bool)) string {
	home, _ := lookupEnv("HOME")
	if rest, ok := strings.CutPrefix(path, "~/"); ok && home != "" {
		return filepath.Join(home, rest)
	}
	return path
}

// known returns the names of the existing contexts, for an error.
func known(dir string) string {
	files, _ := filepath.Glob(filepath.Join(dir, "context", "*.json"))
	for i, file := range files {
		files[i] = strings.TrimSuffix(filepath.Base(file), ".json")
	}
	if len(files) == 0 {
		return ""
	}
	return ", only " + strings.Join(files, ", ")
}

// jsonProblem describes an error of the decoder without quoting the file.
func jsonProblem(err error) string {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Sprintf("%s is of the wrong type", wrong.Field)
	}
	return "it is not valid JSON"
}

// refuse returns an error if the context has a field that is not supported. To ignore
// the field would be to connect in another way than the nats command does.
func (n natsContext) refuse() error {
	var problems []string
	for _, f := range []struct{ field, value, instead string }{
		{"nsc", n.NSC, "write a credentials file with `nsc generate creds`"},
		{"socks_proxy", n.SocksProxy, "there must be a direct way to the server"},
		{"jetstream_domain", n.JetStreamDomain, "connect to a server of that domain"},
		{"jetstream_api_prefix", n.JetStreamPrefix, "use an account that has the streams itself"},
		{"windows_cert_store", n.WindowsCertStore, "use certificate files"},
		{"windows_cert_match", n.WindowsCertMatch, "use certificate files"},
		{"windows_cert_match_by", n.WindowsCertMatchB, "use certificate files"},
	} {
		if f.value != "" {
			problems = append(problems, f.field+" is not supported: "+f.instead)
		}
	}
	values := append(slices.Collect(maps.Values(n.settings())), n.UserJWT, n.UserSeed)
	if slices.ContainsFunc(values, func(v string) bool { return strings.HasPrefix(v, "op://") }) {
		problems = append(problems, "op:// is not supported: put what it stands for into a file")
	}
	if (n.UserJWT == "") != (n.UserSeed == "") {
		problems = append(problems, "user_jwt and user_seed belong together")
	}
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return nil
}
