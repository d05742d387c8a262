# `make help` lists the targets. Needs a Rust toolchain (rust-toolchain.toml pins it) and Node 20.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MANA := target/release/mana

.PHONY: help up down build ui test lint unit system fuzz bench docs clean

help: ## Lists the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

up: build ## Builds everything and starts the ecosystem in development
	@$(MANA) up

down: ## Stops what `make up` started
	@$(MANA) down

build: ui ## Builds the release binaries
	cargo build --release --locked --workspace --bins

ui: ui/dist/.built ## Bundles what the browser needs

ui/dist/.built: ui/package-lock.json $(shell find ui/src ui/*.json ui/*.mjs -type f 2>/dev/null)
	cd ui && npm ci --no-audit --no-fund && npm run build
	@touch $@

test: ## Sets up what it needs, then lints, unit, service and whole-system tests
	scripts/test-services.sh run $(MAKE) lint unit system

lint: ui
	cargo fmt --all -- --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cd ui && npm run check

unit: ui ## Unit, property and service tests (inside `scripts/test-services.sh run`)
	scripts/nextest.sh unit

system: build ## The whole system through its real binary and a real browser
	scripts/nextest.sh system

fuzz: ## Feeds the edge's parsers with what a fuzzer comes up with, a minute each (`scripts/fuzz.sh SECONDS`: longer)
	scripts/fuzz.sh

bench: build ## Measures against peers and writes docs/BENCHMARKS.md
	benches/run.sh

clean: ## Removes what was built (not the data in .mana)
	cargo clean
	rm -rf ui/dist ui/node_modules apps/chat/backend/tests/clients/{node_modules,.venv} apps/mana-core-auth/tests/clients/{node_modules,.venv}
