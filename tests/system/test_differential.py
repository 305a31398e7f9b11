#!/usr/bin/env python3
"""The opener against other readers: of files that were changed at random, whatever it accepts, OpenSSL and GnuTLS
accept with the same keys, or the case is listed below with a reason.

Most changes are made inside of what the MAC covers, and the MAC is made right again: else all would end at the MAC and
nothing be compared. The stream of files is a function of the seed alone. PFXD_DIFFERENTIAL_SEED is another one, and
PFXD_DIFFERENTIAL_FILES another number of files."""

import collections
import random

from pfx_tree import *

SEED = int(os.environ.get("PFXD_DIFFERENTIAL_SEED", 9579))
FILES = int(os.environ.get("PFXD_DIFFERENTIAL_FILES", 1000))
MAX_WORK = 24000000
USAGE_ALL = 3
VERBS = verbs()
MADE_PASSWORD = "0" * 43

# Files of real makers, with whose contents the changes begin; a password of None is the one that is no bytes at all.
SEEDS = (("pfx/nss-default.p12", "1234"), ("pfx/gnutls-aes-256.p12", "1234"), ("pfx/gnutls-null-password.p12", None),
         ("pfx/java-legacy.p12", "123456"), ("pfx/java-two-and-a-secret.p12", "123456"),
         ("pfx/openssl-legacy.p12", "1234"), ("pfx/openssl-p-256.p12", "1234"), ("pfx/openssl-p-384-3des.p12", "1234"),
         ("pfx/openssl-rsa-pss.p12", "1234"), ("rfc9579/a1.b64", "1234"))


def faults():
    """{number: code} of every error, read from the header that holds them."""
    rows = re.findall(r'^\s*F\(\w+,\s*\d+, "(\w+)"', (ROOT / "common/fault.h").read_text(), re.M)
    return dict(enumerate(rows, start=1))


FAULTS = faults()


# ---- the opener ----

class Opener:
    """A pfxd-opener on a socket, as the keeper has it."""

    def __init__(self):
        self.process = self.socket = None

    def ask(self, pfx, password):
        """(code of the refusal or None, identities, codes of warnings)"""
        request = (struct.pack(">Q", MAX_WORK) + u8(USAGE_ALL) + field(pfx) + field(password) +
                   field(MADE_PASSWORD * 64))
        self.begin(struct.pack(">IB", len(request) + 1, VERBS["OPEN_PFX"]) + request)
        verb, answer = self.receive()
        if verb == VERBS["ERROR"]:
            return FAULTS[answer[0]], [], []
        return None, *read_opened(answer)

    def begin(self, request):
        """Sends it until it is begun. An opener may end between two, after a minute or a thousand; not in one."""
        for _ in range(2):
            if not self.process:
                self.start()
            try:
                self.socket.sendall(request)
                verb, _ = self.receive()
                assert verb == VERBS["STARTED"], verb
                return
            except (EOFError, OSError):
                self.close()
        raise AssertionError("no opener begins the request")

    def start(self):
        self.socket, other = socket.socketpair()
        self.process = subprocess.Popen([BUILD / "pfxd-opener", "--kind", "pfx"], stdin=other)
        other.close()

    def receive(self):
        head = self.socket.recv(5, socket.MSG_WAITALL)
        if len(head) < 5:
            raise EOFError
        length, verb = struct.unpack(">IB", head)
        return verb, self.socket.recv(length - 1, socket.MSG_WAITALL) if length > 1 else b""

    def close(self):
        if self.process:
            self.socket.close()
            self.process.wait(30)
            self.process = None


def take(data, at):
    n = int.from_bytes(data[at:at + 4], "big")
    return data[at + 4:at + 4 + n], at + 4 + n


