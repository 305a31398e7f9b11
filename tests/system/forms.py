"""What real makers of PFX files write, in each of their forms: for test_makers.py.

A maker is a generator of Form: it runs a program of Debian 12 with an identity made for that form alone, so that what
comes out of a pull shows which files were opened."""

import collections
import shlex

from inputs import *

UPN, PASSWORD = "ann@example.org", "secret"
JAVA = pathlib.Path(__file__).resolve().parent / "java"
JARS = pathlib.Path("/usr/share/java")

# What a maker wrote: how it was told to (Markdown), the bytes, the identities in it, and the password.
Form = collections.namedtuple("Form", "text pfx made password", defaults=[PASSWORD])
# A maker: the heading, which ends with how the version of its package begins; the package; the programs and files
# without which it does not run; how it is called (Markdown); its forms.
Maker = collections.namedtuple("Maker", "title package needs called forms")
MAKERS = []


def maker(*about):
    """Registers a generator of forms: @maker(title, package, needs, called)."""
    def register(forms):
        MAKERS.append(Maker(*about, forms))
        return forms
    return register


# ---- what the makers get ----

def code(text):
    return f"`{text}`" if text else "as it comes"


def password_text(password):
    return f"the password `{password}`" if password else "an empty password"


def identity(folder, **more):
    return Identity(folder, UPN, **{"key": "P-256", **more})


class SignedIdentity(Identity):
    """An identity of a key file, whose certificate an authority signs: not every key can sign its own."""

    def __init__(self, folder, key, authority):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="identity-", dir=folder))
        self.key, self.certificate = key, self.folder / "cert.pem"
        public, settings = self.folder / "public.pem", self.folder / "extensions"
        settings.write_text(f"subjectAltName=email:{UPN}\n")
        run("openssl", "pkey", "-in", key, "-pubout", "-out", public)
        run("openssl", "x509", "-new", "-force_pubkey", public, "-subj", f"/CN={UPN}", "-days", "365", "-extfile",
            settings, "-CA", authority.certificate, "-CAkey", authority.key, "-out", self.certificate)


def generated_key(folder, *words):
    path = pathlib.Path(tempfile.mkdtemp(prefix="key-", dir=folder)) / "key.pem"
    run("openssl", "genpkey", *words, "-out", path)
    return path


P256 = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")


def largest_rsa_key(folder):
    """RSA with 16,384 bits. Its primes are known beforehand, because to find two takes minutes."""
    p, q, e = 2 ** 8192 - 2439, 2 ** 8192 - 5619, 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    numbers = 0, p * q, e, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p)
    path = folder / "rsa-16384.der"
    path.write_bytes(sequence(*(integer(n) for n in numbers)))
    run("openssl", "pkey", "-inform", "DER", "-in", path, "-out", path.with_suffix(".pem"))
    return path.with_suffix(".pem")


# ---- OpenSSL ----

PBES1 = ("PBE-SHA1-3DES", "PBE-SHA1-2DES", "PBE-SHA1-RC2-128", "PBE-SHA1-RC2-40", "PBE-SHA1-RC4-128", "PBE-SHA1-RC4-40")
PBES2 = ("AES-128-CBC", "AES-192-CBC", "AES-256-CBC", "DES-EDE3-CBC")
RARE = ("AES-256-CFB", "AES-256-OFB", "CAMELLIA-128-CBC", "CAMELLIA-192-CBC", "CAMELLIA-256-CBC", "ARIA-128-CBC",
        "ARIA-192-CBC", "ARIA-256-CBC", "SM4-CBC")
RARE_AND_OLD = ("PBE-MD5-DES", "PBE-SHA1-DES", "PBE-MD5-RC2-64", "PBE-SHA1-RC2-64", "DES-CBC", "RC2-CBC", "RC4",
                "SEED-CBC", "BF-CBC", "CAST5-CBC")
DIGESTS = ("SHA1", "SHA224", "SHA256", "SHA384", "SHA512", "SHA512-224", "SHA512-256", "SHA3-224", "SHA3-256",
           "SHA3-384", "SHA3-512", "SM3", "BLAKE2s256", "BLAKE2b512", "MD5", "RIPEMD160")
