package page

import (
	"slices"

	"backhaul/cmd/internal/console"
)

// lit have lights of their own.
var lit = []string{"vendor", "budget"}

// failing returns the checks of the process that fail and have no light of their own.
func (p *Page) failing() []console.Result {
	return slices.DeleteFunc(console.Ask(p.cfg.Checks), func(r console.Result) bool { return r.OK || slices.Contains(lit, r.Name) })
}
