// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.net.URI;
import java.nio.channels.ClosedByInterruptException;
import java.nio.channels.SeekableByteChannel;
import java.nio.file.AccessMode;
import java.nio.file.CopyOption;
import java.nio.file.DirectoryStream;
import java.nio.file.FileStore;
import java.nio.file.FileSystem;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.nio.file.PathMatcher;
import java.nio.file.WatchService;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.FileAttributeView;
import java.nio.file.attribute.UserPrincipalLookupService;
import java.nio.file.spi.FileSystemProvider;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;

/**
 * A slow and failing file system over another one: writing waits at a gate until the test opens it, and then fails if the test says so. As
 * with many file systems, a thread that is interrupted while it waits finds its stream closed.
 */
public final class GatedFiles extends FileSystemProvider {
  private final Path real;
  private final Gated system = new Gated();
  private volatile CountDownLatch gate = new CountDownLatch(0);
  private volatile CountDownLatch reached = new CountDownLatch(1);
  private volatile IOException failure;
  private volatile boolean fixedPermissions;
  private volatile boolean kept;

  /** @param real a folder of another file system */
  public GatedFiles(Path real) {
    this.real = real;
  }

  /** A file in the folder. */
  public Path resolve(String name) {
    return wrap(real.resolve(name));
  }

  /** From now on writing waits. */
  public void close() {
    reached = new CountDownLatch(1);
    gate = new CountDownLatch(1);
  }

  /** Waits until somebody waits at the gate. */
  public void awaitWriter() throws InterruptedException {
    reached.await();
  }

  /** Lets everybody through. */
  public void open() {
    gate.countDown();
  }

  /** What writing throws behind the gate from now on; null: nothing. */
  public void failWith(IOException thrown) {
    failure = thrown;
  }

  /** From now on nobody changes permissions. */
  public void fixPermissions() {
    fixedPermissions = true;
  }

  /** From now on nothing is deleted. */
  public void keep() {
    kept = true;
  }

  private void pass() throws IOException {
    reached.countDown();
    try {
      gate.await();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new ClosedByInterruptException();
    }
    if (failure != null) throw failure;
  }

  private Path wrap(Path path) {
    if (path == null || Proxy.isProxyClass(path.getClass())) return path;
    return (Path) Proxy.newProxyInstance(
        GatedFiles.class.getClassLoader(), new Class<?>[] {Path.class}, (proxy, method, arguments) -> {
          if (method.getName().equals("getFileSystem")) return system;
          if (method.getName().equals("toFile")) throw new UnsupportedOperationException();
          if (method.getName().equals("equals")) return path.equals(unwrap(arguments[0]));
          final Object[] inner = arguments == null ? null : arguments.clone();
          for (int i = 0; inner != null && i < inner.length; ++i) inner[i] = unwrap(inner[i]);
          try {
            final Object result = method.invoke(path, inner);
            return result instanceof Path other ? wrap(other) : result;
          } catch (InvocationTargetException e) {
            throw e.getCause();
          }
        });
  }

  private Object unwrap(Object object) {
    if (!(object instanceof Path path) || !Proxy.isProxyClass(object.getClass())) return object;
    return real.getFileSystem().getPath(path.toString());
  }

  private Path inner(Path path) {
    return (Path) unwrap(path);
  }

  private FileSystemProvider provider() {
    return real.getFileSystem().provider();
  }

  @Override
  public OutputStream newOutputStream(Path path, OpenOption... options) throws IOException {
    return new FilterOutputStream(Files.newOutputStream(inner(path), options)) {
      @Override
      public void write(byte[] bytes, int offset, int length) throws IOException {
        pass();
        out.write(bytes, offset, length);
      }
    };
  }

  @Override
  public String getScheme() {
    return "gated";
  }

  @Override
  public FileSystem newFileSystem(URI uri, Map<String, ?> environment) {
    throw new UnsupportedOperationException();
  }

  @Override
  public FileSystem getFileSystem(URI uri) {
    return system;
  }

  @Override
  public Path getPath(URI uri) {
    throw new UnsupportedOperationException();
  }

  @Override
  public SeekableByteChannel newByteChannel(Path path, Set<? extends OpenOption> options, FileAttribute<?>... attributes)
      throws IOException {
    return provider().newByteChannel(inner(path), options, attributes);
  }