OLD_DIGESTS = ("MD4", "whirlpool")
MICROSOFT = ("-LMK -keyex -CSP 'Microsoft Enhanced Cryptographic Provider v1.0' "
             "-name '{6A5C7F0E-3B1D-4C43-9A8E-0D1F2A3B4C5D}'")

OPENSSL_OPTIONS = (
    "", "-legacy", "-descert", "-legacy -descert", f"-legacy {MICROSOFT}", MICROSOFT, "-keysig",
    *(f"-legacy -keypbe {a} -certpbe {a}" for a in PBES1), *(f"-keypbe {a} -certpbe {a}" for a in PBES2),
    "-keypbe NONE", "-certpbe NONE", "-keypbe NONE -certpbe NONE", "-keypbe PBE-SHA1-3DES",
    "-certpbe PBE-SHA1-3DES", "-legacy -certpbe AES-128-CBC", "-legacy -keypbe PBE-SHA1-RC4-40 -certpbe NONE",
    *(f"-keypbe {a} -certpbe {a}" for a in RARE), *(f"-legacy -keypbe {a} -certpbe {a}" for a in RARE_AND_OLD),
    "-keypbe CAMELLIA-256-CBC", "-certpbe CAMELLIA-256-CBC",
    *(f"-macalg {a}" for a in DIGESTS), *(f"-legacy -macalg {a}" for a in OLD_DIGESTS),
    "-nomac", "-nomaciter", "-noiter", "-noiter -nomaciter", "-iter 1", "-iter 600000",
    "-macalg SHA1 -keypbe NONE -certpbe NONE -iter 24000001",
    "-nocerts", "-nokeys", "-name ann", "-name 'Schlüssel €'",
)
KEYS = (
    *((f"RSA-{bits}", f"-algorithm RSA -pkeyopt rsa_keygen_bits:{bits}") for bits in (1024, 2048, 4096)),
    ("RSA-PSS", "-algorithm RSA-PSS"),
    ("RSA with three primes", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_primes:3"),
    *((curve, f"-algorithm EC -pkeyopt ec_paramgen_curve:{curve}") for curve in (
        "P-384", "P-521", "brainpoolP256r1", "brainpoolP320r1", "brainpoolP384r1", "brainpoolP512r1", "brainpoolP256t1",
        "secp256k1", "P-224", "SM2")),
    ("P-256 with its parameters written out",
     "-algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit"),
    ("Ed25519", "-algorithm ED25519"), ("Ed448", "-algorithm ED448"), ("X25519", "-algorithm X25519"),
    ("X448", "-algorithm X448"),
)


@maker("OpenSSL 3.0", "openssl", ["openssl"], "`openssl pkcs12 -export -inkey KEY -in CERTIFICATE` and:")
def openssl(folder):
    for options in OPENSSL_OPTIONS:
        one = identity(folder)
        yield Form(code(options), one.pfx(PASSWORD, *shlex.split(options)), [one])
    for password in ("", "Pässwörter", "🔑 пароль", "1,024 bytes".ljust(1024, ".")):
        for options in ("", "-legacy"):
            one = identity(folder)
            text = password_text(password.strip("."))
            yield Form(f"{code(options)}, {text}", one.pfx(password, *shlex.split(options)), [one], password)
    yield from openssl_chains(folder)
    yield from openssl_keys(folder)


def openssl_chains(folder):
    root = Authority(folder, "Root")
    issuer = Authority(folder, "Issuer", root)
    chain = folder / "chain.pem"
    chain.write_bytes(root.certificate.read_bytes() + issuer.certificate.read_bytes())
    for text, options in (("`-certfile CHAIN`", ["-certfile", chain]), ("no chain", []),
                          ("`-chain -CAfile CHAIN`", ["-chain", "-CAfile", chain])):
        one = SignedIdentity(folder, generated_key(folder, *P256), issuer)
        yield Form(text, one.pfx(PASSWORD, *options), [one])


def openssl_keys(folder):
    authority = Authority(folder, "Root")
    keys = [(text, generated_key(folder, *words.split())) for text, words in KEYS]
    parameters = generated_key(folder, *"-genparam -algorithm DSA -pkeyopt dsa_paramgen_bits:1024".split())
    keys += [("RSA-16384", largest_rsa_key(folder)), ("DSA", generated_key(folder, "-paramfile", parameters))]
    for text, key in keys:
        one = SignedIdentity(folder, key, authority)
        yield Form(f"a key: {text}", one.pfx(PASSWORD, "-certfile", authority.certificate), [one])


# ---- NSS ----

def nss_database(folder, made):
    """An NSS database with the identities, by the nicknames 0, 1, 2 ... Those of one subject have that of the first."""
    database = folder / "nss"
    database.mkdir()
    run("certutil", "-N", "-d", f"sql:{database}", "--empty-password")
    for i, one in enumerate(made):
        (folder / "in.p12").write_bytes(one.pfx(PASSWORD, "-name", str(i)))
        run("pk12util", "-i", folder / "in.p12", "-d", f"sql:{database}", "-W", PASSWORD)
    return f"sql:{database}"


NSS_PBES1 = ("PKCS #12 V2 PBE With SHA-1 And 3KEY Triple DES-CBC", "PKCS #12 V2 PBE With SHA-1 And 128 Bit RC2 CBC",
             "PKCS #12 V2 PBE With SHA-1 And 40 Bit RC2 CBC", "PKCS #12 V2 PBE With SHA-1 And 128 Bit RC4",
             "PKCS #12 V2 PBE With SHA-1 And 40 Bit RC4")
NSS_OTHERS = ("AES-128-CBC", "AES-192-CBC", "AES-256-CBC", "DES-EDE3-CBC", "CAMELLIA-128-CBC", "CAMELLIA-256-CBC",
              "DES-CBC", "SEED-CBC", "PKCS #5 Password Based Encryption with MD5 and DES-CBC")
NSS_OLD_DEFAULT = f"-c '{NSS_PBES1[0]}' -C '{NSS_PBES1[2]}'"
NSS_HISTORY = 8  # identities in one file; each costs 600,000 iterations for its key and 600,000 for its certificate
PK12UTIL_OPTIONS = ("", NSS_OLD_DEFAULT, *(f"-c '{a}' -C '{a}'" for a in NSS_PBES1 + NSS_OTHERS), "-C none", "-M SHA-1",
                    "-M SHA-512", "-M MD5")


@maker("NSS 3.87", "libnss3-tools", ["pk12util", "certutil"],
       "Firefox and Thunderbird write the same. `pk12util -o FILE -n NAME -d DATABASE` and:")
def pk12util(folder):
    words = [(code(o), shlex.split(o), PASSWORD) for o in PK12UTIL_OPTIONS]
    for password in ("", "Pässwörter 🔑"):
        words += [(f"{code(o)}, {password_text(password)}", shlex.split(o), password) for o in ("", NSS_OLD_DEFAULT)]
    made = [identity(folder, name=f"Ann {i}") for i in range(len(words))]
    history = [identity(folder, name="Ann") for _ in range(NSS_HISTORY)]
    database = nss_database(folder, made + history)
    for i, (text, options, password) in enumerate(words):
        out = folder / f"{i}.p12"
        run("pk12util", "-o", out, "-n", str(i), "-d", database, "-W", password, *options)
        yield Form(text, out.read_bytes(), [made[i]], password)
    for options in ("", NSS_OLD_DEFAULT):
        out = folder / "history.p12"
        run("pk12util", "-o", out, "-n", str(len(made)), "-d", database, "-W", PASSWORD, *shlex.split(options))
        yield Form(f"{code(options)}, {len(history)} identities", out.read_bytes(), history)


# ---- GnuTLS ----

CERTTOOL_OPTIONS = ("", *(f"--pkcs-cipher {c}" for c in (
    "3des", "3des-pkcs12", "aes-128", "aes-192", "aes-256", "rc2-40", "arcfour", "gost28147-tc26z", "none")))


@maker("GnuTLS 3.7", "gnutls-bin", ["certtool"],
       "`certtool --to-p12 --load-privkey KEY --load-certificate CERTIFICATE --p12-name NAME` and:")
def certtool(folder):
    def written(one, *options):
        out = folder / "out.p12"
        run("certtool", "--to-p12", "--load-privkey", one.key, "--load-certificate", one.certificate, "--p12-name",
            "ann", "--outder", "--outfile", out, *options)
        return out.read_bytes()

    for options in CERTTOOL_OPTIONS:
        one = identity(folder)
        yield Form(code(options), written(one, "--password", PASSWORD, *options.split()), [one])
    for option in ("--empty-password", "--null-password"):
        one = identity(folder)
        yield Form(code(option), written(one, option), [one], "")
    for password in ("Pässwörter", "🔑 пароль"):
        one = identity(folder)
        yield Form(password_text(password), written(one, "--password", password), [one], password)


# ---- Java ----

QUICK_JAVA = ("-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC")  # a program that runs for a second
KEYTOOL_PROPERTIES = (
    "", "legacy", "macAlgorithm=HmacPBESHA1", "macAlgorithm=HmacPBESHA224", "macAlgorithm=HmacPBESHA384",
    "macAlgorithm=HmacPBESHA512", "macAlgorithm=HmacPBESHA512/256", "macAlgorithm=NONE", "macIterationCount=1000000",
    "certProtectionAlgorithm=NONE", "certProtectionAlgorithm=PBEWithSHA1AndRC2_40",
    "keyProtectionAlgorithm=PBEWithSHA1AndDESede", "keyProtectionAlgorithm=PBEWithSHA1AndRC4_128",
    "keyProtectionAlgorithm=PBEWithHmacSHA1AndAES_128", "keyProtectionAlgorithm=PBEWithHmacSHA512AndAES_256",
    "keyProtectionAlgorithm=PBEWithMD5AndDES", "keyPbeIterationCount=1000000",
)


@maker("OpenJDK 17", "openjdk-17-jdk-headless", ["keytool"],
       "`keytool -importkeystore` into a new PKCS12 store, with `-J-Dkeystore.pkcs12.` and:")
def keytool(folder):
    def written(name, pfx, *options):
        (folder / "in.p12").write_bytes(pfx)
        run("keytool", *QUICK_JAVA, *options, "-importkeystore", "-noprompt", "-srckeystore", folder / "in.p12",
            "-srcstorepass", PASSWORD, "-destkeystore", folder / name, "-deststoretype", "PKCS12", "-deststorepass",
            PASSWORD)
        return (folder / name).read_bytes()

    for i, option in enumerate(KEYTOOL_PROPERTIES):
        one = identity(folder)
        words = [f"-J-Dkeystore.pkcs12.{option}"] if option else []
        yield Form(code(option), written(f"{i}.p12", one.pfx(PASSWORD), *words), [one])
    several = [identity(folder) for _ in range(3)]
    for i, one in enumerate(several):
        pfx = written("several.p12", one.pfx(PASSWORD, "-name", str(i)))
    yield Form("three aliases in one store", pfx, several)
    one = identity(folder)
    written("secret.p12", one.pfx(PASSWORD))
    store = folder / "secret.p12"
    run("keytool", "-genseckey", "-alias", "secret", "-keyalg", "AES", "-keysize", "256", "-keystore", store,
        "-storepass", PASSWORD)
    yield Form("a secret key in the same store (`-genseckey`)", store.read_bytes(), [one])


def java(source, jars, *arguments):
    path = ":".join(str(JARS / f"{jar}.jar") for jar in jars)
    options = [word.removeprefix("-J") for word in QUICK_JAVA]
    run("java", *options, "-Djava.library.path=/usr/lib/jss", "-cp", path, JAVA / source, *arguments)


BOUNCY_CASTLE_FORMS = (
    ("`KeyStore` of the type `PKCS12`", "PKCS12"), ("`KeyStore` of the type `PKCS12`, as DER", "PKCS12 der"),
    ("`KeyStore` of the type `PKCS12-3DES-3DES`", "PKCS12-3DES-3DES"),
    ("`KeyStore` of the type `PKCS12-DEF`", "PKCS12-DEF"),
    ("`KeyStore` of the type `PKCS12-DEF-3DES-3DES`", "PKCS12-DEF-3DES-3DES"),
    ("`PKCS12PfxPduBuilder`, AES-256-CBC, PBKDF2 with SHA-256", "PBES2-AES-256-CBC"),
    ("`PKCS12PfxPduBuilder`, AES-128-CBC, PBKDF2 with SHA-512", "PBES2-AES-128-CBC-SHA512"),
    ("`PKCS12PfxPduBuilder`, AES-256-CBC, PBKDF2 with SHA3-256", "PBES2-AES-256-CBC-SHA3-256"),
    ("`PKCS12PfxPduBuilder`, AES-256-CBC, scrypt of 64 MiB", "SCRYPT-65536-8-1"),
    ("`PKCS12PfxPduBuilder`, AES-256-CBC, scrypt of 128 MiB", "SCRYPT-131072-8-1"),
)


@maker("Bouncy Castle 1.72", "libbcprov-java", ["java", JARS / "bcprov.jar", JARS / "bcpkix.jar", JARS / "bcutil.jar"],
       "What Java programs write with it:")
def bouncy_castle(folder):
    made = [identity(folder) for _ in BOUNCY_CASTLE_FORMS]
    for i, one in enumerate(made):
        (folder / f"{i}.in").write_bytes(one.pfx(PASSWORD))
    java("BouncyCastle.java", ("bcprov", "bcpkix", "bcutil"), folder, *(form for _, form in BOUNCY_CASTLE_FORMS))
    for i, (text, _) in enumerate(BOUNCY_CASTLE_FORMS):
        yield Form(text, (folder / f"{i}.out").read_bytes(), [made[i]])


JSS_CIPHERS = ("PBES2, none", "PBES2, PBE/SHA1/RC2-40", "PBE/SHA1/DES3/CBC, none", "PBE/SHA1/DES3/CBC, PBE/SHA1/RC2-40")


@maker("JSS 5.3", "libjss-java", ["java", "certutil", "pk12util", JARS / "jss.jar", JARS / "slf4j-api.jar"],
       "Dogtag's CA and key recovery write with it. `PKCS12Util` with these ciphers of keys, and of certificates:")
def jss(folder):
    made = [identity(folder, key="rsa:2048", name=f"Ann {i}") for i in range(len(JSS_CIPHERS))]
    java("Jss.java", ("jss", "slf4j-api", "slf4j-nop", "commons-lang3"), nss_database(folder, made), folder,
         *JSS_CIPHERS)
    for i, ciphers in enumerate(JSS_CIPHERS):
        yield Form(code(ciphers), (folder / f"{i}.out").read_bytes(), [made[i]])


# ---- others ----

GPGSM_TRIES = 10


@maker("GnuPG 2.2", "gpgsm", ["gpgsm", "gpg-agent", "gpgconf"],
       "Kleopatra writes with it. About one export in 128 can be read by GnuPG alone, because it drops leading zeros "
       "where it makes a key of the password: it is `malformed_pkcs12`, and the next export is not. "
       "`gpgsm --export-secret-key-p12` and:")
def gpgsm(folder):
    home = folder / "gnupg"
    home.mkdir(mode=0o700)
    (home / "gpg-agent.conf").write_text("allow-loopback-pinentry\n")
    env = {**os.environ, "GNUPGHOME": str(home)}
    given, pfx = folder / "in.p12", folder / "out.p12"

    def gpg(password, *words):
        return run("gpgsm", "--batch", "--disable-dirmngr", "--pinentry-mode", "loopback", "--passphrase-fd", "0",
                   *words, env=env, input=password.encode(), ok=False)

    def openssl_reads(password):
        return run("openssl", "pkcs12", "-legacy", "-in", pfx, "-nocerts", "-noenc", "-passin", f"pass:{password}",
                   ok=False).returncode == 0

    def export(one, password, *options):
        for _ in range(GPGSM_TRIES):  # its import drops leading zeros too
            given.write_bytes(one.pfx(password, "-legacy"))
            pfx.unlink(missing_ok=True)
            gpg(password, "--import", given)
            gpg(password, *options, "--output", pfx, "--export-secret-key-p12", one.thumbprint)
            if openssl_reads(password):
                return pfx.read_bytes()
        raise AssertionError("gpgsm wrote nothing that openssl can read")

    try:
        for options, password in (("", PASSWORD), ("", "Pässwörter"), ("--p12-charset ISO-8859-1", "Pässwörter")):
            one = identity(folder, key="rsa:2048")
            yield Form(f"{code(options)}, {password_text(password)}", export(one, password, *options.split()), [one],
                       password)
    finally:
        run("gpgconf", "--kill", "gpg-agent", env=env)


@maker("mkcert 1.4", "mkcert", ["mkcert"], "It stands for all that write with Go's `go-pkcs12`. "
       "`mkcert -pkcs12 ann@example.org` and:")
def mkcert(folder):
    for options in ("", "-ecdsa"):
        out, one = folder / f"made{options}.p12", Made(folder)
        run("mkcert", "-pkcs12", "-p12-file", out, *options.split(), UPN,
            env={**os.environ, "CAROOT": str(folder), "TRUST_STORES": "none"})
        one.take(out, "changeit", folder)
        yield Form(code(options), out.read_bytes(), [one], "changeit")


class Made(Identity):
    """An identity that the maker itself made."""

    def __init__(self, folder):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="identity-", dir=folder))
        self.key, self.certificate = self.folder / "key.pem", self.folder / "cert.pem"

    def take(self, pfx, password, folder):
        """Takes key and certificate out of the file with openssl."""
        words = ["openssl", "pkcs12", "-legacy", "-in", pfx, "-nodes", "-passin", f"pass:{password}"]
        run(*words, "-nocerts", "-out", self.key)
        run(*words, "-nokeys", "-clcerts", "-out", self.certificate)


