package operator

import (
	"strings"
	"testing"
)

func TestBy_Check(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		by    By
		fault string
	}{
		"the default":  {By{Actor: Default()}, ""},
		"with reason":  {By{Actor: "Ännie @ ops", Reason: "CHG-17: größer"}, ""},
		"no actor":     {By{Actor: " "}, "empty"},
		"a long name":  {By{Actor: strings.Repeat("ä", 257)}, "256"},
		"a long text":  {By{Actor: "a", Reason: strings.Repeat("ä", 1025)}, "1024"},
		"two lines":    {By{Actor: "a", Reason: "b\nc"}, "one line"},
		"an escape":    {By{Actor: "a\x1b[31m"}, "one line"},
		"not UTF-8":    {By{Actor: "a\xff"}, "one line"},
		"a C1 control": {By{Actor: "a\u0085"}, "one line"},
	} {
		err := test.by.Check()
		if (err == nil) != (test.fault == "") || err != nil && !strings.Contains(err.Error(), test.fault) {
			t.Errorf("%s: %v, want %q", name, err, test.fault)
		}
	}
	if !strings.Contains(Default(), "@") {
		t.Errorf("the default is %q, want user@host", Default())
	}
}