def read_opened(answer):
    """Of msg_opened_pfx: the identities, each with what other readers can be asked about, and the warnings' codes."""
    identities, at = take(answer, 0)
    found, n = [], 0
    while n < len(identities):
        one = {}
        for name in ("certificate", "modern", "legacy", "subject", "issuer", "serial"):
            one[name], n = take(identities, n)
        n += 8 + 8 + 1
        for _ in range(3):
            _, n = take(identities, n)
        found.append(one)
    _, at = take(answer, at)
    warnings, at = take(answer, at)
    codes, n = [], 0
    while n < len(warnings):
        code, n = take(warnings, n)
        _, n = take(warnings, n)
        _, n = take(warnings, n)
        codes.append(code.decode())
    return found, codes


# ---- changes ----

INTEGERS = (b"", b"\0", b"\1", b"\3", b"\xff", b"\x7f\xff\xff\xff", b"\0\x80", b"\0\0\1", b"\1" + bytes(8),
            b"\x80" + bytes(20))
TAGS = (0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x13, 0x16, 0x1e, 0x24, 0x30, 0x31, 0x80, 0xa0, 0xa1)
EXTRAS = (b"\5\0", b"\x30\0", b"\x31\0", b"\4\0", b"\2\1\0")


class Context:
    """What a change may draw on: chance, the elements of all seeds by tag, and how the file is encrypted."""

    def __init__(self, rng, donors, sealing):
        self.rng, self.donors, self.sealing = rng, donors, sealing


def donor(c, tag):
    """An element with this tag from any of the seeds, or None."""
    found = c.donors.get(tag)
    return c.rng.choice(found).copy() if found else None


def flip(c, parts, i):
    node = parts[i]
    if node.content:
        at = c.rng.randrange(len(node.content))
        node.content = node.content[:at] + bytes([node.content[at] ^ 1 << c.rng.randrange(8)]) + node.content[at + 1:]


def retag(c, parts, i):
    parts[i].tag = c.rng.choice(TAGS)


def renumber(c, parts, i):
    if parts[i].tag == 0x02:
        parts[i].content = c.rng.choice(INTEGERS)


def lie_about_the_length(c, parts, i):
    parts[i].form = c.rng.choice((-2, -1, 1, 2, 200))


def lengthen_the_length(c, parts, i):
    parts[i].form = "long"


def make_indefinite(c, parts, i):
    node = parts[i]
    if node.tag & CONSTRUCTED:
        node.form = "indefinite"
    elif node.tag == 0x04 and not node.role:
        whole = b"".join(part.encode(c.sealing) for part in node.parts) if node.parts else node.content or b""
        half = c.rng.randrange(len(whole) + 1)
        parts[i] = Node(0x24, parts=[Node(0x04, whole[:half]), Node(0x04, whole[half:])])
        parts[i].form = c.rng.choice(("definite", "indefinite"))


def drop(c, parts, i):
    del parts[i]


def double(c, parts, i):
    parts.insert(i, parts[i].copy())


def swap(c, parts, i):
    k = c.rng.randrange(len(parts))
    parts[i], parts[k] = parts[k], parts[i]


def cut(c, parts, i):
    if parts[i].content:
        parts[i].content = parts[i].content[:c.rng.randrange(len(parts[i].content))]


def splice(c, parts, i):
    if found := donor(c, parts[i].tag):
        parts[i] = found


def insert(c, parts, i):
    parts.insert(i + c.rng.randrange(2), parse(c.rng.choice(EXTRAS))[0])


def append(c, parts, i):
    node = parts[i]
    if node.parts is not None:
        node.parts.append(parse(c.rng.choice(EXTRAS))[0])
    else:
        node.content += c.rng.choice(EXTRAS)


def reidentify(c, parts, i):
    if parts[i].tag == 0x06:
        parts[i] = donor(c, 0x06)


CHANGES = (flip, flip, flip, flip, retag, renumber, lie_about_the_length, lengthen_the_length, make_indefinite, drop,
           double, double, swap, swap, cut, splice, splice, insert, append, reidentify, reidentify)
DEEPER = 0.85  # how likely a change is to go on to an element's parts


def change(c, parts):
    """Changes one element below parts, in place. Returns what was done."""
    while True:
        i = c.rng.randrange(len(parts))
        if not parts[i].parts or c.rng.random() > DEEPER:
            break
        parts = parts[i].parts
    what = c.rng.choice(CHANGES)
    if parts[i].role != "algorithm":
        what(c, parts, i)
    return what.__name__


