#!/usr/bin/env python3
"""The health interface: what probes and Prometheus read, and that it tells the truth."""

import re

from inputs import *

UPN = "ann@example.org"
PATHS = ("/livez", "/readyz", "/readyz?for=import", "/healthz", "/metrics")


def until(service, path, status):
    """Polls until path answers with status; returns that answer."""
    def there():
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer = service.health(path)
            return answer if answer.status == status else None
    return wait_until(there, 60, f"{path} {status}")


# ---- shape ----

@test
def every_probe_answers_200_to_get_and_head_and_names_its_parts(folder):
    service = Service(folder)
    for path in PATHS:
        got = service.health(path).expect(200)
        head = service.health(path, "HEAD").expect(200)
        assert head.body == b"" and head.headers["content-type"] == got.headers["content-type"], path
        assert int(head.headers["content-length"]) > 0
    assert service.health("/livez").headers["content-type"].startswith("application/json")
    for path in PATHS[1:4]:
        told = service.health(path).json
        parts = told["parts"]
        assert {"keeper", "database", "keyring", "disk"} <= set(parts), set(parts)
        assert any("pener" in name for name in parts), "the openers are a part too"
        assert all(set(p) >= {"status"} and p["status"] == "ok" for p in parts.values()), parts
    version = service.health("/healthz").json["version"]
    assert re.match(r"\d+\.\d+", version)
    assert version in run(BUILD / "pfxd-keeper", "--version").stdout.decode()


@test
def a_wrong_method_is_405_an_unknown_path_404_and_another_purpose_malformed(folder):
    service = Service(folder)
    for path in PATHS:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            answer = service.health(path, method).expect(405, "method_not_allowed")
            allowed = {word.strip() for word in answer.headers["allow"].split(",")}
            assert {"GET", "HEAD"} <= allowed <= {"GET", "HEAD", "OPTIONS"}, answer.headers["allow"]
    for path in ("/", "/livez/", "/Livez", "/v1/users", "/v1/enroll", "/healthz/x", "/metrics/../v1/users",
                 "/readyz%20"):
        service.health(path).expect(404, "not_found")
        assert service.health(path, "HEAD").status == 404
    service.health("/readyz?for=everything").expect(400, "malformed_request")


@test
def probes_need_no_token_and_are_on_loopback_alone(folder):
    service = Service(folder)
    ports = [f"{service.base + n:04X}" for n in range(3)]
    listening = [line.split()[1] for name in ("/proc/net/tcp", "/proc/net/tcp6") if os.path.exists(name)
                 for line in pathlib.Path(name).read_text().splitlines()[1:] if line.split()[3] == "0A"]
    mine = [address for address in listening if address.split(":")[1] in ports]
    assert sorted(mine) == sorted(f"0100007F:{port}" for port in ports), mine
    service.health("/readyz").expect(200)


# ---- metrics ----

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})? (NaN|[+-]?Inf|[-+0-9.eE]+)( \d+)?')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)",?')


def family(name, types):
    """The family of a sample: a histogram's and a summary's have suffixes."""
    base = re.sub("_(bucket|sum|count)$", "", name)
    return base if types.get(base) in ("histogram", "summary") else name


def parse(text):
    """{sample with its labels: value} of Prometheus text 0.0.4, strictly."""
    assert text.endswith("\n")
    types, samples, closed, current = {}, {}, set(), None
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert kind in ("counter", "gauge", "histogram", "summary", "untyped") and name not in types, line
            types[name] = kind
        elif line and not line.startswith("#"):
            match = SAMPLE.fullmatch(line)
            assert match, line
            name, labels, value = match[1], match[2] or "{}", match[3]
            assert LABEL.sub("", labels[1:-1]) == "", line
            if family(name, types) != current:
                assert family(name, types) not in closed, f"{name} is in two places"
                current = family(name, types)
                closed.add(current)
            assert current in types, f"{name} has no TYPE before it"
            assert name + labels not in samples, line
            samples[name + labels] = float(value)
    return samples


