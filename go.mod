module backhaul

go 1.26.0

// What the program needs, and why.
require (
	github.com/cenkalti/backoff/v4 v4.3.0 // the waits between attempts; behind vendorapi/retry.go only
	github.com/go-json-experiment/json v1.27.2 // strict decoding with JSON pointers; the origin of encoding/json/v2
	github.com/mattn/go-isatty v0.0.20 // logs for people on a terminal, JSON elsewhere
	github.com/nats-io/nats-server/v2 v2.15.2 // the embedded JetStream server, and the tests' servers
	github.com/nats-io/nats.go v1.55.0 // the client, with its jetstream package
	github.com/rs/zerolog v1.35.1 // the log
	github.com/sony/gobreaker/v2 v2.4.0 // no attempts while the vendor is out of reach; behind vendorapi/breaker.go only
	github.com/spf13/cobra v1.10.2 // subcommands, help, completions
	github.com/spf13/pflag v1.0.9 // the flags that cobra takes
	golang.org/x/time v0.16.0 // limits on starts per hour and second
)

// What only tests need.
require (
	github.com/cloudevents/sdk-go/v2 v2.16.2 // a second opinion on our CloudEvents; package event only
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.3 // holds schemas and decoder together
	go.uber.org/goleak v1.3.0 // no goroutine is left behind
	pgregory.net/rapid v1.3.0 // random documents and ids
)

require (
	github.com/antithesishq/antithesis-sdk-go v0.8.0-default-no-op // indirect
	github.com/google/go-tpm v0.9.8 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/json-iterator/go v1.1.12 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/mattn/go-colorable v0.1.14 // indirect
	github.com/minio/highwayhash v1.0.4 // indirect
	github.com/modern-go/concurrent v0.0.0-20180306012644-bacd9c7ef1dd // indirect
	github.com/modern-go/reflect2 v1.0.2 // indirect
	github.com/nats-io/jwt/v2 v2.8.2 // indirect
	github.com/nats-io/nkeys v0.4.16 // indirect
	github.com/nats-io/nuid v1.0.1 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)
