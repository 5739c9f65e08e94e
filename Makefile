# Backhaul's tasks. `make` alone lists them.

GO           ?= go
# What is compiled like the program has the standard library in common with it.
LIKE_PROGRAM := CGO_ENABLED=0 GOFLAGS=-trimpath
TOOLS        := $(CURDIR)/.tools
LINT_VERSION := v2.9.0
LINT         := $(TOOLS)/golangci-lint-$(LINT_VERSION)
GORELEASER_VERSION := $(shell awk '$$1 == "github.com/goreleaser/goreleaser/v2" {print $$2}' deploy/release/go.mod)
GORELEASER   := $(TOOLS)/goreleaser-$(GORELEASER_VERSION)
FUZZTIME     ?= 30s
SEED         ?= 1
HOURS        ?= 50
PROMTOOL     := $(TOOLS)/promtool-v0.316.0
FROM         ?= $(shell git describe --tags --abbrev=0 2>/dev/null)
VERSION      ?= $(shell git describe --tags --always --dirty --abbrev=12)
COMMIT       ?= $(shell git rev-parse HEAD)
IMAGE        ?= backhaul:latest
SOURCE       ?= backhaul
# Every time in an artefact is that of the commit: the same commit, the same bytes.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Develop

.PHONY: demo
demo: build ## show the whole way of a request on embedded NATS and a simulated Commvault
	@bin/backhaul demo

.PHONY: build
build: ## build bin/backhaul
	@[ -e bin/backhaul ] || echo "building bin/backhaul: the first time its modules are downloaded and compiled, about two minutes"
	@CGO_ENABLED=0 $(GO) build -trimpath -o bin/backhaul ./cmd/backhaul

.PHONY: test
test: test-go artefacts ## everything: test-go, then artefacts; this is what CI runs

# vet looks at what the tests then link: without -race, every package would be compiled once more for it alone.
.PHONY: test-go
test-go: browser ## check formatting, vet, run every Go test with the race detector
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not formatted (gofmt -w):"; echo "$$unformatted"; exit 1; fi
	$(GO) vet -race ./...
	$(GO) test -race -timeout 15m ./...

.PHONY: race
race: ## run the concurrent packages' tests ten times with the race detector
	$(GO) test -race -count 10 -timeout 60m ./publisher/... ./consumer/... ./vendorapi/...

.PHONY: lint
lint: $(LINT) ## run golangci-lint (built on first use)
	$(LINT) run ./...

$(LINT):
	@echo "building golangci-lint $(LINT_VERSION), some minutes"
	@GOBIN=$(TOOLS)/tmp GOFLAGS= $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	@mv $(TOOLS)/tmp/golangci-lint $(LINT) && rmdir $(TOOLS)/tmp

.PHONY: fuzz
fuzz: ## fuzz every decoder, FUZZTIME each (30s)
	@for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
		done; \
	done

.PHONY: docs
docs: ## make the references in deploy/ and the AsyncAPI document in schemas/ from the code
	$(GO) test ./cmd/internal/config -run '^(TestReferenceIsCurrent|TestChartSchemaIsCurrent)$$' -count=1 -update
	$(GO) test ./cmd/backhaul -run '^(TestCommandsReference|TestAsyncAPI)$$' -count=1 -update
	$(GO) test ./cmd/internal/telemetry -run '^(TestDashboard|TestChartHasTheSameFiles)$$' -count=1 -update
	$(GO) test ./cmd/internal/objectives ./cmd/internal/routes -run '^TestSchemaIsCurrent$$' -count=1 -update

.PHONY: manifests
manifests: ## make the NACK manifests in deploy/nack from deploy/streams
	$(GO) test ./deploy -run '^TestNACKManifests$$' -count=1 -update

.PHONY: helm
helm: ## render the chart to its golden output and deploy/kubernetes, then test as helm-test does
	$(GO) test -C deploy/helm/test -count=1 -update .

.PHONY: screenshots
screenshots: browser ## take the README's pictures of the console page
	$(GO) test ./cmd/internal/console/page -run '^TestBrowser$$/^pictures' -count=1 -screenshots $(CURDIR)/deploy/screenshots

.PHONY: browser
browser: ## install Debian's Chromium, which the tests of the console page need, if it is missing and we are root
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing chromium for the tests of the console page"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null && exit 0; \
	fi; \
	echo "there is no Chromium: the console page will not be tested in a browser; apt-get install --no-install-recommends chromium"

##@ Check

.PHONY: artefacts
artefacts: helm-test alerts-test release-test compose-test ## check what deploy/ has with the tools that it is for

.PHONY: helm-test
helm-test: ## lint and render the chart with Helm's packages, decode it strictly (some minutes to build)
	cd deploy/helm/test && export $(LIKE_PROGRAM) && $(GO) vet . && $(GO) test -count=1 .

.PHONY: alerts-test
alerts-test: $(PROMTOOL) ## check the alert rules and run their unit tests with promtool (built on first use)
	$(PROMTOOL) check rules deploy/prometheus/alerts.yaml
	$(PROMTOOL) test rules deploy/prometheus/alerts.test.yaml

