// Package chaos has the tests that load the program and break what it depends on:
// replicas are killed and frozen, brokers and cluster leaders die, the vendor loses
// answers, operators edit streams, versions are replaced. Each run writes down what was
// asked for and what the vendor did, and judges every request from outside. The tests
// are short in `make test`; `make chaos`, `trigger-chaos`, `trigger-minio`, `soak`, `long`,
// `upgrade` and `bench` run them at length.
package chaos
