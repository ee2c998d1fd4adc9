import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DefaultSaslConfig;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.SecureRandom;
import java.security.cert.CertificateFactory;
import java.util.Arrays;
import java.util.List;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLException;
import javax.net.ssl.TrustManagerFactory;

/** TLS: the broker is verified, versions, a client certificate in place of a password. */
final class OverTls extends Scenario {
  private static final char[] PASSWORD = "interop".toCharArray();

  /** Connects in all the ways that programs do; the folder of the certificates is in INTEROP_TLS. */
  static void run() throws Exception {
    byte[] body = new byte[3_000_000];
    new SecureRandom().nextBytes(body);
    for (String version : List.of("TLSv1.2", "TLSv1.3")) {
      for (boolean withCertificate : new boolean[] {false, true}) {
        Connection connection = connect("ca.pem", version, withCertificate);
        Channel channel = confirming(connection);
        String queue = temporary(channel);
        publish(channel, "", queue, null, body);
        expect(Arrays.equals(channel.basicGet(queue, true).getBody(), body), true, "the body over " + version);
        connection.close();
      }
    }
    try {
      connect("stranger.pem", "TLSv1.3", false);
      throw new Failure("connected to a broker that is not trusted");
    } catch (SSLException refused) {
      // As it should be.
    }
  }

  private static Connection connect(String trusted, String version, boolean withCertificate) throws Exception {
    Path folder = Path.of(System.getenv("INTEROP_TLS"));
    String[] address = System.getenv("INTEROP_TLS_ADDRESS").split(":");
    KeyStore authorities = KeyStore.getInstance(KeyStore.getDefaultType());
    authorities.load(null, null);
    try (InputStream pem = Files.newInputStream(folder.resolve(trusted))) {
      authorities.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(pem));
    }
    TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(authorities);
    KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    KeyStore own = KeyStore.getInstance("PKCS12");
    own.load(null, null);
    if (withCertificate) {
      try (InputStream pkcs12 = Files.newInputStream(folder.resolve("client.p12"))) {
        own.load(pkcs12, PASSWORD);
      }
    }
    keys.init(own, PASSWORD);
    SSLContext context = SSLContext.getInstance(version);
    context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
    ConnectionFactory factory = new ConnectionFactory();
    factory.setHost(address[0]);
    factory.setPort(Integer.parseInt(address[1]));
    factory.useSslProtocol(context);
    factory.enableHostnameVerification();
    factory.setAutomaticRecoveryEnabled(false);
    if (withCertificate) {
      factory.setSaslConfig(DefaultSaslConfig.EXTERNAL);
    }
    return factory.newConnection();
  }
}
