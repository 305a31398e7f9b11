#!/usr/bin/env python3
"""docs/openapi.yaml says what the service does: every route, every error code, and the fields of real answers."""

import re
import urllib.parse

from harness import *

METHODS = ("get", "post", "patch", "delete", "head")
PLACES = {"8443": 0, "8444": 1, "8445": 2}  # the listener of each server in the document, as an offset to the base port
ROLES = {"DEVICE": 0, "ADMIN": 1, "HEALTH": 2}


# ---- a reader of the YAML that the document keeps to: two spaces a level, and nothing fancy ----

BELOW = object()  # the value stands on the lines below


def scalar(text):
    """A quoted or plain scalar, or a [list] or { map } on one line."""
    if text.startswith("[") and text.endswith("]"):
        return [scalar(part.strip()) for part in re.findall(r'"[^"]*"|[^,\[\]]+', text)]
    if text.startswith("{") and text.endswith("}"):
        return dict([entry(text[1:-1].strip())])
    if text.startswith('"'):
        return json.loads(text)
    if text in ("true", "false", "null"):
        return json.loads(text)
    return int(text) if re.fullmatch(r"-?\d+", text) else text


def entry(text):
    """key: value, on one line."""
    match = re.fullmatch(r'("[^"]+"|[^\s"].*?):(?: (.*))?', text)
    assert match, f"not a line of the form key: value: {text}"
    return match[1].strip('"'), BELOW if match[2] is None else scalar(match[2])


def indent_of(line):
    return len(line) - len(line.lstrip(" "))


class Lines:
    def __init__(self, text):
        self.lines = text.splitlines()
        self.at = 0

    def peek(self):
        while self.at < len(self.lines) and not self.lines[self.at].strip():
            self.at += 1
        return self.lines[self.at] if self.at < len(self.lines) else ""

    def text_block(self, indent):
        start = self.at
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if line.strip() and indent_of(line) <= indent:
                break
            self.at += 1
        return "\n".join(self.lines[start:self.at])

    def block(self, indent):
        return self.sequence(indent) if self.peek().strip().startswith("- ") else self.mapping(indent)

    def mapping(self, indent):
        found = {}
        while self.peek() and indent_of(self.peek()) == indent and not self.peek().strip().startswith("- "):
            key, value = entry(self.peek().strip())
            assert key not in found, f"{key} stands twice in one mapping, line {self.at + 1}"
            self.at += 1
            if value == "|":
                value = self.text_block(indent)
            elif value is BELOW:
                assert indent_of(self.peek()) > indent, f"nothing below {key}, line {self.at}"
                value = self.block(indent_of(self.peek()))
            found[key] = value
        return found

    def sequence(self, indent):
        found = []
        while self.peek().startswith(" " * indent + "- "):
            rest = self.peek().strip()[2:]
            if rest[0] not in "{[\"" and re.match(r"[^\s]+:( |$)", rest):
                self.lines[self.at] = " " * (indent + 2) + rest
                found.append(self.mapping(indent + 2))
            else:
                self.at += 1
                found.append(scalar(rest))
        return found


def document():
    lines = Lines((ROOT / "docs/openapi.yaml").read_text())
    found = lines.mapping(0)
    assert not lines.peek(), f"line {lines.at + 1} is not read: {lines.peek()}"
    return found


def look_up(spec, node):
    """What a $ref stands for."""
    while isinstance(node, dict) and "$ref" in node:
        found = spec
        for name in node["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        node = found
    return node


def operations(spec):
    """(offset of the port, METHOD, path, operation) of everything in the document."""
    for path, item in spec["paths"].items():
        port = item["servers"][0]["url"].rsplit(":", 1)[1]
        for method in METHODS:
            if method in item:
                yield PLACES[port], method.upper(), path, item[method]


def routes():
    """(offset of the port, METHOD, path) of everything in the table of routes."""
    table = (ROOT / "daemon/front/route.c").read_text()
    found = re.findall(r'\{ ROLE_(\w+), "(\w+)", "([^"]+)"', table)
    assert len(found) > 20, found
    return {(ROLES[role], method, path) for role, method, path in found}


def public_codes():
    """{code: status} of the errors that a client may see."""
    table = (ROOT / "common/fault.h").read_text().split("Between rooms")[0]
    return {code: int(status) for status, code in re.findall(r'F\(\w+,\s+(\d+), "(\w+)"', table)}


def filled(path):
    """A path in which each name stands for nothing that there is."""
    return path.replace("{upn}", "nobody@example.org").replace("{thumbprint}", "0" * 40).replace(
        "{id}", "00000000-0000-4000-8000-000000000000")


# ---- a checker of what the document uses of JSON Schema ----

TYPES = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None)}


