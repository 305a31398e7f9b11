/* Writes PFX files with Bouncy Castle: BouncyCastle.java FOLDER FORM..., each FORM one that write() knows. The n-th takes
 * key and certificate from FOLDER/n.in, a PKCS#12 file with the password "secret", and writes FOLDER/n.out. */
import java.io.ByteArrayOutputStream;
import java.io.FileInputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Security;
import java.security.cert.X509Certificate;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.nist.NISTObjectIdentifiers;
import org.bouncycastle.crypto.util.PBKDF2Config;
import org.bouncycastle.crypto.util.PBKDFConfig;
import org.bouncycastle.crypto.util.ScryptConfig;
import org.bouncycastle.jcajce.PKCS12StoreParameter;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.OutputEncryptor;
import org.bouncycastle.pkcs.PKCS12PfxPduBuilder;
import org.bouncycastle.pkcs.PKCS12SafeBag;
import org.bouncycastle.pkcs.PKCS12SafeBagBuilder;
import org.bouncycastle.pkcs.jcajce.JcaPKCS12SafeBagBuilder;
import org.bouncycastle.pkcs.jcajce.JcePKCS12MacCalculatorBuilder;
import org.bouncycastle.pkcs.jcajce.JcePKCSPBEOutputEncryptorBuilder;

public class BouncyCastle {
	static final char[] PASSWORD = "secret".toCharArray();

	public static void main(String[] arguments) throws Exception {
		Security.addProvider(new BouncyCastleProvider());
		for (int i = 1; i < arguments.length; i++) {
			KeyStore in = KeyStore.getInstance("PKCS12", "SunJSSE");
			try (FileInputStream file = new FileInputStream(arguments[0] + "/" + (i - 1) + ".in")) {
				in.load(file, PASSWORD);
			}
			String alias = in.aliases().nextElement();
			byte[] pfx = write(arguments[i], (PrivateKey) in.getKey(alias, PASSWORD),
					(X509Certificate) in.getCertificate(alias));
			Files.write(Path.of(arguments[0], (i - 1) + ".out"), pfx);
		}
	}

	static byte[] write(String form, PrivateKey key, X509Certificate certificate) throws Exception {
		switch (form) {
		case "PBES2-AES-256-CBC":
			return build(key, certificate, new PBKDF2Config.Builder().withIterationCount(10000)
					.withPRF(PBKDF2Config.PRF_SHA256).build(), NISTObjectIdentifiers.id_aes256_CBC);
		case "PBES2-AES-128-CBC-SHA512":
			return build(key, certificate, new PBKDF2Config.Builder().withIterationCount(10000)
					.withPRF(PBKDF2Config.PRF_SHA512).build(), NISTObjectIdentifiers.id_aes128_CBC);
		case "PBES2-AES-256-CBC-SHA3-256":
			return build(key, certificate, new PBKDF2Config.Builder().withIterationCount(10000)
					.withPRF(PBKDF2Config.PRF_SHA3_256).build(), NISTObjectIdentifiers.id_aes256_CBC);
		case "SCRYPT-65536-8-1":
			return build(key, certificate, new ScryptConfig.Builder(65536, 8, 1).build(),
					NISTObjectIdentifiers.id_aes256_CBC);
		case "SCRYPT-131072-8-1":
			return build(key, certificate, new ScryptConfig.Builder(131072, 8, 1).build(),
					NISTObjectIdentifiers.id_aes256_CBC);
		default:
			return store(form, key, certificate);
		}
	}

	/* As a KeyStore of a type; of "TYPE der" the indefinite lengths are avoided. */
	static byte[] store(String form, PrivateKey key, X509Certificate certificate) throws Exception {
		KeyStore out = KeyStore.getInstance(form.split(" ")[0], "BC");
		ByteArrayOutputStream bytes = new ByteArrayOutputStream();
		out.load(null, null);
		out.setKeyEntry("ann", key, null, new X509Certificate[] { certificate });
		if (form.endsWith(" der"))
			out.store(new PKCS12StoreParameter(bytes, PASSWORD, true));
		else
			out.store(bytes, PASSWORD);
		return bytes.toByteArray();
	}

	static byte[] build(PrivateKey key, X509Certificate certificate, PBKDFConfig derivation, ASN1ObjectIdentifier cipher)
			throws Exception {
		OutputEncryptor encryptor = new JcePKCSPBEOutputEncryptorBuilder(derivation, cipher).setProvider("BC")
				.build(PASSWORD);
		PKCS12SafeBagBuilder keyBag = new JcaPKCS12SafeBagBuilder(key, encryptor);
		PKCS12SafeBagBuilder certificateBag = new JcaPKCS12SafeBagBuilder(certificate);
		return new PKCS12PfxPduBuilder().addData(keyBag.build())
				.addEncryptedData(encryptor, new PKCS12SafeBag[] { certificateBag.build() })
				.build(new JcePKCS12MacCalculatorBuilder(NISTObjectIdentifiers.id_sha256).setProvider("BC"), PASSWORD)
				.getEncoded();
	}
}
