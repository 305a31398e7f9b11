"""A PFX taken apart to its last element, changed anywhere, and put together again: encrypted anew where it was
encrypted, and under a MAC that is right. For tests that want files which get past the MAC.

It follows X.690, RFC 7292, RFC 8018 and RFC 9579, and not the product."""

import hashlib
import hmac
import re
import subprocess

from inputs import *

PBES1 = {oid(f"1.2.840.113549.1.12.1.{n}"): cipher for n, cipher in enumerate(
    (("RC4", 16, 0), ("RC4-40", 5, 0), ("DES-EDE3-CBC", 24, 8), ("DES-EDE-CBC", 16, 8), ("RC2-CBC", 16, 8),
     ("RC2-40-CBC", 5, 8)), start=1)}
PBES2, PBKDF2, PBMAC1 = oid("1.2.840.113549.1.5.13"), oid("1.2.840.113549.1.5.12"), oid("1.2.840.113549.1.5.14")
PBES2_CIPHERS = {oid("2.16.840.1.101.3.4.1.2"): ("AES-128-CBC", 16, 16),
                 oid("2.16.840.1.101.3.4.1.22"): ("AES-192-CBC", 24, 16),
                 oid("2.16.840.1.101.3.4.1.42"): ("AES-256-CBC", 32, 16),
                 oid("1.2.840.113549.3.7"): ("DES-EDE3-CBC", 24, 8)}
HMACS = {oid(f"1.2.840.113549.2.{n}"): name for n, name in
         ((7, "sha1"), (8, "sha224"), (9, "sha256"), (10, "sha384"), (11, "sha512"))}
HASHES = {"sha1": oid("1.3.14.3.2.26"), "sha224": oid("2.16.840.1.101.3.4.2.4"), "sha256": SHA256,
          "sha384": oid("2.16.840.1.101.3.4.2.2"), "sha512": oid("2.16.840.1.101.3.4.2.3")}
KEY_BAG, NESTED_BAG = oid("1.2.840.113549.1.12.10.1.1"), oid("1.2.840.113549.1.12.10.1.6")
NULL = b"\5\0"
CONSTRUCTED = 0x20


# ---- BER ----

class Node:
    """One element. Of content and parts one is None; parts under a primitive tag are the elements inside of a string.
    form: "definite", "indefinite", "long" (more octets of length than needed), or a number that its length is off by.
    role: "sealed" for what is encrypted, "algorithm" for the AlgorithmIdentifier that goes with it."""

    def __init__(self, tag, content=None, parts=None, role=None):
        self.tag, self.content, self.parts, self.role, self.form = tag, content, parts, role, "definite"

    def encode(self, sealing=None):
        if self.role == "algorithm":
            return sealing.algorithm
        body = self.content if self.parts is None else b"".join(part.encode(sealing) for part in self.parts)
        if self.role == "sealed":
            body = sealing.encrypt(body)
        return bytes([self.tag]) + self.length(len(body)) + body + (b"\0\0" if self.form == "indefinite" else b"")

    def kind(self):
        """The object identifier with which it begins, or nothing."""
        return self.parts[0].encode() if self.parts and self.parts[0].tag == 0x06 else b""

    def copy(self):
        twin = Node(self.tag, self.content, self.parts and [part.copy() for part in self.parts], self.role)
        twin.form = self.form
        return twin

    def length(self, n):
        if self.form == "indefinite":
            return b"\x80"
        if self.form == "long":
            return b"\x84" + n.to_bytes(4, "big")
        if isinstance(self.form, int):
            n = max(0, n + self.form)
        return der(0, bytes(n))[1:-n] if n else b"\0"


def header(data, at):
    """(tag, length or None, where the content begins) of the element at a place; ValueError where there is none."""
    if at + 2 > len(data) or data[at] & 0x1f == 0x1f:
        raise ValueError("no element, or one of a tag above 30")
    tag, first, at = data[at], data[at + 1], at + 2
    if first < 0x80:
        return tag, first, at
    if first == 0x80:
        return tag, None, at
    octets = first & 0x7f
    if octets > 4 or at + octets > len(data):
        raise ValueError("a length of too many octets")
    return tag, int.from_bytes(data[at:at + octets], "big"), at + octets


def parse_one(data, at):
    tag, length, at = header(data, at)
    if length is None:
        parts = []
        while data[at:at + 2] != b"\0\0":
            part, at = parse_one(data, at)
            parts.append(part)
        return joined(Node(tag, parts=parts)), at + 2
    if at + length > len(data):
        raise ValueError("an element that is longer than its bytes")
    content = data[at:at + length]
    if tag & CONSTRUCTED:
        return joined(Node(tag, parts=parse(content))), at + length
    return wrapped(Node(tag, content)), at + length


