#!/usr/bin/env python3
"""What is refused: each with the status and the code that the design gives it, and nothing of it kept."""

import urllib.parse

from inputs import *

UPN = "ann@example.org"
PATH = f"/v1/users/{UPN}/certificates"


def nothing_is_kept(service):
    """No user, no device, and no record of anything but the first token."""
    assert service.admin("GET", "/v1/users").expect(200).json["users"] == []
    assert service.admin("GET", "/v1/devices").expect(200).json["devices"] == []
    records = service.admin("GET", "/v1/audit").expect(200).json["records"]
    assert [r["event"] for r in records] == ["token.create"], records


def refuses(service, status, code, pfx, password="secret", **more):
    service.import_pfx(UPN, pfx, password, **more).expect(status, code)


def good_pfx(folder):
    return Identity(folder, UPN, key="P-256").pfx()


# ---- what is in a PFX ----

@test
def a_wrong_password_is_told_and_nothing_is_kept(folder):
    service, pfx = Service(folder), good_pfx(folder)
    for password in ("Secret", "", "secret ", "sécret", "x" * 1000):
        refuses(service, 422, "wrong_password", pfx, password)
    nothing_is_kept(service)


@test
def what_is_not_a_whole_pfx_is_malformed_and_nothing_is_kept(folder):
    service, identity = Service(folder), Identity(folder, UPN, key="P-256")
    pfx = identity.pfx()
    for bad in (pfx[:-1], pfx[:len(pfx) // 2], pfx[:1], b"not a PFX", identity.certificate.read_bytes(),
                pfx + b"\0", b"\x30\x80" * 5000, b"\x30\x84\xff\xff\xff\xff"):
        refuses(service, 422, "malformed_pkcs12", bad)
    nothing_is_kept(service)


@test
def a_pfx_without_a_key_or_without_a_certificate_or_of_two_that_do_not_match_is_refused(folder):
    service = Service(folder)
    one, other = (Identity(folder, UPN, key="P-256") for _ in range(2))
    no_key = run("openssl", "pkcs12", "-export", "-nokeys", "-in", one.certificate, "-passout", "pass:secret").stdout
    no_certificate = run("openssl", "pkcs12", "-export", "-nocerts", "-inkey", one.key, "-in", one.key, "-passout",
                         "pass:secret").stdout
    refuses(service, 422, "no_private_key", no_key)
    refuses(service, 422, "no_certificate", no_certificate)
    refuses(service, 422, "key_mismatch", make_pfx([(one.key, other.certificate)]))
    nothing_is_kept(service)


@test
def a_pfx_without_a_mac_is_refused(folder):
    service = Service(folder)
    refuses(service, 422, "mac_missing", Identity(folder, UPN, key="P-256").pfx("secret", "-nomac"))
    nothing_is_kept(service)


@test
def a_pfx_that_would_cost_too_much_work_is_refused_before_the_work_is_done(folder):
    service, one = Service(folder), Identity(folder, UPN, key="P-256")
    # It only claims so many iterations: whoever does them finds a wrong MAC, hours later.
    refuses(service, 422, "too_expensive", make_pfx([(one.key, one.certificate)], told_iterations=2 ** 31 - 1))
    nothing_is_kept(service)


@test
def a_pfx_that_uses_an_algorithm_that_is_not_supported_is_told_so(folder):
    service = Service(folder)
    pfx = Identity(folder, UPN, key="P-256").pfx("secret", "-keypbe", "ARIA-256-CBC", "-certpbe", "ARIA-256-CBC")
    refuses(service, 422, "unsupported_algorithm", pfx)
    nothing_is_kept(service)


@test
def a_certificate_that_says_it_is_not_for_mail_is_refused_unless_usages_are_given(folder):
    service = Service(folder)
    server = Identity(folder, UPN, key="P-256", extra=("-addext", "extendedKeyUsage=serverAuth"))
    refuses(service, 422, "not_for_mail", server.pfx())
    nothing_is_kept(service)
    answer = service.import_pfx(UPN, server.pfx(), "secret", usages=["encryption"]).expect(201)
    assert answer.json["certificates"][0]["usages"] == ["encryption"]


@test
def a_refused_import_leaves_an_existing_history_alone(folder):
    service, pfx = Service(folder), good_pfx(folder)
    service.import_pfx(UPN, pfx, "secret").expect(201)
    device = service.enrol(UPN, "P-256")
    etag = device.pull().expect(200).headers["etag"]
    before = service.admin("GET", PATH).json
    other = Identity(folder, UPN, key="P-256").pfx()
    refuses(service, 422, "wrong_password", other, "wrong")
    refuses(service, 422, "malformed_pkcs12", other[:-9])
    assert service.admin("GET", PATH).json == before
    assert device.pull(etag).status == 304


# ---- bodies ----

@test
def a_body_of_3_mib_is_answered_413_and_the_client_can_read_that(folder):
    service = Service(folder)
    big = json.dumps({"pkcs12": "A" * (3 << 20), "password": "x"})
    headers = {"Content-Type": "application/json"}
    service.admin("POST", PATH, big, headers=headers).expect(413, "too_large")
    service.call(service.base, "POST", "/v1/enroll", big, headers).expect(413, "too_large")
    chunks = (big[i:i + 65536].encode() for i in range(0, len(big), 65536))
    service.admin("POST", PATH, chunks, headers=headers).expect(413, "too_large")  # without a Content-Length
    nothing_is_kept(service)


@test
def a_body_of_2_mib_to_the_byte_is_taken_and_one_byte_more_is_not(folder):
    service = Service(folder)
    body = json.dumps({"pkcs12": base64.b64encode(good_pfx(folder)).decode(), "password": "secret"})
    headers = {"Content-Type": "application/json"}
    service.admin("POST", PATH, body.ljust((2 << 20) + 1), headers=headers).expect(413, "too_large")
    service.admin("POST", PATH, body.ljust(2 << 20), headers=headers).expect(201)


@test
def a_client_that_asks_before_it_sends_is_told_413_at_once(folder):
    service = Service(folder)
    with service.connect(service.base + 1) as c:
        c.sendall(f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {service.token}\r\nContent-Type: "
                  f"application/json\r\nContent-Length: {3 << 20}\r\nExpect: 100-continue\r\n\r\n".encode())
        read_answer(c, "POST").expect(413, "too_large")


@test
def a_body_that_is_not_json_by_its_type_is_415(folder):
    service = Service(folder)
    body = json.dumps({"pkcs12": base64.b64encode(good_pfx(folder)).decode(), "password": "secret"})
    for wrong in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application/json5",
                  "application/merge-patch+json", "text/json", "application", ""):
        for method, path in (("POST", PATH), ("PATCH", f"/v1/users/{UPN}"), ("POST", "/v1/tokens"),
                             ("POST", f"/v1/users/{UPN}/enrollments")):
            service.admin(method, path, body, headers={"Content-Type": wrong}).expect(415, "unsupported_media_type")
        service.call(service.base, "POST", "/v1/enroll", "{}", {"Content-Type": wrong}).expect(415)
    service.admin("POST", PATH, body.encode()).expect(415, "unsupported_media_type")  # none at all
    nothing_is_kept(service)


