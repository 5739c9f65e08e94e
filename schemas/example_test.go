package schemas_test

import (
	"errors"
	"fmt"

	"backhaul/schemas"
)

// A request as an upstream system publishes it. Defaults are filled in.
func ExampleDecodeRequest() {
	message, err := schemas.DecodeRequest(nil, []byte(`{
		"requestId": "inv-77",
		"clientName": "s-adhoc-object-storage",
		"subclientName": "stestgroup"
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	request := message.Request
	fmt.Println(request.RequestID, request.InstanceName, request.BackupLevel)
	// Output: inv-77 s-adhoc-object-storage INCREMENTAL
}

// Every field at fault is named by its JSON pointer.
func ExampleDecodeRequest_invalid() {
	_, err := schemas.DecodeRequest(nil, []byte(`{"clientName": "s-adhoc-object-storage", "subClientName": "stestgroup"}`))
	if invalid, ok := errors.AsType[*schemas.InvalidError](err); ok {
		for _, problem := range invalid.Problems {
			fmt.Println(problem)
		}
	}
	// Output:
	// /subClientName: is not a member of a backup request; did you mean subclientName?
	// /subclientName: is required: the name of the content group
}

// An event as a subscriber reads it. The kind is a token of the subject
// backup.event.<kind>.<source>.<key>; the data is the payload.
func ExampleDecodeEvent() {
	event, err := schemas.DecodeEvent(schemas.KindJobStarted, []byte(`{"requestId": "inv-77", "source": "billing", "jobId": "5976"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	if started, ok := event.(*schemas.JobStarted); ok {
		fmt.Println(started.RequestID, "started job", started.JobID)
	}
	// Output: inv-77 started job 5976
}
