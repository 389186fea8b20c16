# What there is to do here. `make help` lists it.
#
# Needed on the machine: cargo (rustup), a C linker, and for the tests go, npm, python3, PostgreSQL, Chromium and nginx; these three
# are installed where Debian's packages are. What the tests use beyond that is installed under target/tools, in the versions named here.

GRPCURL := 1.9.4
BUF := 1.75.0
CARGO_DENY := 0.20.2
NATS_SERVER := 2.15.2
PROTOC_GEN_GO := 1.36.12
PROTOC_GEN_GO_GRPC := 1.6.2
# Later ones ask for Node 22.
PROTOC_GEN_ES := 2.13.0
# What it generates asks for these versions or later where it runs, so they are not the newest.
GRPCIO := 1.76.0

TOOLS := $(CURDIR)/target/tools
BUF_BIN := $(TOOLS)/buf/node_modules/.bin/buf
PYTHON := $(TOOLS)/python/bin/python

STATIC_FOR := $(shell uname -m)-unknown-linux-gnu

# How long `make soak` takes.
MINUTES := 10

# One line for each thing that is shown, written by the tests named shows_*.
SHOWN := target/shows.txt

# Builds the release in a clean clone: run alone, so that what it takes from the machine disturbs no other test.
LAST := shows_2_11

export PATH := $(TOOLS)/bin:$(PATH)

.PHONY: help run test shows sim mutants bench soak static lint generate tools needs-cargo needs-go needs-npm needs-postgresql needs-chromium needs-nginx

help: ## list what there is to do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

run: needs-cargo ## build the gateway and start it on 127.0.0.1:50051, on the store in tidegate-data; ARGS="…" are more options
	cargo run --release --locked -- serve $(ARGS)

# lint comes first because it fails first.
test: tools lint ## set up what the tests need, and run everything
	cargo test --workspace --locked -- --skip $(LAST)
	cargo test --locked --test it -- $(LAST)
	@echo "make test: everything passed"

shows: tools ## run the tests named shows_*, and print a line with its figure for each
	@sh scripts/shows.sh $(SHOWN) $(LAST)

sim: needs-cargo ## the simulation: 210 runs; SEED=n repeats one and prints everything that happens in it
	cargo test --locked --lib shows_4_4_ -- --nocapture

# Too long for every day: each is compiled.
mutants: needs-cargo ## break promises one by one: the simulation must find each; MUTANT=name: one of tests/mutants
	sh scripts/mutants.sh $(MUTANT)

bench: needs-cargo ## measure the gateway against a bare tonic service (the floor)
	cargo run --release --locked -- bench

soak: needs-cargo ## ten minutes of durable packets (MINUTES=n: as many): no slower, no larger, nothing lost; as many through nginx; a start on 10 million
	cargo build --release --locked
	SOAK_MINUTES=$(MINUTES) SOAK_PROGRAM=$(CURDIR)/target/release/tidegate \
		cargo test --locked --test it -- --nocapture shows_3_8_
	SOAK_MINUTES=$(MINUTES) SOAK_PROGRAM=$(CURDIR)/target/release/tidegate \
		cargo test --locked --test it -- --nocapture shows_5_5_
	HISTORY_PACKETS=10000000 cargo test --locked --test it -- --nocapture shows_3_7_

# Of glibc: musl's allocator takes some ten times as long. By --target, so that what runs while it builds stays as it is.
static: needs-cargo ## build target/static/tidegate, one file that needs no library: for containers, and for other machines
	RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target $(STATIC_FOR)
	mkdir -p target/static
	strip --strip-debug -o target/static/tidegate target/$(STATIC_FOR)/release/tidegate

lint: tools ## formatting, clippy, buf lint, generated code, go vet, tsc, licences, bans and sources
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	$(BUF_BIN) lint
	BUF=$(BUF_BIN) PYTHON=$(PYTHON) sh scripts/generate.sh check
	cd clients/go && go vet ./...
	cd examples/handlers/go && go vet . && test -z "$$(gofmt -l .)"
	cd examples/todo && npm run --silent check
	cargo deny --log-level error check licenses bans sources

generate: tools ## write the clients' committed code from proto/, and docs/configuration.md from config/default.toml
	BUF=$(BUF_BIN) PYTHON=$(PYTHON) sh scripts/generate.sh write
	UPDATE_GENERATED=1 cargo test --locked --test it -- generated config::reference

STAMPS := grpcurl-$(GRPCURL) buf-$(BUF) cargo-deny-$(CARGO_DENY) nats-server-$(NATS_SERVER) \
	protoc-gen-go-$(PROTOC_GEN_GO) protoc-gen-go-grpc-$(PROTOC_GEN_GO_GRPC) protoc-gen-es-$(PROTOC_GEN_ES) \
	python-$(GRPCIO) handler-typescript todo