# ---- files ----

class Seeds:
    """What the files are made of: (name, password, elements) of the real ones, and of two in shapes that few makers
    write; and all their elements by tag."""

    def __init__(self, tool):
        self.all = [self.load(tool, name, password) for name, password in SEEDS]
        self.donors = collections.defaultdict(list)
        for name, password, tree in self.all[6:8]:
            self.all.append((f"plain keys of {name}", password, plain_keys(tree)))
            self.all.append((f"bags in bags of {name}", password, nested(tree)))
        for node in all_nodes([part for _, _, tree in self.all for part in tree]):
            if not node.role:
                self.donors[node.tag].append(node)

    def load(self, tool, name, password):
        pfx = (ROOT / "tests/data" / name).read_bytes()
        pfx = base64.b64decode(pfx) if name.endswith(".b64") else pfx
        return name, password, open_tree(pfx, password, tool)


class Mutant:
    """One file: made of which seed, changed where and how."""

    def __init__(self, rng, number, seeds, tool):
        self.number, self.changes = number, []
        self.name, password, tree = rng.choice(seeds.all)
        self.latin1 = rng.random() < 0.02
        password = "Müller" if self.latin1 else password
        self.password = (password or "").encode()
        self.tree = [node.copy() for node in tree]
        self.sealing = Sealing(rng, self.forms(password), tool)
        self.level = rng.choices(("inside", "safe", "file"), (7, 2, 1))[0]
        self.context = Context(rng, seeds.donors, self.sealing)
        if self.level == "inside":
            self.change(self.tree)
        content = self.encode(self.tree)
        if self.level == "safe":
            content = self.changed(content)
        self.pfx = self.sealing.file(content)
        if self.level == "file":
            self.pfx = self.changed(self.pfx)

    def forms(self, password):
        """As a BMPString and as bytes; by makers that took each byte of UTF-8 for a character, or wrote Latin-1."""
        if self.latin1:
            return bmp(password.encode().decode("latin-1")), password.encode("latin-1")
        return b"" if password is None else bmp(password), self.password

    def encode(self, parts):
        return b"".join(node.encode(self.sealing) for node in parts)

    def change(self, parts):
        for _ in range(self.context.rng.choice((1, 1, 2, 3))):
            if parts:
                self.changes.append(change(self.context, parts))

    def changed(self, data):
        parts = parse(data)
        self.change(parts)
        return self.encode(parts)

    def __str__(self):
        how = "PBMAC1" if self.sealing.pbmac1 else self.sealing.mac_hash
        return (f"{self.number}: {self.name} {self.level} {'+'.join(self.changes)}, {self.sealing.cipher}, {how}, "
                f"{len(self.pfx)} bytes")


# ---- comparison ----

class Found:
    """What another reader says of a file."""

    def __init__(self, answer):
        lines = (answer.decode() if answer is not None else "refused by dying").splitlines()
        words = [line.partition(" ") for line in lines]
        self.keys = {rest for word, _, rest in words if word == "key"}
        self.certificates = {rest for word, _, rest in words if word == "certificate"}
        self.refused = [rest for word, _, rest in words if word == "refused"]
        self.broken = [rest for word, _, rest in words if word == "broken"]


READERS = {"OpenSSL": b"O", "GnuTLS": b"G"}
LEFT_OUT = set(FAULTS.values()) | {"bag_ignored"}


def differences(tool, pfx, password, identities, warnings):
    """(reader, what it says otherwise) of what the opener found in a file."""
    for reader, verb in READERS.items():
        found = Found(tool.ask(verb, pfx, password))
        if found.refused:
            yield reader, f"refuses {found.refused[0]}"
            continue
        for one in identities:
            own = Found(tool.ask(b"K", one["modern"], MADE_PASSWORD.encode(), one["certificate"]))
            if own.broken:
                yield reader, f"finds broken what was opened: {own.broken}"
            if not own.keys or not own.keys <= found.keys:
                yield reader, f"has no such key; {sorted(set(found.broken))}"
            if hashlib.sha256(one["certificate"]).hexdigest() not in found.certificates:
                yield reader, f"has no such certificate; {sorted(set(found.broken))}"
        if found.broken and not LEFT_OUT & set(warnings):
            yield reader, f"finds broken what is not told: {sorted(set(found.broken))}"


