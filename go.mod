module backhaul

go 1.26.0

// What the program needs, and why.
require (
	github.com/cenkalti/backoff/v4 v4.3.0 // the waits between attempts; behind vendorapi/retry.go only
	github.com/go-json-experiment/json v1.27.2 // strict decoding with JSON pointers; the origin of encoding/json/v2
	github.com/go-logr/logr v1.4.3 // silences OpenTelemetry's own log, which would show secrets
	github.com/mattn/go-isatty v0.0.22 // logs for people on a terminal, JSON elsewhere
	github.com/minio/minio-go/v7 v7.4.1 // writes directive files; behind consumer/trigger/objectstore only
	github.com/nats-io/jwt/v2 v2.8.2 // whether the credentials of a user have expired
	github.com/nats-io/nats-server/v2 v2.15.2 // the embedded JetStream server, and the tests' servers
	github.com/nats-io/nats.go v1.55.0 // the client, with its jetstream package
	github.com/prometheus/client_golang v1.25.0 // the metrics; behind cmd/internal/telemetry only
	github.com/rs/zerolog v1.35.1 // the log
	github.com/schollz/progressbar/v3 v3.19.1 // the bar of `backhaul request --file` on a terminal
	github.com/sony/gobreaker/v2 v2.4.0 // no attempts while the vendor is out of reach; behind vendorapi/breaker.go only
	github.com/spf13/cobra v1.10.2 // subcommands, help, completions
	github.com/spf13/pflag v1.0.10 // the flags that cobra takes
	go.opentelemetry.io/otel v1.44.0 // the traces; behind cmd/internal/telemetry only, as are the next three
	go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp v1.44.0 // sends them
	go.opentelemetry.io/otel/sdk v1.44.0 // samples and batches them
	go.opentelemetry.io/otel/trace v1.44.0 // their API
	go.yaml.in/yaml/v3 v3.0.5 // the configuration, policy and routes files, as nodes that know their line
	golang.org/x/crypto/x509roots/fallback v0.0.0-20261030153154-30a33513ff6d // roots to trust where the system has none, as in the image
	// The hashes, proofs and signed notes of the archive of events; behind cmd/internal/archive only. Compared with
	// transparency-dev/tessera, which assigns places by arrival, so that once by sequence would need a database beside it,
	// and whose driver for S3 needs MySQL: a directory and a bucket would not be the same.
	golang.org/x/mod v0.41.0
	golang.org/x/net v0.60.0 // SOCKS proxies and what may be a header; behind vendorapi/internal/http1 only
	golang.org/x/text v0.43.0 // character sets of the vendor's answers
	golang.org/x/time v0.16.0 // limits on starts per hour and second
)

// What only tests need.
require (
	github.com/chromedp/cdproto v0.159.0 // the types of the next
	github.com/chromedp/chromedp v0.23.0 // the console page as a browser shows it
	github.com/cloudevents/sdk-go/v2 v2.16.2 // a second opinion on our CloudEvents; package event only
	github.com/creack/pty v1.1.24 // a terminal for the progress bar
	github.com/johannesboyne/gofakes3 v1.2.0 // an S3 server in the test process; package objectstoretest only
	github.com/moby/moby/api v1.56.1 // the types of the next
	github.com/moby/moby/client v0.6.2 // faults that testcontainers-go has no call for: kill, pause, disconnect
	github.com/nats-io/nkeys v0.4.16 // users of NATS by key
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.3 // a second opinion on documents and schemas
	github.com/testcontainers/testcontainers-go v0.45.0 // a cluster of containers; package clustertest only
	github.com/transparency-dev/merkle v0.0.2 // a second opinion on inclusion proofs; package archive only, as is the next
	github.com/transparency-dev/tessera v1.0.4 // a second opinion on tiles and checkpoints
	go.opentelemetry.io/proto/otlp v1.10.0 // what an OTLP receiver reads
	go.uber.org/goleak v1.3.0 // no goroutine is left behind
	google.golang.org/protobuf v1.36.12 // the encoding of it
	k8s.io/klog/v2 v2.130.1 // silences the log of tessera
	pgregory.net/rapid v1.3.0 // random documents and ids
)