@test
def a_charset_and_another_case_of_the_content_type_are_taken(folder):
    service = Service(folder)
    for right in ("application/json; charset=utf-8", "APPLICATION/JSON", "application/json;charset=UTF-8",
                  "application/json ; charset=\"utf-8\""):
        service.admin("POST", f"/v1/users/{UPN}/enrollments", '{"name":"phone"}',
                      headers={"Content-Type": right}).expect(201)


def is_malformed(service, body, method="POST", path=PATH):
    headers = {"Content-Type": "application/json"}
    service.admin(method, path, body, headers=headers).expect(400, "malformed_request")


@test
def json_of_the_wrong_shape_is_malformed_and_nothing_is_kept(folder):
    service = Service(folder)
    pfx = base64.b64encode(good_pfx(folder)).decode()
    good = f'"pkcs12":"{pfx}","password":"secret"'
    nested = "[" * 10000 + "]" * 10000
    for body in ("", "{", "[]", "null", "7", '"text"', f"[{{{good}}}]", f"{{{good}}}x", f"{{{good}}}{{}}",
                 f"{{{good},}}", f"{{'a':1,{good}}}", "NaN", nested, '{"usages":' + nested + "," + good + "}", '{"a":' * 10000,
                 "[" * 1000000, f"\ufeff{{{good}}}", "{" + good + "\0}", "{" + good + ',"usages":["encryption"'):
        is_malformed(service, body.encode())
    is_malformed(service, b'{"pkcs12":"AAAA","password":"\xff\xfe"}')
    is_malformed(service, b'{"pkcs12":"AAAA","password":"\\ud800"}')
    is_malformed(service, b'{"pkcs12":"AAAA","pass')
    nothing_is_kept(service)


