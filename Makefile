# pfxd. `make help` lists the targets; HACKING.md has recipes.
# Each program is its own folder plus common/; what it links against is what it is able to do.

BUILD   ?= build
V       ?= 0
Q        = $(if $(filter 0,$(V)),@)
CC      ?= gcc
PREFIX  ?= /usr
LIBEXEC  = $(PREFIX)/lib/pfxd

WARN     = -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wwrite-strings \
           -Wformat=2 -Wundef -Werror
HARDEN   = -fstack-protector-strong -fstack-clash-protection -fcf-protection -D_FORTIFY_SOURCE=2 -fPIE
LDHARDEN = -pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed
OPT     ?= -O2 -g
CFLAGS   = -std=gnu11 $(OPT) $(WARN) $(HARDEN) $(SANITIZE) -D_GNU_SOURCE -Icommon -I$(BUILD) -MMD -MP
LDFLAGS  = $(LDHARDEN) $(SANITIZE)

LIBS_front    = -lmicrohttpd -lgnutls -ljansson -linih -lsystemd -lpthread
LIBS_keeper   = -lcrypto -lsqlite3 -linih -lsystemd -lpthread
LIBS_opener   = -lcrypto
LIBS_launcher =
LIBS_pfxctl   = -lcurl -ljansson -lcrypto -linih
LIBS_device   = -lcurl -ljansson -lcrypto

PROGRAMS = pfxd-front pfxd-keeper pfxd-opener pfxd pfxctl pfx-device
sources  = $(sort $(wildcard $(1)/*.c))
objects  = $(patsubst %.c,$(BUILD)/%.o,$(1))

COMMON_OBJECTS = $(filter-out %/wipe_free.o,$(call objects,$(call sources,common)))
COMMON         = $(BUILD)/common/wipe_free.o $(BUILD)/common.a

.PHONY: all help install-build demo check asan tsan analyze install clean
all: $(PROGRAMS:%=$(BUILD)/%)

help:
	@echo 'make              build the programs into $(BUILD)/'
	@echo 'make demo         install what is missing, build, and play the main job with real clients'
	@echo 'make check        install what is missing, build, and run every test'
	@echo 'make asan         the tests under AddressSanitizer and UndefinedBehaviorSanitizer'
	@echo 'make tsan         the unit tests and a mixed run under ThreadSanitizer'
	@echo 'make analyze      gcc -fanalyzer, clang, cppcheck, clang-tidy'
	@echo 'make install      DESTDIR= PREFIX=/usr'

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo '  CC    $<'
	$(Q)$(CC) $(CFLAGS) -c $< -o $@

$(BUILD)/common.a: $(COMMON_OBJECTS)
	@rm -f $@
	$(Q)ar rcs $@ $^

# The keyring is made by pfxctl on the server and read by the keeper: one file of code.
KEYRING_OBJECTS = $(call objects,daemon/keeper/keyring.c daemon/keeper/ca.c)

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

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