tools: needs-cargo $(addprefix $(TOOLS)/,$(STAMPS)) needs-postgresql needs-chromium needs-nginx ## install what the tests use

# Each stamp names a version, so that another version here installs that one.
$(TOOLS)/grpcurl-$(GRPCURL): | needs-go
	GOBIN=$(TOOLS)/bin go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v$(GRPCURL)
	@touch $@

$(TOOLS)/buf-$(BUF): | needs-npm
	npm install --silent --no-audit --no-fund --no-save --prefix $(TOOLS)/buf @bufbuild/buf@$(BUF)
	@touch $@

$(TOOLS)/cargo-deny-$(CARGO_DENY):
	cargo install cargo-deny --locked --version $(CARGO_DENY) --root $(TOOLS)
	@touch $@

# Measured beside the gateway by `tidegate bench durable`.
$(TOOLS)/nats-server-$(NATS_SERVER): | needs-go
	GOBIN=$(TOOLS)/bin go install github.com/nats-io/nats-server/v2@v$(NATS_SERVER)
	@touch $@

$(TOOLS)/protoc-gen-go-$(PROTOC_GEN_GO): | needs-go
	GOBIN=$(TOOLS)/bin go install google.golang.org/protobuf/cmd/protoc-gen-go@v$(PROTOC_GEN_GO)
	@touch $@

$(TOOLS)/protoc-gen-go-grpc-$(PROTOC_GEN_GO_GRPC): | needs-go
	GOBIN=$(TOOLS)/bin go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v$(PROTOC_GEN_GO_GRPC)
	@touch $@

$(TOOLS)/protoc-gen-es-$(PROTOC_GEN_ES): | needs-npm
	npm install --silent --no-audit --no-fund --no-save --prefix $(TOOLS)/protoc-gen-es @bufbuild/protoc-gen-es@$(PROTOC_GEN_ES)
	ln -sf ../protoc-gen-es/node_modules/.bin/protoc-gen-es $(TOOLS)/bin/protoc-gen-es
	@touch $@

# What the examples in TypeScript need, with a copy of the client.
TYPESCRIPT := $(wildcard clients/typescript/package.json clients/typescript/gen/tidegate/v1/*)

$(TOOLS)/handler-typescript: examples/handlers/typescript/package-lock.json $(TYPESCRIPT) | needs-npm
	cd examples/handlers/typescript && npm ci --loglevel error --no-audit --no-fund
	@touch $@

$(TOOLS)/todo: examples/todo/package-lock.json $(TYPESCRIPT) | needs-npm
	cd examples/todo && npm ci --loglevel error --no-audit --no-fund
	@touch $@

# Generates Python's code, and runs what is written in it.
$(TOOLS)/python-$(GRPCIO):
	@command -v python3 >/dev/null || { echo "make: python3 is missing: https://www.python.org" >&2; exit 1; }
	python3 -m venv --clear $(TOOLS)/python
	$(PYTHON) -m pip install --quiet grpcio==$(GRPCIO) grpcio-tools==$(GRPCIO) grpcio-health-checking==$(GRPCIO)
	@touch $@

needs-npm:
	@command -v npm >/dev/null || { echo "make: npm is missing; tools of the tests are installed with it: https://nodejs.org" >&2; exit 1; }

# Whichever version Debian has: the tests start it themselves, on a directory of their own.
needs-postgresql:
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || \
		{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends postgresql; } || \
		{ echo "make: PostgreSQL is missing, and cannot be installed here: as root, apt-get install postgresql" >&2; exit 1; }

# Whichever version Debian has: the tests drive it by its DevTools protocol.
needs-chromium:
	@command -v chromium >/dev/null || \
		{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends chromium; } || \
		{ echo "make: Chromium is missing, and cannot be installed here: as root, apt-get install chromium" >&2; exit 1; }

# Whichever version Debian has: a test starts it itself, on config/nginx.conf.
needs-nginx:
	@ls /usr/sbin/nginx >/dev/null 2>&1 || command -v nginx >/dev/null || \
		{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends nginx; } || \
		{ echo "make: nginx is missing, and cannot be installed here: as root, apt-get install nginx" >&2; exit 1; }

needs-go:
	@command -v go >/dev/null || { echo "make: go is missing; tools of the tests are built with it: https://go.dev/doc/install" >&2; exit 1; }

needs-cargo:
	@command -v cargo >/dev/null || { echo "make: cargo is missing; install Rust: https://rustup.rs" >&2; exit 1; }
