# pfxd. `make help` lists the targets; HACKING.md has recipes.
# Each program is its own folder plus common/; what it links against is what it is able to do.

BUILD   ?= build
V       ?= 0
Q        = $(if $(filter 0,$(V)),@)
CC      ?= gcc
PREFIX  ?= /usr
LIBEXEC  = $(PREFIX)/lib/pfxd
UNITDIR ?= $(PREFIX)/lib/systemd/system
VERSION := $(shell sed -n 's/.*PFXD_VERSION "\(.*\)"/\1/p' common/version.h)

WARN     = -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wwrite-strings \
           -Wformat=2 -Wundef -Werror
HARDEN   = -fstack-protector-strong -fstack-clash-protection -fcf-protection -D_FORTIFY_SOURCE=2 -fPIE
LDHARDEN = -pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed
OPT     ?= -O2 -g
CFLAGS   = -std=gnu11 $(OPT) $(WARN) $(HARDEN) $(SANITIZE) -D_GNU_SOURCE -Icommon -I$(BUILD) -MMD -MP
LDFLAGS  = $(LDHARDEN) $(SANITIZE) $(LDWATCHED)

LIBS_front    = -lmicrohttpd -lgnutls -ljansson -linih -lsystemd -lpthread
LIBS_keeper   = -lcrypto -lsqlite3 -linih -lsystemd -lpthread
LIBS_opener   = -lcrypto
LIBS_launcher =
LIBS_pfxctl   = -lcurl -ljansson -lcrypto -linih -lsystemd -lgfshare
LIBS_device   = -lcurl -ljansson -lcrypto

