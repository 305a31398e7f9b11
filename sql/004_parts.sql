-- Both PKCS#12 files hold the key and the certificate: apart from them they were kept once more, and never given to anybody.
ALTER TABLE identities DROP COLUMN sealed_key;
ALTER TABLE identities DROP COLUMN sealed_certificate;