@test
def a_member_that_is_given_twice_is_malformed(folder):
    service = Service(folder)
    pfx = base64.b64encode(good_pfx(folder)).decode()
    for body in (f'{{"pkcs12":"{pfx}","password":"wrong","password":"secret"}}',
                 f'{{"pkcs12":"AAAA","pkcs12":"{pfx}","password":"secret"}}',
                 f'{{"pkcs12":"{pfx}","password":"secret","usages":["encryption"],"usages":["signing"]}}',
                 f'{{"pkcs12":"{pfx}","password":"wrong","pass\\u0077ord":"secret"}}'):
        is_malformed(service, body)
    is_malformed(service, '{"name":"a","name":"b"}', path=f"/v1/users/{UPN}/enrollments")
    is_malformed(service, '{"name":"a","role":"auditor","role":"admin"}', path="/v1/tokens")
    nothing_is_kept(service)


@test
def unknown_and_missing_fields_and_fields_of_another_type_are_malformed(folder):
    service = Service(folder)
    pfx = base64.b64encode(good_pfx(folder)).decode()
    whole = {"pkcs12": pfx, "password": "secret"}
    for body in ({**whole, "usage": ["encryption"]}, {**whole, "": 1}, {"pkcs12": pfx}, {"password": "secret"}, {},
                 {**whole, "password": None}, {**whole, "password": 7}, {**whole, "pkcs12": [pfx]},
                 {**whole, "usages": "encryption"}, {**whole, "usages": []}, {**whole, "usages": ["decryption"]},
                 {**whole, "usages": [1]}, {**whole, "usages": {"encryption": True}}, {**whole, "PKCS12": pfx}):
        is_malformed(service, json.dumps(body))
    for body in ({}, {"name": 7}, {"name": "phone", "owner": "x"}, {"name": "phone", "platform": 17},
                 {"name": "phone", "expiresIn": "60"}, {"name": "phone", "expiresIn": 1.5},
                 {"name": "phone", "expiresIn": True}, {"name": "phone", "expiresIn": None}, {"name": "pho\nne"},
                 {"name": "phone", "platform": "ios\x00"}):
        is_malformed(service, json.dumps(body), path=f"/v1/users/{UPN}/enrollments")
    for body in ({}, {"name": "x"}, {"role": "admin"}, {"name": "x", "role": "root"}, {"name": "x", "role": "Admin"},
                 {"name": "x", "role": ["admin"]}, {"name": "x", "role": "admin", "token": "A" * 43},
                 {"name": "x", "role": "admin", "expiresIn": -1}):
        is_malformed(service, json.dumps(body), path="/v1/tokens")
    nothing_is_kept(service)


@test
def base64_is_standard_and_padded_and_its_line_breaks_are_ignored(folder):
    service = Service(folder)
    pfx = good_pfx(folder)
    whole = base64.b64encode(pfx).decode()
    unpadded = base64.b64encode(pfx + b"\0" * (4 - len(pfx) % 3)).decode().rstrip("=")
    for bad in ("!", "AAA", "A", "AA=A", "=AAA", "AAAA====", whole + "=", "AA-_", "AAAA\\u0000", "AAAA\\u00e9",
                unpadded):
        is_malformed(service, f'{{"pkcs12":"{bad}","password":"secret"}}')
    nothing_is_kept(service)
    for n, text in enumerate((base64.encodebytes(pfx).decode(), base64.encodebytes(pfx).decode().replace("\n", "\r\n"),
                              "\n\n" + whole + "\r\n", "\n".join(whole))):
        service.admin("POST", f"/v1/users/{n}@example.org/certificates",
                      {"pkcs12": text, "password": "secret"}).expect(201)


# ---- names ----

def enrolment(service, path_name, status=201):
    """The answer to an enrolment, which makes a user of any name at little cost."""
    return service.admin("POST", f"/v1/users/{path_name}/enrollments", {"name": "phone"}).expect(
        status, "malformed_request" if status == 400 else None)


def names(service):
    return [u["upn"] for u in service.admin("GET", "/v1/users").expect(200).json["users"]]