  @Override
  public DirectoryStream<Path> newDirectoryStream(Path folder, DirectoryStream.Filter<? super Path> filter) throws IOException {
    final DirectoryStream<Path> stream = provider().newDirectoryStream(inner(folder), path -> filter.accept(wrap(path)));
    return new DirectoryStream<>() {
      @Override
      public Iterator<Path> iterator() {
        final Iterator<Path> paths = stream.iterator();
        return new Iterator<>() {
          @Override
          public boolean hasNext() {
            return paths.hasNext();
          }

          @Override
          public Path next() {
            return wrap(paths.next());
          }
        };
      }

      @Override
      public void close() throws IOException {
        stream.close();
      }
    };
  }

  @Override
  public void createDirectory(Path folder, FileAttribute<?>... attributes) throws IOException {
    provider().createDirectory(inner(folder), attributes);
  }

  @Override
  public void delete(Path path) throws IOException {
    if (kept) throw new IOException("nothing is deleted here");
    provider().delete(inner(path));
  }

  @Override
  public void copy(Path source, Path target, CopyOption... options) throws IOException {
    provider().copy(inner(source), inner(target), options);
  }

  @Override
  public void move(Path source, Path target, CopyOption... options) throws IOException {
    provider().move(inner(source), inner(target), options);
  }

  @Override
  public boolean isSameFile(Path path, Path other) throws IOException {
    return provider().isSameFile(inner(path), inner(other));
  }

  @Override
  public boolean isHidden(Path path) throws IOException {
    return provider().isHidden(inner(path));
  }

  @Override
  public FileStore getFileStore(Path path) throws IOException {
    return provider().getFileStore(inner(path));
  }

  @Override
  public void checkAccess(Path path, AccessMode... modes) throws IOException {
    provider().checkAccess(inner(path), modes);
  }

  @Override
  public <V extends FileAttributeView> V getFileAttributeView(Path path, Class<V> type, LinkOption... options) {
    final V view = provider().getFileAttributeView(inner(path), type, options);
    if (!fixedPermissions || view == null) return view;
    return type.cast(
        Proxy.newProxyInstance(GatedFiles.class.getClassLoader(), new Class<?>[] {type}, (proxy, method, arguments) -> {
          if (method.getName().equals("setPermissions")) throw new IOException("permissions are fixed here");
          try {
            return method.invoke(view, arguments);
          } catch (InvocationTargetException e) {
            throw e.getCause();
          }
        }));
  }

  @Override
  public <A extends BasicFileAttributes> A readAttributes(Path path, Class<A> type, LinkOption... options) throws IOException {
    return provider().readAttributes(inner(path), type, options);
  }

  @Override
  public Map<String, Object> readAttributes(Path path, String names, LinkOption... options) throws IOException {
    return provider().readAttributes(inner(path), names, options);
  }

  @Override
  public void setAttribute(Path path, String name, Object value, LinkOption... options) throws IOException {
    provider().setAttribute(inner(path), name, value, options);
  }

  private final class Gated extends FileSystem {
    @Override
    public FileSystemProvider provider() {
      return GatedFiles.this;
    }

    @Override
    public void close() {
      throw new UnsupportedOperationException();
    }

    @Override
    public boolean isOpen() {
      return true;
    }

    @Override
    public boolean isReadOnly() {
      return false;
    }

    @Override
    public String getSeparator() {
      return "/";
    }

    @Override
    public Iterable<Path> getRootDirectories() {
      return List.of(resolve("/"));
    }

    @Override
    public Iterable<FileStore> getFileStores() {
      return List.of();
    }

    @Override
    public Set<String> supportedFileAttributeViews() {
      return Set.of("basic");
    }

    @Override
    public Path getPath(String first, String... more) {
      return wrap(real.getFileSystem().getPath(first, more));
    }

    @Override
    public PathMatcher getPathMatcher(String pattern) {
      final PathMatcher matcher = real.getFileSystem().getPathMatcher(pattern);
      return path -> matcher.matches(inner(path));
    }

    @Override
    public UserPrincipalLookupService getUserPrincipalLookupService() {
      throw new UnsupportedOperationException();
    }

    @Override
    public WatchService newWatchService() {
      throw new UnsupportedOperationException();
    }
  }
}
