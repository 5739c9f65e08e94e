package trigger

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// A second envelope of the same kind is not taken off.
func TestEnvelopesAreTakenOffOnce(t *testing.T) {
	inner := string(readTestdata(t, "aws-sns.json"))
	_, err := Decode(nil, []byte(`{"Type":"Notification","TopicArn":"arn:aws:sns:x","Message":`+fmt.Sprintf("%q", strings.ReplaceAll(inner, "\n", ""))+`}`))
	if err == nil || !strings.Contains(err.Error(), "SNS notification within") {
		t.Errorf("got %v", err)
	}
	deep := strings.Repeat("[", 20) + strings.Repeat("]", 20)
	if _, err := Decode(nil, []byte(deep)); err == nil || !strings.Contains(err.Error(), "deep") {
		t.Errorf("nested arrays: %v", err)
	}
}

func TestLimits(t *testing.T) {
	if _, err := Decode(nil, make([]byte, MaxSize+1)); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("too large: %.300v", err)
	}
	one := `{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"k"}}},`
	many := `{"Records":[` + strings.TrimSuffix(strings.Repeat(one, MaxChanges+5), ",") + `]}`
	changes, err := Decode(nil, []byte(many))
	if len(changes) != MaxChanges || err == nil || !strings.Contains(err.Error(), "more than 10000") || len(err.Error()) > 2000 {
		t.Errorf("%d changes, %.300v", len(changes), err)
	}
	// A payload of many small things is not worked through to its end.
	for _, form := range []string{`[%s]`, `{"Records":[%s]}`, `{"Messages":[%s]}`} {
		data := fmt.Sprintf(form, strings.TrimSuffix(strings.Repeat("{},", 1_000_000), ","))
		allocated := testing.AllocsPerRun(1, func() { _, err = Decode(nil, []byte(data)) })
		if err == nil || !strings.Contains(err.Error(), "and more") && !strings.Contains(err.Error(), "more than 10000") || allocated > 20*MaxChanges {
			t.Errorf("%.20s…: %.0f allocations, %v", data, allocated, err)
		}
	}
	// Nor is one that has the small things in many arrays or texts.
	nested := `[` + strings.TrimSuffix(strings.Repeat(`[`+strings.TrimSuffix(strings.Repeat("{},", 9_000), ",")+`],`, 200), ",") + `]`
	allocated := testing.AllocsPerRun(1, func() { _, err = Decode(nil, []byte(nested)) })
	if err == nil || allocated > 20*maxDocuments {
		t.Errorf("nested arrays: %.0f allocations, %v", allocated, err)
	}
	faults := `[` + strings.TrimSuffix(strings.Repeat(`{"x":"`+strings.Repeat("y", 500)+`"},`, 500), ",") + `]`
	if _, err := Decode(nil, []byte(faults)); err == nil || len(err.Error()) > 2000 {
		t.Errorf("500 faults: an error of %d bytes", len(err.Error()))
	}
}

func TestHeadIsShort(t *testing.T) {
	data := []byte("\x1b[31m" + strings.Repeat("é", 300))
	_, err := Decode(nil, data)
	e, ok := errors.AsType[*DecodeError](err)
	if !ok || len(e.Head) != 200 {
		t.Fatalf("got %v", err)
	}
	data[0] = 'x'
	if e.Head[0] != 0x1b || strings.ContainsRune(err.Error(), 0x1b) {
		t.Errorf("the head shares memory, or is shown as it is: %q", err)
	}
}