PYTHON = "/usr/bin/python3"
PYTHON_FORMS = ("NoEncryption()", "BestAvailableEncryption(b'secret')",
                *(f"PrivateFormat.PKCS12.encryption_builder(){more}.build(b'secret')" for more in (
                    "", ".key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)",
                    ".key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC).hmac_hash(SHA1())",
                    ".kdf_rounds(100000).hmac_hash(SHA512())")))
PYTHON_PROGRAM = """
import sys
from cryptography.hazmat.primitives.hashes import *
from cryptography.hazmat.primitives.serialization import *
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509 import load_pem_x509_certificate
key = load_pem_private_key(open(sys.argv[1], "rb").read(), None)
certificate = load_pem_x509_certificate(open(sys.argv[2], "rb").read())
sys.stdout.buffer.write(pkcs12.serialize_key_and_certificates(b"ann", key, certificate, None, eval(sys.argv[3])))
"""


@maker("Python's cryptography 38", "python3-cryptography", [PYTHON],
       "Ansible writes with it. `pkcs12.serialize_key_and_certificates()` with the encryption:")
def python_cryptography(folder):
    for encryption in PYTHON_FORMS:
        one = identity(folder)
        pfx = run(PYTHON, "-c", PYTHON_PROGRAM, one.key, one.certificate, encryption).stdout
        yield Form(code(encryption), pfx, [one], "" if encryption == "NoEncryption()" else PASSWORD)