PROGRAMS = pfxd-front pfxd-keeper pfxd-opener pfxd pfxctl pfx-device
sources  = $(sort $(wildcard $(1)/*.c))
objects  = $(patsubst %.c,$(BUILD)/%.o,$(1))

COMMON_OBJECTS = $(filter-out %/wipe_free.o,$(call objects,$(call sources,common))) $(WATCHED)
COMMON         = $(BUILD)/common/wipe_free.o $(BUILD)/common.a

MANUALS     = $(addprefix $(BUILD)/man/,pfxctl.1 pfx-device.1 pfxd.conf.5 pfxd.8 pfxd-front.8 pfxd-keeper.8 pfxd-opener.8)
COMPLETIONS = $(addprefix $(BUILD)/completion/,$(foreach p,pfxctl pfx-device,bash/$(p) zsh/_$(p) fish/$(p).fish))

.PHONY: all help install-build demo check unit unit-checked unit-threads bench bench-programs crash \
        checked-build threads-build asan tsan analyze fuzz fuzzers fuzz-merge fuzz-coverage install deb check-systemd clean
.SECONDARY:
.DELETE_ON_ERROR:
all: $(PROGRAMS:%=$(BUILD)/%) $(MANUALS) $(COMPLETIONS)

help:
	@echo 'make              build the programs into $(BUILD)/'
	@echo 'make demo         install what is missing, build, and play the main job with real clients'
	@echo 'make check        install what is missing, build four times, and run every test, with sanitizers where it can be'
	@echo 'make crash        N=500 rounds of a mixed load in which something is killed; SEED= for the same again'
	@echo 'make bench        what it costs, against the least that it could: ROUNDS=5 ROWS="fresh imports"'
	@echo 'make asan         of make check what runs under AddressSanitizer and UndefinedBehaviorSanitizer; ONLY='
	@echo 'make tsan         of make check what runs under ThreadSanitizer; ONLY='
	@echo 'make fuzz         every fuzz target for T=60 seconds; ONLY=pfx: those that are called like it'
	@echo 'make analyze      gcc -fanalyzer, clang, cppcheck, clang-tidy'
	@echo 'make install      DESTDIR= PREFIX=/usr'
	@echo 'make check-systemd  boot a real systemd, and install, start, attack, upgrade and purge the package in it'
	@echo 'make deb          install what is missing, and build $(BUILD)/pfxd_$(VERSION)_*.deb; VERSION= for another one'

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo '  CC    $<'
	$(Q)$(CC) $(CFLAGS) -c $< -o $@

$(BUILD)/common.a: $(COMMON_OBJECTS)
	@rm -f $@
	$(Q)ar rcs $@ $^

# The keyring is made by pfxctl on the server and read by the keeper: one file of code.
KEYRING_OBJECTS = $(call objects,daemon/keeper/keyring.c daemon/keeper/ca.c daemon/keeper/hmac.c)

$(BUILD)/sql.h: sql/generate $(wildcard sql/*.sql)
	@mkdir -p $(@D)
	@sql/generate > $@
$(call objects,$(call sources,daemon/keeper)): $(BUILD)/sql.h

# What the two clients share.
CLIENT_OBJECTS = $(call objects,$(call sources,clients/shared))

define program # name, folder, key of LIBS, objects from elsewhere
$(BUILD)/$(1): $(call objects,$(call sources,$(2))) $(4) $(COMMON)
	@echo '  LINK  $$@'
	$$(Q)$$(CC) $$(LDFLAGS) $$^ $$(LIBS_$(3)) -o $$@
endef

$(eval $(call program,pfxd-front,daemon/front,front))
$(eval $(call program,pfxd-keeper,daemon/keeper,keeper))
$(eval $(call program,pfxd-opener,daemon/opener,opener))
$(eval $(call program,pfxd,daemon/launcher,launcher))
$(eval $(call program,pfxctl,clients/pfxctl,pfxctl,$(KEYRING_OBJECTS) $(CLIENT_OBJECTS)))
$(eval $(call program,pfx-device,clients/device,device,$(CLIENT_OBJECTS)))

# ---- manuals, and what a shell completes: from the tables of the programs ----

$(BUILD)/man/%.1: $(BUILD)/%
	@mkdir -p $(@D)
	@$< --manual > $@

$(BUILD)/man/%.8: docs/man/%.8 common/version.h
	@mkdir -p $(@D)
	@sed 's/@VERSION@/$(VERSION)/' $< > $@

$(BUILD)/man/pfxd.conf.5: docs/man/pfxd.conf.5 $(BUILD)/pfxd-keeper
	@mkdir -p $(@D)
	@$(BUILD)/pfxd-keeper --manual > $(@D)/keys
	@sed -i 's/-/\\-/g' $(@D)/keys
	@sed -e 's/@VERSION@/$(VERSION)/' -e '/@KEYS@/{' -e 'r $(@D)/keys' -e 'd' -e '}' $< > $@

$(BUILD)/completion/bash/%: $(BUILD)/%
	@mkdir -p $(@D)
	@$< --completion bash > $@

$(BUILD)/completion/zsh/_%: $(BUILD)/%
	@mkdir -p $(@D)
	@$< --completion zsh > $@

$(BUILD)/completion/fish/%.fish: $(BUILD)/%
	@mkdir -p $(@D)
	@$< --completion fish > $@

# ---- tests ----

UNIT_TESTS = $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/test_*.c))
room       = $(filter-out %/main.o,$(call objects,$(call sources,daemon/$(1))))

$(BUILD)/keeper.a: $(call room,keeper)
	@rm -f $@
	$(Q)ar rcs $@ $^
$(BUILD)/opener.a: $(call room,opener)
	@rm -f $@
	$(Q)ar rcs $@ $^
$(BUILD)/front.a: $(call room,front)
	@rm -f $@
	$(Q)ar rcs $@ $^
$(BUILD)/tests/%.o: CFLAGS += -Idaemon $(UNCOUNTED)
$(call objects,$(call sources,daemon/opener)): CFLAGS += $(ONE_THREAD)

# A unit test links what it is named for (test_opener_pfx: the opener), or else the keeper.
$(BUILD)/tests/unit/test_opener_%: $(BUILD)/tests/unit/test_opener_%.o $(BUILD)/opener.a $(BUILD)/common.a
	$(Q)$(CC) $(LDFLAGS) $^ -lcmocka $(LIBS_opener) -o $@
$(BUILD)/tests/unit/test_front_%: $(BUILD)/tests/unit/test_front_%.o $(BUILD)/front.a $(BUILD)/common.a
	$(Q)$(CC) $(LDFLAGS) $^ -lcmocka $(LIBS_front) -o $@
$(BUILD)/tests/unit/test_pfxctl_%: $(BUILD)/tests/unit/test_pfxctl_%.o $(BUILD)/pfxctl.a $(BUILD)/common.a
	$(Q)$(CC) $(LDFLAGS) $^ -lcmocka $(LIBS_pfxctl) -o $@
$(BUILD)/tests/unit/test_wipe: $(BUILD)/tests/unit/test_wipe.o $(COMMON)
	$(Q)$(CC) $(LDFLAGS) $^ -lcmocka -o $@
$(BUILD)/tests/unit/test_%: $(BUILD)/tests/unit/test_%.o $(BUILD)/keeper.a $(BUILD)/common.a
	$(Q)$(CC) $(LDFLAGS) $^ -lcmocka $(LIBS_keeper) -o $@

# These tests have a clock, and a database, of their own.
$(BUILD)/tests/unit/test_bundle: LDFLAGS += -Wl,--wrap=db_write
$(BUILD)/tests/unit/test_openers: LDFLAGS += -Wl,--wrap=clock_ms
$(BUILD)/tests/unit/test_serve: LDFLAGS += -Wl,--wrap=db_read
$(BUILD)/tests/unit/test_wallclock: LDFLAGS += -Wl,--wrap=now_seconds,--wrap=clock_gettime
$(BUILD)/tests/unit/test_pfxctl_shares: LDFLAGS += -Wl,--wrap=RAND_priv_bytes

# Crash tests: the keeper with one migration more than it has, on a disk that can be cut off and broken.
CRASH_TESTS  = $(patsubst tests/crash/%.c,$(BUILD)/tests/crash/%,$(wildcard tests/crash/test_*.c))
CRASH_SHARED = $(call objects,$(addprefix tests/crash/,world.c disk.c memory.c))

$(BUILD)/tests/crash/sql/sql.h: sql/generate $(wildcard sql/*.sql tests/crash/*.sql)
	@mkdir -p $(@D)
	@cp $^ $(@D)
	@$(@D)/generate > $@
CRASH_DB     = $(BUILD)/tests/crash/db.o $(BUILD)/tests/crash/db_copy.o
$(CRASH_DB): override UNCOUNTED =
$(CRASH_DB): $(BUILD)/tests/crash/%.o: daemon/keeper/%.c $(BUILD)/tests/crash/sql/sql.h
	@echo '  CC    $<, with one migration more'
	$(Q)$(CC) -I$(BUILD)/tests/crash/sql $(CFLAGS) -c $< -o $@
$(CRASH_SHARED) $(CRASH_TESTS:%=%.o): $(BUILD)/sql.h
$(BUILD)/tests/crash/test_%: $(BUILD)/tests/crash/test_%.o $(CRASH_SHARED) $(CRASH_DB) $(BUILD)/keeper.a \
			     $(BUILD)/common.a $(BUILD)/pfxd-opener
	$(Q)$(CC) $(LDFLAGS) $(filter-out %/pfxd-opener,$^) -lcmocka $(LIBS_keeper) -o $@

# Preloaded into the rooms: no sanitizer, and none of the flags of a program.
$(BUILD)/tests/crash/shortage.so: tests/crash/shortage.c
	@mkdir -p $(@D)
	@echo '  CC    $<'
	$(Q)$(CC) -std=gnu11 -O2 -g $(WARN) -D_GNU_SOURCE -fPIC -shared $< -o $@

# OpenSSL and GnuTLS as readers of PFX files, for the differential test.
$(BUILD)/tests/other_readers: $(BUILD)/tests/system/other_readers.o
	$(Q)$(CC) $(LDFLAGS) $^ -lcrypto -lgnutls -o $@

# The bench: a load generator, and what its figures are compared with. fill is a keeper whose openers are in itself.
BENCH_PROGRAMS = $(addprefix $(BUILD)/tests/bench/,load alone empty fill)

$(BUILD)/tests/bench/load: $(BUILD)/tests/bench/load.o $(WATCHED)
	$(Q)$(CC) $(LDFLAGS) $^ -lssl -lcrypto -lpthread -o $@
$(BUILD)/tests/bench/alone: $(BUILD)/tests/bench/alone.o $(WATCHED)
	$(Q)$(CC) $(LDFLAGS) $^ -lcrypto -lsqlite3 -o $@
$(BUILD)/tests/bench/empty: $(BUILD)/tests/bench/empty.o $(BUILD)/daemon/front/tls.o $(BUILD)/common.a
	$(Q)$(CC) $(LDFLAGS) $^ $(LIBS_front) -lcrypto -lsqlite3 -o $@
$(BUILD)/tests/bench/fill.o: $(BUILD)/sql.h
$(BUILD)/tests/bench/fill: $(BUILD)/tests/bench/fill.o $(BUILD)/keeper.a $(BUILD)/opener.a $(BUILD)/common.a
	$(Q)$(CC) $(LDFLAGS) -Wl,--wrap=openers_pfx $^ $(LIBS_keeper) -o $@
bench-programs: $(BENCH_PROGRAMS)

install-build:
	@packaging/install build

demo:
	@packaging/install build demo
	@$(MAKE) --no-print-directory all
	@PFXD_BUILD=$(BUILD) tests/demo

# Each file of tests once, in the checked build if it can be; the unit tests in all: tests/run has the table.
check:
	@packaging/install build demo check package makers systemd
	@$(MAKE) --no-print-directory -j$$(nproc) all unit
	@$(MAKE) --no-print-directory -j$$(nproc) checked-build
	@$(MAKE) --no-print-directory -j$$(nproc) threads-build
	@$(MAKE) --no-print-directory fuzzers
	@PFXD_BUILD=$(BUILD) PFXD_CHECKED=build-check PFXD_THREADS=build-tsan tests/run

# The package and the one that follows it, on a real systemd. Needs root and systemd-nspawn; PFXD_NO_SYSTEMD=1 skips it.
check-systemd:
	@packaging/install build demo check package systemd
	@PFXD_BUILD=$(BUILD) tests/run systemd/boot

unit: $(UNIT_TESTS) $(CRASH_TESTS) $(BUILD)/tests/crash/shortage.so $(BENCH_PROGRAMS)
# What of these the watched builds need.
unit-checked: $(UNIT_TESTS) $(CRASH_TESTS) $(BUILD)/tests/bench/load
unit-threads: $(filter-out $(BUILD)/tests/unit/test_opener_%,$(UNIT_TESTS))

# What the service costs against the least that it could; writes docs/bench.md and docs/bench.json.
bench:
	@packaging/install build demo bench
	@$(MAKE) --no-print-directory all bench-programs
	@PFXD_BUILD=$(BUILD) tests/bench/run $(if $(ROUNDS),--rounds $(ROUNDS)) $(ROWS)

# Kills, N of them, and power cuts with more of what may be left each time.
crash: N = 500
crash:
	@packaging/install build demo check
	@$(MAKE) --no-print-directory all unit
	@PFXD_CRASH_SEED=$(or $(SEED),$$$$) PFXD_CRASH_SOME=20 $(BUILD)/tests/crash/test_power
	@PFXD_BUILD=$(BUILD) tests/crash/kill.py $(N) $(SEED)

# ---- builds that are watched: tests/watched.c has the options of the sanitizers ----

# execve() is left as it is: gcov's would write files in an opener's place, which may write none. An opener has one thread,
# and limits on its CPU time that hold here too: it counts without atomic additions, and is optimized as it is elsewhere.
WATCHED_FLAGS = WATCHED='$$(BUILD)/tests/watched.o' OPT='-O1 -g'
CHECK_BUILD   = BUILD=build-check $(WATCHED_FLAGS) LDWATCHED='-Wl,-u,__asan_default_options,--wrap=_exit,--wrap=setrlimit' \
                SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=all -fprofile-arcs -ftest-coverage \
                -fprofile-update=atomic -fno-builtin-execve -DPFXD_COVERAGE' UNCOUNTED='-fno-profile-arcs -fno-test-coverage' \
                ONE_THREAD='-O2 -fprofile-update=single'
TSAN_BUILD    = BUILD=build-tsan $(WATCHED_FLAGS) LDWATCHED='-Wl,-u,__tsan_default_options' SANITIZE=-fsanitize=thread

checked-build:
	@$(MAKE) --no-print-directory $(CHECK_BUILD) all unit-checked
	@find build-check -name '*.gcda' -delete

threads-build:
	@$(MAKE) --no-print-directory $(TSAN_BUILD) all unit-threads

asan:
	@packaging/install build demo check makers
	@$(MAKE) --no-print-directory -j$$(nproc) checked-build
	@PFXD_BUILD=build-check tests/run $(ONLY); status=$$?; tests/coverage build-check; exit $$status

tsan:
	@packaging/install build demo check
	@$(MAKE) --no-print-directory -j$$(nproc) threads-build
	@PFXD_BUILD=build-tsan tests/run $(or $(ONLY),unit/ main_job races)

# ---- fuzzing: tests/fuzz/run knows the targets and their corpus; HACKING.md has recipes ----

# A target links the room that it is named for (fuzz_opener_pfx: the opener); fuzz_common_*: nothing but common/.
FUZZ_TARGETS = $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SHARED  = $(call objects,$(filter-out $(wildcard tests/fuzz/fuzz_*.c),$(call sources,tests/fuzz)))
FUZZ_ROOM_common =
FUZZ_ROOM_opener = $(BUILD)/opener.a
FUZZ_ROOM_front  = $(BUILD)/front.a
FUZZ_ROOM_keeper = $(BUILD)/keeper.a
FUZZ_ROOM_device = $(BUILD)/device.a $(call objects,daemon/keeper/ca.c daemon/keeper/cms.c)
FUZZ_ROOM_pfxctl = $(BUILD)/pfxctl.a
LIBS_common      = -linih
# Functions whose place those of the same name with __wrap_ take in a target: what is not the same in every run, what
# would leave the process, and what a target wants to look at.
FUZZ_WRAPS_opener = derive_run
FUZZ_WRAPS_front  = unix_connect connection_is_stale frame_send frame_receive queue_own_reply tls_fingerprint tls_expires \
                    MHD_lookup_connection_value MHD_get_connection_values MHD_get_connection_info MHD_suspend_connection
FUZZ_WRAPS_keeper = uuid_make db_write unix_connect connection_is_stale frame_send frame_receive
FUZZ_WRAPS        = $(addprefix -Wl$(COMMA)--wrap=,now_seconds X509_gmtime_adj X509_time_adj_ex $(FUZZ_WRAPS_$(1)))
COMMA := ,

FUZZ_FLAGS = CC=clang HARDEN=-fPIE LDHARDEN=-pie OPT='-O1 -g'
FUZZ_BUILD = BUILD=build-fuzz $(FUZZ_FLAGS) SANITIZE='-fsanitize=fuzzer-no-link,address,undefined \
             -fno-sanitize-recover=all'
FUZZ_COVERAGE = BUILD=build-fuzz-coverage $(FUZZ_FLAGS) SANITIZE='-fsanitize=fuzzer-no-link \
                -fprofile-instr-generate -fcoverage-mapping'

$(BUILD)/device.a: $(filter-out %/main.o,$(call objects,$(call sources,clients/device))) $(CLIENT_OBJECTS)
	@rm -f $@
	$(Q)ar rcs $@ $^
$(BUILD)/pfxctl.a: $(filter-out %/main.o,$(call objects,$(call sources,clients/pfxctl))) $(KEYRING_OBJECTS) \
		   $(CLIENT_OBJECTS)
	@rm -f $@
	$(Q)ar rcs $@ $^
$(BUILD)/tests/fuzz/shared.a: $(FUZZ_SHARED)
	@rm -f $@
	$(Q)ar rcs $@ $^

define fuzzer # room
$(BUILD)/tests/fuzz/fuzz_$(1)_%: $(BUILD)/tests/fuzz/fuzz_$(1)_%.o $(BUILD)/tests/fuzz/shared.a $$(FUZZ_ROOM_$(1)) \
				 $(BUILD)/common.a
	@echo '  LINK  $$@'
	$$(Q)$$(CC) $$(LDFLAGS) -fsanitize=fuzzer $$(call FUZZ_WRAPS,$(1)) $$< -Wl,--start-group \
		$$(filter-out $$<,$$^) -Wl,--end-group $$(LIBS_$(1)) -o $$@
endef
$(foreach room,common opener front keeper device pfxctl,$(eval $(call fuzzer,$(room))))

# The unit tests once more, so that they write down what they feed the readers with: seeds.
CAPTURE_WRAPS   = $(addprefix -Wl$(COMMA)--wrap=,$(1))
CAPTURE_PROGRAMS = $(addprefix $(BUILD)/tests/fuzz/capture/test_,opener_pfx opener_hostile opener_csr config encode \
                     json_lift keyring)
$(BUILD)/tests/fuzz/capture/test_opener_%: $(BUILD)/tests/unit/test_opener_%.o \
		$(BUILD)/tests/fuzz/capture/capture.o $(BUILD)/tests/fuzz/capture/opener.o \
		$(BUILD)/opener.a $(BUILD)/common.a
	$(Q)$(CC) $(LDFLAGS) $(call CAPTURE_WRAPS,open_pfx open_csr contents_add_certificate private_key_read) $^ \
		-lcmocka $(LIBS_opener) -o $@
$(BUILD)/tests/fuzz/capture/test_%: $(BUILD)/tests/unit/test_%.o \
		$(BUILD)/tests/fuzz/capture/capture.o $(BUILD)/tests/fuzz/capture/keeper.o \
		$(BUILD)/keeper.a $(BUILD)/common.a
	$(Q)$(CC) $(LDFLAGS) $(call CAPTURE_WRAPS,config_read json_lift keyring_parse pem_decode base64_decode) $^ \
		-lcmocka $(LIBS_keeper) -o $@
fuzz-seeds: $(CAPTURE_PROGRAMS)

# For the test of the fuzzing itself.
$(BUILD)/tests/fuzz/planted/fuzz_planted: $(BUILD)/tests/fuzz/planted/fuzz_planted.o $(BUILD)/tests/fuzz/shared.a \
					  $(BUILD)/common.a
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer $^ -o $@

fuzz-programs: $(FUZZ_TARGETS:%=$(BUILD)/tests/fuzz/fuzz_%) $(BUILD)/tests/fuzz/planted/fuzz_planted

fuzzers:
	@$(MAKE) --no-print-directory -j$$(nproc) $(FUZZ_BUILD) fuzz-programs

fuzz: T = 60
fuzz:
	@packaging/install build demo check
	@$(MAKE) --no-print-directory fuzzers
	@tests/fuzz/run --seconds $(T) $(ONLY)

# The inputs that the unit tests make, and those of build-fuzz/corpus, merged into the stored corpus.
fuzz-merge:
	@packaging/install build demo check
	@$(MAKE) --no-print-directory fuzzers
	@tests/fuzz/run --merge $(ONLY)

fuzz-coverage:
	@packaging/install build demo check fuzz
	@$(MAKE) --no-print-directory $(FUZZ_COVERAGE) fuzz-programs
	@tests/fuzz/run --coverage $(ONLY)

analyze:
	@packaging/install build analyze
	@$(MAKE) --no-print-directory BUILD=build-analyze CC=gcc OPT='-O2 -fanalyzer' all
	@$(MAKE) --no-print-directory BUILD=build-clang CC=clang all
	@cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 -Icommon -Ibuild \
		-D'static_ASN1_SEQUENCE_END_name(a,b)=' -D'static_ASN1_SEQUENCE_END_ref(a,b)=' \
		--include=/usr/include/jansson.h --suppress=preprocessorErrorDirective common daemon clients
	@clang-tidy --quiet $(wildcard common/*.c daemon/*/*.c clients/*/*.c) \
		-- -std=gnu11 -D_GNU_SOURCE -Icommon -I$(BUILD)

conf/pfxd.conf: $(BUILD)/pfxd-keeper
	$(BUILD)/pfxd-keeper --sample > $@

docs/events.md: docs/generate-events common/events.h systemd/pfxd.catalog
	docs/generate-events > $@

# The units name the programs in /usr: with another PREFIX they are of no use.
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(LIBEXEC) $(DESTDIR)/etc/pfxd $(DESTDIR)$(UNITDIR)
	install -m 755 $(BUILD)/pfxctl $(BUILD)/pfx-device $(BUILD)/pfxd $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(BUILD)/pfxd-front $(BUILD)/pfxd-keeper $(BUILD)/pfxd-opener $(DESTDIR)$(LIBEXEC)
	[ -e $(DESTDIR)/etc/pfxd/pfxd.conf ] || install -m 644 conf/pfxd.conf $(DESTDIR)/etc/pfxd/pfxd.conf
	install -m 644 $(wildcard $(addprefix systemd/*.,target socket service timer)) $(DESTDIR)$(UNITDIR)
	install -D -m 644 -t $(DESTDIR)$(UNITDIR)/pfxd-.service.d systemd/pfxd-.service.d/*.conf
	install -D -m 644 -t $(DESTDIR)$(UNITDIR)/pfxd-opener-.service.d systemd/pfxd-opener-.service.d/*.conf
	install -D -m 644 systemd/pfxd.sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/pfxd.conf
	install -D -m 644 systemd/pfxd.tmpfiles.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/pfxd.conf
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/systemd/catalog systemd/pfxd.catalog
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man1 $(filter %.1,$(MANUALS))
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man5 $(filter %.5,$(MANUALS))
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man8 $(filter %.8,$(MANUALS))
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(filter $(BUILD)/completion/bash/%,$(COMPLETIONS))
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/zsh/vendor-completions $(filter $(BUILD)/completion/zsh/%,$(COMPLETIONS))
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d $(filter $(BUILD)/completion/fish/%,$(COMPLETIONS))

deb:
	@packaging/install build package
	@packaging/deb $(VERSION) $(BUILD)

clean:
	rm -rf build build-check build-tsan build-analyze build-clang build-fuzz build-fuzz-coverage

-include $(shell find $(BUILD) -path $(BUILD)/deb -prune -o -name '*.d' -print 2>/dev/null)
