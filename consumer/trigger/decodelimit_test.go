package trigger

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// A second envelope of the same kind is not taken off.
func TestDecode_unwrapsEachEnvelopeOnce(t *testing.T) {
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

func TestDecode_limits(t *testing.T) {
	if _, err := Decode(nil, make([]byte, MaxSize+1)); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("too large: %.300v", err)
	}
	largest := `{"Event":"s3:TestEvent"` + strings.Repeat(" ", MaxSize-len(`{"Event":"s3:TestEvent"}`)) + `}`
	if changes, err := Decode(nil, []byte(largest)); err != nil || len(changes) != 1 {
		t.Errorf("as large as may be: %d changes, %.300v", len(changes), err)
	}
	one := `{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"k"}}},`
	many := `{"Records":[` + strings.TrimSuffix(strings.Repeat(one, MaxChanges+5), ",") + `]}`
	changes, err := Decode(nil, []byte(many))
	if len(changes) != MaxChanges || err == nil || !strings.Contains(err.Error(), "more than 10000") || len(err.Error()) > 2000 {
		t.Errorf("%d changes, %.300v", len(changes), err)
	}
	// No form of it makes more changes, or is read to its end, or is silent about the rest.
	half := `{"Records":[` + strings.TrimSuffix(strings.Repeat(`{"eventName":"x"},`, MaxChanges-1), ",") + `]}`
	test := `{"MessageId":"1","Body":"{\"Event\":\"s3:TestEvent\"}"},`
	for name, data := range map[string]string{
		"records in an array": `[` + strings.TrimSuffix(strings.Repeat(half+",", 9), ",") + `]`,
		"records of a Lambda": `{"Records":[` + strings.TrimSuffix(strings.Repeat(fmt.Sprintf(`{"eventSource":"aws:sqs","body":%q},`, half), 9), ",") + `]}`,
		"messages of SQS":     `{"Messages":[` + strings.TrimSuffix(strings.Repeat(test, MaxChanges+1), ",") + `]}`,
		"arrays with nothing": `[` + strings.TrimSuffix(strings.Repeat("[],", MaxChanges+1), ",") + `]`,
	} {
		allocated := testing.AllocsPerRun(1, func() { changes, err = Decode(nil, []byte(data)) })
		if err == nil || strings.Count(err.Error(), "more than 10000") != 1 || len(changes) > MaxChanges || allocated > 8*MaxChanges {
			t.Errorf("%s: %d changes, %.0f allocations, %.300v", name, len(changes), allocated, err)
		}
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
	_, err = Decode(nil, []byte(`{"Records":[{"eventVersion":"`+strings.Repeat("3", 1000)+`"}]}`))
	if e, ok := errors.AsType[*DecodeError](err); !ok || len(e.Reason) > 310 {
		t.Errorf("one long fault: %v", err)
	}
}

func TestDecodeError_headIsShort(t *testing.T) {
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
