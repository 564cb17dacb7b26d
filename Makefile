# Waxwing. "make run" starts a complete system on loopback; "make test" is
# everything that must hold. Both work on a bare Debian 12 with make and Go: what
# the tests need beyond it is installed from Debian's packages by
# test/packages.sh.

SHELL := /bin/bash
GO    ?= go
FUZZTIME ?= 2s

.PHONY: run build test check unit race peers postgres crash hostile fuzz bench soak fmt docs

# With other ports: make run ARGS='--port-base 11000'
run: build
	bin/waxwing dev --dir run $(ARGS)

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/waxwing ./cmd/waxwing

# In the order of what fails soonest.
test: check unit race peers postgres crash hostile fuzz
	@echo "make test: all passed"

# Format, vet, staticcheck, the arrows, the table of RFCs.
check:
	@unformatted=$$(gofmt -l .); \
	  if [ -n "$$unformatted" ]; then echo "not gofmt'ed (make fmt): $$unformatted"; exit 1; fi
	$(GO) vet -tags peers,crash,bench,postgres,hostile ./...
	$(GO) tool -modfile=tools/go.mod staticcheck -tags peers,crash,bench,postgres,hostile ./...
	$(GO) run ./test/rfctable -check

# Unit tests, transcripts, the arrows; all that needs only Go.
unit:
	$(GO) test ./...

# The same under the race detector, which needs gcc, where goroutines share
# memory.
race:
	test/packages.sh
	CGO_ENABLED=1 $(GO) test -race -short ./store/... ./auth/... ./flow/... ./serve/... ./proto/...

# Clients and servers that nobody here wrote, against the built binary.
peers: build
	test/packages.sh
	WAXWING_BIN=$(CURDIR)/bin/waxwing $(GO) test -count=1 -tags peers -timeout 20m ./test/peers/ ./test/resolver/ ./test/transport/

# The integration suite in a shorter form on PostgreSQL, from a server that is
# started for it: its engine, the rooms and doors above (their transcripts but
# for those in virtual time), real clients, kill -9 during delivery.
postgres: build
	test/packages.sh
	$(GO) test -count=1 -tags postgres ./store/kv/pgkv/
	$(GO) run ./test/system/withpostgres $(GO) test -count=1 -short ./serve/... ./flow/... ./store/directory/ ./store/outqueue/ ./store/trace/ ./store/mailbox/ ./store/backup/
	WAXWING_BIN=$(CURDIR)/bin/waxwing $(GO) run ./test/system/withpostgres $(GO) test -count=1 -tags peers \
	  -run 'Curl|Python|Swaks|Msmtp|OpenSSL|Mbsync|Fetchmail|Telnet' ./test/peers/
	WAXWING_BIN=$(CURDIR)/bin/waxwing WAXWING_KILLS=3 $(GO) run ./test/system/withpostgres \
	  $(GO) test -count=1 -tags crash -run 'KillDuringDelivery|KillOfNode' ./test/crash/

# Kill -9 while everybody works, a full disk, a database that goes away: what
# was acknowledged is there once and whole.
crash: build
	WAXWING_BIN=$(CURDIR)/bin/waxwing $(GO) test -count=1 -tags crash -timeout 10m ./test/crash/

# Attacks of strangers; others are served meanwhile, and the memory is weighed.
hostile: build
	test/packages.sh
	WAXWING_BIN=$(CURDIR)/bin/waxwing $(GO) test -count=1 -tags hostile -timeout 10m ./test/hostile/

# Every fuzz target for a short time.
fuzz:
	test/fuzz.sh $(FUZZTIME)

bench: build
	$(GO) test -run '^$$' -bench . -benchmem ./...
	test/packages.sh
	WAXWING_BIN=$(CURDIR)/bin/waxwing test/bench/run.sh

# What takes too long for every change: many kills, losses of power and failures
# of the disk, long fuzzing.
soak: build
	WAXWING_FAULT_ROUNDS=100 $(GO) test -count=1 -timeout 3h ./test/faults/
	WAXWING_BIN=$(CURDIR)/bin/waxwing WAXWING_KILLS=300 $(GO) test -count=1 -tags crash -timeout 3h ./test/crash/
	WAXWING_BIN=$(CURDIR)/bin/waxwing WAXWING_ATTACKERS=500 WAXWING_CROWD=9900 $(GO) test -count=1 -tags hostile -timeout 2h ./test/hostile/
	$(GO) test -count=1 -timeout 1h -run TestRepairAnything ./store/mailbox -rapid.checks=20000
	WAXWING_CHAOS=5000 $(GO) test -count=1 -timeout 1h -run 'TestChaos$$' ./store/mailbox
	$(GO) test -count=1 -timeout 1h -run TestModel ./store/mailbox -rapid.checks=20000
	WAXWING_SESSIONS=20000 $(GO) test -count=1 -timeout 10h -run TestManySessions ./serve/imap
	test/fuzz.sh 5m

fmt:
	gofmt -w .

# The table of RFCs, from the citations in the code.
docs:
	$(GO) run ./test/rfctable