def made_differences(tool, identities):
    """The same of the files that the opener made."""
    for one in identities:
        for form in ("modern", "legacy"):
            for reader, what in differences(tool, one[form], MADE_PASSWORD.encode(), [one], []):
                yield reader, f"of the {form} file made: {what}"


def holds(kind):
    """Whether a file has something that begins with this object identifier."""
    return lambda mutant: any(node.kind() == kind for node in all_nodes(mutant.tree))


GNUTLS_LACKS = ("RC4-40", "RC2-CBC", "DES-EDE-CBC")

# Who says otherwise, words of what is said, for which files, and why that is right.
LISTED = (
    ("GnuTLS", "The cipher type is unsupported", lambda mutant: mutant.sealing.cipher in GNUTLS_LACKS,
     "GnuTLS has no RC4-40, no RC2-128, and no 3DES of two keys"),
    ("GnuTLS", "The hash algorithm is unknown", lambda mutant: mutant.sealing.pbmac1,
     "GnuTLS before 3.8.4 has no PBMAC1"),
    ("GnuTLS", "has no such", holds(NESTED_BAG), "GnuTLS passes over SafeContents inside of SafeContents"),
    ("GnuTLS", "Decryption has failed", lambda mutant: "java-two" in mutant.name,
     "GnuTLS needs the public point in an EC key, and Java leaves it out"),
    ("GnuTLS", "a private key: ", lambda mutant: "make_indefinite" in mutant.changes,
     "GnuTLS reads keys, and some of what is around them, in DER alone"),
    ("GnuTLS", "Error in DER parsing", lambda mutant: "make_indefinite" in mutant.changes,
     "GnuTLS reads keys, and some of what is around them, in DER alone"),
    ("OpenSSL", "'a safe'", lambda mutant: "bag_ignored" in mutant.warnings,
     "a bag that is passed over, and told of, is not looked into"),
    ("GnuTLS", "'a safe: ASN1", lambda mutant: "bag_ignored" in mutant.warnings,
     "a bag that is passed over, and told of, is not looked into"),
    ("OpenSSL", "refuses the MAC", lambda mutant: not mutant.sealing.forms[0] and not mutant.sealing.mac_salt,
     "OpenSSL derives no key from no password and no salt"),
    ("OpenSSL", "", lambda mutant: mutant.latin1, "OpenSSL takes a password in one encoding"),
    ("GnuTLS", "", lambda mutant: mutant.latin1, "GnuTLS takes a password in one encoding"),
)


def compare(mutant, opener, tool, counts):
    """The differences that are not listed."""
    refusal, identities, mutant.warnings = opener.ask(mutant.pfx, mutant.password)
    if refusal:
        counts[f"refused as {refusal}"] += 1
        return []
    said = [*differences(tool, mutant.pfx, mutant.password, identities, mutant.warnings),
            *made_differences(tool, identities)]
    unlisted, listed = [], set()
    for reader, what in said:
        reasons = {reason for who, words, applies, reason in LISTED
                   if who == reader and words in what and applies(mutant)}
        listed |= reasons
        if not reasons:
            unlisted.append(f"{mutant}: {reader} {what}")
    counts["accepted"] += 1
    counts["accepted with changes behind the MAC"] += mutant.level != "file"
    counts["accepted by all three with the same keys"] += not said
    for reason in listed:
        counts[f"listed: {reason}"] += 1
    return unlisted


class Readers:
    """The opener and the other two, ended on every way out."""

    def __enter__(self):
        self.tool, self.opener = Tool(), Opener()
        self.seeds = Seeds(self.tool)
        return self

    def __exit__(self, *_):
        self.tool.close()
        self.opener.close()

    def mutants(self, count, seed=SEED):
        rng = random.Random(seed)
        for number in range(count):
            yield Mutant(rng, number, self.seeds, self.tool)


