package protection

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"backhaul/schemas"
)

// Group identifies a content group, as the events name it.
type Group struct {
	Client    string `json:"clientName"`
	Instance  string `json:"instanceName"`
	Backupset string `json:"backupsetName"`
	Subclient string `json:"subclientName"`
}

// String returns the client and the content group, and what lies between them if it is not the
// default.
func (g Group) String() string {
	parts := []string{g.Client}
	if g.Instance != g.Client {
		parts = append(parts, g.Instance)
	}
	if g.Backupset != schemas.DefaultBackupsetName {
		parts = append(parts, g.Backupset)
	}
	return strings.Join(append(parts, g.Subclient), "/")
}

// Hash returns a token of a subject that stands for the group.
func (g Group) Hash() string {
	name, _ := json.Marshal(g) // strings only
	sum := sha256.Sum256(name)
	return hex.EncodeToString(sum[:16])
}

// compare orders groups by their names.
func compare(a, b Group) int {
	return cmp.Or(strings.Compare(a.Client, b.Client), strings.Compare(a.Instance, b.Instance),
		strings.Compare(a.Backupset, b.Backupset), strings.Compare(a.Subclient, b.Subclient))
}
