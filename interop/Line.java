import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.util.ArrayList;
import java.util.List;

/** A line to the broker that can be cut: listens on the loopback and passes on what comes, both ways. */
final class Line {
  private final URI broker;
  private final ServerSocket listener;
  private final List<Socket> ends = new ArrayList<>();

  Line(String uri) throws IOException {
    broker = URI.create(uri);
    listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    start(this::serve);
  }

  /** The URI of the broker by way of this line. */
  String uri() {
    return "amqp://" + broker.getUserInfo() + "@127.0.0.1:" + listener.getLocalPort();
  }

  /** Ends all connections that there are now; those that come later are served. */
  synchronized int cut() {
    int cut = ends.size() / 2;
    ends.forEach(Line::close);
    ends.clear();
    return cut;
  }

  private void serve() {
    try {
      while (true) {
        Socket near = listener.accept();
        Socket far = new Socket(broker.getHost(), broker.getPort());
        synchronized (this) {
          ends.addAll(List.of(near, far));
        }
        start(() -> passOn(near, far));
        start(() -> passOn(far, near));
      }
    } catch (IOException ended) {
      throw new UncheckedIOException(ended);
    }
  }

  private static void passOn(Socket source, Socket target) {
    try {
      source.getInputStream().transferTo(target.getOutputStream());
    } catch (IOException gone) {
      // Then the other end goes too.
    }
    close(source);
    close(target);
  }

  private static void close(Socket end) {
    try {
      end.close();
    } catch (IOException closed) {
      // It is gone, as it should be.
    }
  }

  private static void start(Runnable work) {
    Thread thread = new Thread(work, "line");
    thread.setDaemon(true);
    thread.start();
  }
}
