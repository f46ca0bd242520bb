# SPDX-License-Identifier: MIT
# Thin over meson: each target says what it runs.
BUILD ?= build
JOBS ?= $(shell nproc)

.PHONY: build demo check check-xen bench results fuzz matrix model soak asan clang tidy \
	install deb check-deb clean

build: $(BUILD)/build.ninja
	ninja -C $(BUILD) -j$(JOBS)

$(BUILD)/build.ninja:
	meson setup $(BUILD)

demo:
	tools/deps.sh
	$(MAKE) build
	tools/demo.sh $(BUILD)
	tools/demo_guests.sh $(BUILD)

# Everything that a change must pass. STAGE=name,name runs some stages; tools/check.py --list.
check:
	tools/deps.sh
	tools/check.py $(if $(STAGE),--only $(STAGE))

# On real Xen in an emulated machine: minutes for each file of tests/system/xen.
check-xen:
	tools/deps.sh xen
	tools/check.py --only gcc,xen

bench: build
	bench/bench.py $(BENCH_ARGS)

# The same on real Xen, ours beside C and OCaml: docs/results.md.
results: build
	tools/deps.sh xen
	DROVER_BUILD=$(abspath $(BUILD)) bench/xen.py $(RESULTS_ARGS)

# Minutes per target; a failure prints the command that replays it.
fuzz:
	tests/fuzz/run.py --build build-fuzz --seconds $(or $(SECONDS_EACH),60)

# Clients at work while the daemon is killed 200 times and updated 50 times, on both backends;
# twenty guests that migrate both ways under faults, 500 times; then random seeds until told to
# stop.
soak: build
	for kind in drover drover-xen; do DROVER_BUILD=$(abspath $(BUILD)) KILLS=200 UPDATES=50 \
		TEST_XENSTORE_S=60 tests/system/recovery_test.py --kind $$kind || exit 1; done
	DROVER_BUILD=$(abspath $(BUILD)) ROUNDS=500 GUESTS=20 tests/system/hostd_soak_test.py
	$(BUILD)/tests/sim/world --soak

# Every message of a migration times everything that can go wrong there, beside libvirtd: the table.
matrix: build
	DROVER_BUILD=$(abspath $(BUILD)) tests/system/hostd_matrix_test.py --all --kind drover-sim \
		--kind drover-qemu --kind libvirtd --stop-seconds $(or $(STOP_SECONDS),30) \
		--write docs/fault-matrix.md

# The hand-over between two daemons: the model's large questions, for as long as they take.
model: build
	tests/model/run.py --deep
	tests/model/replay.py $(BUILD)/tests/migrate/migrate-replay --runs 3000

asan:
	tools/check.py --only asan

clang:
	tools/check.py --only clang

tidy:
	ANALYZER_NODES=225000 tools/check.py --only tidy,clang-tidy,format

install: build
	meson install -C $(BUILD)

# Debian packages of what is in this folder, judged by lintian: BUILD/deb/*.deb.
deb:
	tools/deps.sh deb
	packaging/deb.sh $(BUILD)/deb

# The packages in a clean Debian 12: installed, upgraded under a running store, removed, purged.
check-deb: deb
	tests/packaging/install_test.py --debs $(BUILD)/deb

clean:
	rm -rf build build-asan build-clang build-fuzz
