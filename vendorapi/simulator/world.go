package simulator

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A World defines what exists in a simulated CommCell.
type World struct {
	Clients []Client `json:"clients"`
	Plans   []string `json:"plans"`
	Users   []User   `json:"users"`
}

// A Client has instances, which have backup sets, which have content groups.
type Client struct {
	Name      string     `json:"name"`
	AppName   string     `json:"appName"` // Defaults to "Cloud Apps".
	Instances []Instance `json:"instances"`
}

// An Instance is an instance of a client's agent. For object storage it has the client's
// name.
type Instance struct {
	Name       string      `json:"name"`
	BackupSets []BackupSet `json:"backupSets"`
}

// A BackupSet holds content groups, which the interface calls subclients.
type BackupSet struct {
	Name string `json:"name"`
	// ContentGroups lists names. A name that ends in "*", such as "load-*", matches every
	// name with that prefix; "*" alone matches every name.
	ContentGroups []string `json:"contentGroups"`
}

// A User may log in.
type User struct {
	Name     string `json:"name"`
	Password string `json:"password"` // Base64 of UTF-8, as Login sends it
	// Company is the tenant whose rate limit the user shares.
	Company string `json:"company"`
	// AccessToken and RefreshToken are the user's first token pair, if any.
	AccessToken  string `json:"accessToken"`
	RefreshToken string `json:"refreshToken"`
}

// DefaultWorld returns a world with the names of the vendor's page: client and instance
// s-adhoc-object-storage, backup set defaultBackupSet, content group stestgroup, plan
// default-plan. For load tests it also has every content group load-*. Its user is
// backhaul with the password simulator, the access token simulator-access and the refresh
// token simulator-refresh.
func DefaultWorld() *World {
	return &World{
		Clients: []Client{{
			Name:    "s-adhoc-object-storage",
			AppName: "Cloud Apps",
			Instances: []Instance{{
				Name: "s-adhoc-object-storage",
				BackupSets: []BackupSet{{
					Name:          "defaultBackupSet",
					ContentGroups: []string{"stestgroup", "load-*"},
				}},
			}},
		}},
		Plans: []string{"default-plan"},
		Users: []User{{
			Name:         "backhaul",
			Password:     base64.StdEncoding.EncodeToString([]byte("simulator")),
			AccessToken:  "simulator-access",
			RefreshToken: "simulator-refresh",
		}},
	}
}

// maxWorld bounds the size of a world. A longer one is cut off and then invalid.
const maxWorld = 16 << 20

// LoadWorld reads a world from JSON. Unknown members, names given twice and
// things without a name are errors.
func LoadWorld(r io.Reader) (*World, error) {
	decoder := json.NewDecoder(io.LimitReader(r, maxWorld))
	decoder.DisallowUnknownFields()
	var w World
	if err := decoder.Decode(&w); err != nil {
		return nil, fmt.Errorf("read world: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("read world: there is text after the JSON object")
	}
	if err := w.check(); err != nil {
		return nil, fmt.Errorf("read world: %w", err)
	}
	return &w, nil
}

func (w *World) check() error {
	var errs []error
	var clients, users []string
	for _, c := range w.Clients {
		clients = append(clients, c.Name)
		var instances []string
		for _, i := range c.Instances {
			instances = append(instances, i.Name)
			var sets []string
			for _, b := range i.BackupSets {
				sets = append(sets, b.Name)
				errs = append(errs, distinct("content groups of "+c.Name, b.ContentGroups))
			}
			errs = append(errs, distinct("backup sets of "+c.Name, sets))
		}
		errs = append(errs, distinct("instances of "+c.Name, instances))
	}
	for _, u := range w.Users {
		users = append(users, u.Name)
		if _, err := base64.StdEncoding.DecodeString(u.Password); err != nil {
			errs = append(errs, fmt.Errorf("users: the password of %q is not Base64", u.Name))
		}
	}
	errs = append(errs, distinct("clients", clients), distinct("users", users), distinct("plans", w.Plans))
	return errors.Join(errs...)
}

// distinct returns an error for an empty name and for names that are equal in any case.
func distinct(where string, names []string) error {
	seen := make(map[string]bool)
	for _, name := range names {
		switch key := strings.ToLower(name); {
		case name == "":
			return fmt.Errorf("%s: a name is empty", where)
		case seen[key]:
			return fmt.Errorf("%s: %q is given twice", where, name)
		default:
			seen[key] = true
		}
	}
	return nil
}
