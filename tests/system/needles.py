"""Secrets in every form in which a mistake would leave them somewhere, and a search for all of them at once."""

from harness import *

WINDOW = 16  # bytes of a secret that count as found
WORD = 8


def numbers_of(pem):
    """The private components of a key, as integers' bytes, from openssl's text: not the public n and e."""
    text = run("openssl", "pkey", "-noout", "-text", input=pem).stdout.decode()
    found = {}
    for name, body in re.findall(r"^(\w+):(?: \d+.*)?\n((?:    [0-9a-f:]+\n?)+)", text, re.M):
        if name in ("privateExponent", "prime1", "prime2", "exponent1", "exponent2", "coefficient", "priv"):
            found[name] = bytes.fromhex(re.sub(r"[^0-9a-f]", "", body)).lstrip(b"\0")
    return found


def base64_cores(data):
    """base64 of data at each of its three alignments, without the characters that depend on what stands around it."""
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + data)
        yield text[-(-8 * shift // 6):len(text) - 4]


def pieces(data, size):
    return {data[at:at + size] for at in range(len(data) - size + 1)}


class Needles:
    """Windows of secrets, and the words of 8 bytes in them. Whatever holds a window holds, at some multiple of 8, a
    word of it: so a search looks at every eighth byte only, and then closer."""

    def __init__(self):
        self.names = {}
        self.words = set()

    def _add(self, name, windows, words):
        for window in windows:
            self.names.setdefault(window, name)
        self.words.update(int.from_bytes(word, sys.byteorder) for word in words)

    def add(self, name, data):
        assert len(data) >= WINDOW, f"{name} is too short to be searched for"
        self._add(name, pieces(data, WINDOW), pieces(data, WORD))

    def add_file(self, name, data, other, thumbprint):
        """What is in a PKCS#12 file and no word of it in another of the same form: algorithms and the like are in every
        one. The thumbprint stands in it as the key's id, and is no secret."""
        common = pieces(other, WORD) | pieces(bytes.fromhex(thumbprint), WORD)
        own = [window for window in pieces(data, WINDOW) if common.isdisjoint(pieces(window, WORD))]
        self._add(name, own, pieces(data, WORD) - common)

    def add_binary(self, name, data):
        """Raw in both orders, hex, base64."""
        self.add(name + ", as it is", data)
        self.add(name + ", backwards", data[::-1])
        self.add(name + ", hex", data.hex().encode())
        self.add(name + ", HEX", data.hex().upper().encode())
        for core in base64_cores(data):
            self.add(name + ", base64", core)
            self.add(name + ", base64url", core.replace(b"+", b"-").replace(b"/", b"_"))

    def add_text(self, name, text):
        """A password or a token."""
        for what, data in (("UTF-8", text.encode()), ("UTF-16BE", text.encode("utf-16-be")),
                           ("UTF-16LE", text.encode("utf-16-le")), ("hex", text.encode().hex().encode()),
                           ("JSON", json.dumps(text)[1:-1].encode())):
            self.add(f"{name}, {what}", data)
        for core in base64_cores(text.encode()):
            self.add(f"{name}, base64", core)

    def found_in(self, data):
        """{name: offset} of what is in data."""
        found = {}
        whole = data[:len(data) // WORD * WORD]
        suspects = self.words.intersection(memoryview(whole).cast("Q"))
        suspects.discard(0)
        for suspect in suspects:
            word, at = suspect.to_bytes(WORD, sys.byteorder), -1
            while (at := data.find(word, at + 1)) >= 0:
                for start in range(max(at - WORD, 0), at + 1):
                    name = self.names.get(data[start:start + WINDOW])
                    if name:
                        found.setdefault(name, start)
        return found