def check(spec, schema, value, where, strict=True):
    """Asserts that value is of schema. strict: a field that the document does not have is an error, too."""
    schema = look_up(spec, schema)
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    assert any(type(value) is TYPES[t] for t in types), f"{where} is not {types}: {value!r}"
    if "enum" in schema:
        assert value in schema["enum"], f"{where} is none of {schema['enum']}: {value!r}"
    if "pattern" in schema:
        assert re.search(schema["pattern"], value), f"{where} does not match {schema['pattern']}: {value!r}"
    if value is not None and schema.get("format") == "date-time":
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value), f"{where} is not a time: {value!r}"
    if value is not None and schema.get("format") == "uuid":
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value), f"{where} is not a UUID: {value!r}"
    if isinstance(value, list):
        for i, one in enumerate(value):
            check(spec, schema["items"], one, f"{where}[{i}]", strict)
    if isinstance(value, dict):
        known = schema.get("properties", {})
        for name in schema.get("required", []):
            assert name in value, f"{where} lacks {name}: {value!r}"
        for name, one in value.items():
            rest = schema.get("additionalProperties")
            assert name in known or isinstance(rest, dict) or not strict, f"{where}.{name} is not in the document"
            if name in known or isinstance(rest, dict):
                check(spec, known.get(name, rest), one, f"{where}.{name}", strict)


def check_answer(spec, method, path, answer):
    """Asserts that the document has this answer to this call: status, headers, type and fields. Returns it."""
    operation = spec["paths"][path][method.lower()]
    where = f"{method} {path} {answer.status}"
    assert str(answer.status) in operation["responses"], f"{where} is not in the document"
    response = look_up(spec, operation["responses"][str(answer.status)])
    for name, header in response.get("headers", {}).items():
        assert name.lower() in answer.headers, f"{where} has no {name}: {answer.headers}"
    for name in ("etag", "retry-after", "allow", "www-authenticate"):
        told = {n.lower() for n in response.get("headers", {})}
        assert name not in answer.headers or name in told, f"{where} has {name}, which the document does not tell"
    content = response.get("content", {})
    if not content:
        assert not answer.body, f"{where} has a body"
        return answer
    assert answer.headers["content-type"] in content, f"{where} is {answer.headers['content-type']}"
    if answer.headers["content-type"].endswith("json") and method != "HEAD":
        check(spec, content[answer.headers["content-type"]]["schema"], answer.json, where)
    return answer


# ---- tests ----

@test
def the_document_and_the_table_of_routes_have_the_same_calls(folder):
    told = {(offset, method, path) for offset, method, path, _ in operations(document())}
    assert told == routes(), f"only in one of the two: {told ^ routes()}"


@test
def every_call_in_the_document_is_routed_by_the_service(folder):
    service = Service(folder)
    for offset, method, path, _ in operations(document()):
        answer = service.call(service.base + offset, method, filled(path), {} if method in ("POST", "PATCH") else None)
        assert answer.status not in (404, 405), f"{method} {path}: {answer.status}"
        other = service.call(service.base + (offset + 1) % 3, method, filled(path))
        assert other.status in (404, 405), f"{method} {path} is on another listener, too: {other.status}"


