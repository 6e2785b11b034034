// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/**
 * What became of a case in one data type on one device.
 *
 * @param maxRelativeError the worst of all that was compared; null where nothing was
 */
record Result(
    String name, String kind, String mode, String dtype, String device, Status status, Double maxRelativeError, String message) {
  enum Status { PASSED, FAILED, UNSUPPORTED }

  static void write(List<Result> results, Path file) throws IOException {
    final JsonArray cases = new JsonArray();
    for (Result result : results) cases.add(result.json());
    final JsonObject document = new JsonObject();
    document.add("cases", cases);
    final Gson gson = new GsonBuilder().serializeNulls().setPrettyPrinting().disableHtmlEscaping().create();
    Files.createDirectories(file.toAbsolutePath().getParent());
    Files.writeString(file, gson.toJson(document));
  }

  private JsonObject json() {
    final JsonObject json = new JsonObject();
    json.addProperty("name", name);
    json.addProperty("kind", kind);
    json.addProperty("mode", mode);
    json.addProperty("dtype", dtype);
    json.addProperty("device", device);
    json.addProperty("status", status.name().toLowerCase(Locale.ROOT));
    // JSON has no numbers for infinity and NaN: strings, as in the recordings.
    if (maxRelativeError == null || Double.isFinite(maxRelativeError)) json.addProperty("maxRelativeError", maxRelativeError);
    else json.addProperty("maxRelativeError", maxRelativeError.toString());
    json.addProperty("message", message);
    return json;
  }
}
