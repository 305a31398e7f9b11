/* Writes PFX files with JSS, as Dogtag does: Jss.java DATABASE FOLDER KEY-CIPHER/CERTIFICATE-CIPHER..., each a pair of
 * names that JSS knows. The n-th exports the identity with the nickname n of the NSS database to FOLDER/n.out, under
 * the password "secret". */
import org.mozilla.jss.CryptoManager;
import org.mozilla.jss.netscape.security.pkcs.PKCS12;
import org.mozilla.jss.netscape.security.pkcs.PKCS12Util;
import org.mozilla.jss.util.NullPasswordCallback;
import org.mozilla.jss.util.Password;

public class Jss {
	public static void main(String[] arguments) throws Exception {
		CryptoManager.initialize(arguments[0]);
		CryptoManager.getInstance().getInternalKeyStorageToken().login(new NullPasswordCallback());
		for (int i = 2; i < arguments.length; i++) {
			String[] ciphers = arguments[i].split(", ");
			PKCS12Util util = new PKCS12Util();
			PKCS12 pfx = new PKCS12();
			util.setKeyEncryption(ciphers[0]);
			util.setCertEncryption(ciphers[1]);
			util.loadCertFromNSS(pfx, "" + (i - 2), true, true);
			util.storeIntoFile(pfx, arguments[1] + "/" + (i - 2) + ".out", new Password("secret".toCharArray()));
		}
	}
}