@test
def metrics_are_prometheus_text_and_count(folder):
    service = Service(folder)
    answer = service.health("/metrics").expect(200)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    before = parse(answer.body.decode())
    assert before and all(name.startswith("pfxd_") for name in before), set(before)
    service.import_pfx(UPN, Identity(folder, UPN, key="P-256").pfx(), "secret").expect(201)
    service.enrol(UPN, "P-256").pull().expect(200)

    def counted():
        now = parse(service.health("/metrics").expect(200).body.decode())
        grown = {name for name in now if now[name] > before.get(name, 0)}
        return all(any(word in name for name in grown) for word in ("import", "release", "enrol"))
    wait_until(counted, 60, "import, enrolment and release in the metrics")


@test
def metrics_and_probes_hold_no_name_of_a_person(folder):
    service = Service(folder)
    service.import_pfx(UPN, Identity(folder, UPN, key="P-256").pfx(), "secret").expect(201)
    device = service.enrol(UPN, "P-256", name="anns-phone")
    device.pull().expect(200)
    service.admin("GET", "/v1/users/nobody@example.org").expect(404)

    def released():
        told = parse(service.health("/metrics").expect(200).body.decode())
        return any("release" in name and value >= 1 for name, value in told.items())
    wait_until(released, 60, "metrics from after the release")
    for path in PATHS:
        text = service.health(path).expect(200).body.decode()
        for name in ("ann", "nobody", "example.org", device.id):
            assert name not in text, (path, name)


# ---- truth ----

@test
def a_keeper_that_stands_still_makes_readyz_503_and_livez_stays_200(folder):
    service = Service(folder, config="[front]\nkeeper_seconds = 1\n")
    device = service.enrol(UPN, "P-256")
    with stopped(service.keeper_pid()):
        answer = until(service, "/readyz", 503)
        assert answer.headers["x-request-id"] and int(answer.headers.get("retry-after", "1")) > 0
        assert service.health("/readyz", "HEAD").status == 503
        assert service.health("/readyz?for=import").status == 503
        service.health("/livez").expect(200)
        told = service.health("/healthz").json
        assert told["version"] and told["parts"]["keeper"]["status"] != "ok"
        parse(service.health("/metrics").expect(200).body.decode())
        pulled = device.pull().expect(503, "unavailable")
        assert int(pulled.headers["retry-after"]) > 0
        listed = service.admin("GET", "/v1/users").expect(503, "unavailable")
        assert int(listed.headers["retry-after"]) > 0
    until(service, "/readyz?for=import", 200)
    device.pull().expect(200)


@test
def a_keeper_that_was_killed_is_started_again_and_readyz_recovers(folder):
    service = Service(folder)
    service.import_pfx(UPN, Identity(folder, UPN, key="P-256").pfx(), "secret").expect(201)
    device = service.enrol(UPN, "P-256")
    killed = service.kill_room("keeper")
    wait_until(lambda: service.rooms().get("keeper", [killed])[0] != killed, 60, "another keeper")
    until(service, "/readyz?for=import", 200)
    assert len(device.history()) == 1
    service.import_pfx(UPN, Identity(folder, UPN, key="P-256").pfx(), "secret").expect(201)


@test
def a_front_that_was_killed_is_started_again(folder):
    service = Service(folder)
    device = service.enrol(UPN, "P-256")

    def answers(call):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return call().status == 200
    for room, call in (("front-device", device.pull), ("front-admin", lambda: service.admin("GET", "/v1/users"))):
        killed = service.kill_room(room)
        wait_until(lambda: service.rooms().get(room, [killed])[0] != killed, 60, f"another {room}")
        wait_until(lambda: answers(call), 60, f"an answer of {room}")
    until(service, "/readyz", 200)


@test
def openers_that_can_not_be_reached_make_only_readyz_for_import_503(folder):
    service = Service(folder, config="[keeper]\nhealth_seconds = 1\n")
    device = service.enrol(UPN, "P-256")
    socket_path = next(p for p in (service.dir / "run").iterdir() if "pfx" in p.name and p.is_socket())
    away = socket_path.with_suffix(".away")
    socket_path.rename(away)
    answer = until(service, "/readyz?for=import", 503)
    assert any("pener" in name and part["status"] != "ok" for name, part in answer.json["parts"].items()), answer.json
    service.health("/readyz").expect(200)
    device.pull().expect(200)
    away.rename(socket_path)
    until(service, "/readyz?for=import", 200)
    service.import_pfx(UPN, Identity(folder, UPN, key="P-256").pfx(), "secret").expect(201)


if __name__ == "__main__":
    main()
