-- Both PKCS#12 files hold the key and the certificate: apart from them they were kept once more, and given to nobody.
ALTER TABLE identities DROP COLUMN sealed_key;
ALTER TABLE identities DROP COLUMN sealed_certificate;
