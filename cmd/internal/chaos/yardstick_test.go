package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/schemas"
	"backhaul/vendorapi"
)

// YARDSTICK. This is what one would write by hand in an afternoon: pull, POST,
// publish, ack. It keeps no promise: a crash or a lost answer starts a second
// job. It is here only to measure the service against, and runs in a process of
// its own: the test binary, started with yardstickEnv.
const yardstickEnv = "BACKHAUL_TEST_YARDSTICK"

// yardstickRequest is a request as the yardstick reads it, and most of its event.
type yardstickRequest struct {
	RequestID, ClientName, InstanceName, BackupsetName, SubclientName, StoragePolicyName, OnDemandInputFile string

	Labels map[string]string
	JobID  string
}

// yardstickBody is the service's request to the vendor with names in place of its values: both
// contenders send the same.
var yardstickBody = func() string {
	rendered, err := vendorapi.Render(vendorapi.FormatXML, vendorapi.Task{Marker: "backhaul:billing/@id@", BackupRequest: schemas.BackupRequest{
		ClientName: "@client@", InstanceName: "@instance@", BackupsetName: "@backupset@", SubclientName: "@subclient@",
		StoragePolicyName: "@policy@", AppName: "Cloud Apps", BackupLevel: schemas.LevelIncremental, AdHocBackup: true, OnDemandInputFile: "@file@",
	}})
	if err != nil {
		panic(err)
	}
	return string(rendered.Body)
}()

// yardstick is the hand-written loop. settings are the service's environment.
func yardstick(natsURL, endpoint, user, password string, workers int) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	nc, err := nats.Connect(natsURL)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	queue, err := js.Consumer(ctx, "BACKUP_REQUESTS", "backhaul")
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers, MaxConnsPerHost: workers}}
	token, err := yardstickLogin(client, endpoint, user, password)
	if err != nil {
		return err
	}
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	slog.Info("reading requests")
	messages := make(chan jetstream.Msg)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for msg := range messages {
				if err := yardstickHandle(ctx, js, client, endpoint, token, msg); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			}
		})
	}
	for ctx.Err() == nil {
		batch, err := queue.Fetch(workers, jetstream.FetchMaxWait(time.Second))
		if err != nil {
			return err
		}
		for msg := range batch.Messages() {
			messages <- msg
		}
	}
	close(messages)
	all.Wait()
	return nil
}

func yardstickHandle(ctx context.Context, js jetstream.JetStream, client *http.Client, endpoint, token string, msg jetstream.Msg) error {
	began := time.Now()
	var request yardstickRequest
	if err := json.Unmarshal(msg.Data(), &request); err != nil {
		return err
	}
	body := strings.NewReplacer("@id@", request.RequestID, "@client@", request.ClientName, "@instance@", request.InstanceName,
		"@backupset@", request.BackupsetName, "@subclient@", request.SubclientName, "@policy@", request.StoragePolicyName,
		"@file@", request.OnDemandInputFile).Replace(yardstickBody)
	answer, err := yardstickPost(client, endpoint+"/CreateTask", "application/xml", token, body)
	if err != nil {
		return err
	}
	var created struct {
		JobIDs []struct {
			Val string `xml:"val,attr"`
		} `xml:"jobIds"`
	}
	if err := xml.Unmarshal(answer, &created); err != nil || len(created.JobIDs) == 0 {
		return fmt.Errorf("no job in %s", answer)
	}
	request.JobID = created.JobIDs[0].Val
	event, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if _, err := js.Publish(ctx, "backup.event.job-started.billing."+request.RequestID, event); err != nil {
		return err
	}
	if os.Getenv("BACKHAUL_LOG_LEVEL") == "" {
		slog.Info("job-started", "jobId", request.JobID, "requestId", request.RequestID, "clientName", request.ClientName,
			"subclientName", request.SubclientName, "durationMs", time.Since(began).Milliseconds())
	}
	return msg.Ack()
}

func yardstickLogin(client *http.Client, endpoint, user, password string) (string, error) {
	answer, err := yardstickPost(client, endpoint+"/Login", "application/json", "", fmt.Sprintf(`{"username":%q,"password":%q}`, user, password))
	if err != nil {
		return "", err
	}
	var login struct{ Token string }
	if err := json.Unmarshal(answer, &login); err != nil || login.Token == "" {
		return "", errors.New("yardstick: no token")
	}
	return login.Token, nil
}

func yardstickPost(client *http.Client, url, contentType, token, body string) ([]byte, error) {
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", contentType)
	if token != "" {
		req.Header.Set("Authtoken", token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	return io.ReadAll(resp.Body)
}