# remove_all_sd leaves out what finds targets in clouds: many modules, of no use here.

$(PROMTOOL):
	@echo "building promtool, some minutes"
	@GOBIN=$(TOOLS)/tmp $(LIKE_PROGRAM) $(GO) install -tags remove_all_sd github.com/prometheus/prometheus/cmd/promtool@$(patsubst promtool-%,%,$(notdir $@))
	@mv $(TOOLS)/tmp/promtool $@ && rmdir $(TOOLS)/tmp

.PHONY: compose-test
compose-test: ## compose-demo, where there are a Docker engine and Compose; where CI is set they must be there
	@if docker version >/dev/null 2>&1 && { docker compose version || docker-compose version; } >/dev/null 2>&1; then \
		$(MAKE) --no-print-directory compose-demo; \
	else \
		echo "there is no Docker engine with Compose: deploy/compose is not brought up; on Debian: apt-get install docker.io docker-compose"; \
		[ -z "$$CI" ]; \
	fi

.PHONY: release-test
release-test: ## read .goreleaser.yaml with GoReleaser's loader, find every file that it names
	cd deploy/release && export $(LIKE_PROGRAM) && $(GO) vet . && $(GO) test -count=1 .

##@ Hard tests, by hand

.PHONY: chaos
chaos: ## kill replicas, kill the broker, break the vendor, judge every request (SEED=1, CHAOS=flags)
	$(GO) test ./cmd/internal/chaos -run '^TestChaos$$' -count=1 -v -timeout 15m \
		-chaos.requests=3000 -chaos.rate=100 -chaos.replicas=4 -chaos.seed=$(SEED) $(CHAOS)

.PHONY: trigger-backlog
trigger-backlog: ## let the trigger read 200,000 notifications for 20,000 content groups, then 50,000 for one
	$(GO) test ./cmd/internal/chaos -run '^TestTriggerBacklog$$' -count=1 -v -timeout 15m -backlog.notifications=200000 -backlog.groups=20000 -backlog.hot=0
	$(GO) test ./cmd/internal/chaos -run '^TestTriggerBacklog$$' -count=1 -v -timeout 15m -backlog.notifications=0 -backlog.groups=0 -backlog.hot=50000

.PHONY: busy
busy: ## an hour of a busy content group in a minute, with replicas killed: jobs never overlap, the last change is covered
	$(GO) test ./consumer -run '^TestABusyContentGroup$$' -count=1 -v -busy.hour=60s

.PHONY: follow-chaos
follow-chaos: ## follow 3,000 jobs of every kind to their end under the same faults and throttled reads, judge every end (SEED=1, CHAOS=flags)
	$(GO) test ./cmd/internal/chaos -run '^TestFollowChaos$$' -count=1 -v -timeout 20m -follow.jobs=3000 -follow.rate=60 \
		-follow.interval=2s -follow.kill=4s -follow.broker=15s -follow.late -follow.for=150s -follow.patience=4m -follow.seed=$(SEED) $(CHAOS)

.PHONY: follow-load
follow-load: ## measure what following 10,000 jobs costs for 4 minutes: calls, CPU, memory, time from an end to its event
	$(GO) test ./cmd/internal/chaos -run '^TestFollowLoad$$' -count=1 -v -timeout 20m -followload.jobs=10000 $(CHAOS)

.PHONY: archive-load
archive-load: ## archive 1,000,000 events, verify them and one change of each kind: rate, size, time, CPU
	$(GO) test ./cmd/internal/chaos -run '^TestArchiveOfMany$$' -count=1 -v -timeout 60m -archive.events=1000000 $(CHAOS)

.PHONY: archive-away
archive-away: ## take the archive's bucket away for an hour while requests go on: nothing may be missing or there twice
	$(GO) test ./cmd/internal/chaos -run '^TestArchiveBucketAway$$' -count=1 -v -timeout 80m -archive.away=1h $(CHAOS)

.PHONY: events-load
events-load: ## what a million events cost a NATS server: memory, and the time until it is back after a stop and a kill
	$(GO) test ./cmd/internal/chaos -run '^TestServerWithManyEvents$$' -count=1 -v -timeout 30m -events.many=1000000 $(CHAOS)

.PHONY: protection-load
protection-load: ## measure the first view of 2,000 content groups with a million events: time, CPU, memory
	$(GO) test ./cmd/internal/chaos -run '^TestProtectionLoad$$' -count=1 -v -timeout 20m -protection.events=1000000 -protection.groups=2000

.PHONY: budget-chaos
budget-chaos: ## 50 hours of three replicas with a budget of 100 writing calls, one killed every few minutes, by a fake clock (HOURS=50)
	$(GO) test ./consumer/budget -run '^TestSoak' -count=1 -v -timeout 30m -budget.hours=$(HOURS)