@test
def a_name_has_at_most_320_bytes(folder):
    service = Service(folder)
    longest = "a" * 308 + "@example.org"
    umlauts = "ä" * 160
    enrolment(service, longest)
    enrolment(service, urllib.parse.quote(umlauts))
    enrolment(service, "a" + longest, 400)
    enrolment(service, urllib.parse.quote(umlauts + "a"), 400)
    service.admin("GET", "/v1/users/a" + longest).expect(400, "malformed_request")
    service.admin("PATCH", f"/v1/users/{longest}", {"upn": "a" + longest}).expect(400, "malformed_request")
    service.admin("PATCH", f"/v1/users/{longest}", {"upn": ""}).expect(400, "malformed_request")
    assert sorted(names(service)) == sorted([longest, umlauts])


@test
def a_name_with_control_characters_or_wrong_utf8_or_a_wrong_escape_is_malformed(folder):
    service = Service(folder)
    enrolment(service, UPN)
    bad = ["%00", "a%00b@example.org", "a%0ab", "a%0Db", "%1f", "a%7Fb", "a%09b",  # control characters
           "a%C2%85b",                                                            # NEL, one of C1
           "%ff", "a%C3", "%C0%AF", "%ED%A0%80", "%F4%90%80%80",                   # not UTF-8
           "a%", "a%4", "a%zz", "%u0041", "a%2"]                                  # not an escape
    for name in bad:
        enrolment(service, name, 400)
        for method in ("GET", "DELETE"):
            service.admin(method, f"/v1/users/{name}").expect(400, "malformed_request")
        service.admin("GET", f"/v1/users/{name}/certificates").expect(400, "malformed_request")
    for name in ("a\nb", "a\0b", "a\x7fb", "a\x85b"):
        service.admin("PATCH", f"/v1/users/{UPN}", {"upn": name}).expect(400, "malformed_request")
    service.admin("GET", "/v1/devices?user=a%00b").expect(400, "malformed_request")
    service.admin("GET", "/v1/devices?user=%ff").expect(400, "malformed_request")
    assert names(service) == [UPN]


@test
def a_slash_in_a_name_is_escaped_and_a_plus_is_a_plus(folder):
    service = Service(folder)
    for raw, name in (("a%2Fb@example.org", "a/b@example.org"), ("a%2fc%2Fd", "a/c/d"), ("ann+tag@x", "ann+tag@x"),
                      ("x%2By", "x+y"), ("%6a%6Fe", "joe"), ("z%20y", "z y"), ("j%C3%B6rg@x", "jörg@x"),
                      ("100%25", "100%"), ("q%3Fr%23s", "q?r#s"), ("a%22b%5Cc", 'a"b\\c')):
        enrolment(service, raw)
        assert service.admin("GET", f"/v1/users/{raw}").expect(200).json["upn"] == name
        assert service.admin("GET", f"/v1/users/{raw}/certificates").expect(200).json["certificates"] == []
    service.admin("GET", "/v1/users/a/b@example.org").expect(404, "not_found")
    service.admin("GET", "/v1/users/z+y").expect(404, "not_found")


@test
def in_a_query_a_plus_is_a_space(folder):
    service = Service(folder)
    for upn, query in (("z%20y", "z+y"), ("ann+tag@example.org", "ann%2Btag@example.org"), ("x%26y", "x%26y")):
        service.enrol(upn, "P-256")
        found = service.admin("GET", f"/v1/devices?user={query}").expect(200).json["devices"]
        assert [d["user"] for d in found] == [urllib.parse.unquote(upn)]


@test
def names_are_compared_without_regard_to_case(folder):
    service = Service(folder)
    enrolment(service, "J%C3%96rg.O'Neil@Example.Org")
    user = service.admin("GET", "/v1/users/j%C3%B6RG.o'neil@example.ORG").expect(200).json
    assert user["upn"] == "JÖrg.O'Neil@Example.Org"
    service.import_pfx("J%C3%B6rg.o'neil@example.org", good_pfx(folder), "secret").expect(201)
    assert len(names(service)) == 1
    devices = service.admin("GET", "/v1/devices?user=j%c3%b6rg.o'neil@EXAMPLE.org").expect(200).json
    assert devices["devices"] == []
    service.admin("DELETE", "/v1/users/j%C3%96RG.O'NEIL@EXAMPLE.ORG").expect(204)
    assert names(service) == []


