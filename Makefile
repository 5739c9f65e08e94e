# Backhaul's tasks. `make` alone lists them.

GO           ?= go
TOOLS        := $(CURDIR)/.tools
LINT_VERSION := v2.9.0
LINT         := $(TOOLS)/golangci-lint-$(LINT_VERSION)
FUZZTIME     ?= 30s
SEED         ?= 1
PROMTOOL     := $(TOOLS)/promtool-v0.316.0

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: build ## show the whole way of a request on embedded NATS and a simulated Commvault
	@bin/backhaul demo

.PHONY: build
build: ## build bin/backhaul
	@CGO_ENABLED=0 $(GO) build -trimpath -o bin/backhaul ./cmd/backhaul

.PHONY: browser
browser: ## install Debian's Chromium, which the tests of the console page need, if it is missing and we are root
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing chromium for the tests of the console page"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null && exit 0; \
	fi; \
	echo "there is no Chromium: the console page will not be tested in a browser; apt-get install --no-install-recommends chromium"

.PHONY: screenshots
screenshots: browser ## take the README's pictures of the console page
	$(GO) test ./cmd/internal/console/page -run '^TestBrowser$$/^pictures' -count=1 -screenshots $(CURDIR)/deploy/screenshots

.PHONY: test
test: browser ## check formatting, vet, run every test with the race detector
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not formatted (gofmt -w):"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
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

.PHONY: long
long: ## run at full length what `make test` runs short: the broker away for 150 s, 600 requests that outlast the ack wait
	$(GO) test ./cmd/backhaul -run '^(TestBrokerAway|TestRetriesOutlastTheAckWait)$$' -count=1 -v -timeout 20m -parallel 1 \
		-outage.length=150s -ackwait.requests=600 -ackwait.faults=slow=1.5s,503=0.4:1s

.PHONY: fuzz
fuzz: ## fuzz every decoder, FUZZTIME each (30s)
	@for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
		done; \
	done

.PHONY: docs
docs: ## make the references in deploy/ from the code
	$(GO) test ./cmd/internal/config -run '^(TestReferenceIsCurrent|TestChartSchemaIsCurrent)$$' -count=1 -update
	$(GO) test ./cmd/backhaul -run '^TestCommandsReference$$' -count=1 -update
	$(GO) test ./cmd/internal/telemetry -run '^(TestDashboard|TestChartHasTheSameFiles)$$' -count=1 -update

.PHONY: helm
helm: ## render the chart to its golden output and deploy/kubernetes, then as helm-test
	$(GO) test -C deploy/helm/test -count=1 -update .

.PHONY: helm-test
helm-test: ## lint and render the chart with Helm's packages, decode it strictly (some minutes to build)
	cd deploy/helm/test && $(GO) vet . && $(GO) test -count=1 .

.PHONY: alerts-test
alerts-test: $(PROMTOOL) ## check the alert rules and run their unit tests with promtool (built on first use)
	$(PROMTOOL) check rules deploy/prometheus/alerts.yaml
	$(PROMTOOL) test rules deploy/prometheus/alerts.test.yaml

# remove_all_sd leaves out what finds targets in clouds: many modules, of no use here.
$(PROMTOOL):
	@echo "building promtool, some minutes"
	@GOBIN=$(TOOLS)/tmp GOFLAGS= $(GO) install -tags remove_all_sd github.com/prometheus/prometheus/cmd/promtool@$(patsubst promtool-%,%,$(notdir $@))
	@mv $(TOOLS)/tmp/promtool $@ && rmdir $(TOOLS)/tmp

.PHONY: manifests
manifests: ## make the NACK manifests in deploy/nack from deploy/streams
	$(GO) test ./deploy -run '^TestNACKManifests$$' -count=1 -update

.PHONY: man
man: ## write man pages to bin/man
	$(GO) test ./cmd/backhaul -run '^TestManPages$$' -count=1 -man.dir=$(CURDIR)/bin/man

.PHONY: bench
bench: ## run every benchmark, compare with a hand-written loop
	$(GO) test -run '^$$' -bench . -benchmem ./...
	$(GO) test ./cmd/backhaul -run '^TestThroughput$$' -count=1 -v -timeout 30m -throughput.requests=20000

.PHONY: chaos
chaos: ## kill replicas, kill the broker, break the vendor, judge every request (SEED=1, CHAOS=flags)
	$(GO) test ./cmd/backhaul -run '^TestChaos$$' -count=1 -v -timeout 15m \
		-chaos.requests=3000 -chaos.rate=100 -chaos.replicas=4 -chaos.seed=$(SEED) $(CHAOS)