def wolfssl_pfx(one, cipher):
    """A PFX by wc_PKCS12_create(), with the key and the certificate under one cipher (its number)."""
    import ctypes
    library = ctypes.CDLL("libwolfssl.so.35")
    library.wc_PKCS12_create.restype = ctypes.c_void_p
    key = run("openssl", "pkey", "-in", one.key, "-traditional", "-outform", "DER").stdout
    certificate = run("openssl", "x509", "-in", one.certificate, "-outform", "DER").stdout
    ec = 518  # ECDSAk in its headers
    pfx = library.wc_PKCS12_create(PASSWORD.encode(), len(PASSWORD), b"ann", key, len(key), certificate,
                                   len(certificate), None, cipher, cipher, 2048, 2048, ec, None)
    out = ctypes.POINTER(ctypes.c_ubyte)()
    length = library.wc_i2d_PKCS12(ctypes.c_void_p(pfx), ctypes.byref(out), None)
    assert length > 0, f"wolfSSL's error {length}"
    return bytes(out[:length])


@maker("wolfSSL 5.5", "libwolfssl35", [], "Embedded systems write with it. `wc_PKCS12_create()` with the algorithm:")
def wolfssl(folder):
    for name, number in (("PBE_SHA1_DES3", 3), ("PBE_SHA1_RC4_128", 1), ("-1", -1)):
        one = identity(folder)
        yield Form(code(name), wolfssl_pfx(one, number), [one])
