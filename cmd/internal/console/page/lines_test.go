package page

import (
	"testing"
	"time"

	"backhaul/consumer/budget"
	"backhaul/consumer/order"
)

// While the budget is used up, estimates begin at the next free call.
func TestLinesOf_withABudgetThatIsUsedUp(t *testing.T) {
	p := &Page{}
	p.cfg.Vendor.Budget = func() (budget.View, error) { return budget.View{Next: time.Now().Add(time.Hour)}, nil }
	lines, more := linesOf([]order.Line{{Subject: "backup.request.billing", Waiting: 1}}, 60, p.nextCall())
	if len(lines) != 1 || more != 0 || lines[0].Last < 59*time.Minute || lines[0].Last > time.Hour {
		t.Errorf("%+v, %d more", lines, more)
	}
	p.cfg.Vendor.Budget = func() (budget.View, error) { return budget.View{Next: time.Now().Add(-time.Hour)}, nil }
	if wait := p.nextCall(); wait != 0 {
		t.Errorf("a free call is %s away", wait)
	}
}