@test
def whatever_is_accepted_of_a_thousand_changed_files_two_other_readers_accept_with_the_same_keys(folder):
    counts, unlisted = collections.Counter(), []
    with Readers() as readers:
        for mutant in readers.mutants(FILES):
            unlisted += compare(mutant, readers.opener, readers.tool, counts)
    print(f"seed {SEED}, {FILES} files:")
    for what, count in sorted(counts.items()):
        print(f"{count:6} {what}")
    assert not unlisted, "\n".join(unlisted[:20])
    # So many that they can not all be the same.
    assert counts["accepted with changes behind the MAC"] >= FILES / 5, counts
    assert counts["accepted by all three with the same keys"] >= FILES / 6, counts
    assert sum(count for what, count in counts.items() if what.startswith("refused")) >= FILES / 5, counts


def is_decoded(node):
    """Whether a reader decodes what is inside of this string by itself. Of a BIT STRING: a public key of RSA."""
    if node.tag == 0x03:
        return node.content[:2] == b"\0\x30"
    return node.parts is not None and not node.tag & CONSTRUCTED


HINTS = (oid("2.5.29.14"), oid("2.5.29.35"))  # key identifiers: they only help to choose between issuers


@test
def bytes_behind_whatever_is_decoded_by_itself_are_refused(folder):
    with Readers() as readers:
        tree, password = next((tree, password) for name, password, tree in readers.seeds.all if "rsa-pss" in name)
        sealing = Sealing(random.Random(SEED), (bmp(password), password.encode()), readers.tool)

        def code_of(elements, behind=b"", after=b""):
            content = b"".join(node.encode(sealing) for node in elements)
            return readers.opener.ask(sealing.file(content + behind) + after, password.encode())[0]

        hints = {id(part) for node in all_nodes(tree) if node.kind() in HINTS for part in all_nodes([node])}
        places = [i for i, node in enumerate(all_nodes(tree)) if is_decoded(node) and id(node) not in hints]
        # Two safes, the encrypted key and what is in it, the certificate, its public key and its constraints.
        assert len(places) == 7, places
        assert code_of(tree) is None
        assert code_of(tree, behind=b"\0") == code_of(tree, after=b"\0") == "malformed_pkcs12"
        for place in places:
            longer = [node.copy() for node in tree]
            node = list(all_nodes(longer))[place]
            if node.parts is None:
                node.content += b"\0"
            else:
                node.parts.append(Node(0x00, b""))
            assert code_of(longer) == "malformed_pkcs12", place


@test
def a_seed_gives_the_same_files_every_time(folder):
    with Readers() as readers:
        first, second = ([mutant.pfx for mutant in readers.mutants(60)] for _ in range(2))
        assert first == second and len(set(first)) == 60
        assert first != [mutant.pfx for mutant in readers.mutants(60, SEED + 1)]


@test
def an_opener_that_gave_another_key_or_certificate_would_be_found_out(folder):
    with Readers() as readers:
        accepted = {}
        for mutant in readers.mutants(200):
            refusal, identities, _ = readers.opener.ask(mutant.pfx, mutant.password)
            if not refusal and not mutant.sealing.pbmac1 and not mutant.latin1:
                accepted[mutant.name] = (mutant, identities)
        (one, of_one), (other, of_other) = (accepted[f"pfx/{name}.p12"] for name in ("openssl-p-256", "openssl-legacy"))
        assert not list(differences(readers.tool, one.pfx, one.password, of_one, []))
        assert list(made_differences(readers.tool, of_one)) == []
        for lie in ("certificate", "modern", "legacy"):
            lies = [{**of_one[0], lie: of_other[0][lie]}]
            told = list(differences(readers.tool, one.pfx, one.password, lies, []))
            if lie != "legacy":  # the key that is asked about is that of the modern file
                assert {reader for reader, _ in told} == set(READERS), told
            told = list(made_differences(readers.tool, lies))
            assert {reader for reader, _ in told} == set(READERS), (lie, told)


if __name__ == "__main__":
    main()