@test
def every_public_error_code_stands_in_the_document(folder):
    spec = document()
    told = spec["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    assert set(told) == set(public_codes()), f"only in one of the two: {set(told) ^ set(public_codes())}"
    descriptions = "\n".join(str(r["description"]) for r in spec["components"]["responses"].values())
    for code in told:
        assert f"`{code}`" in descriptions, f"no response of the document explains {code}"


@test
def every_reference_in_the_document_leads_somewhere(folder):
    spec = document()

    def walk(node):
        if isinstance(node, dict):
            look_up(spec, node)
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else []:
            walk(child)

    walk(spec)
    names = [operation["operationId"] for *_, operation in operations(spec)]
    assert len(names) == len(set(names)), "an operationId stands twice"
    for _, method, path, operation in operations(spec):
        assert operation["summary"] and operation["tags"], f"{method} {path}"
        if method in ("POST", "PATCH"):
            assert {"400", "413", "415"} <= set(operation["responses"]), f"{method} {path}"
        for status, response in operation["responses"].items():
            assert "X-Request-Id" in look_up(spec, response)["headers"], f"{method} {path} {status}"


@test
def the_answers_to_an_administrator_have_the_fields_of_the_document(folder):
    service, spec = Service(folder), document()
    user, certificates = "/v1/users/{upn}", "/v1/users/{upn}/certificates"
    ann = "/v1/users/ann@example.org"
    pfx = base64.b64encode(Identity(folder, "ann@example.org").pfx()).decode()
    body = {"pkcs12": pfx, "password": "secret"}
    imported = check_answer(spec, "POST", certificates, service.admin("POST", ann + "/certificates", body).expect(201))
    check_answer(spec, "POST", certificates, service.admin("POST", ann + "/certificates", body).expect(200))
    body["password"] = "another"
    check_answer(spec, "POST", certificates, service.admin("POST", ann + "/certificates", body).expect(422))
    check_answer(spec, "POST", certificates, service.admin("POST", ann + "/certificates", {}).expect(400))
    check_answer(spec, "GET", certificates, service.admin("GET", ann + "/certificates").expect(200))
    service.enrol("ann@example.org", name="old phone", platform="ios-17")
    service.enrol("ann@example.org", name="no platform").pull().expect(200)
    check_answer(spec, "PATCH", user, service.admin("PATCH", ann, {"upn": "ann.b@example.org"}).expect(200))
    check_answer(spec, "GET", user, service.admin("GET", ann).expect(200))
    check_answer(spec, "GET", "/v1/users", service.admin("GET", "/v1/users").expect(200))
    token = service.admin("POST", "/v1/tokens", {"name": "sync", "role": "importer", "expiresIn": 60}).expect(201)
    check_answer(spec, "POST", "/v1/tokens", token)
    check_answer(spec, "GET", "/v1/users", service.admin("GET", "/v1/users", token=token.json["token"]).expect(403))
    check_answer(spec, "GET", "/v1/tokens", service.admin("GET", "/v1/tokens").expect(200))
    facts = imported.json["certificates"][0]
    find = "/v1/certificates?" + urllib.parse.urlencode({"issuer": facts["issuer"], "serialNumber": facts["serialNumber"]})
    found = check_answer(spec, "GET", "/v1/certificates", service.admin("GET", find).expect(200)).json
    assert len(found["certificates"][0]["devices"]) == 2, found
    check_answer(spec, "GET", "/v1/certificates", service.admin("GET", "/v1/certificates").expect(400))
    mine = next(t["id"] for t in service.admin("GET", "/v1/tokens").json["tokens"] if t["role"] == "admin")
    check_answer(spec, "DELETE", "/v1/tokens/{id}", service.admin("DELETE", f"/v1/tokens/{mine}").expect(409))
    for page in ("/v1/devices", "/v1/audit"):
        check_answer(spec, "GET", page, service.admin("GET", page + "?limit=1").expect(200))
        check_answer(spec, "GET", page, service.admin("GET", page).expect(200))
        assert "nextCursor" in service.admin("GET", page + "?limit=1").json, page
    check_answer(spec, "GET", "/v1/audit/verification", service.admin("GET", "/v1/audit/verification").expect(200))
    check_answer(spec, "GET", "/v1/ca", service.admin("GET", "/v1/ca").expect(200))
    check_answer(spec, "GET", "/v1/ca", service.call(service.base + 1, "GET", "/v1/ca").expect(401))
    gone = f"/certificates/{imported.json['certificates'][0]['thumbprint']}"
    check_answer(spec, "DELETE", certificates + "/{thumbprint}", service.admin("DELETE", ann + gone).expect(204))
    check_answer(spec, "DELETE", certificates + "/{thumbprint}", service.admin("DELETE", ann + gone).expect(404))


@test
def the_answers_to_a_device_have_the_fields_of_the_document(folder):
    service, spec = Service(folder), document()
    service.import_pfx("ann@example.org", Identity(folder, "ann@example.org").pfx(), "secret").expect(201)
    device = Device(service, folder / "phone", "P-256")
    enrolment = service.admin("POST", "/v1/users/ann@example.org/enrollments", {"name": "phone"}).expect(201)
    check_answer(spec, "POST", "/v1/users/{upn}/enrollments", enrolment)
    check_answer(spec, "POST", "/v1/enroll", device.enrol(enrolment.json["token"]).expect(201))
    other = make_csr(tempfile.mkdtemp(dir=folder), "P-256")
    again = service.device("POST", "/v1/enroll", {"token": enrolment.json["token"], "csr": other})
    check_answer(spec, "POST", "/v1/enroll", again.expect(409, "token_spent"))
    check_answer(spec, "GET", "/v1/device/certificates",
                 service.device("GET", "/v1/device/certificates", device=device).expect(200))
    check_answer(spec, "GET", "/v1/device/bundle", service.device("GET", "/v1/device/bundle").expect(401))
    bundle = check_answer(spec, "GET", "/v1/device/bundle", device.pull().expect(200))
    check(spec, spec["components"]["schemas"]["Bundle"], device.open(bundle.body), "the bundle")
    check_answer(spec, "GET", "/v1/device/bundle", device.pull(bundle.headers["etag"]).expect(304))
    check_answer(spec, "GET", "/v1/device/bundle", device.pull(query="?cms=enveloped").expect(200))
    receipts = {"installed": ["00" * 20], "failed": [{"thumbprint": "11" * 32, "error": "no room"}]}
    check_answer(spec, "POST", "/v1/device/receipts",
                 service.device("POST", "/v1/device/receipts", receipts, device).expect(204))
    check_answer(spec, "POST", "/v1/device/renew",
                 service.device("POST", "/v1/device/renew", {"csr": other, "signature": "AAAA"}, device).expect(422))
    check_answer(spec, "DELETE", "/v1/devices/{id}", service.admin("DELETE", f"/v1/devices/{device.id}").expect(204))
    check_answer(spec, "GET", "/v1/device/bundle", device.pull().expect(403))


@test
def the_answers_to_a_probe_have_the_fields_of_the_document(folder):
    service, spec = Service(folder), document()
    for path in ("/livez", "/readyz", "/healthz", "/metrics"):
        for method in ("GET", "HEAD"):
            check_answer(spec, method, path, service.health(path, method).expect(200))
    check_answer(spec, "GET", "/readyz", service.health("/readyz?for=tea").expect(400))


@test
def the_examples_of_the_document_are_of_its_schemas(folder):
    spec = document()
    for name, schema in spec["components"]["schemas"].items():
        if "example" in schema:
            check(spec, schema, schema["example"], name)
    for name, response in spec["components"]["responses"].items():
        for content in response.get("content", {}).values():
            if "example" in content:
                check(spec, content["schema"], content["example"], name)
    for _, method, path, operation in operations(spec):
        body = operation.get("requestBody")
        if body:
            content = body["content"]["application/json"]
            check(spec, content["schema"], content["example"], f"the example of {method} {path}")


@test
def the_table_of_platforms_is_what_the_service_does(folder):
    service = Service(folder)
    service.import_pfx("ann@example.org", Identity(folder, "ann@example.org").pfx(), "secret").expect(201)
    forms = {"ios": "legacy", "iOS 17.4": "legacy", "ios17": "legacy", "ios-18": "modern", "ipados-17": "legacy",
             "macos": "legacy", "macOS 14": "legacy", "macos-15": "modern", "android-13": "legacy",
             "Android 14": "modern", "legacy": "legacy", "windows": "modern", "linux": "modern", "": "modern"}
    for platform, form in forms.items():
        device = service.enrol("ann@example.org", "P-256", platform=platform)
        entry = device.open(device.pull().expect(200).body)["certificates"][0]
        file = folder / "form.p12"
        file.write_bytes(base64.b64decode(entry["pkcs12"]))
        told = run("openssl", "pkcs12", "-in", file, "-info", "-noout", "-passin", "pass:" + entry["password"]).stderr
        assert (b"TripleDES" in told and b"MAC: sha1" in told) == (form == "legacy"), (platform, told)
        assert (b"AES-256-CBC" in told and b"MAC: sha256" in told) == (form == "modern"), (platform, told)


if __name__ == "__main__":
    main()
