package simulator

import (
	"slices"
	"strconv"
	"strings"
)

// directory is a World with ids, indexed for lookups.
//
// Assumed: names are compared without regard to case, as the CommServe's
// database does.
type directory struct {
	clients []*client
	groups  map[int]*group // by subclient id
	plans   []string
	users   map[string]*user // by lower-case name
	nextID  int
}

// client is a client with the backup sets of all its instances.
type client struct {
	name    string
	id      int
	appName string
	sets    []*backupSet
	index   jobIndex
}

// backupSet is a backup set of an instance of a client.
type backupSet struct {
	client       *client
	instanceName string
	instanceID   int
	name         string
	id           int
	groups       map[string]*group // by lower-case name
	order        []*group          // those that the world names
	prefixes     []string          // lower case, from the names that end in "*"
}

// group is a content group, a subclient of the interface.
type group struct {
	set   *backupSet
	name  string
	id    int
	index jobIndex
	last  *job // the newest job in the group's queue
}

type user struct {
	User
	id    int
	login loginAttempts
}

func newDirectory(w *World) *directory {
	d := &directory{groups: make(map[int]*group), users: make(map[string]*user), plans: w.Plans, nextID: 2}
	for _, c := range w.Clients {
		appName := c.AppName
		if appName == "" {
			appName = "Cloud Apps"
		}
		known := &client{name: c.Name, id: d.newID(), appName: appName}
		d.clients = append(d.clients, known)
		for _, i := range c.Instances {
			instanceID := d.newID()
			for _, b := range i.BackupSets {
				set := &backupSet{client: known, instanceName: i.Name, instanceID: instanceID,
					name: b.Name, id: d.newID(), groups: make(map[string]*group)}
				known.sets = append(known.sets, set)
				for _, name := range b.ContentGroups {
					if prefix, ok := strings.CutSuffix(name, "*"); ok {
						set.prefixes = append(set.prefixes, strings.ToLower(prefix))
						continue
					}
					set.order = append(set.order, d.addGroup(set, name))
				}
			}
		}
	}
	for _, u := range w.Users {
		d.users[strings.ToLower(u.Name)] = &user{User: u, id: d.newID()}
	}
	return d
}

func (d *directory) newID() int {
	d.nextID++
	return d.nextID
}

func (d *directory) addGroup(set *backupSet, name string) *group {
	g := &group{set: set, name: name, id: d.newID()}
	set.groups[strings.ToLower(name)] = g
	d.groups[g.id] = g
	return g
}

// resolve returns the content groups that an association of a request names.
//
// Recorded: without a subclient it is the whole backup set (Postman collection:
// six job ids). Assumed: a missing member does not restrict.
func (d *directory) resolve(a association) []*group {
	var found []*group
	for _, c := range d.clients {
		if !a.names(a.ClientName, c.name, a.ClientID, c.id) || !a.ofClient(c) {
			continue
		}
		for _, set := range c.sets {
			if !a.names(a.InstanceName, set.instanceName, a.InstanceID, set.instanceID) ||
				!a.names(a.BackupsetName, set.name, a.BackupsetID, set.id) {
				continue
			}
			if a.SubclientName == "" && a.SubclientID == "" {
				found = append(found, set.order...)
				continue
			}
			if g := d.groupOf(set, a); g != nil {
				return []*group{g}
			}
		}
	}
	return found
}

// groupOf returns the content group of a set that the association names, or nil. It
// creates the group if the world allows every name with its prefix.
func (d *directory) groupOf(set *backupSet, a association) *group {
	if a.SubclientName == "" {
		id, err := strconv.Atoi(string(a.SubclientID))
		if g := d.groups[id]; err == nil && g != nil && g.set == set {
			return g
		}
		return nil
	}
	name := string(a.SubclientName)
	key := strings.ToLower(name)
	if g := set.groups[key]; g != nil {
		return g
	}
	if slices.ContainsFunc(set.prefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) }) {
		return d.addGroup(set, name)
	}
	return nil
}

func (d *directory) hasPlan(name string) bool {
	return slices.ContainsFunc(d.plans, func(known string) bool { return strings.EqualFold(known, name) })
}

// entity returns the fields by which answers name a content group.
func (g *group) entity() fields {
	set := g.set
	return fields{
		{"clientId", set.client.id},
		{"clientName", set.client.name},
		{"instanceId", set.instanceID},
		{"instanceName", set.instanceName},
		{"backupsetId", set.id},
		{"backupsetName", set.name},
		{"subclientId", g.id},
		{"subclientName", g.name},
		{"appName", set.client.appName},
		{"applicationId", applicationID(set.client.appName)},
	}
}

// applicationID returns the number of an agent. Recorded: 134 is Cloud Apps (SDK),
// 33 File System (Postman collection). Others are unknown and returned as 0.
func applicationID(appName string) int {
	switch strings.ToLower(appName) {
	case "cloud apps":
		return 134
	case "file system":
		return 33
	}
	return 0
}