def joined(node):
    """A string in pieces as one string."""
    if node.tag != 0x24:
        return node
    return wrapped(Node(0x04, b"".join(map(string_bytes, node.parts))))


def string_bytes(node):
    return node.content if node.parts is None else b"".join(part.encode() for part in node.parts)


def wrapped(node):
    """An OCTET STRING that holds a SEQUENCE or a SET is taken apart, too."""
    if node.tag == 0x04 and node.content[:1] in (b"\x30", b"\x31"):
        try:
            node.parts, node.content = parse(node.content), None
        except ValueError:
            pass
    return node


def all_nodes(parts):
    """Every element, from the outside in."""
    for node in parts:
        if node.parts:
            yield from all_nodes(node.parts)
        yield node


def parse(data):
    """The elements that follow each other in data, as Nodes."""
    nodes, at = [], 0
    while at < len(data):
        node, at = parse_one(data, at)
        nodes.append(node)
    return nodes


def number(node):
    return int.from_bytes(node.content, "big")


# ---- keys from passwords ----

def bmp(password):
    return password.encode("utf-16-be") + b"\0\0"


def pkcs12_kdf(name, bmp_password, salt, which, iterations, length):
    """RFC 7292 B.2."""
    block = hashlib.new(name).block_size
    size = hashlib.new(name).digest_size

    def fill(value):
        n = -(-len(value) // block) * block
        return (value * (n // len(value) + 1))[:n] if value else b""
    data, out = fill(salt) + fill(bmp_password), b""
    while len(out) < length:
        a = hashlib.new(name, bytes([which]) * block + data).digest()
        for _ in range(iterations - 1):
            a = hashlib.new(name, a).digest()
        out += a
        b = int.from_bytes((a * (block // size + 1))[:block], "big") + 1
        data = b"".join(((int.from_bytes(data[i:i + block], "big") + b) % (1 << 8 * block)).to_bytes(block, "big")
                        for i in range(0, len(data), block))
    return out[:length]


# ---- encryption ----

def open_sealed(algorithm, data, forms, tool):
    """What a password opens: forms is (as a BMPString, as bytes)."""
    kind, parameters = algorithm.kind(), algorithm.parts[1].parts
    if kind in PBES1:
        cipher, key_bytes, iv_bytes = PBES1[kind]
        salt, iterations = string_bytes(parameters[0]), number(parameters[1])
        key = pkcs12_kdf("sha1", forms[0], salt, 1, iterations, key_bytes)
        iv = pkcs12_kdf("sha1", forms[0], salt, 2, iterations, iv_bytes)
    else:
        kdf = parameters[0].parts[1].parts
        cipher, key_bytes, _ = PBES2_CIPHERS[parameters[1].parts[0].encode()]
        prf = HMACS[kdf[-1].parts[0].encode()] if kdf[-1].parts else "sha1"
        key = hashlib.pbkdf2_hmac(prf, forms[1], string_bytes(kdf[0]), number(kdf[1]), key_bytes)
        iv = string_bytes(parameters[1].parts[1])
    return tool.ask(b"D", cipher.encode(), key, iv, data)


class Sealing:
    """How one file is encrypted and protected: everything that makers choose, chosen by rng."""

    def __init__(self, rng, forms, tool):
        self.forms, self.tool = forms, tool
        self.salt, self.iterations = rng.randbytes(rng.choice((8, 8, 16, 20))), rng.choice((1, 2, 3, 1000))
        self.mac_salt = rng.randbytes(rng.choice((0, 8, 8, 16, 64)))
        self.mac_iterations, self.mac_hash = rng.choice((1, 1, 2, 1000)), rng.choice(list(HASHES))
        self.pbmac1 = rng.random() < 0.05 and forms[0] != b"" # PBMAC1 takes bytes, of which there are none
        if rng.random() < 0.4:
            # The rare ones are those that GnuTLS does not have.
            kind, (self.cipher, key_bytes, iv_bytes) = rng.choices(list(PBES1.items()), (5, 1, 8, 1, 1, 5))[0]
            self.key = pkcs12_kdf("sha1", forms[0], self.salt, 1, self.iterations, key_bytes)
            self.iv = pkcs12_kdf("sha1", forms[0], self.salt, 2, self.iterations, iv_bytes)
            self.algorithm = sequence(kind, sequence(octets(self.salt), integer(self.iterations)))
        else:
            kind, (self.cipher, key_bytes, iv_bytes) = rng.choice(list(PBES2_CIPHERS.items()))
            prf, name = rng.choice(list(HMACS.items()))
            self.key = hashlib.pbkdf2_hmac(name, forms[1], self.salt, self.iterations, key_bytes)
            self.iv = rng.randbytes(iv_bytes)
            kdf = sequence(PBKDF2, sequence(octets(self.salt), integer(self.iterations), sequence(prf, NULL)))
            self.algorithm = sequence(PBES2, sequence(kdf, sequence(kind, octets(self.iv))))

    def encrypt(self, data):
        return self.tool.ask(b"E", self.cipher.encode(), self.key, self.iv, data)

    def mac(self, content):
        """MacData that is right for content."""
        name, size = self.mac_hash, hashlib.new(self.mac_hash).digest_size
        if self.pbmac1:
            prf = next(k for k, v in HMACS.items() if v == name)
            key = hashlib.pbkdf2_hmac(name, self.forms[1], self.mac_salt, self.mac_iterations, size)
            kdf = sequence(PBKDF2, sequence(octets(self.mac_salt), integer(self.mac_iterations), integer(size),
                                            sequence(prf, NULL)))
            algorithm = sequence(PBMAC1, sequence(kdf, sequence(prf, NULL)))
        else:
            key = pkcs12_kdf(name, self.forms[0], self.mac_salt, 3, self.mac_iterations, size)
            algorithm = sequence(HASHES[name], NULL)
        count = integer(self.mac_iterations) if self.mac_iterations > 1 else b""
        return sequence(sequence(algorithm, octets(hmac.digest(key, content, name))), octets(self.mac_salt), count)

    def file(self, content):
        """The whole PFX around an AuthenticatedSafe."""
        return sequence(integer(3), sequence(PKCS7_DATA, explicit(octets(content))), self.mac(content))


# ---- files ----

def unseal(nodes, forms, tool):
    """Decrypts what is encrypted under these nodes, in place."""
    for i, node in enumerate(nodes):
        if (node.kind() in PBES1 or node.kind() == PBES2) and i + 1 < len(nodes):
            tag = 0x80 if nodes[i + 1].tag in (0x80, 0xa0) else 0x04
            data = nodes[i + 1]
            data = b"".join(map(string_bytes, data.parts)) if data.tag == 0xa0 else string_bytes(data)
            plain = parse(open_sealed(node, data, forms, tool))
            nodes[i], nodes[i + 1] = Node(0x30, b"", role="algorithm"), Node(tag, parts=plain, role="sealed")
        if nodes[i].parts:
            unseal(nodes[i].parts, forms, tool)


def plain_keys(content):
    """The same safes with their shrouded keys in plain KeyBags."""
    content = [node.copy() for node in content]
    for node in list(all_nodes(content)):
        if node.kind() == SHROUDED_KEY_BAG:
            sealed = node.parts[1].parts[0].parts[1]
            node.parts[0], node.parts[1].parts = parse(KEY_BAG)[0], sealed.parts
    return content


def nested(content):
    """The same safes with every bag inside of a SafeContents bag."""
    content = [node.copy() for node in content]
    for node in all_nodes(content):
        if node.kind() in (SHROUDED_KEY_BAG, CERT_BAG, KEY_BAG):
            inner = Node(node.tag, parts=node.parts)
            node.parts = [parse(NESTED_BAG)[0], Node(0xa0, parts=[Node(0x30, parts=[inner])])]
    return content


def open_tree(pfx, password, tool):
    """The elements of a PFX's AuthenticatedSafe, all decrypted."""
    content = parse(pfx)[0].parts[1].parts[1].parts[0].parts
    unseal(content, (bmp(password) if password is not None else b"", (password or "").encode()), tool)
    return content


class Tool:
    """other_readers, built from its source and asked through its pipes."""

    def __init__(self):
        self.path, self.process = BUILD / "tests/other_readers", None
        run("make", "-C", ROOT, f"BUILD={BUILD}", self.path, timeout=600,
            env={k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")})

    def ask(self, verb, *fields):
        """The answer; None when it died of the question."""
        if not self.process:
            self.process = subprocess.Popen([self.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            self.process.stdin.write(verb + b"".join(map(field, fields)))
            self.process.stdin.flush()
            return self.process.stdout.read(int.from_bytes(self.process.stdout.read(4), "big"))
        except BrokenPipeError:
            return None
        finally:
            if self.process.poll() is not None:
                self.close()

    def close(self):
        if self.process:
            self.process.stdin.close()
            self.process.stdout.close()
            self.process.wait(10)
            self.process = None
