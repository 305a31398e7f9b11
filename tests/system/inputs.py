"""What clients send, made by hand where no tool would make it: PFX files of any content, CAs, requests.

It follows RFC 7292 and not the product, so that a test built on it has an opinion of its own."""

import hashlib
import hmac
import os

from harness import *

# What the design calls the fields of an identity inside a bundle, and how ids and times look.
FACTS = {"id", "thumbprint", "thumbprintSha256", "subject", "issuer", "serialNumber", "notBefore", "notAfter",
         "usages", "currentFor"}
LISTED_FACTS = FACTS | {"keyAlgorithm", "emails", "importedAt"}
UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


# ---- DER ----

def der(tag, *parts):
    """One DER element around the parts."""
    content = b"".join(parts)
    if len(content) < 128:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def sequence(*parts):
    return der(0x30, *parts)


def explicit(part):
    return der(0xa0, part)


def octets(value):
    return der(0x04, value)


def integer(value):
    return der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def oid(text):
    first, second, *rest = (int(number) for number in text.split("."))
    body = bytes([first * 40 + second])
    for number in rest:
        groups = [number & 0x7f]
        while number := number >> 7:
            groups.insert(0, 0x80 | number & 0x7f)
        body += bytes(groups)
    return der(0x06, body)


# ---- PFX (RFC 7292) ----

PKCS7_DATA = oid("1.2.840.113549.1.7.1")
SHROUDED_KEY_BAG, CERT_BAG = oid("1.2.840.113549.1.12.10.1.2"), oid("1.2.840.113549.1.12.10.1.3")
X509_CERTIFICATE, LOCAL_KEY_ID = oid("1.2.840.113549.1.9.22.1"), oid("1.2.840.113549.1.9.21")
SHA256 = oid("2.16.840.1.101.3.4.2.1")


def mac_key(password, salt, iterations):
    """RFC 7292 B.2 with SHA-256, for the 32 bytes of a MAC's key: one round of its outer loop."""
    def fill(value):
        return (value * 64)[:64 * -(-len(value) // 64)]
    block = hashlib.sha256(b"\3" * 64 + fill(salt) + fill(password.encode("utf-16-be") + b"\0\0")).digest()
    for _ in range(iterations - 1):
        block = hashlib.sha256(block).digest()
    return block


def bag(kind, value, local_id):
    attribute = sequence(LOCAL_KEY_ID, der(0x31, octets(local_id)))
    return sequence(kind, explicit(value), der(0x31, attribute))


def key_bag(key, password, local_id, iterations=2048):
    shrouded = run("openssl", "pkcs8", "-topk8", "-in", key, "-outform", "DER", "-v2", "aes-256-cbc", "-iter",
                   str(iterations), "-passout", f"pass:{password}").stdout
    return bag(SHROUDED_KEY_BAG, shrouded, local_id)


def cert_bag(certificate, local_id):
    whole = run("openssl", "x509", "-in", certificate, "-outform", "DER").stdout
    return bag(CERT_BAG, sequence(X509_CERTIFICATE, explicit(octets(whole))), local_id)


def make_pfx(pairs, password="secret", mac_iterations=2048, told_iterations=None, key_iterations=2048):
    """A PFX of (key file or None, certificate file or None) pairs, each with a localKeyID of its own. told_iterations:
    what the file claims instead of what its MAC took."""
    bags = b""
    for i, (key, certificate) in enumerate(pairs):
        bags += key_bag(key, password, bytes([i]), key_iterations) if key else b""
        bags += cert_bag(certificate, bytes([i])) if certificate else b""
    contents = sequence(sequence(PKCS7_DATA, explicit(octets(sequence(bags)))))
    salt = os.urandom(8)
    digest = hmac.digest(mac_key(password, salt, mac_iterations), contents, "sha256")
    mac = sequence(sequence(sequence(SHA256, b"\5\0"), octets(digest)), octets(salt),
                   integer(told_iterations or mac_iterations))
    return sequence(integer(3), sequence(PKCS7_DATA, explicit(octets(contents))), mac)


# ---- certificates ----

class Authority:
    """A CA that signs certificates; with an issuer, an intermediate one."""

    def __init__(self, folder, name, issuer=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="authority-", dir=folder))
        self.key, self.certificate, self.name = self.folder / "key.pem", self.folder / "cert.pem", name
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.key)
        if issuer:
            issuer.sign(self.key, name, "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign", self.certificate)
        else:
            run("openssl", "req", "-x509", "-key", self.key, "-subj", f"/CN={name}", "-out", self.certificate)

    def sign(self, key, name, extensions, out):
        """Writes to out a certificate for the key file."""
        settings, request = self.folder / "extensions", self.folder / "request"
        settings.write_text(extensions + "\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
        run("openssl", "req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
        run("openssl", "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-extfile",
            settings, "-days", "30", "-set_serial", str(int.from_bytes(os.urandom(8), "big")), "-out", out)

    def identity(self, upn):
        """An S/MIME identity that this CA signed, in the shape of Identity."""
        identity = Identity(self.folder, upn, key="P-256")
        self.sign(identity.key, upn, f"subjectAltName=email:{upn}\nextendedKeyUsage=emailProtection",
                  identity.certificate)
        return identity


# ---- requests of devices ----

def csr_of(folder, *new_key):
    """A request with a key that `openssl req -newkey` makes from these words. Returns (PEM, key file)."""
    key = pathlib.Path(tempfile.mkdtemp(prefix="csr-", dir=folder)) / "key.pem"
    words = ["-newkey", *new_key]
    return run("openssl", "req", "-new", *words, "-nodes", "-keyout", key, "-subj", "/CN=ignored").stdout.decode(), key


def damaged(pem):
    """The PEM request with the last bit of its signature turned over."""
    raw = bytearray(run("openssl", "req", "-outform", "DER", input=pem.encode()).stdout)
    raw[-1] ^= 1
    body = base64.encodebytes(bytes(raw)).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"
