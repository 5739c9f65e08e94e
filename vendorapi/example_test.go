package vendorapi_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"time"

	"backhaul/schemas"
	"backhaul/vendorapi"
	"backhaul/vendorapi/simulator"
)

var task = vendorapi.Task{
	BackupRequest: schemas.BackupRequest{
		ClientName: "s-adhoc-object-storage", InstanceName: "s-adhoc-object-storage",
		BackupsetName: schemas.DefaultBackupsetName, SubclientName: "stestgroup",
		AppName: schemas.DefaultAppName, BackupLevel: schemas.DefaultBackupLevel,
	},
	Marker: "backhaul:billing/inv-77",
}

func clientOf(server *httptest.Server) *vendorapi.Client {
	client, err := vendorapi.New(vendorapi.Config{
		Endpoint: server.URL + "/webconsole/api",
		Auth: vendorapi.Auth{
			Mode:     vendorapi.AuthLogin,
			Username: "backhaul",
			Password: func() (vendorapi.Secret, error) { return "simulator", nil },
		},
	})
	if err != nil {
		panic(err)
	}
	return client
}

// An attempt that certainly started nothing is repeated with backoff. The
// permit says until when an attempt may use the connection.
func ExampleRetrier_Submit() {
	vendor := simulator.New(simulator.Config{})
	server := httptest.NewServer(vendor)
	defer server.Close()
	vendor.Script(simulator.Fault{Kind: simulator.Status, Status: 404})

	ctx := context.Background()
	client := clientOf(server)
	defer client.Close(ctx)
	retrier := vendorapi.Retrier{Client: client, Policy: vendorapi.Policy{InitialInterval: 10 * time.Millisecond}}
	permit := func(context.Context) (time.Time, error) { return time.Now().Add(10 * time.Second), nil }
	job, attempts, err := retrier.Submit(ctx, ctx, task, permit)
	fmt.Println("job", job.ID, "after", attempts, "attempts:", err)
	// Output: job 5976 after 2 attempts: <nil>
}

// An answer that was lost is Unknown: the job may exist. It is found by the
// marker in its description and not started a second time.
func ExampleClient_Find() {
	vendor := simulator.New(simulator.Config{})
	server := httptest.NewServer(vendor)
	defer server.Close()
	vendor.Script(simulator.Fault{Kind: simulator.CutAfterStart})

	ctx := context.Background()
	client := clientOf(server)
	defer client.Close(ctx)
	since := time.Now()
	_, err := client.CreateTask(ctx, task)
	fmt.Println(vendorapi.VerdictOf(err))
	found, err := client.Find(ctx, task, since)
	fmt.Println("job", found.Job.ID, err)
	// Output:
	// unknown
	// job 5976 <nil>
}

// One GET lists the jobs that are active or ended lately. Only a status that the vendor is known
// to end a job with is an end.
func ExampleClient_ListJobs() {
	vendor := simulator.New(simulator.Config{JobDuration: time.Hour})
	server := httptest.NewServer(vendor)
	defer server.Close()

	ctx := context.Background()
	client := clientOf(server)
	defer client.Close(ctx)
	if _, err := client.CreateTask(ctx, task); err != nil {
		fmt.Println(err)
	}
	page, err := client.ListJobs(ctx, vendorapi.JobQuery{Category: vendorapi.AllJobs, Lookback: 6 * time.Minute})
	for _, job := range page.Jobs {
		fmt.Println("job", job.ID, job.Status, job.State, job.Outcome == "")
	}
	fmt.Println(page.Total, err)
	// Output:
	// job 5976 Running running true
	// 1 <nil>
}

// The Job Manager's event says who killed a job and why.
func ExampleJobReasons() {
	reasons, by := vendorapi.JobReasons([]vendorapi.JobEvent{
		{Code: "19:182", Text: "The job is being killed."},
		{Code: "19:1081", Text: "The job was killed by user [anna]. Reason:[maintenance]"},
	})
	fmt.Println(by)
	fmt.Println(reasons[0].Code, reasons[0].Text)
	// Output:
	// anna
	// 19:1081 The job was killed by user [anna]. Reason:[maintenance]
}