@test
def an_empty_name_is_no_user(folder):
    service = Service(folder)
    for method, path in (("GET", "/v1/users//certificates"), ("POST", "/v1/users//enrollments"), ("GET", "/v1/users/")):
        assert service.admin(method, path, {"name": "x"} if method == "POST" else None).status in (400, 404)
    assert names(service) == []


# ---- HTTP itself ----

@test
def a_request_that_is_not_http_ends_with_an_error_and_the_service_goes_on(folder):
    service = Service(folder, config="[front]\nheader_seconds = 1\nrequest_seconds = 2\n")
    for port in (service.base, service.base + 1, service.base + 2):
        for line in (b"GARBAGE\r\n\r\n", b"GET\r\n\r\n", b"\0\1\2\3\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                     b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
                     b"POST /v1/enroll HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n"):
            with service.connect(port, tls=port != service.base + 2) as c:
                c.sendall(line)
                c.settimeout(60)
                with contextlib.suppress(OSError):
                    start = c.recv(65536)
                    assert start == b"" or start.split(b" ")[1][:1] in b"45", start
    service.health("/livez").expect(200)
    service.admin("GET", "/v1/users").expect(200)


@test
def plain_http_on_a_tls_port_and_http_1_0_are_survived(folder):
    service = Service(folder)
    for port in (service.base, service.base + 1):
        with service.connect(port, tls=False) as c:
            c.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with contextlib.suppress(OSError):
                assert not c.recv(65536).startswith(b"HTTP/1.1 2")
    with service.connect(service.base + 2, tls=False) as c:
        c.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        read_answer(c).expect(200)
    service.admin("GET", "/v1/users").expect(200)


def answers_in(text):
    """(status, headers, body) of every answer in these bytes, by their Content-Length."""
    found = []
    while text:
        head, _, rest = text.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = int(headers["content-length"])
        found.append((int(lines[0].split()[1]), headers, rest[:length]))
        text = rest[length:]
    return found


@test
def requests_that_come_together_on_one_connection_are_answered_in_order(folder):
    service = Service(folder)
    head = f"HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {service.token}\r\n"
    body = '{"name":"phone"}'
    with service.connect(service.base + 1) as c:
        c.sendall((f"GET /v1/users {head}\r\nPOST /v1/users/x/enrollments {head}Content-Type: application/json\r\n"
                   f"Content-Length: {len(body)}\r\n\r\n{body}GET /none {head}\r\n"
                   f"GET /v1/users {head}Connection: close\r\n\r\n").encode())
        text = b""
        while part := c.recv(65536):
            text += part
    answers = answers_in(text)
    assert [status for status, _, _ in answers] == [200, 201, 404, 200]
    assert len({headers["x-request-id"] for _, headers, _ in answers}) == 4
    assert [len(json.loads(answers[n][2])["users"]) for n in (0, 3)] == [0, 1]


def is_refused_in_form(service, head):
    """The bytes are answered with an error that has all that the design promises of every error."""
    for port in (service.base, service.base + 1, service.base + 2):
        with service.connect(port, tls=port != service.base + 2) as c:
            c.sendall(head)
            answer = read_answer(c)
            assert answer.status >= 400
            answer.expect(answer.status)


@test
def what_the_http_library_refuses_is_answered_like_any_other_error(folder):
    service = Service(folder, config="[front]\nmax_header_bytes = 4096\n")
    for head in (b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 9000 + b"\r\n\r\n",  # one TLS record
                 b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /livez HTTP/9.9\r\nHost: x\r\n\r\n"):
        is_refused_in_form(service, head)


@test
def a_content_length_that_is_no_length_is_answered_once_and_like_any_other_error(folder):
    service = Service(folder)
    for length in (b"-1", b"99999999999999999999999", b"x"):
        is_refused_in_form(service, b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n")


@test
def a_chunked_body_is_read_like_any_other(folder):
    service = Service(folder)
    body = json.dumps({"pkcs12": base64.b64encode(good_pfx(folder)).decode(), "password": "secret"}).encode()
    chunks = (body[i:i + 7] for i in range(0, len(body), 7))
    service.admin("POST", PATH, chunks, headers={"Content-Type": "application/json"}).expect(201)


if __name__ == "__main__":
    main()