require (
	dario.cat/mergo v1.0.2 // indirect
	github.com/Azure/go-ansiterm v0.0.0-20261006220739-8c912ac31dd4 // indirect
	github.com/Microsoft/go-winio v0.6.2 // indirect
	github.com/antithesishq/antithesis-sdk-go v0.8.0-default-no-op // indirect
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/cenkalti/backoff/v5 v5.0.3 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/containerd/errdefs v1.0.0 // indirect
	github.com/containerd/errdefs/pkg v0.3.0 // indirect
	github.com/containerd/log v0.1.0 // indirect
	github.com/containerd/platforms v0.2.1 // indirect
	github.com/cpuguy83/dockercfg v0.3.2 // indirect
	github.com/cpuguy83/go-md2man/v2 v2.0.6 // indirect
	github.com/distribution/reference v0.6.0 // indirect
	github.com/docker/go-connections v0.8.2 // indirect
	github.com/docker/go-units v0.5.0 // indirect
	github.com/dustin/go-humanize v1.0.1 // indirect
	github.com/ebitengine/purego v0.10.1 // indirect
	github.com/felixge/httpsnoop v1.1.0 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	github.com/go-ole/go-ole v1.3.0 // indirect
	github.com/google/go-tpm v0.9.8 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/grpc-ecosystem/grpc-gateway/v2 v2.29.0 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/json-iterator/go v1.1.12 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/klauspost/cpuid/v2 v2.4.0 // indirect
	github.com/klauspost/crc32 v1.3.0 // indirect
	github.com/kylelemons/godebug v1.1.0 // indirect
	github.com/lufia/plan9stats v0.0.0-20260330125221-c963978e514e // indirect
	github.com/magiconair/properties v1.18.12 // indirect
	github.com/mattn/go-colorable v0.1.15 // indirect
	github.com/minio/crc64nvme v1.1.1 // indirect
	github.com/minio/highwayhash v1.0.4 // indirect
	github.com/minio/md5-simd v1.1.2 // indirect
	github.com/mitchellh/colorstring v0.0.0-20190213212951-d06e56a500db // indirect
	github.com/moby/docker-image-spec v1.3.1 // indirect
	github.com/moby/go-archive v0.3.3 // indirect
	github.com/moby/patternmatcher v0.6.1 // indirect
	github.com/moby/sys/sequential v0.7.0 // indirect
	github.com/moby/sys/user v0.4.1 // indirect
	github.com/moby/sys/userns v0.1.0 // indirect
	github.com/moby/term v0.5.2 // indirect
	github.com/modern-go/concurrent v0.0.0-20180306012644-bacd9c7ef1dd // indirect
	github.com/modern-go/reflect2 v1.0.2 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/nats-io/nuid v1.0.1 // indirect
	github.com/opencontainers/go-digest v1.0.0 // indirect
	github.com/opencontainers/image-spec v1.1.1 // indirect
	github.com/philhofer/fwd v1.2.0 // indirect
	github.com/power-devops/perfstat v0.0.0-20240221224432-82ca36839d55 // indirect
	github.com/prometheus/client_model v0.6.3 // indirect
	github.com/prometheus/common v0.72.0 // indirect
	github.com/prometheus/procfs v0.22.0 // indirect
	github.com/rivo/uniseg v0.4.7 // indirect
	github.com/rs/xid v1.6.0 // indirect
	github.com/russross/blackfriday/v2 v2.1.0 // indirect
	github.com/ryszard/goskiplist v0.0.0-20150312221310-2dfbae5fcf46 // indirect
	github.com/shirou/gopsutil/v4 v4.26.6 // indirect
	github.com/sirupsen/logrus v1.10.2 // indirect
	github.com/stretchr/testify v1.12.1 // indirect
	github.com/tinylib/msgp v1.6.4 // indirect
	github.com/tklauser/go-sysconf v0.4.0 // indirect
	github.com/tklauser/numcpus v0.12.0 // indirect
	github.com/transparency-dev/formats v0.0.0-20251017110053-404c0d5b696c // indirect
	github.com/yusufpapurcu/wmi v1.2.4 // indirect
	github.com/zeebo/xxh3 v1.1.0 // indirect
	go.opentelemetry.io/auto/sdk v1.2.1 // indirect
	go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp v0.69.0 // indirect
	go.opentelemetry.io/otel/exporters/otlp/otlptrace v1.44.0 // indirect
	go.opentelemetry.io/otel/metric v1.44.0 // indirect
	go.shabbyrobe.org/gocovmerge v0.0.0-20230507111327-fa4f82cfbf4d // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/term v0.47.0 // indirect
	golang.org/x/tools v0.51.0 // indirect
	google.golang.org/genproto/googleapis/api v0.0.0-20260526163538-3dc84a4a5aaa // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260526163538-3dc84a4a5aaa // indirect
	google.golang.org/grpc v1.81.1 // indirect
	gopkg.in/ini.v1 v1.67.3 // indirect
)
