#!/usr/bin/env python3
"""The main job, by hand: import a history, pull it on two devices, read the old mail."""

from harness import *


@test
def a_history_is_pulled_by_two_devices_and_reads_old_mail(folder):
    service = Service(folder)
    upn = "ann@example.org"
    old = Identity(folder, upn, start="2017-03-01 00:00:00", days=730, usage="keyEncipherment")
    new = Identity(folder, upn, key="P-256", usage="keyAgreement")
    both = [old, new]
    mails = [i.encrypt(f"mail to {i.thumbprint}".encode()) for i in both]
    for identity in both:
        service.import_pfx(upn, identity.pfx("pass wörd"), "pass wörd").expect(201)
    for key in ("rsa:3072", "P-256", "P-384"):
        device = service.enrol(upn, key)
        opened = device.history()
        assert set(opened) == {i.thumbprint for i in both}
        for identity, mail in zip(both, mails):
            assert opened[identity.thumbprint] == identity.key_pem
            private = device.folder / "private.pem"
            private.write_bytes(opened[identity.thumbprint])
            text = run("openssl", "cms", "-decrypt", "-inform", "DER", "-inkey", private, "-recip",
                       identity.certificate, input=mail).stdout
            assert text == f"mail to {identity.thumbprint}".encode()


@test
def a_device_that_has_everything_gets_304_until_something_changes(folder):
    service = Service(folder)
    upn = "ann@example.org"
    service.import_pfx(upn, Identity(folder, upn).pfx(), "secret").expect(201)
    device = service.enrol(upn)
    first = device.pull().expect(200)
    again = device.pull(first.headers["etag"])
    assert again.status == 304 and again.body == b"" and again.headers["etag"] == first.headers["etag"]
    assert again.headers["retry-after"]
    service.import_pfx(upn, Identity(folder, upn).pfx(), "secret").expect(201)
    changed = device.pull(first.headers["etag"]).expect(200)
    assert changed.headers["etag"] != first.headers["etag"]


@test
def a_revoked_device_gets_403_and_another_goes_on(folder):
    service = Service(folder)
    upn = "ann@example.org"
    service.import_pfx(upn, Identity(folder, upn).pfx(), "secret").expect(201)
    lost, kept = service.enrol(upn), service.enrol(upn)
    assert service.admin("DELETE", f"/v1/devices/{lost.id}").status == 204
    assert service.admin("DELETE", f"/v1/devices/{lost.id}").status == 204
    lost.pull().expect(403, "forbidden")
    kept.pull().expect(200)


if __name__ == "__main__":
    main()