.PHONY: trigger-chaos
trigger-chaos: ## kill the trigger every second under 100,000 notifications for 50 content groups
	$(GO) test ./cmd/internal/chaos -run '^TestTriggerChaos$$' -count=1 -v -timeout 15m -trigger.notifications=100000 -trigger.rate=5000

.PHONY: trigger-minio
trigger-minio: ## let a MinIO tell the trigger what happens to 3,000 objects, under kills and without NATS for a while (MINIO=program)
	$(GO) test ./cmd/internal/chaos -run '^TestRealMinIO$$' -count=1 -v -timeout 15m -trigger.minio=$(or $(MINIO),minio)

SOAK ?= 1h
.PHONY: soak
soak: ## hostile messages, vendor faults, stream edits and kills for SOAK (1h), judged from outside (SEED=1)
	$(GO) test ./cmd/internal/chaos -run '^TestSoak$$' -count=1 -v -timeout 2h -soak.length=$(SOAK) -soak.seed=$(SEED) -soak.livez=100ms $(CHAOS)

AREA ?= all
.PHONY: mutants
mutants: ## change the code that the promise rests on, one place at a time: the tests must fail; 50 minutes (AREA=consumer, MUTANTS=flags)
	$(GO) test ./cmd/internal/mutants -run '^TestMutants$$' -count=1 -v -timeout 3h -mutants.area=$(AREA) $(MUTANTS)

.PHONY: long
long: ## run at full length what `make test` runs short: the broker away for 150 s, 600 requests that outlast the ack wait
	$(GO) test ./cmd/internal/chaos -run '^(TestBrokerAway|TestRetriesOutlastTheAckWait)$$' -count=1 -v -timeout 20m -parallel 1 \
		-outage.length=150s -ackwait.requests=600 -ackwait.faults=slow=1.5s,503=0.4:1s

.PHONY: upgrade
upgrade: ## replace replicas of an older version under load, and take a step back: FROM=revision
	@test -n "$(FROM)" || { echo "say what to upgrade from: make upgrade FROM=revision"; exit 2; }
	$(GO) test ./cmd/internal/chaos -run '^TestUpgrade$$' -count=1 -v -timeout 15m -upgrade.from=$(FROM)

.PHONY: bench
bench: ## run every benchmark, compare with a hand-written loop: rate, CPU, memory, old events, start, recovery; an hour (BASE=program, BENCH=flags)
	$(GO) test -run '^$$' -bench . -benchmem ./...
	$(GO) test ./cmd/internal/chaos -run '^TestThroughput$$' -count=1 -v -timeout 90m -throughput.requests=20000 -throughput.old=1000000 -throughput.recovery \
		$(if $(BASE),-throughput.base=$(abspath $(BASE))) $(BENCH)

##@ Run and release

.PHONY: image
image: ## build the container image IMAGE (backhaul:latest), the same one for the same commit
	@CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags='-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)' -o bin/image/backhaul ./cmd/backhaul
	@$(GO) run ./deploy/image -dockerfile deploy/Dockerfile -tag $(IMAGE) \
		-label org.opencontainers.image.version=$(VERSION) \
		-label org.opencontainers.image.revision=$(COMMIT) \
		-label org.opencontainers.image.source=$(SOURCE) \
		program/backhaul=bin/image/backhaul state/data/

.PHONY: nats-image
nats-image: ## build the image backhaul-nats:latest from the nats-server of go.mod, for deploy/compose
	@CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags='-s -w' -o bin/image/nats-server github.com/nats-io/nats-server/v2
	@$(GO) run ./deploy/image -dockerfile deploy/compose/nats.Dockerfile -tag backhaul-nats:latest program/nats-server=bin/image/nats-server

.PHONY: compose-demo
compose-demo: build image nats-image ## show deploy/compose at work: three NATS servers, two replicas, one of each killed
	@deploy/compose/demo.sh

.PHONY: man
man: ## write man pages to bin/man
	$(GO) test ./cmd/backhaul -run '^TestManPages$$' -count=1 -man.dir=$(CURDIR)/bin/man
	@rm -f bin/man/*.1.gz && gzip -k9n bin/man/*.1

.PHONY: completions
completions: build ## write shell completions to bin/completions
	@mkdir -p bin/completions
	@bin/backhaul completion bash > bin/completions/backhaul.bash
	@bin/backhaul completion fish > bin/completions/backhaul.fish
	@bin/backhaul completion zsh > bin/completions/_backhaul

.PHONY: release-check
release-check: $(GORELEASER) ## check .goreleaser.yaml, make what a release would have in bin/release (GoReleaser takes long to build)
	$(GORELEASER) check
	$(GORELEASER) release --snapshot --clean $(if $(shell command -v syft),,--skip=sbom)

$(GORELEASER):
	@echo "building goreleaser $(GORELEASER_VERSION), some minutes"
	@GOBIN=$(TOOLS)/tmp GOFLAGS= $(GO) install github.com/goreleaser/goreleaser/v2@$(GORELEASER_VERSION)
	@mv $(TOOLS)/tmp/goreleaser $(GORELEASER) && rmdir $(TOOLS)/tmp
